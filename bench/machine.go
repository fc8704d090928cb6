package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/fsmesh/fsmesh/fsm"
)

// definition is the machine that everything is measured on: six states, ten
// transitions, two of them with matching rules. NEXT goes round A, B, C, D.
// method, if not "", is run by each NEXT.
func definition(method string) *fsm.Component {
	m := fsm.Machine{
		Name: "Order", InitialState: "A",
		States: []fsm.State{{Name: "A", Type: "entry"}, {Name: "B"}, {Name: "C"}, {Name: "D"}, {Name: "E"}, {Name: "F", Type: "final"}},
		Transitions: []fsm.Transition{
			{From: "A", To: "B", Event: "NEXT"},
			{From: "B", To: "C", Event: "NEXT"},
			{From: "C", To: "D", Event: "NEXT"},
			{From: "D", To: "A", Event: "NEXT"},
			{From: "A", To: "E", Event: "HOLD", MatchingRules: []fsm.MatchingRule{{EventProperty: "customer", InstanceProperty: "customer"}}},
			{From: "B", To: "E", Event: "HOLD", MatchingRules: []fsm.MatchingRule{{EventProperty: "amount", InstanceProperty: "amount", Operator: ">"}}},
			{From: "E", To: "A", Event: "RESUME"},
			{From: "E", To: "F", Event: "STOP"},
			{From: "C", To: "F", Event: "STOP"},
			{From: "D", To: "F", Event: "STOP"},
		},
	}
	for i := range m.Transitions {
		if m.Transitions[i].Event == "NEXT" {
			m.Transitions[i].TriggeredMethod = method
		}
	}
	return &fsm.Component{Name: "Bench", StateMachines: []fsm.Machine{m}}
}

// payload is what an event carries where it carries something: a number, a
// string, a bool, two of which the instance has.
func payload() map[string]any {
	return map[string]any{"amount": 7.0, "note": "hello", "paid": true}
}

// contextOf is what the i-th instance is created with.
func contextOf(i int) map[string]any {
	return map[string]any{"customer": fmt.Sprintf("customer-%07d", i), "amount": 5, "paid": false}
}

// idOf is the id of the i-th instance.
func idOf(i int) string { return fmt.Sprintf("order-%07d", i) }

// carrying is the two ways in which events are sent.
type carrying struct {
	name    string
	payload map[string]any
}

func carryings() []carrying {
	return []carrying{{"no payload", nil}, {"3 fields", payload()}}
}

var ctx = context.Background()

// quiet drops what a runtime logs.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// must is for what fails only where the bench itself is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// started is a runtime that runs, with n instances.
func started(c fsm.Config, n int) (*fsm.Runtime, []string) {
	if c.Components == nil {
		c.Components = []*fsm.Component{definition("")}
	}
	c.Logger = quiet()
	rt := must(fsm.NewRuntime(c))
	check(rt.Start(ctx))
	return rt, create(rt, n)
}

// create makes n instances side by side: with a store that waits, one after the
// other would take long.
func create(rt *fsm.Runtime, n int) []string {
	ids := make([]string, n)
	const callers = 64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n; i += callers {
				ids[i] = idOf(i)
				must(rt.Create(ctx, "Order", contextOf(i), fsm.WithID(ids[i])))
			}
		})
	}
	wg.Wait()
	return ids
}

// drawn are positions below n in random order, the same ones in each run. It is
// called by one goroutine.
func drawn(n int) []int32 {
	if out := orders[n]; out != nil {
		return out
	}
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]int32, max(1<<16, n))
	for i := range out {
		out[i] = r.Int32N(int32(n))
	}
	orders[n] = out
	return out
}

var orders = map[int][]int32{}

// spread has f called n times over all by so many callers, each with positions
// below size in a random order of its own.
func spread(callers, n, size int, f func(i int32)) {
	order := drawn(size)
	var caller atomic.Int32
	eachCaller(callers, n, func(times int) {
		at := int(caller.Add(1)) * 257
		for range times {
			at++
			f(order[at%len(order)])
		}
	})
}

// eachCaller has each of some callers do its part of n.
func eachCaller(callers, n int, f func(times int)) {
	if callers == 1 {
		f(n)
		return
	}
	var wg sync.WaitGroup
	for c := range callers {
		times := n / callers
		if c < n%callers {
			times++
		}
		wg.Go(func() { f(times) })
	}
	wg.Wait()
}

// sends is the side that sends NEXT to the instances.
func sends(name string, rt *fsm.Runtime, ids []string, callers int, p map[string]any) side {
	ev := fsm.Event{Type: "NEXT", Payload: p}
	return side{name, func(n int) {
		spread(callers, n, len(ids), func(i int32) { must(rt.Send(ctx, ids[i], ev)) })
	}}
}
