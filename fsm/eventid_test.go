package fsm

import (
	"fmt"
	"testing"
)

// P2: an event with an id takes effect once.

func counterConfig(s Store) Config {
	return Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A"), on("A", "STEP", "B"), on("B", "GO", "B")))}, Store: s}
}

func TestRepeatGivesTheFirstOutcome(t *testing.T) {
	t.Parallel()
	rt := started(t, counterConfig(nil))
	id := mustCreate(t, rt, "M", nil)
	first := mustSend(t, rt, id, "STEP", WithEventID("x"))
	again := mustSend(t, rt, id, "STEP", WithEventID("x"))
	if !again.Repeated || again.Record != first.Record || again.Version != 2 || again.State != "B" || again.Instance != first.Instance {
		t.Errorf("the repeat gave %+v, want %+v", again, first)
	}
	mustSend(t, rt, id, "GO")
	again = mustSend(t, rt, id, "STEP", WithEventID("x"))
	if !again.Repeated || again.Version != 2 || again.State != "B" || again.Instance != nil {
		t.Errorf("once the instance has moved on, the repeat gave %+v", again)
	}
}

// What did not happen may still happen.
func TestRefusedEventsAreNotRemembered(t *testing.T) {
	t.Parallel()
	rt := started(t, counterConfig(nil))
	id := mustCreate(t, rt, "M", nil, InState("B"))
	_, err := rt.Send(t.Context(), id, Event{Type: "STEP"}, WithEventID("x"))
	wantCode(t, "ignored", err, CodeEventIgnored)
	_, err = rt.Send(t.Context(), id, Event{Type: "GO"}, WithEventID("x"), IfVersion(7))
	wantCode(t, "version moved", err, CodeVersionMoved)
	if r := mustSend(t, rt, id, "GO", WithEventID("x")); r.Repeated || r.Version != 2 {
		t.Errorf("got %+v", r)
	}
	// A repeat counts also where its version has moved by itself.
	if r := mustSend(t, rt, id, "GO", WithEventID("x")); !r.Repeated {
		t.Errorf("got %+v", r)
	}
}

// The last 64 ids are remembered, also over a restart, from snapshots and
// records. Guards the ring, and EventIDs of snapshots.
func TestWindowOfEventIDs(t *testing.T) {
	t.Parallel()
	for _, every := range []int{3, 1000} {
		t.Run(fmt.Sprint("snapshot every ", every), func(t *testing.T) {
			t.Parallel()
			cfg := counterConfig(NewMemoryStore())
			cfg.SnapshotEvery = every
			rt := started(t, cfg)
			id := mustCreate(t, rt, "M", nil)
			const n = 100
			for i := range n {
				mustSend(t, rt, id, "GO", WithEventID(fmt.Sprint(i)))
				mustSend(t, rt, id, "GO") // without an id takes no place
			}
			check := func(rt *Runtime) {
				t.Helper()
				before := mustGet(t, rt, id).Version()
				for i := n - maxSeen; i < n; i++ {
					if r := mustSend(t, rt, id, "GO", WithEventID(fmt.Sprint(i))); !r.Repeated || r.Version != uint64(2*i+2) {
						t.Fatalf("id %d gave %+v", i, r)
					}
				}
				if v := mustGet(t, rt, id).Version(); v != before {
					t.Errorf("repeats brought the instance from version %d to %d", before, v)
				}
			}
			check(rt)
			stopRuntime(t, rt)
			rt = started(t, cfg)
			check(rt)
			if r := mustSend(t, rt, id, "GO", WithEventID(fmt.Sprint(n-maxSeen-1))); r.Repeated {
				t.Error("the 65th is still remembered: the window is documented as 64")
			}
		})
	}
}

func TestCreateIDs(t *testing.T) {
	t.Parallel()
	cfg := counterConfig(NewMemoryStore())
	rt := started(t, cfg)
	a := mustCreate(t, rt, "M", map[string]any{"n": 1}, WithCreateID("x"))
	if b := mustCreate(t, rt, "M", map[string]any{"n": 2}, WithCreateID("x")); b != a {
		t.Error("the repeat made a second instance")
	}
	k := mustCreate(t, rt, "M", nil, WithCreateID("y"), WithKey("k"))
	if b := mustCreate(t, rt, "M", nil, WithCreateID("y"), WithKey("k")); b != k {
		t.Error("with a key, the repeat made a second instance")
	}
	_, err := rt.Create(t.Context(), "M", nil, WithCreateID("z"), WithKey("k"))
	wantCode(t, "another creation with the key", err, CodeKeyExists)
	stopRuntime(t, rt)
	rt = started(t, cfg)
	if b := mustCreate(t, rt, "M", nil, WithCreateID("x")); b != a {
		t.Error("after a restart the repeat made a second instance")
	}
}

func TestBroadcastIDs(t *testing.T) {
	t.Parallel()
	rt := started(t, counterConfig(nil))
	var ids []string
	for range 5 {
		ids = append(ids, mustCreate(t, rt, "M", nil))
	}
	for _, opts := range [][]BroadcastOption{{}, {}, {SettledOneByOne()}} {
		n, err := rt.Broadcast(t.Context(), "M", Event{Type: "GO"}, append(opts, WithBroadcastID("b"))...)
		if err != nil || n != 5 {
			t.Errorf("Broadcast: %d, %v", n, err)
		}
	}
	settle(t, rt)
	for _, id := range ids {
		if v := mustGet(t, rt, id).Version(); v != 2 {
			t.Errorf("version %d, want 2", v)
		}
	}
}
