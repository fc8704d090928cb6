package fsm

import (
	"fmt"
	"testing"
)

// endedLongAgo is a runtime that remembers one ended instance.
func endedLongAgo(t *testing.T) (Config, *Runtime) {
	t.Helper()
	cfg := Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A"), on("A", "STOP", "End")))},
		Store:      NewMemoryStore(), Limits: Limits{Ended: 1},
	}
	return cfg, started(t, cfg)
}

// forgotten has others end until the instance is in the store's history only.
func forgotten(t *testing.T, cfg Config, rt *Runtime, restart bool) *Runtime {
	t.Helper()
	for range 3 {
		mustSend(t, rt, mustCreate(t, rt, "M", nil), "STOP")
	}
	if restart {
		stopRuntime(t, rt)
		rt = started(t, cfg)
	}
	return rt
}

// Ids of instances that only the store's history knows do not come back, and
// repeats get the first outcome.
func TestIDsOfTheForgotten(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			t.Parallel()
			cfg, rt := endedLongAgo(t)
			for _, opt := range []CreateOption{WithID("given"), WithCreateID("once"), WithKey("key")} {
				id := mustCreate(t, rt, "M", nil, opt)
				mustSend(t, rt, id, "GO", WithEventID("first"))
				mustSend(t, rt, id, "STOP", WithEventID("last"))
			}
			rt = forgotten(t, cfg, rt, restart)
			_, err := rt.Create(t.Context(), "M", nil, WithID("given"))
			wantCode(t, "the id", err, CodeIDExists)
			r := mustSend(t, rt, "given", "STOP", WithEventID("last"))
			if !r.Repeated || r.State != "End" || r.Version != 3 || r.Instance == nil || r.Instance.Status() != StatusCompleted {
				t.Errorf("the last event again: %+v", r)
			}
			if r := mustSend(t, rt, "given", "GO", WithEventID("first")); !r.Repeated || r.State != "A" || r.Version != 2 || r.Instance != nil {
				t.Errorf("the first event again: %+v", r)
			}
			_, err = rt.Send(t.Context(), "given", Event{Type: "GO"}, WithEventID("new"))
			wantCode(t, "a new event", err, CodeUnknownInstance)
			in, err := rt.Create(t.Context(), "M", nil, WithCreateID("once"))
			if err != nil || in.State() != "End" || in.Version() != 3 {
				t.Errorf("the creation again: %v, %v", in, err)
			}
			if n := rt.Status().Quarantined; n != 0 {
				t.Errorf("%d are quarantined", n)
			}
		})
	}
}

// A key whose instances are all forgotten goes on with the next generation.
func TestGenerationsOfForgottenKeys(t *testing.T) {
	t.Parallel()
	cfg, rt := endedLongAgo(t)
	seen := map[string]bool{}
	for i := range 12 {
		id := mustCreate(t, rt, "M", nil, WithKey("key"))
		if seen[id] {
			t.Fatalf("generation %d has an id that was there before", i+1)
		}
		seen[id] = true
		if want := keyedID("C", "key", uint64(i+1)); id != want {
			t.Fatalf("id %s, want that of generation %d", id, i+1)
		}
		mustSend(t, rt, id, "STOP")
		rt = forgotten(t, cfg, rt, i%5 == 4)
		if n := len(rt.places.keys); n > 1 {
			t.Fatalf("%d keys are remembered", n)
		}
	}
}
