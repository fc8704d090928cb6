package fsm

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// F16: shutdown under load, a hundred times. What was acknowledged is stored,
// the runtime ends in time, and leaves no goroutine.
func TestStopUnderLoad(t *testing.T) {
	// Not parallel: it counts goroutines.
	before := runtime.NumGoroutine()
	longest := time.Duration(0)
	for round := range 100 {
		longest = max(longest, stopUnderLoad(t, round))
		if t.Failed() {
			break
		}
	}
	t.Logf("longest stop %v", longest)
	if !within(time.Minute, func() bool { return runtime.NumGoroutine() <= before }) {
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
	}
}

func stopUnderLoad(t *testing.T, round int) time.Duration {
	t.Helper()
	mem := NewMemoryStore()
	var store Store = mem
	if round%2 == 1 {
		store = slowMemory(mem, 100*time.Microsecond)
	}
	var other atomic.Pointer[string]
	rt, err := NewRuntime(Config{
		Name: "r", Store: store, Shards: 1 + round%4, Logger: quiet(),
		Components: []*Component{componentOf("C",
			fsmOf("M", on("A", "TICK", "A"), on("A", "HOOK", "A", calls("send")), on("A", "T", "A", timeout(1))))},
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error { return c.SendTo(*other.Load(), Event{Type: "TICK"}) }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 4)
	for i := range ids {
		ids[i] = mustCreate(t, rt, "M", nil)
	}
	other.Store(&ids[0])
	acknowledged := make([]map[string]RecordID, 8)
	var n atomic.Int64
	var wg sync.WaitGroup
	for c := range acknowledged {
		acknowledged[c] = map[string]RecordID{}
		wg.Go(func() {
			for i := 0; ; i++ {
				event := fmt.Sprint(c, "-", i)
				r, err := rt.Send(context.Background(), ids[(c+i)%4], Event{Type: []string{"TICK", "TICK", "HOOK"}[i%3]}, WithEventID(event))
				if err != nil {
					wantCode(t, "Send", err, CodeNotRunning)
					return
				}
				acknowledged[c][event] = r.Record
				n.Add(1)
			}
		})
	}
	eventually(t, "there is load", func() bool { return n.Load() > 50 })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	begin := time.Now()
	if err := rt.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	took := time.Since(begin)
	wg.Wait()
	select {
	case <-rt.Done():
	default:
		t.Error("Done is open after Stop")
	}
	stored := map[RecordID]string{}
	versions := map[string]uint64{}
	for _, r := range mem.Records("r") {
		if versions[r.Instance]++; versions[r.Instance] != r.Version {
			t.Fatalf("%s after version %d", r.ID(), versions[r.Instance]-1)
		}
		stored[r.ID()] = r.Event.ID
	}
	for _, m := range acknowledged {
		for event, id := range m {
			if stored[id] != event {
				t.Errorf("round %d: event %s was acknowledged as %s and is not stored", round, event, id)
			}
		}
	}
	return took
}

func TestStopAtOddTimes(t *testing.T) {
	t.Parallel()
	cfg := func() Config {
		return Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A"), on("A", "WAIT", "A", calls("wait"))))},
			Hooks: Hooks{Methods: map[string]Hook{"wait": func(c *Call) error { <-c.Context().Done(); return nil }}}, Store: NewMemoryStore()}
	}
	ctx := context.Background()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	t.Run("before Start", func(t *testing.T) {
		t.Parallel()
		rt := newRuntime(t, cfg())
		if err := rt.Stop(cancelled); err != nil {
			t.Error(err)
		}
		if err := rt.Start(ctx); err == nil {
			t.Error("a stopped runtime was started")
		}
		_, err := rt.Create(ctx, "M", nil)
		wantCode(t, "Create", err, CodeNotRunning)
	})
	t.Run("twice and at once", func(t *testing.T) {
		t.Parallel()
		rt := started(t, cfg())
		id := mustCreate(t, rt, "M", nil)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { rt.Send(ctx, id, Event{Type: "TICK"}) })
			wg.Go(func() {
				if err := rt.Stop(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := rt.Start(ctx); err == nil {
			t.Error("started twice")
		}
		_, err := rt.Send(ctx, id, Event{Type: "TICK"})
		wantCode(t, "Send", err, CodeNotRunning)
	})
	t.Run("with a context that has ended", func(t *testing.T) {
		t.Parallel()
		rt := started(t, cfg())
		id := mustCreate(t, rt, "M", nil)
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := rt.Send(ctx, id, Event{Type: "WAIT"})
				errs <- err
			}()
		}
		eventually(t, "the hook runs", func() bool { return rt.work.hooks.Load() == 1 })
		if err := rt.Stop(cancelled); err == nil {
			t.Error("Stop with an ended context said that all was handled")
		}
		for range 2 {
			wantCode(t, "a caller that waits", <-errs, CodeNotRunning)
		}
	})
}

// Start and Stop of many runtimes on one store, with a client that does not
// wait for either.
func TestStartStopStress(t *testing.T) {
	t.Parallel()
	mem := NewMemoryStore()
	for round := range 50 {
		rt := newRuntime(t, Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "A", timeout(20))))}, Store: mem, Shards: 2})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range 5 {
					rt.Create(context.Background(), "M", nil)
				}
			})
		}
		if err := rt.Start(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		wg.Wait()
		stopRuntime(t, rt)
	}
}
