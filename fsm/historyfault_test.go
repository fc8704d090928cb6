package fsm

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// The records kept without a store, packed, are those that a store gets for the
// same run. Guards pack and unpack, and what keep leaves out.
func TestKeptRecordsAreThoseOfAStore(t *testing.T) {
	t.Parallel()
	compared := 0
	for seed := range uint64(60) {
		with := historyRun(t, seed, NewMemoryStore())
		without := historyRun(t, seed, nil)
		if len(with) != len(without) {
			t.Fatalf("seed %d: %d and %d instances", seed, len(with), len(without))
		}
		for i := range with {
			want, got := with[i], without[i]
			if len(got) < min(keptRecords, len(want)) {
				t.Errorf("seed %d: %d records kept of %d", seed, len(got), len(want))
			}
			want = want[len(want)-len(got):]
			for k := range got {
				compared++
				if a, b := historyText(t, want[k]), historyText(t, got[k]); a != b {
					t.Fatalf("seed %d, instance %d: a store gets\n%s\nkept is\n%s", seed, i, a, b)
				}
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d records compared", compared)
	}
}

// historyText is a record without what is for stores only: its timers, effects
// and snapshot, the time at which the event was accepted, and what is random.
func historyText(t *testing.T, r *Record) string {
	t.Helper()
	c := *r
	c.Timers, c.Effects, c.Snapshot, c.Effect, c.Event.Time, c.Of = nil, nil, nil, nil, 0, nil
	c.Instance = ""
	if c.CausedBy.Instance != "" {
		c.CausedBy.Instance = "?"
	}
	if c.Version == 1 {
		// The event that triggered a creation is not kept, nor its source.
		c.Event.Payload, c.Source = Data{}, ""
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// historyRun takes random events to a few instances and returns their
// histories, in the order of creation.
func historyRun(t *testing.T, seed uint64, s Store) (out [][]*Record) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 3))
	clock := NewManualClock(epoch)
	m := fsmOf("M", on("A", "E0", "B"), on("B", "E0", "A"), on("A", "E1", "A", calls("update")), on("B", "E1", "B", internal, calls("update")),
		on("A", "E2", "B", func(t *Transition) {
			t.MatchingRules = []MatchingRule{{EventProperty: "a", InstanceProperty: "b"}}
		}), on("A", "T", "A", timeout(50)), on("B", "FAIL", "A", func(t *Transition) { t.Type, t.TargetMachine = "inter_machine", "Nowhere" }))
	m.States[1].OnEntry = "late"
	if seed%3 == 0 {
		m.PublicMemberType = "P"
	}
	n := cascading(fsmOf("N", on("A", "E0", "A")), "A", CascadingRule{TargetMachine: "M", TargetState: "A", Event: "E1", Payload: map[string]any{"from": "N"}})
	hook := 0
	values := func() map[string]any { hook++; return map[string]any{"h": hook, string(rune('a' + hook%4)): hook % 3} }
	var store Store = s
	if s == nil {
		store = nil
	}
	rt, err := NewRuntime(Config{Name: "r", Components: []*Component{componentOf("C", m, n)}, Shards: 1, Ordered: true, Clock: clock, Store: store, Logger: quiet(),
		Hooks: Hooks{Methods: map[string]Hook{
			"update": func(c *Call) error { return c.UpdateContext(values()) },
			"late":   func(c *Call) error { return c.UpdateContext(values()) },
		}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer stopRuntime(t, rt)
	var ids []string
	for i := range 3 {
		ids = append(ids, mustCreate(t, rt, []string{"M", "M", "N"}[i], randomData(rnd).Map()))
	}
	for i := range 60 {
		id, event := ids[rnd.IntN(3)], fmt.Sprint("E", rnd.IntN(3))
		if rnd.IntN(80) == 0 {
			event = "FAIL"
		}
		opts := []SendOption{Settled()}
		if rnd.IntN(3) == 0 {
			opts = append(opts, WithEventID(fmt.Sprint(i)))
		}
		switch _, err := rt.Send(t.Context(), id, Event{Type: event, Payload: randomData(rnd).Map()}, opts...); ErrorCode(err) {
		case "", CodeEventIgnored, CodeInstanceEnded, CodeUnknownInstance:
			if err != nil && ErrorCode(err) == "" {
				t.Fatal(err)
			}
		default:
			t.Fatal(err)
		}
		settle(t, rt)
		advance(t, rt, clock, time.Duration(rnd.IntN(40))*time.Millisecond)
	}
	for _, id := range ids {
		var records []*Record
		for r, err := range rt.History(t.Context(), id, 0) {
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		out = append(out, records)
	}
	return out
}
