package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

const sendInstances = 1000

// steps is the side that does nothing but engine steps on shared instances:
// what a send cannot be faster than. Callers do not exclude each other.
func steps(name string, callers int, p map[string]any, normalise bool) side {
	e := must(fsm.NewEngine(definition("")))
	slots := make([]atomic.Pointer[fsm.Instance], sendInstances)
	for i := range slots {
		slots[i].Store(must(e.New("Order", idOf(i), must(fsm.NewData(contextOf(i))), time.Now())))
	}
	made := must(fsm.NewData(p))
	now := time.Now()
	return side{name, func(n int) {
		spread(callers, n, len(slots), func(i int32) {
			d := made
			if normalise {
				d = must(fsm.NewData(p))
			}
			slots[i].Store(must(e.Step(slots[i].Load(), "NEXT", d, now)).Instance)
		})
	}}
}

// roundTrips is the side that asks one goroutine something over a channel and
// waits for its answer: what a send would cost at least if one goroutine owned
// the instances.
func roundTrips(name string, callers int) (s side, stop func()) {
	type request struct{ answer chan int }
	requests := make(chan request, 1024)
	go func() {
		n := 0
		for r := range requests {
			n++
			r.answer <- n
		}
	}()
	answers := make(chan chan int, callers)
	for range callers {
		answers <- make(chan int, 1)
	}
	return side{name, func(n int) {
		eachCaller(callers, n, func(times int) {
			answer := <-answers
			for range times {
				requests <- request{answer}
				<-answer
			}
			answers <- answer
		})
	}}, func() { close(requests) }
}

// benchSend measures Runtime.Send without a store.
func benchSend(b *bench) error {
	for _, callers := range []int{1, 256} {
		for _, c := range carryings() {
			rt, ids := started(fsm.Config{}, sendInstances)
			trips, stop := roundTrips("channel round trip", callers)
			s := b.compareFor(pick(b, 80*time.Millisecond, 2*time.Millisecond),
				sends("Send", rt, ids, callers, c.payload),
				steps("Engine.Step", callers, c.payload, false),
				steps("NewData + Engine.Step", callers, c.payload, true),
				trips,
			)
			stop()
			check(rt.Stop(ctx))
			name := named(callers) + ", " + c.name
			target := 2e6
			if c.payload != nil {
				target = 1e6
			}
			ours := fmt.Sprintf("%s (%s), best quarter %s", perSecond(s[0].rate()), ns(s[0].mid()), perSecond(1e9/newStat(s[0]).lo))
			ref := func(i int, name string) string { return name + " " + perSecond(s[i].rate()) }
			b.add(name, ours, ref(1, "Engine.Step"), s[1].over(s[0])).
				want(fmt.Sprintf(">= %.0f M/s", target/1e6), s[0].rate() >= target)
			if c.payload != nil {
				b.add(name, ours, ref(2, "NewData + Engine.Step"), s[2].over(s[0]))
			}
			b.add(name, ours, ref(3, "channel round trip"), s[3].over(s[0]))
		}
	}
	b.note("%d instances in random order; the references are measured with the same number of callers.", sendInstances)
	b.note("A rate falls with what else the machine does: targets are held against the median, the quarter of the rounds that\nwas left alone most shows what it could be. The ratio hardly moves.")
	b.note("The heap may grow by 128 MB before it is collected, as in fsmesh serve: with GOGC=100 in the environment the collector costs more.")
	b.note("The steps of the reference go unguarded: nobody excludes, numbers, indexes, remembers or tells the time.")
	return nil
}

// named says how many callers there are.
func named(callers int) string {
	if callers == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", callers)
}
