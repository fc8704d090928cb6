package fsm

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
)

func benchDef() *Component {
	m := Machine{Name: "Order", InitialState: "A", States: []State{{Name: "A", Type: "entry"}, {Name: "B"}, {Name: "C"}, {Name: "D"}, {Name: "E"}, {Name: "F", Type: "final"}}}
	m.Transitions = []Transition{
		{From: "A", To: "B", Event: "NEXT"}, {From: "B", To: "C", Event: "NEXT"}, {From: "C", To: "D", Event: "NEXT"}, {From: "D", To: "A", Event: "NEXT"},
		{From: "A", To: "E", Event: "HOLD", MatchingRules: []MatchingRule{{EventProperty: "customer", InstanceProperty: "customer"}}},
		{From: "B", To: "E", Event: "HOLD", MatchingRules: []MatchingRule{{EventProperty: "amount", InstanceProperty: "amount", Operator: ">"}}},
		{From: "E", To: "A", Event: "RESUME"}, {From: "E", To: "F", Event: "STOP"}, {From: "C", To: "F", Event: "STOP"}, {From: "D", To: "F", Event: "STOP"},
	}
	return &Component{Name: "Bench", StateMachines: []Machine{m}}
}

func benchSend(b *testing.B, n, callers int, payload map[string]any) {
	rt, err := NewRuntime(Config{Components: []*Component{benchDef()}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if err := rt.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer rt.Stop(ctx)
	ids := make([]string, n)
	for i := range ids {
		in, err := rt.Create(ctx, "Order", map[string]any{"customer": fmt.Sprint("c", i), "amount": 5, "note": "x"})
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = in.ID()
	}
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; next.Add(1) <= int64(b.N); i += 7 {
				if _, err := rt.Send(ctx, ids[i%n], Event{Type: "NEXT", Payload: payload}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "M/s")
}

func BenchmarkHot(b *testing.B) {
	p := map[string]any{"amount": 7.0, "note": "hello", "paid": true}
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprintf("none-%d", callers), func(b *testing.B) { benchSend(b, 1000, callers, nil) })
		b.Run(fmt.Sprintf("three-%d", callers), func(b *testing.B) { benchSend(b, 1000, callers, p) })
	}
}
