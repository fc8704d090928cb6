package fsm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// F15: what one event leads to is bounded, and strangers go on meanwhile.

// beside runs f and measures a stranger's sends until it returns.
func beside(t *testing.T, rt *Runtime, f func()) {
	t.Helper()
	if err := delays(t, rt, f); err != nil {
		t.Error(err)
	}
}

// delays is beside with an error if a stranger waits for too long. The longest that
// a send takes in another runtime at the same time is what the machine takes, which
// others use too: it is not held against f.
func delays(t *testing.T, rt *Runtime, f func()) error {
	t.Helper()
	elsewhere := Config{Name: "elsewhere", Components: []*Component{componentOf("C", stranger)}}
	if rt.waits {
		elsewhere.Store = waitingMemory()
	}
	other := started(t, elsewhere)
	done := make(chan struct{})
	measure := func(rt *Runtime, id string, l *latencies) {
		for going := true; going; {
			l.time(func() {
				if _, err := rt.Send(t.Context(), id, Event{Type: "TICK"}); err != nil {
					t.Errorf("a stranger's send: %v", err)
				}
			})
			select {
			case <-done:
				going = false
			default:
			}
		}
	}
	meanwhile, peace := newLatencies(), newLatencies()
	var wg sync.WaitGroup
	for l, rt := range map[*latencies]*Runtime{meanwhile: rt, peace: other} {
		id := mustCreate(t, rt, "Stranger", nil)
		wg.Go(func() { measure(rt, id, l) })
	}
	f()
	close(done)
	wg.Wait()
	t.Logf("a stranger's send meanwhile: %v; in another runtime: %v", meanwhile, peace)
	if most := 50*time.Millisecond + peace.max(); meanwhile.p99() > most {
		return fmt.Errorf("a stranger's sends have a p99 of %v, want at most %v", meanwhile.p99(), most)
	}
	return nil
}

// waitingMemory is a store that takes batches at once, in its own time.
func waitingMemory() Store {
	return &scriptedStore{NewMemoryStore(), true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		return write(ctx, b)
	}}
}

var stranger = fsmOf("Stranger", on("A", "TICK", "A"))

// dropped counts the notices of events that were cut off, by their code.
func dropped(rt *Runtime, ctx context.Context, code Code) *atomic.Int32 {
	n := &atomic.Int32{}
	notices := rt.Watch(ctx, WatchOptions{Buffer: 100_000})
	go func() {
		for notice, err := range notices {
			if err == nil && notice.Kind == NoticeDropped && notice.Error == string(code) {
				n.Add(1)
			}
		}
	}()
	return n
}

func TestCascadeToTenThousand(t *testing.T) {
	// Not beside others: it measures times.
	for _, waits := range []bool{false, true} {
		t.Run(map[bool]string{false: "no store", true: "a store that waits"}[waits], func(t *testing.T) {
			// A machine that others use may hold up just this runtime, though hardly
			// each time.
			var err error
			for range 4 {
				if err = cascadeToTenThousand(t, waits); err == nil {
					return
				}
			}
			t.Error(err)
		})
	}
}

// cascadeToTenThousand fails if a stranger waits for too long.
func cascadeToTenThousand(t *testing.T, waits bool) error {
	const n = 10_000
	cfg := Config{Components: []*Component{componentOf("C",
		cascading(fsmOf("Source", on("A", "GO", "B")), "B", CascadingRule{TargetMachine: "Target", TargetState: "A", Event: "E"}),
		fsmOf("Target", on("A", "E", "B")), stranger)}}
	if waits {
		cfg.Store = waitingMemory()
	}
	rt := started(t, cfg)
	for range n {
		mustCreate(t, rt, "Target", nil)
	}
	src := mustCreate(t, rt, "Source", nil)
	begin := time.Now()
	err := delays(t, rt, func() { mustSend(t, rt, src, "GO", Settled()) })
	t.Logf("settled after %v", time.Since(begin))
	if p, _ := rt.Population("C", "Target"); p["B"] != n {
		t.Errorf("%d of %d targets got the event", p["B"], n)
	}
	return err
}

// Guards the count of hops: two instances whose cascades reach each other.
func TestCycleOfCascadesIsCut(t *testing.T) {
	t.Parallel()
	m := func(name, other string) Machine {
		return cascading(fsmOf(name, on("A", "E", "A")), "A", CascadingRule{TargetMachine: other, TargetState: "A", Event: "E"})
	}
	rt := started(t, Config{Components: []*Component{componentOf("C", m("P", "Q"), m("Q", "P"), stranger)}})
	cut := dropped(rt, t.Context(), CodeTooDeep)
	p, q := mustCreate(t, rt, "P", nil), mustCreate(t, rt, "Q", nil)
	beside(t, rt, func() { mustSend(t, rt, p, "E", Settled()) })
	eventually(t, "the cut is told", func() bool { return cut.Load() == 1 })
	if n := mustGet(t, rt, p).Version() + mustGet(t, rt, q).Version() - 2; n != 1000 {
		t.Errorf("%d transitions, want 1,000", n)
	}
}

// The same with sends of hooks, each through its own Call.
func TestCycleOfSendsIsCut(t *testing.T) {
	t.Parallel()
	var ids [2]string
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A", calls("send"))), stranger)},
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error {
			to := ids[0]
			if c.Instance() == to {
				to = ids[1]
			}
			return c.SendTo(to, Event{Type: "E"})
		}}},
	})
	cut := dropped(rt, t.Context(), CodeTooDeep)
	ids = [2]string{mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil)}
	beside(t, rt, func() { mustSend(t, rt, ids[0], "E", Settled()) })
	eventually(t, "the cut is told", func() bool { return cut.Load() == 1 })
	if n := mustGet(t, rt, ids[0]).Version() + mustGet(t, rt, ids[1]).Version() - 2; n != 1000 {
		t.Errorf("%d transitions, want 1,000", n)
	}
}

// Depth alone does not stop a cascade that multiplies. Guards the count at the
// root.
func TestCascadeThatMultipliesIsCut(t *testing.T) {
	t.Parallel()
	const limit = 5_000
	rt := started(t, Config{
		Components: []*Component{componentOf("C",
			cascading(fsmOf("M", on("A", "E", "A")), "A", CascadingRule{TargetMachine: "M", TargetState: "A", Event: "E"}), stranger)},
		Limits: Limits{Events: limit},
	})
	cut := dropped(rt, t.Context(), CodeTooMany)
	var id string
	for range 10 {
		id = mustCreate(t, rt, "M", nil)
	}
	beside(t, rt, func() { mustSend(t, rt, id, "E", Settled()) })
	eventually(t, "the cut is told once", func() bool { return cut.Load() == 1 })
	n := uint64(0)
	for in := range rt.Instances(Filter{Machine: "M"}) {
		n += in.Version() - 1
	}
	if n != limit+1 {
		t.Errorf("%d transitions, want %d", n, limit+1)
	}
}
