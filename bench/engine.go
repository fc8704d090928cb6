package main

import (
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	looplab "github.com/looplab/fsm"
	"github.com/qmuntal/stateless"
)

// benchEngine measures the step from one state to the next without a runtime.
func benchEngine(b *bench) error {
	const n = 64 // machines, gone round
	e := must(fsm.NewEngine(definition("")))
	data := map[string]any{"customer": "customer-0000001", "amount": 5.0, "paid": false}
	now := time.Unix(1_700_000_000, 0)
	ours := make([]*fsm.Instance, n)
	loop := make([]*looplab.FSM, n)
	queued := make([]*stateless.StateMachine, n)
	immediate := make([]*stateless.StateMachine, n)
	for i := range n {
		ours[i] = must(e.New("Order", idOf(i), must(fsm.NewData(data)), now))
		loop[i] = newLooplab(data)
		queued[i] = newStateless(data, stateless.FiringQueued)
		immediate[i] = newStateless(data, stateless.FiringImmediate)
	}
	for _, c := range carryings() {
		made := must(fsm.NewData(c.payload))
		var args []any
		if c.payload != nil {
			args = []any{c.payload}
		}
		sides := []side{
			{"Engine.Step", func(k int) {
				for i := range k {
					ours[i%n] = must(e.Step(ours[i%n], "NEXT", made, now)).Instance
				}
			}},
			{"NewData + Engine.Step", func(k int) {
				for i := range k {
					d := must(fsm.NewData(c.payload))
					ours[i%n] = must(e.Step(ours[i%n], "NEXT", d, now)).Instance
				}
			}},
			{"looplab/fsm Event", func(k int) {
				for i := range k {
					check(loop[i%n].Event(ctx, "NEXT", args...))
				}
			}},
			{"stateless Fire, immediate", func(k int) {
				for i := range k {
					check(immediate[i%n].FireCtx(ctx, "NEXT", args...))
				}
			}},
			{"stateless Fire, queued", func(k int) {
				for i := range k {
					check(queued[i%n].FireCtx(ctx, "NEXT", args...))
				}
			}},
		}
		s := b.compare(sides...)
		for mine := range 2 {
			if mine == 1 && c.payload == nil {
				continue // there is nothing to normalise
			}
			for peer := 2; peer < len(sides); peer++ {
				ratio := s[peer].over(s[mine])
				l := b.add(fmt.Sprintf("%s, %s", sides[mine].name, c.name), ns(s[mine].mid()), sides[peer].name+" "+ns(s[peer].mid()), ratio)
				switch {
				case c.payload == nil:
					l.want(">= 2", ratio.mid >= 2)
				case peer == 2:
					l.want(">= 1", ratio.mid >= 1)
				}
			}
		}
	}
	b.note("Engine.Step makes a new immutable instance and merges the payload into a new context; the old ones stay valid.\nNewData checks, converts and sorts a Go map; where a payload is sent on it is made once.")
	b.note("looplab/fsm changes its machine in place under locks; a callback puts the three fields into the machine's metadata.")
	b.note("stateless changes its machine in place; the states' entry action puts the three fields into a map of the program's.\nQueued is its default mode, immediate the faster one.")
	return nil
}
