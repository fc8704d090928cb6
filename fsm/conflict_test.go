package fsm

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The store has another version of one instance than the runtime: that one is
// quarantined, what was in its group is dropped, all else is stored.
func TestConflictQuarantinesOneInstance(t *testing.T) {
	t.Parallel()
	var bad atomic.Pointer[string]
	store := &scriptedStore{NewMemoryStore(), true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		if id := bad.Load(); id != nil && slices.ContainsFunc(b.Records, func(r *Record) bool { return r.Instance == *id }) {
			return &Error{Code: CodeConflict, Instance: *id}
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C",
		cascading(fsmOf("Source", on("A", "GO", "B")), "B", CascadingRule{TargetMachine: "M", TargetState: "A", Event: "TICK"}),
		fsmOf("M", on("A", "TICK", "B"), on("B", "TICK", "B")))}, Store: store, Shards: 1})
	victim := mustCreate(t, rt, "M", nil)
	source, other := mustCreate(t, rt, "Source", nil), mustCreate(t, rt, "M", nil, InState("B"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	notices := rt.Watch(ctx, WatchOptions{Instance: victim})
	bad.Store(&victim)
	var sourceErr, otherErr error
	// In one batch: the source with its cascade to the victim, and another.
	oneBatch(t, rt,
		func() { _, sourceErr = rt.Send(ctx, source, Event{Type: "GO"}) },
		func() { _, otherErr = rt.Send(ctx, other, Event{Type: "TICK"}) })
	wantCode(t, "the source, whose group holds the victim", sourceErr, CodeConflict)
	wantCode(t, "another in the same batch", otherErr, "")
	settle(t, rt)
	if v, o := mustGet(t, rt, source).Version(), mustGet(t, rt, other).Version(); v != 1 || o != 2 {
		t.Errorf("source at version %d and other at %d, want 1 and 2", v, o)
	}
	_, err := rt.Send(ctx, victim, Event{Type: "TICK"})
	wantCode(t, "Send to the victim", err, CodeQuarantined)
	if got := mustGet(t, rt, victim).Status(); got != StatusQuarantined {
		t.Errorf("the victim is shown as %v", got)
	}
	for n, err := range notices {
		if err != nil {
			t.Fatal(err)
		}
		if n.Kind == NoticeQuarantined {
			break
		}
	}
	// The source can go on now: there is nobody to cascade to. So can the other.
	mustSend(t, rt, source, "GO")
	within, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	_, err = rt.Send(within, other, Event{Type: "TICK"})
	wantCode(t, "the other again", err, "")
}

// Events that wait for an instance while it is quarantined are answered.
func TestConflictAnswersWhatIsHeld(t *testing.T) {
	t.Parallel()
	g := &gate{}
	var bad atomic.Bool
	store := &scriptedStore{NewMemoryStore(), true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		g.pass(ctx)
		if bad.Load() && len(b.Records) > 0 {
			return &Error{Code: CodeConflict, Instance: b.Records[0].Instance}
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A")))}, Store: store, Shards: 1})
	id := mustCreate(t, rt, "M", nil)
	bad.Store(true)
	g.close()
	errs := make(chan error, 10)
	for range cap(errs) {
		go func() {
			_, err := rt.Send(context.Background(), id, Event{Type: "TICK"})
			errs <- err
		}()
		eventually(t, "the first is in flight", func() bool { return g.waiting.Load() == 1 })
	}
	eventually(t, "nine are held back", func() bool {
		n := make(chan int, 1)
		sh := rt.shards[0]
		sh.post(item{f: func() {
			held := 0
			if q := sh.tab.get(id).held; q != nil {
				held = q.len()
			}
			n <- held
		}})
		return <-n == 9
	})
	g.open()
	codes := map[Code]int{}
	for range cap(errs) {
		codes[ErrorCode(<-errs)]++
	}
	if codes[CodeConflict] != 1 || codes[CodeQuarantined] != 9 {
		t.Errorf("got %v", codes)
	}
}

// P5: a second process claims the log. The first stops at its next commit, says
// so, and stores nothing more. Guards the fence of the store and what the
// runtime does about it.
func TestSecondRuntimeFencesTheFirst(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		t.Run(map[bool]string{true: "waits", false: "inline"}[waits], func(t *testing.T) {
			t.Parallel()
			mem := NewMemoryStore()
			cfg := Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A")))}, Store: &scriptedStore{mem, waits,
				func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
					return write(ctx, b)
				}}}
			first := started(t, cfg)
			id := mustCreate(t, first, "M", nil)
			var acknowledged [2]atomic.Int64
			var wg sync.WaitGroup
			client := func(rt *Runtime, n int) {
				for {
					if _, err := rt.Send(context.Background(), id, Event{Type: "TICK"}); err != nil {
						if n == 0 {
							wantCode(t, "Send to the first", err, CodeFenced)
						}
						return
					}
					if acknowledged[n].Add(1) > 2000 && n == 1 {
						return
					}
				}
			}
			for range 4 {
				wg.Go(func() { client(first, 0) })
			}
			eventually(t, "the first is busy", func() bool { return acknowledged[0].Load() > 100 })
			second := started(t, cfg)
			wg.Go(func() { client(second, 1) })
			wg.Wait()
			<-first.Done()
			wantCode(t, "Err", first.Err(), CodeFenced)
			_, err := first.Create(t.Context(), "M", nil)
			wantCode(t, "Create", err, CodeFenced)
			versions := uint64(0)
			for _, r := range mem.Records("r") {
				if r.Version != versions+1 {
					t.Fatalf("version %d follows %d", r.Version, versions)
				}
				versions = r.Version
			}
			if want := 1 + acknowledged[0].Load() + acknowledged[1].Load(); int64(versions) != want {
				t.Errorf("%d records, %d acknowledged", versions, want)
			}
		})
	}
}
