package fsm

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"
)

// spreading makes a tree of causes: GO in M sends NEXT to each of the instances
// of N, and each N creates a child.
func spreading(t *testing.T, store Store) (*Runtime, RecordID) {
	t.Helper()
	var targets []string
	rt := started(t, Config{
		Components: []*Component{componentOf("C",
			fsmOf("M", on("A", "GO", "A", calls("spread"))),
			fsmOf("N", on("A", "NEXT", "A", func(t *Transition) { t.Type, t.TargetMachine = "inter_machine", "Child" })),
			fsmOf("Child", on("A", "X", "A")))},
		Store: store,
		Hooks: Hooks{Methods: map[string]Hook{"spread": func(c *Call) error {
			for _, id := range targets {
				if err := c.SendTo(id, Event{Type: "NEXT"}); err != nil {
					return err
				}
			}
			return nil
		}}},
	})
	for range 3 {
		targets = append(targets, mustCreate(t, rt, "N", nil))
	}
	r := mustSend(t, rt, mustCreate(t, rt, "M", nil), "GO", Settled())
	settle(t, rt)
	return rt, r.Record
}

// outline writes a tree of causes down.
func outline(n *CausedNode) string {
	var below []string
	for _, c := range n.Caused {
		below = append(below, outline(c))
	}
	slices.Sort(below)
	s := n.Record.Machine + " " + n.Record.Event.Type
	if n.Cut {
		s += " …"
	}
	if below == nil {
		return s
	}
	return s + " (" + strings.Join(below, ", ") + ")"
}

func TestWhatLedToWhat(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]Store{"memory only": nil, "store": NewMemoryStore()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt, top := spreading(t, store)
			const leaf = "N NEXT (Child INSTANCE_CREATED)"
			for _, c := range []struct {
				o    CausedOptions
				want string
			}{
				{CausedOptions{}, "M GO (" + leaf + ", " + leaf + ", " + leaf + ")"},
				{CausedOptions{Depth: 1}, "M GO (N NEXT …, N NEXT …, N NEXT …)"},
				{CausedOptions{Count: 3}, "M GO … (N NEXT …, N NEXT …)"},
			} {
				tree, err := rt.Caused(t.Context(), top, c.o)
				if err != nil {
					t.Fatal(err)
				}
				if got := outline(tree); got != c.want {
					t.Errorf("with %+v:\n got %s\nwant %s", c.o, got, c.want)
				}
			}
			tree, _ := rt.Caused(t.Context(), top, CausedOptions{})
			chain, err := rt.Causes(t.Context(), tree.Caused[1].Caused[0].Record.ID())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range chain {
				got = append(got, r.Machine+" "+r.Event.Type)
			}
			if want := []string{"Child INSTANCE_CREATED", "N NEXT", "M GO"}; !slices.Equal(got, want) {
				t.Errorf("causes %v, want %v", got, want)
			}
			for _, id := range []RecordID{{"nobody", 1}, {top.Instance, 99}, {top.Instance, 0}} {
				_, err = rt.Causes(t.Context(), id)
				wantCode(t, "Causes of "+id.String(), err, CodeUnknownRecord)
				_, err = rt.Caused(t.Context(), id, CausedOptions{})
				wantCode(t, "Caused of "+id.String(), err, CodeUnknownRecord)
			}
		})
	}
}

func TestStateAt(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]Store{"memory only": nil, "store": NewMemoryStore()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := NewManualClock(time.Unix(1e9, 0))
			rt := started(t, Config{
				Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "B"), on("B", "GO", "End")))}, Store: store, Clock: clock,
				Hooks: Hooks{},
			})
			id := mustCreate(t, rt, "M", map[string]any{"n": 0})
			for i := range 2 {
				clock.Advance(time.Minute, nil)
				if _, err := rt.Send(t.Context(), id, Event{Type: "GO", Payload: map[string]any{"n": i + 1}}); err != nil {
					t.Fatal(err)
				}
			}
			for i, state := range []string{"A", "B", "End"} {
				byVersion, err := rt.StateAt(t.Context(), id, uint64(i+1))
				if err != nil {
					t.Fatal(err)
				}
				byTime, err := rt.StateAtTime(t.Context(), id, time.Unix(1e9, 0).Add(time.Duration(i)*time.Minute+time.Second))
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range []*Past{byVersion, byTime} {
					if n, _ := p.Context.Get("n"); p.State != state || n != float64(i) || p.Record.Version != uint64(i+1) {
						t.Errorf("after record %d: %s, n %v, version %d", i+1, p.State, n, p.Record.Version)
					}
				}
			}
			_, err := rt.StateAtTime(t.Context(), id, time.Unix(1e9-1, 0))
			wantCode(t, "before its creation", err, CodeUnknownRecord)
			_, err = rt.StateAt(t.Context(), id, 4)
			wantCode(t, "a version to come", err, CodeUnknownRecord)
			var versions []uint64
			for r, err := range rt.History(t.Context(), id, 1) {
				if err != nil {
					t.Fatal(err)
				}
				versions = append(versions, r.Version)
			}
			if !slices.Equal(versions, []uint64{2, 3}) {
				t.Errorf("history after 1: %v", versions)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	data := func(m map[string]any) Data {
		d, err := NewData(m)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := data(map[string]any{"same": 1, "gone": nil, "moved": "a", "list": []any{1, 2}, "longer": []any{1}, "deep": map[string]any{"x": 1, "y": []any{map[string]any{"z": 1}}}})
	after := data(map[string]any{"same": 1.0, "new": nil, "moved": 2, "list": []any{1, 3}, "longer": []any{1, 2}, "deep": map[string]any{"x": 1, "y": []any{map[string]any{"z": 2}}}})
	var got []string
	for _, c := range Diff(before, after) {
		got = append(got, fmt.Sprintf("%s: %v %v %v %v", c.Path, c.Before, c.After, c.Added, c.Removed))
	}
	want := []string{
		"deep.y.0.z: 1 2 false false", "gone: <nil> <nil> false true", "list.1: 2 3 false false",
		"longer: [1] [1 2] false false", "moved: a 2 false false", "new: <nil> <nil> true false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if d := Diff(before, before); d != nil {
		t.Errorf("between equals: %v", d)
	}
}

func TestCorrelated(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]Store{"memory only": nil, "store": NewMemoryStore()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{
				Components: []*Component{componentOf("C", fsmOf("M", on("A", "STOP", "End")), fsmOf("N", on("A", "GO", "A")))},
				Store:      store, Limits: Limits{Ended: 5}, Correlate: []string{"orderId", "order.no"},
			}
			rt := started(t, cfg)
			want := []string{
				mustCreate(t, rt, "M", map[string]any{"orderId": "42"}),
				mustCreate(t, rt, "N", map[string]any{"orderId": 42}),
				mustCreate(t, rt, "N", map[string]any{"order": map[string]any{"no": "42"}}),
			}
			mustCreate(t, rt, "N", map[string]any{"orderId": "43", "no": 42, "id": 42})
			mustSend(t, rt, want[0], "STOP")
			if store != nil {
				for range 10 { // it is in the store only
					mustSend(t, rt, mustCreate(t, rt, "M", nil), "STOP")
				}
				stopRuntime(t, rt)
				rt = started(t, cfg)
			}
			for _, value := range []any{"42", 42} {
				c, err := rt.Correlated(t.Context(), value, 0)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, in := range c.Instances {
					got = append(got, in.ID())
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) || c.More {
					t.Errorf("%v: %v (more: %v), want %v", value, got, c.More, want)
				}
			}
			if c, err := rt.Correlated(t.Context(), "42", 2); err != nil || len(c.Instances) != 2 || !c.More {
				t.Errorf("two at most: %d, more: %v, %v", len(c.Instances), c.More, err)
			}
			_, err := rt.Correlated(t.Context(), nil, 0)
			wantCode(t, "null", err, CodeBadValue)
		})
	}
}

// A retainingStore notes what it is asked to drop.
type retainingStore struct {
	*MemoryStore
	cuts chan [2]Cut
	fail bool
}

type retainingLog struct {
	Log
	s *retainingStore
}

func (s *retainingStore) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.MemoryStore.Open(ctx, name)
	return &retainingLog{l, s}, err
}

func (l *retainingLog) Retain(ctx context.Context, cut func(component, machine string) Cut) error {
	defer func() { l.s.cuts <- [2]Cut{cut("C", "M"), cut("C", "Kept")} }()
	if l.s.fail {
		l.s.fail = false
		return errDiskFull
	}
	return l.Log.Retain(ctx, cut)
}

// What ended is dropped in its time, with its records and keys, and what is to
// stay for ever does; a store that fails is asked again.
func TestRetention(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Unix(1e9, 0))
	s := &retainingStore{MemoryStore: NewMemoryStore(), cuts: make(chan [2]Cut), fail: true}
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A"), on("A", "STOP", "End")), fsmOf("Kept", on("A", "STOP", "End")))},
		Store:      s, Clock: clock, Limits: Limits{Ended: 1},
		Retention: Retention{Ended: time.Hour, Records: 2 * time.Hour}, RetentionOf: map[string]Retention{"C/Kept": {}},
	})
	gone, kept, live := mustCreate(t, rt, "M", nil, WithKey("k")), mustCreate(t, rt, "Kept", nil), mustCreate(t, rt, "M", nil)
	mustSend(t, rt, gone, "STOP")
	mustSend(t, rt, kept, "STOP")
	for range 12 {
		mustSend(t, rt, live, "GO")
	}
	has := func(id string) bool {
		return slices.ContainsFunc(s.Records("C"), func(r *Record) bool { return r.Instance == id })
	}
	step := func() [2]Cut {
		t.Helper()
		for end := time.After(60 * time.Second); ; {
			clock.Advance(6*time.Minute, nil)
			select {
			case c := <-s.cuts:
				return c
			case <-time.After(5 * time.Millisecond):
				// The loop had not gone to sleep yet.
			case <-end:
				t.Fatal("the store is not asked")
			}
		}
	}
	for clock.Now().Before(time.Unix(1e9, 0).Add(50 * time.Minute)) {
		step()
	}
	if !has(gone) || !has(kept) {
		t.Error("something was dropped before its time")
	}
	for clock.Now().Before(time.Unix(1e9, 0).Add(150 * time.Minute)) {
		now := clock.Now()
		c := step()
		if c[1] != (Cut{}) {
			t.Fatalf("the cut of what stays for ever: %+v", c[1])
		}
		if at := c[0].Ended.Add(time.Hour); at.Before(now) || !c[0].Records.Equal(c[0].Ended.Add(-time.Hour)) {
			t.Fatalf("cut %+v at %v", c[0], clock.Now())
		}
	}
	if has(gone) || !has(kept) || !has(live) {
		t.Errorf("kept: %v (ended), %v (ended, for ever), %v (live)", has(gone), has(kept), has(live))
	}
	if n := len(collect(rt.History(t.Context(), live, 0))); n != 3 {
		t.Errorf("%d records of the live one are left, want those from its snapshot at version 11 on", n)
	}
	if id := mustCreate(t, rt, "M", nil, WithKey("k")); id != gone {
		t.Errorf("the key has not begun anew")
	}
}

func collect(seq iter.Seq2[*Record, error]) (out []*Record) {
	for r, err := range seq {
		if err != nil {
			return nil
		}
		out = append(out, r)
	}
	return out
}

func TestRetentionConfig(t *testing.T) {
	t.Parallel()
	c := []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}
	for what, cfg := range map[string]Config{
		"negative":        {Components: c, Retention: Retention{Ended: -1}},
		"negative of one": {Components: c, RetentionOf: map[string]Retention{"C": {Records: -1}}},
		"no such machine": {Components: c, RetentionOf: map[string]Retention{"C/X": {}}},
	} {
		_, err := NewRuntime(cfg)
		wantCode(t, what, err, CodeConfig)
	}
}
