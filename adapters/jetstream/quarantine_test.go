package jetstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// Instances whose machine is not defined any more stay in the store: over restarts,
// checkpoints and retention. They are counted, listed and have their history, and go
// on where they were once the machine is there again.
func TestQuarantinedInstancesAreKept(t *testing.T) {
	t.Parallel()
	machine := func(name string) fsm.Machine {
		return fsm.Machine{
			Name: name, InitialState: "Open", States: []fsm.State{{Name: "Open"}},
			Transitions: []fsm.Transition{{From: "Open", To: "Open", Event: "UP"}},
		}
	}
	dir, clock := t.TempDir(), fsm.NewManualClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	start := func(machines ...fsm.Machine) (rt *fsm.Runtime, stop func()) {
		t.Helper()
		o := fast
		o.CheckpointEvery, o.CheckpointRate = time.Millisecond, 1000
		s := openFolder(t, dir, o)
		rt, err := fsm.NewRuntime(fsm.Config{
			Name: "x", Store: s, Clock: clock, Logger: slog.New(slog.DiscardHandler),
			Retention:  fsm.Retention{Ended: time.Hour, Records: 24 * time.Hour},
			Components: []*fsm.Component{{Name: "C", StateMachines: machines}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return rt, func() {
			if err := rt.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	rt, stop := start(machine("Stays"), machine("Gone"))
	const each = 20
	var ids []string
	for i := range each {
		for _, m := range []string{"Gone", "Stays"} {
			in, err := rt.Create(t.Context(), m, map[string]any{"n": i}, fsm.WithKey(fmt.Sprint(m, i)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "UP"}); err != nil {
				t.Fatal(err)
			}
			if m == "Gone" {
				ids = append(ids, in.ID())
			}
		}
	}
	stop()
	for round := range 3 { // the second start has them from checkpoints
		rt, stop = start(machine("Stays"))
		listed := map[string]bool{}
		for in := range rt.Quarantined() {
			listed[in.ID()] = true
		}
		if n := rt.Status().Quarantined; n != each || len(listed) != each {
			t.Fatalf("start %d: %d quarantined, %d listed, want %d", round, n, len(listed), each)
		}
		for _, id := range ids {
			n := 0
			for _, err := range rt.History(t.Context(), id, 0) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if !listed[id] || n != 2 {
				t.Fatalf("start %d: %s listed: %v, with %d records, want 2", round, id, listed[id], n)
			}
		}
		for range 10 { // longer than what has ended stays
			clock.Advance(7*time.Minute, nil)
			time.Sleep(5 * time.Millisecond) // retention runs in the background: there is nothing to wait for
		}
		stop()
	}
	rt, stop = start(machine("Stays"), machine("Gone"))
	defer stop()
	for i, id := range ids {
		r, err := rt.SendByKey(t.Context(), fmt.Sprint("Gone", i), fsm.Event{Type: "UP"})
		if err != nil || r.Version != 3 {
			t.Errorf("%s goes on at version %d, %v; want 3", id, r.Version, err)
		}
		in, err := rt.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := in.Data().Get("n"); n != float64(i) {
			t.Errorf("%s has n = %v, want %d", id, n, i)
		}
	}
}
