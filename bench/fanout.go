package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// cascading has a Hub whose every change sends an event to all Leaves, to and
// fro, and the machine of the strangers.
func cascading() *fsm.Component {
	c := definition("")
	c.StateMachines = append(c.StateMachines,
		fsm.Machine{
			Name: "Hub", InitialState: "Off",
			States: []fsm.State{
				{Name: "Off", Type: "entry", CascadingRules: []fsm.CascadingRule{{TargetMachine: "Leaf", TargetState: "On", Event: "SWITCH"}}},
				{Name: "On", CascadingRules: []fsm.CascadingRule{{TargetMachine: "Leaf", TargetState: "Off", Event: "SWITCH"}}},
			},
			Transitions: []fsm.Transition{{From: "Off", To: "On", Event: "SWITCH"}, {From: "On", To: "Off", Event: "SWITCH"}},
		},
		fsm.Machine{
			Name: "Leaf", InitialState: "Off",
			States:      []fsm.State{{Name: "Off", Type: "entry"}, {Name: "On"}},
			Transitions: []fsm.Transition{{From: "Off", To: "On", Event: "SWITCH"}, {From: "On", To: "Off", Event: "SWITCH"}},
		})
	return c
}

// strangers sends to instances that have nothing to do with the rest, now and
// then, and takes the time of each.
type strangers struct {
	rt  *fsm.Runtime
	ids []string
	on  atomic.Bool // what is measured counts
	end chan struct{}
	wg  sync.WaitGroup

	mu    sync.Mutex // guards times
	times []time.Duration
}

func (s *strangers) start() {
	s.end = make(chan struct{})
	s.wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-s.end:
				return
			case <-time.After(50 * time.Microsecond):
			}
			counts := s.on.Load()
			start := time.Now()
			must(s.rt.Send(ctx, s.ids[i%len(s.ids)], fsm.Event{Type: "NEXT"}))
			if took := time.Since(start); counts && s.on.Load() {
				s.mu.Lock()
				s.times = append(s.times, took)
				s.mu.Unlock()
			}
		}
	})
}

// during has what strangers wait while f runs counted.
func (s *strangers) during(into *[]time.Duration, f func()) time.Duration {
	s.on.Store(true)
	start := time.Now()
	f()
	took := time.Since(start)
	s.on.Store(false)
	s.mu.Lock()
	*into = append(*into, s.times...)
	s.times = nil
	s.mu.Unlock()
	return took
}

// benchFanout measures an event that cascades to many instances, and what
// others notice of it.
func benchFanout(b *bench) error {
	n := pick(b, 10_000, 500)
	times := 4 * b.rounds
	rt, ids := started(fsm.Config{Components: []*fsm.Component{cascading()}}, 1000)
	defer rt.Stop(ctx)
	hub := must(rt.Create(ctx, "Hub", nil)).ID()
	leaves := make([]string, n)
	for i := range leaves {
		leaves[i] = must(rt.Create(ctx, "Leaf", contextOf(i))).ID()
	}
	e := must(fsm.NewEngine(cascading()))
	raw := make([]*fsm.Instance, n)
	for i := range raw {
		raw[i] = must(e.New("Leaf", leaves[i], must(fsm.NewData(contextOf(i))), time.Now()))
	}
	now := time.Now()
	step := func() {
		for i := range raw {
			raw[i] = must(e.Step(raw[i], "SWITCH", fsm.Data{}, now)).Instance
		}
	}
	cascade := func() { must(rt.Send(ctx, hub, fsm.Event{Type: "SWITCH"}, fsm.Settled())) }
	direct := func() {
		for _, id := range leaves {
			must(rt.Send(ctx, id, fsm.Event{Type: "SWITCH"}))
		}
	}
	cascade() // for their first history
	var settled, sent, stepped series
	for range times {
		// Twice, so that the leaves are together again.
		settled = append(settled, float64(timed(func(int) { cascade() }, 1)))
		sent = append(sent, float64(timed(func(int) { direct(); direct() }, 1))/2)
		stepped = append(stepped, float64(timed(func(int) { step() }, 1)))
	}
	name := fmt.Sprintf("%d instances settled", n)
	b.add(name, ns(settled.mid()), fmt.Sprintf("as many sends by 1 caller %s", ns(sent.mid())), settled.over(sent))
	b.add(name, ns(settled.mid()), fmt.Sprintf("as many engine steps %s", ns(stepped.mid())), settled.over(stepped))

	// Strangers, in turns: during cascades, while both processors are busy
	// with something else, and in peace.
	s := &strangers{rt: rt, ids: ids}
	s.start()
	var meanwhile, busy, alone []time.Duration
	enough := pick(b, 4000, 20)
	for round := 0; round < times || len(meanwhile) < enough && round < 100*times; round++ {
		took := s.during(&meanwhile, cascade)
		s.during(&busy, func() {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					own := raw[0]
					for end := time.Now().Add(took); time.Now().Before(end); {
						for range 100 {
							own = must(e.Step(own, "SWITCH", fsm.Data{}, now)).Instance
						}
					}
				})
			}
			wg.Wait()
		})
		s.during(&alone, func() { time.Sleep(took) })
	}
	close(s.end)
	s.wg.Wait()
	p99 := func(v []time.Duration) float64 {
		if len(v) == 0 {
			return 1
		}
		return float64(quantile(v, 0.99))
	}
	for _, r := range []struct {
		name string
		v    []time.Duration
	}{{"with 2 goroutines of engine steps beside them", busy}, {"in peace", alone}} {
		b.add("strangers' p99 meanwhile", ns(p99(meanwhile)), r.name+" "+ns(p99(r.v)), single(p99(meanwhile)/p99(r.v)))
	}
	b.note("Strangers: one caller sends every 50 µs to instances that are not part of it. Sends timed: %d meanwhile, %d beside steps, %d in peace.\nThe longest took %s, %s, %s.",
		len(meanwhile), len(busy), len(alone), ns(longest(meanwhile)), ns(longest(busy)), ns(longest(alone)))
	return nil
}

func longest(v []time.Duration) float64 {
	m := time.Duration(0)
	for _, d := range v {
		m = max(m, d)
	}
	return float64(m)
}
