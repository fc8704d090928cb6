package fsm_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// Each event ends in one of the counts, whichever way it takes: the short one
// without a store, the one through the committer with one.
func TestCounts(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		clock := fsm.NewManualClock(time.Unix(1e9, 0))
		hanging := &hangingStore{Store: fsm.NewMemoryStore()}
		config := fsm.Config{
			Name: "Shop", Logger: slog.New(slog.DiscardHandler), Clock: clock, Limits: fsm.Limits{DataBytes: 200},
			Components: []*fsm.Component{{Name: "Shop", StateMachines: []fsm.Machine{{
				Name: "Order", InitialState: "Draft",
				States: []fsm.State{{Name: "Draft"}, {Name: "Waiting"}, {Name: "Late"}},
				Transitions: []fsm.Transition{
					{From: "Draft", Event: "EDIT", To: "Draft"},
					{From: "Draft", Event: "CHARGE", To: "Draft", TriggeredMethod: "charge"},
					{From: "Draft", Event: "WAIT", To: "Waiting"},
					{From: "Waiting", Event: "OVERDUE", To: "Late", Type: "timeout", TimeoutMs: 5000},
				},
			}}}},
			Hooks: fsm.Hooks{Methods: map[string]fsm.Hook{"charge": func(*fsm.Call) error { return errors.New("no") }}},
		}
		if stored {
			config.Store = hanging
		}
		rt, err := fsm.NewRuntime(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer rt.Stop(context.Background())
		in, err := rt.Create(t.Context(), "Order", nil)
		if err != nil {
			t.Fatal(err)
		}
		send := func(want fsm.Code, event string, payload map[string]any) {
			t.Helper()
			if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: event, Payload: payload}); fsm.ErrorCode(err) != want {
				t.Fatalf("%s: %v, want code %q", event, err, want)
			}
		}
		half := map[string]any{"a": string(make([]byte, 20))} // 120 bytes, escaped
		send("", "EDIT", half)
		send("", "EDIT", nil)
		send("", "CHARGE", nil)
		send(fsm.CodeContextTooLarge, "EDIT", map[string]any{"b": half["a"]})
		send(fsm.CodeEventIgnored, "SHIP", nil)
		want := fsm.MachineCounts{Component: "Shop", Machine: "Order", Created: 1, Applied: 5, Timers: 1, Ignored: 1, Failed: 1, HookErrors: 1}
		if stored {
			hanging.failed.Store(true)
			send(fsm.CodeStoreFailed, "EDIT", nil)
			hanging.failed.Store(false)
			want.Failed++
		}
		send("", "WAIT", nil)
		clock.Advance(6*time.Second, func() {})
		var got fsm.Counts
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if got = rt.Counts(); got.Machines[0] == want {
				break
			}
		}
		if got.Machines[0] != want {
			t.Errorf("stored %v: counted %+v, want %+v", stored, got.Machines[0], want)
		}
		if (got.Commits > 0) != stored || (got.CommitTime > 0) != stored || (got.CommitFailures > 0) != stored {
			t.Errorf("stored %v: %d commits in %v, %d failed", stored, got.Commits, got.CommitTime, got.CommitFailures)
		}
	}
}
