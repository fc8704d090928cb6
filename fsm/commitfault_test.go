package fsm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Every third commit fails: for sure, or in a way that the store cannot tell.

// flaky has every third append fail. It counts from arm on.
type flaky struct {
	unknown bool
	armed   atomic.Bool
	n       atomic.Int64
}

func (f *flaky) script(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
	if !f.armed.Load() || f.n.Add(1)%3 != 0 {
		return write(ctx, b)
	}
	if !f.unknown {
		return errDiskFull
	}
	if f.n.Load()%2 == 0 { // stored, but not known to be
		if err := write(ctx, b); err != nil {
			return err
		}
	}
	return &Error{Code: CodeUnknownOutcome, Err: errDiskFull}
}

// Eight clients send events with ids and repeat what failed. Each event makes a
// hook send one to a neighbour, which cascades to a counter. At the end
// everything has happened exactly once. Guards repeat, dropSteps, the idempotent
// append, and the answers of failed commits.
func TestEveryThirdCommitFails(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		for _, unknown := range []bool{false, true} {
			t.Run(fmt.Sprintf("waits %v unknown %v", waits, unknown), func(t *testing.T) {
				t.Parallel()
				everyThirdCommitFails(t, waits, &flaky{unknown: unknown})
			})
		}
	}
}

func everyThirdCommitFails(t *testing.T, waits bool, f *flaky) {
	const clients, each, instances = 8, 30, 6
	mem := NewMemoryStore()
	ids := make([]string, instances)
	next := map[string]string{}
	rt := started(t, Config{
		Name: "r",
		Components: []*Component{componentOf("C",
			fsmOf("Source", on("A", "GO", "A", calls("send"))),
			cascading(fsmOf("Middle", on("A", "PASS", "A")), "A", CascadingRule{TargetMachine: "Counter", TargetState: "A", Event: "COUNT"}),
			fsmOf("Counter", on("A", "COUNT", "A")))},
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error { return c.SendTo(next[c.Instance()], Event{Type: "PASS"}) }}},
		Store: &scriptedStore{mem, waits, f.script}, Shards: 3, SnapshotEvery: 7,
	})
	for i := range ids {
		ids[i] = mustCreate(t, rt, "Source", nil)
		next[ids[i]] = mustCreate(t, rt, "Middle", nil)
	}
	counter := mustCreate(t, rt, "Counter", nil)
	f.armed.Store(true)
	var failures atomic.Int64
	var mu sync.Mutex
	acknowledged := map[RecordID]string{}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := range each {
				id, event := ids[(c+n)%instances], fmt.Sprintf("%d-%d", c, n)
				for {
					r, err := rt.Send(t.Context(), id, Event{Type: "GO"}, WithEventID(event))
					if err == nil {
						mu.Lock()
						if other := acknowledged[r.Record]; other != "" {
							t.Errorf("events %s and %s have both led to %s", other, event, r.Record)
						}
						acknowledged[r.Record] = event
						mu.Unlock()
						break
					}
					failures.Add(1)
					if ErrorCode(err) != CodeStoreFailed {
						t.Errorf("event %s: %v", event, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	settle(t, rt)
	if (failures.Load() == 0) != f.unknown {
		t.Errorf("%d callers got an error", failures.Load())
	}
	t.Logf("%d refused and repeated, %d appends", failures.Load(), f.n.Load())
	versions := map[string]uint64{}
	found := 0
	effects := map[EffectID]bool{}
	for _, r := range mem.Records("r") {
		if r.Version != versions[r.Instance]+1 {
			t.Fatalf("%s follows version %d", r.ID(), versions[r.Instance])
		}
		versions[r.Instance] = r.Version
		if event, ok := acknowledged[r.ID()]; ok {
			found++
			if r.Event.ID != event {
				t.Errorf("%s is of event %s, acknowledged as %s", r.ID(), r.Event.ID, event)
			}
		}
		if r.Effect != nil {
			if effects[*r.Effect] {
				t.Errorf("effect %s was done twice", r.Effect)
			}
			effects[*r.Effect] = true
		}
	}
	const all = clients * each
	if found != all || len(acknowledged) != all {
		t.Errorf("%d acknowledged, %d of them stored, want %d", len(acknowledged), found, all)
	}
	if n := versions[counter] - 1; n != all {
		t.Errorf("counted %d, want %d", n, all)
	}
	if len(effects) != 2*all {
		t.Errorf("%d effects done, want %d", len(effects), 2*all)
	}
}

// A timer whose commit fails has no caller: it fires again until it is stored,
// and then not any more.
func TestTimerWhoseCommitFails(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprint("waits ", waits), func(t *testing.T) {
			t.Parallel()
			var left atomic.Int32
			clock := NewManualClock(time.Unix(1000, 0))
			rt := started(t, Config{
				Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "A", timeout(1000))))}, Clock: clock, Shards: 1,
				Store: &scriptedStore{NewMemoryStore(), waits, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
					if left.Add(-1) >= 0 {
						return errDiskFull
					}
					return write(ctx, b)
				}},
			})
			id := mustCreate(t, rt, "M", nil)
			left.Store(3)
			clock.Advance(time.Second, func() { settle(t, rt) })
			settle(t, rt)
			if v := mustGet(t, rt, id).Version(); v != 2 {
				t.Errorf("version %d, want 2", v)
			}
			clock.Advance(time.Second, func() { settle(t, rt) })
			if v := mustGet(t, rt, id).Version(); v != 3 {
				t.Errorf("version %d after the next, want 3", v)
			}
		})
	}
}

// What a failed creation had reserved is free again.
func TestCreationWhoseCommitFails(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprint("waits ", waits), func(t *testing.T) {
			t.Parallel()
			var fail atomic.Bool
			no := false
			c := componentOf("C", fsmOf("M", on("A", "E", "A")))
			c.EntryMachine, c.AutoCreateEntryPoint = "M", &no
			rt := started(t, Config{Components: []*Component{c}, Store: &scriptedStore{NewMemoryStore(), waits, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
				if fail.CompareAndSwap(true, false) {
					return errDiskFull
				}
				return write(ctx, b)
			}}})
			fail.Store(true)
			_, err := rt.Create(t.Context(), "M", nil, WithKey("k"))
			wantCode(t, "Create", err, CodeStoreFailed)
			_, err = rt.GetByKey("C", "k")
			wantCode(t, "GetByKey", err, CodeUnknownInstance)
			mustCreate(t, rt, "M", nil, WithKey("k"))
			_, err = rt.Create(t.Context(), "M", nil)
			wantCode(t, "a second singleton", err, CodeSingletonExists)
		})
	}
}
