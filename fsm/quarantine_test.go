package fsm

import (
	"context"
	"errors"
	"testing"
)

// Instances whose definition is gone are left out of what runs, are shown as
// quarantined, survive in checkpoints, and go on once it is there again; also
// those of a component that is not hosted any more.
func TestInstancesWithoutADefinition(t *testing.T) {
	t.Parallel()
	store := &savingStore{MemoryStore: NewMemoryStore()}
	full := []*Component{
		componentOf("C", fsmOf("M", on("A", "GO", "B"), on("B", "GO", "A")), fsmOf("Gone", on("A", "GO", "A"))),
		componentOf("D", fsmOf("N", on("A", "GO", "A"))),
	}
	cfg := Config{Name: "r", Components: full, Store: store}
	rt := started(t, cfg)
	stays := mustCreate(t, rt, "M", nil)
	lost := map[string]string{
		"state": mustCreate(t, rt, "M", map[string]any{"x": 1}), "machine": mustCreate(t, rt, "Gone", nil, WithKey("k")), "component": mustCreate(t, rt, "N", nil),
	}
	mustSend(t, rt, lost["state"], "GO")
	mustSend(t, rt, lost["machine"], "GO", WithEventID("e"))
	stopRuntime(t, rt)

	cfg.Components = []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}
	for range 2 { // the second start has nothing but the checkpoints of the first
		rt = started(t, cfg)
		shown := map[string]string{}
		for in, why := range rt.Quarantined() {
			shown[in.ID()] = why
		}
		reports, err := rt.Restored()
		if err != nil || len(reports) != 2 || reports[0] != (RestoreReport{"C", 1, 2}) || reports[1] != (RestoreReport{"D", 0, 1}) {
			t.Errorf("restored %+v, %v", reports, err)
		}
		if n := rt.Status().Quarantined; n != 3 {
			t.Errorf("%d are quarantined, want 3", n)
		}
		for what, id := range lost {
			in := mustGet(t, rt, id)
			if in.Status() != StatusQuarantined || shown[id] == "" {
				t.Errorf("%s: shown as %v, because %q", what, in.Status(), shown[id])
			}
			_, err := rt.Send(t.Context(), id, Event{Type: "GO"})
			if !errors.Is(err, ErrQuarantined) || !errors.Is(err, ErrUnknownInstance) {
				t.Errorf("%s: Send: %v", what, err)
			}
			_, err = rt.Create(t.Context(), "M", nil, WithID(id))
			wantCode(t, what+": Create with its id", err, CodeIDExists)
			n := 0
			for range rt.History(t.Context(), id, 0) {
				n++
			}
			if n == 0 {
				t.Errorf("%s: no history", what)
			}
		}
		if _, err = rt.Create(t.Context(), "M", nil, WithKey("k")); ErrorCode(err) != CodeUnknownInstance {
			t.Errorf("Create with the key of one: %v", err)
		}
		found, err := rt.Look(t.Context(), "C", []string{lost["state"]})
		if err != nil || found[0].Instance == nil || found[0].Instance.Status() != StatusQuarantined {
			t.Errorf("Look: %+v, %v", found, err)
		}
		if got := piecesOf(t, rt, "C"); !got[lost["state"]] || !got[lost["machine"]] || !got[stays] || len(got) != 3 {
			t.Errorf("pieces hold %v", got)
		}
		for in := range rt.Instances(Filter{}) {
			if in.ID() != stays {
				t.Errorf("%s is in the table", in.ID())
			}
		}
		stopRuntime(t, rt)
	}

	cfg.Components = full
	rt = started(t, cfg)
	if n := rt.Status().Quarantined; n != 0 {
		t.Errorf("%d are quarantined with their definition", n)
	}
	for what, id := range lost {
		r, err := rt.Send(t.Context(), id, Event{Type: "GO"})
		if want := map[string]uint64{"state": 3, "machine": 3, "component": 2}[what]; err != nil || r.Version != want {
			t.Errorf("%s: version %d (%v), want %d", what, r.Version, err, want)
		}
	}
	if r := mustSend(t, rt, lost["machine"], "GO", WithEventID("e")); !r.Repeated {
		t.Error("the ids of its events are forgotten")
	}
}

func piecesOf(t *testing.T, rt *Runtime, component string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for n := range rt.Shards() {
		for from := 0; from >= 0; {
			p, err := rt.Piece(context.Background(), component, n, from, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range p.Slots {
				out[s.Instance.ID()] = true
			}
			from = p.Next
		}
	}
	return out
}

// An entry point whose state is not defined keeps its place.
func TestQuarantinedEntryPoint(t *testing.T) {
	t.Parallel()
	entry := func(trs ...Transition) []*Component {
		c := componentOf("C", fsmOf("M", trs...))
		c.EntryMachine, c.EntryMachineMode = "M", "singleton"
		return []*Component{c}
	}
	cfg := Config{Components: entry(on("A", "GO", "B")), Store: NewMemoryStore()}
	rt := started(t, cfg)
	for in := range rt.Instances(Filter{}) {
		mustSend(t, rt, in.ID(), "GO")
	}
	stopRuntime(t, rt)
	cfg.Components = entry(on("A", "GO", "A"))
	rt = started(t, cfg)
	if s := rt.Status(); s.Quarantined != 1 || s.Phase != PhaseRunning {
		t.Errorf("status %+v", s)
	}
	_, err := rt.Create(t.Context(), "M", nil)
	wantCode(t, "Create of a second one", err, CodeSingletonExists)
}
