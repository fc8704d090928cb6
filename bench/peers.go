package main

import (
	"context"
	"errors"

	looplab "github.com/looplab/fsm"
	"github.com/qmuntal/stateless"
)

// newLooplab is the machine for looplab/fsm. That library has no guards, so a
// callback cancels HOLD where the rule does not pass. The payload comes as an
// argument and a callback puts it into the machine's metadata, which is what
// the library has for data; that of HOLD only routes, as in fsmesh.
func newLooplab(data map[string]any) *looplab.FSM {
	m := looplab.NewFSM("A", looplab.Events{
		{Name: "NEXT", Src: []string{"A"}, Dst: "B"},
		{Name: "NEXT", Src: []string{"B"}, Dst: "C"},
		{Name: "NEXT", Src: []string{"C"}, Dst: "D"},
		{Name: "NEXT", Src: []string{"D"}, Dst: "A"},
		{Name: "HOLD", Src: []string{"A", "B"}, Dst: "E"},
		{Name: "RESUME", Src: []string{"E"}, Dst: "A"},
		{Name: "STOP", Src: []string{"E", "C", "D"}, Dst: "F"},
	}, looplab.Callbacks{
		"before_HOLD": func(_ context.Context, e *looplab.Event) {
			own := func(k string) any { v, _ := e.FSM.Metadata(k); return v }
			if !holds(e.Src, own, e.Args) {
				e.Cancel(errors.New("no rule passes"))
			}
		},
		"enter_state": func(_ context.Context, e *looplab.Event) {
			if len(e.Args) > 0 && e.Event != "HOLD" {
				for k, v := range e.Args[0].(map[string]any) {
					e.FSM.SetMetadata(k, v)
				}
			}
		},
	})
	for k, v := range data {
		m.SetMetadata(k, v)
	}
	return m
}

// newStateless is the machine for qmuntal/stateless. The rules are guards; the
// payload comes as an argument, and the entry action of each state but E puts it
// into a map, which belongs to the program: the library has nothing for data.
func newStateless(data map[string]any, mode stateless.FiringMode) *stateless.StateMachine {
	kept := make(map[string]any, len(data))
	for k, v := range data {
		kept[k] = v
	}
	store := func(_ context.Context, args ...any) error {
		if len(args) > 0 {
			for k, v := range args[0].(map[string]any) {
				kept[k] = v
			}
		}
		return nil
	}
	guard := func(from string) stateless.GuardFunc {
		return func(_ context.Context, args ...any) bool {
			return holds(from, func(k string) any { return kept[k] }, args)
		}
	}
	m := stateless.NewStateMachineWithMode("A", mode)
	m.Configure("A").OnEntry(store).Permit("NEXT", "B").Permit("HOLD", "E", guard("A"))
	m.Configure("B").OnEntry(store).Permit("NEXT", "C").Permit("HOLD", "E", guard("B"))
	m.Configure("C").OnEntry(store).Permit("NEXT", "D").Permit("STOP", "F")
	m.Configure("D").OnEntry(store).Permit("NEXT", "A").Permit("STOP", "F")
	m.Configure("E").Permit("RESUME", "A").Permit("STOP", "F")
	m.Configure("F").OnEntry(store)
	return m
}

// holds is the rule of HOLD in a state: the same customer in A, a smaller
// amount than the instance's in B.
func holds(from string, own func(string) any, args []any) bool {
	if len(args) == 0 {
		return false
	}
	p := args[0].(map[string]any)
	if from == "A" {
		c, ok := p["customer"]
		return ok && own("customer") == c
	}
	a, ok := p["amount"].(float64)
	b, okB := own("amount").(float64)
	return ok && okB && b > a
}
