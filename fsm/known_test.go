package fsm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
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

// A beheaded store keeps no record before a version, as one does that drops what is
// old of instances that live long.
type beheaded struct {
	*MemoryStore
	from uint64
}

type beheadedLog struct {
	Log
	from uint64
}

func (s *beheaded) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.MemoryStore.Open(ctx, name)
	return &beheadedLog{l, s.from}, err
}

func (l *beheadedLog) History(ctx context.Context, id string, after uint64) iter.Seq2[*Record, error] {
	return l.Log.History(ctx, id, max(after, l.from-1))
}

// Of an instance that is forgotten, and whose first records are not kept any more,
// the same is known: what it is, and the outcomes of its last events with an id.
func TestForgottenWithoutItsFirstRecords(t *testing.T) {
	t.Parallel()
	for _, snapshots := range []bool{true, false} {
		cfg, _ := endedLongAgo(t)
		const events, from = 15, 14 // one without a snapshot
		cfg.Store, cfg.NoSnapshots = &beheaded{NewMemoryStore(), from}, !snapshots
		rt := started(t, cfg)
		id := mustCreate(t, rt, "M", map[string]any{"n": 1}, WithKey("key"))
		for i := range events {
			mustSend(t, rt, id, "GO", WithEventID(fmt.Sprint(i)))
		}
		mustSend(t, rt, id, "STOP", WithEventID("last"))
		rt = forgotten(t, cfg, rt, false)
		in, err := rt.Find(t.Context(), id)
		if err != nil || in.State() != "End" || in.Version() != events+2 || in.Status() != StatusCompleted || in.Data().Len() != 1 {
			t.Errorf("snapshots %v: %+v, %v", snapshots, in, err)
		}
		if r := mustSend(t, rt, id, "STOP", WithEventID("last")); !r.Repeated || r.Version != events+2 || r.Instance == nil {
			t.Errorf("snapshots %v: the last event again: %+v", snapshots, r)
		}
		if !snapshots {
			continue
		}
		if in.Key() != "key" {
			t.Errorf("its key is %q", in.Key())
		}
		if r := mustSend(t, rt, id, "GO", WithEventID("0")); !r.Repeated || r.Version != 2 || r.State != "A" {
			t.Errorf("an event again whose record is gone: %+v", r)
		}
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

// A creation with a key that is asked for again gives the first outcome, whatever
// became of its instance, and whoever has the key by now.
func TestKeyedCreationIsRepeatedAfterTheEnd(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			t.Parallel()
			cfg, rt := endedLongAgo(t)
			var ids []string
			for i := range maxSeen {
				id := mustCreate(t, rt, "M", map[string]any{"n": i}, WithKey("key"), WithCreateID(fmt.Sprint("x", i)))
				ids = append(ids, id)
				if again := mustCreate(t, rt, "M", nil, WithKey("key"), WithCreateID(fmt.Sprint("x", i))); again != id {
					t.Fatalf("while it is active, the repeat made %q", again)
				}
				if i < maxSeen-1 {
					mustSend(t, rt, id, "STOP", WithEventID("stop"))
				}
			}
			repeats := func(when string) {
				t.Helper()
				for i, want := range ids {
					created := true
					in, err := rt.Create(t.Context(), "M", nil, WithKey("key"), WithCreateID(fmt.Sprint("x", i)), TellCreated(&created))
					if err != nil || in.ID() != want || created {
						t.Errorf("%s, creation %d again: %v, %v, created %v; want %q", when, i, in, err, created, want)
					}
					in, created, err = rt.GetOrCreate(t.Context(), "M", "key", nil, WithCreateID(fmt.Sprint("x", i)))
					if err != nil || in.ID() != want || created {
						t.Errorf("%s, creation %d again, or get: %v, %v, created %v; want %q", when, i, in, err, created, want)
					}
				}
			}
			rt = forgotten(t, cfg, rt, restart)
			repeats("while the last has the key")
			if r, err := rt.SendByKey(t.Context(), "key", Event{Type: "STOP"}, WithEventID("stop")); err != nil || r.Repeated || r.Record.Instance != ids[maxSeen-1] {
				t.Fatalf("SendByKey: %+v, %v", r, err)
			}
			rt = forgotten(t, cfg, rt, restart)
			repeats("when nobody has the key")
			if r, err := rt.SendByKey(t.Context(), "key", Event{Type: "STOP"}, WithEventID("stop")); err != nil || !r.Repeated || r.Record.Instance != ids[maxSeen-1] {
				t.Errorf("SendByKey again, to who had the key last: %+v, %v", r, err)
			}
			if in, err := rt.FindByKey(t.Context(), "C", "key"); err != nil || in.ID() != ids[maxSeen-1] || in.State() != "End" {
				t.Errorf("FindByKey: %v, %v", in, err)
			}
			if _, err := rt.FindByKey(t.Context(), "", "another"); ErrorCode(err) != CodeUnknownInstance {
				t.Errorf("FindByKey of a key that nobody had: %v", err)
			}
			// What is asked for anew is made, and leaves the repeats as they are but
			// for the oldest.
			if id := mustCreate(t, rt, "M", nil, WithKey("key"), WithCreateID("new")); slices.Contains(ids, id) {
				t.Errorf("another creation gave %q", id)
			}
			ids[0] = mustCreate(t, rt, "M", nil, WithKey("key"), WithCreateID("new"))
			_, err := rt.Create(t.Context(), "M", nil, WithKey("key"), WithCreateID("x0"))
			wantCode(t, "the 65th is still remembered: the window is documented as 64", err, CodeKeyExists)
		})
	}
}

// Without a store what is remembered are the last that ended.
func TestKeyedCreationIsRepeatedWithoutAStore(t *testing.T) {
	t.Parallel()
	rt := started(t, keyConfig(nil))
	opts := []CreateOption{WithKey("key"), WithCreateID("x")}
	id := mustCreate(t, rt, "M", nil, opts...)
	mustSend(t, rt, id, "STOP")
	if again := mustCreate(t, rt, "M", nil, opts...); again != id {
		t.Errorf("the repeat made %q", again)
	}
	if other := mustCreate(t, rt, "M", nil, WithKey("key")); other == id {
		t.Error("a creation that is no repeat made nothing")
	}
	if again := mustCreate(t, rt, "M", nil, opts...); again != id {
		t.Errorf("once another has the key, the repeat gave %q", again)
	}
}

// One creation, asked for by many at a time while instances that have the key end:
// there is one instance of it.
func TestKeyedCreationIsRepeatedByMany(t *testing.T) {
	t.Parallel()
	for _, s := range []Store{nil, slowMemory(NewMemoryStore(), 20_000)} {
		t.Run(fmt.Sprint("stored ", s != nil), func(t *testing.T) {
			t.Parallel()
			rt := started(t, keyConfig(s))
			var mu sync.Mutex // guards made
			made := map[string]map[string]bool{}
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for i := range 50 {
						id := fmt.Sprint("x", i)
						in, err := rt.Create(t.Context(), "M", nil, WithKey("k"), WithCreateID(id))
						if ErrorCode(err) == CodeKeyExists {
							continue // somebody is at another one
						}
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if made[id] == nil {
							made[id] = map[string]bool{}
						}
						made[id][in.ID()] = true
						mu.Unlock()
						if _, err := rt.Send(t.Context(), in.ID(), Event{Type: "STOP"}); err != nil && !errors.Is(err, ErrInstanceEnded) {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			for id, got := range made {
				if len(got) != 1 {
					t.Errorf("creation %s has made %d instances", id, len(got))
				}
			}
			if len(made) < 10 {
				t.Errorf("only %d creations came to be", len(made))
			}
		})
	}
}
