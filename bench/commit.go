package main

import (
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

const storeWait = time.Millisecond

// grouped is the side that commits by hand: callers hand what they have to a
// goroutine, which gathers all that waits, waits as the store does, and answers.
func grouped(name string, callers int) (s side, stop func()) {
	requests := make(chan chan struct{}, callers)
	go func() {
		var batch []chan struct{}
		for r := range requests {
			batch = append(batch[:0], r)
			for len(requests) > 0 {
				batch = append(batch, <-requests)
			}
			time.Sleep(storeWait)
			for _, answer := range batch {
				answer <- struct{}{}
			}
		}
	}()
	return side{name, func(n int) {
		eachCaller(callers, n, func(times int) {
			answer := make(chan struct{}, 1)
			for range times {
				requests <- answer
				<-answer
			}
		})
	}}, func() { close(requests) }
}

// benchCommit measures sends that return once a store has them that takes 1 ms
// for an append.
func benchCommit(b *bench) error {
	for _, callers := range []int{8, 64, 512} {
		for _, c := range carryings() {
			m := newMemory(storeWait)
			rt, ids := started(fsm.Config{Store: m}, pick(b, 20_000, 1000))
			byHand, stop := grouped("group commit by hand", callers)
			appends, stored := m.appends.Load(), m.stored.Load()
			s := b.compareFor(pick(b, 120*time.Millisecond, 8*time.Millisecond),
				sends("Send", rt, ids, callers, c.payload),
				byHand,
				side{"ideal", func(n int) {
					for range max(1, n/callers) {
						time.Sleep(storeWait)
					}
				}},
			)
			appends, stored = m.appends.Load()-appends, m.stored.Load()-stored
			stop()
			check(rt.Stop(ctx))
			name := fmt.Sprintf("%s, %s", named(callers), c.name)
			ours := fmt.Sprintf("%s, %.1f records an append", perSecond(s[0].rate()), float64(stored)/float64(appends))
			b.add(name, ours, "ideal: all callers in each append "+perSecond(s[2].rate()), s[2].over(s[0]))
			b.add(name, ours, "group commit by hand "+perSecond(s[1].rate()), s[1].over(s[0]))
		}
	}
	b.note("The store sleeps for %v at each append; the ideal is as many sends as callers in each such sleep, measured as sleeps.", storeWait)
	b.note("Callers draw from so many instances that two seldom meet at one, which would make one of them wait for the other's append.")
	b.note("By hand: one goroutine gathers what waits in a channel, sleeps, answers; no instances, no steps, no records.")
	return nil
}
