package fsm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An ailingStore cannot say what became of a batch while it ails: some of what it
// is given it has stored, and some not.
type ailingStore struct {
	scriptedStore
	mem *MemoryStore

	mu     sync.Mutex // guards all below
	ails   bool
	stores bool // what it is given, while it ails
	after  int  // how many it takes before it ails
	asked  int
}

func newAilingStore() *ailingStore {
	s := &ailingStore{mem: NewMemoryStore()}
	s.scriptedStore = scriptedStore{s.mem, true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.ails || s.after > 0 {
			s.after--
			return write(ctx, b)
		}
		s.asked++
		if s.stores {
			if err := write(ctx, b); err != nil {
				return err
			}
		}
		return &Error{Code: CodeUnknownOutcome, Err: errDiskFull}
	}}
	return s
}

func (s *ailingStore) set(ails bool, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ails, s.after = ails, after
}

func (s *ailingStore) tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// While the store cannot say what became of a commit, who asked for what is in it
// waits, and everybody else is refused with the store's error, long before their
// own deadline: for other instances and for the same, creations with ids and keys,
// and repeats. Once it works, all go on by themselves, and what was refused has not
// happened. Guards ailing.go.
func TestOthersAreRefusedWhileTheStoreAils(t *testing.T) {
	t.Parallel()
	for _, stores := range []bool{false, true} {
		t.Run(fmt.Sprint("stores ", stores), func(t *testing.T) {
			t.Parallel()
			s := newAilingStore()
			s.stores = stores
			rt := started(t, Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A"), on("A", "STOP", "End")))}, Store: s, Shards: 2})
			first, other, before := mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil)
			ask := map[string]func(context.Context) error{
				"another instance": func(ctx context.Context) error { _, err := rt.Send(ctx, other, Event{Type: "GO"}); return err },
				"the same":         func(ctx context.Context) error { _, err := rt.Send(ctx, first, Event{Type: "GO"}); return err },
				"a repeat": func(ctx context.Context) error {
					_, err := rt.Send(ctx, first, Event{Type: "GO"}, WithEventID("x"))
					return err
				},
				"a creation":       func(ctx context.Context) error { _, err := rt.Create(ctx, "M", nil); return err },
				"a new key":        func(ctx context.Context) error { _, err := rt.Create(ctx, "M", nil, WithKey("new")); return err },
				"a key on its way": func(ctx context.Context) error { _, err := rt.Create(ctx, "M", nil, WithKey("k")); return err },
				"a creation on its way": func(ctx context.Context) error {
					_, err := rt.Create(ctx, "M", nil, WithCreateID("c"))
					return err
				},
			}
			s.set(true, 1)
			var sent, created, keyed error
			var wg sync.WaitGroup
			oneCommit(t, rt, &wg,
				func() { mustSend(t, rt, before, "GO") },
				func() { _, sent = rt.Send(t.Context(), first, Event{Type: "GO"}, WithEventID("x")) },
				func() { _, created = rt.Create(t.Context(), "M", nil, WithCreateID("c")) },
				func() { _, keyed = rt.Create(t.Context(), "M", nil, WithKey("k")) },
			)
			eventually(t, "the store has been asked again", func() bool { return s.tries() > 2 })
			for range 3 {
				for who, call := range ask {
					// Half of the time that anybody is given on a bus.
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					err := call(ctx)
					cancel()
					if stores && err == nil && who == "a creation on its way" {
						continue // it is there: the store shows it, though it did not say so
					}
					wantCode(t, who, err, CodeStoreFailed)
					if !errors.Is(err, errDiskFull) || strings.Count(fmt.Sprint(err), "the store did not take") > 1 {
						t.Errorf("%s: %v, want the store's own error, once", who, err)
					}
				}
			}
			s.set(false, 0)
			wg.Wait()
			if err := errors.Join(sent, created, keyed); err != nil {
				t.Errorf("what was with the store all the time: %v", err)
			}
			if v := mustGet(t, rt, first).Version(); v != 2 {
				t.Errorf("version %d, want 2: what was refused must not have happened", v)
			}
			if v := mustGet(t, rt, other).Version(); v != 1 {
				t.Errorf("version %d of the other, want 1", v)
			}
			if n := len(s.mem.Records("r")); n != 7 {
				t.Errorf("%d records, want 7", n)
			}
			for who, call := range ask {
				want := Code("")
				if who == "a key on its way" {
					want = CodeKeyExists
				}
				wantCode(t, who+", afterwards", call(t.Context()), want)
			}
		})
	}
}

// oneCommit asks for something, and for several other things while that is being
// stored: one commit has all of them. It returns when that one may begin.
func oneCommit(t *testing.T, rt *Runtime, wg *sync.WaitGroup, before func(), calls ...func()) {
	t.Helper()
	waiting := func() int {
		rt.committer.mu.Lock()
		defer rt.committer.mu.Unlock()
		return rt.committer.records
	}
	rt.committer.under <- struct{}{}
	wg.Go(before)
	eventually(t, "the first is with the committer", func() bool {
		var inFlight atomic.Int32
		if err := rt.visitAll(t.Context(), func(sh *shard) { inFlight.Add(int32(sh.inFlight)) }); err != nil {
			t.Fatal(err)
		}
		return inFlight.Load() == 1 && waiting() == 0
	})
	for _, call := range calls {
		wg.Go(call)
	}
	eventually(t, "all are on their way", func() bool { return waiting() >= len(calls) })
	<-rt.committer.under
}
