package fsm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// F14: user code that fails harms its own call only.

// hookRuntime has a machine M whose event GO runs the hook h, and S, which runs
// none. It returns what it told of user code.
func hookRuntime(t *testing.T, c Config, h Hook) (*Runtime, *faults) {
	t.Helper()
	f := &faults{}
	c.Components = []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A", calls("h")), on("A", "PLAIN", "A")), fsmOf("S", on("A", "TICK", "A")))}
	c.Hooks.Methods = map[string]Hook{"h": h}
	c.Trace = f.add
	return started(t, c), f
}

// faults are the reports of user code.
type faults struct {
	mu   sync.Mutex
	list []Trace
}

func (f *faults) add(tr Trace) {
	if tr.Kind == TraceUserCodeError {
		f.mu.Lock()
		f.list = append(f.list, tr)
		f.mu.Unlock()
	}
}

func (f *faults) only(t *testing.T, want string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) != 1 || f.list[0].Method != "h" || f.list[0].Hook != HookTriggered || f.list[0].Error != want {
		t.Errorf("reported %+v, want one of method h with error %q", f.list, want)
	}
}

func (f *faults) count(text string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tr := range f.list {
		if tr.Error == text {
			n++
		}
	}
	return n
}

// Guards the recovery in invoke, the goroutine of runHook (Goexit), and the
// deadline.
// A fieldError reads a field to say what is wrong: a nil one panics.
type fieldError struct{ text string }

func (e *fieldError) Error() string { return e.text }

func TestHookThatFails(t *testing.T) {
	t.Parallel()
	var kept atomic.Pointer[Call]
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for _, c := range []struct {
		name, want string
		hook       Hook
	}{
		{"error", "no stock", func(*Call) error { return errors.New("no stock") }},
		{"panic", "boom", func(*Call) error { panic("boom") }},
		{"nil pointer", "runtime error: invalid memory address or nil pointer dereference", func(*Call) error { var p *int; *p = 1; return nil }},
		{"panic with nil", "panic called with nil argument", func(*Call) error { panic(nil) }},
		{"typed nil", "runtime error: invalid memory address or nil pointer dereference", func(*Call) error { var e *fieldError; return e }},
		{"goexit", "the hook ended its goroutine", func(*Call) error { runtime.Goexit(); return nil }},
		{"never returns", "hook_timeout", func(c *Call) error { kept.Store(c); <-never; return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rt, f := hookRuntime(t, Config{HookTimeout: 50 * time.Millisecond, Shards: 1}, func(call *Call) error {
				if err := call.UpdateContext(map[string]any{"before": true}); err != nil {
					t.Error(err)
				}
				return c.hook(call)
			})
			id := mustCreate(t, rt, "M", nil)
			r := mustSend(t, rt, id, "GO")
			f.only(t, c.want)
			if v, _ := r.Instance.Data().Get("before"); v != true || r.Version != 2 {
				t.Errorf("the transition did not go on: %+v", r)
			}
			mustSend(t, rt, id, "PLAIN")
			if c.want == "hook_timeout" {
				checkEnded(t, kept.Load())
			}
		})
	}
}

// checkEnded checks that a call whose hook is over does nothing any more.
func checkEnded(t *testing.T, c *Call) {
	t.Helper()
	_, err := c.CreateInstance("M", nil)
	wantCode(t, "CreateInstance", err, CodeCallEnded)
	_, err = c.Broadcast("M", Event{Type: "PLAIN"})
	wantCode(t, "Broadcast", err, CodeCallEnded)
	wantCode(t, "SendToSelf", c.SendToSelf(Event{Type: "PLAIN"}), CodeCallEnded)
	wantCode(t, "UpdateContext", c.UpdateContext(map[string]any{"late": 1}), CodeCallEnded)
	if c.Data().Len() != 0 || c.State() != "" {
		t.Error("an ended call still shows data")
	}
	if c.Context().Err() == nil {
		t.Error("the context of an ended call goes on")
	}
}

// A call is over when its hook returns, whoever kept it.
func TestCallAfterItsHook(t *testing.T) {
	t.Parallel()
	var kept *Call
	rt, f := hookRuntime(t, Config{}, func(c *Call) error { kept = c; return nil })
	id := mustCreate(t, rt, "M", nil)
	mustSend(t, rt, id, "GO")
	checkEnded(t, kept)
	settle(t, rt)
	if v := mustGet(t, rt, id).Version(); v != 2 || f.count("") != 0 {
		t.Errorf("version %d after an ended call was used, want 2", v)
	}
}

// A hook may use memory; what it used can be freed afterwards.
func TestHookThatAllocates(t *testing.T) {
	t.Parallel()
	rt, f := hookRuntime(t, Config{}, func(c *Call) error {
		b := make([]byte, hookBytes)
		if err := c.UpdateContext(map[string]any{"big": string(b[:1<<20])}); err != nil {
			return err
		}
		return nil
	})
	id := mustCreate(t, rt, "M", nil)
	r := mustSend(t, rt, id, "GO")
	f.only(t, "context_too_large")
	if r.Instance.Data().Len() != 0 {
		t.Error("the refused update is in the data")
	}
}

// 64 calls that never return: the method is refused then, and only it.
func TestStuckHookIsRefused(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	rt, f := hookRuntime(t, Config{HookTimeout: 20 * time.Millisecond}, func(*Call) error { <-never; return nil })
	var wg sync.WaitGroup
	for range maxStuck {
		id := mustCreate(t, rt, "M", nil)
		wg.Go(func() { mustSend(t, rt, id, "GO") })
	}
	wg.Wait()
	if n := f.count("hook_timeout"); n != maxStuck {
		t.Fatalf("%d timeouts, want %d", n, maxStuck)
	}
	id := mustCreate(t, rt, "M", nil)
	mustSend(t, rt, id, "GO")
	if n := f.count("hook_stuck"); n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
	close(never)
	eventually(t, "the calls left behind are over", func() bool { return rt.workers.stuckCalls("h") == 0 })
	mustSend(t, rt, id, "GO")
	if n := f.count("hook_stuck"); n != 1 {
		t.Errorf("the method is still refused after its calls have returned")
	}
}

// Guards the marks in the context of a hook: without them each of these waits
// for itself.
func TestReentrantCalls(t *testing.T) {
	t.Parallel()
	var rt *Runtime
	var ids [2]string
	var got [4]error
	hooks := map[string]Hook{
		"self": func(c *Call) error {
			_, got[0] = rt.Send(c.Context(), c.Instance(), Event{Type: "PLAIN"})
			_, got[1] = rt.Send(c.Context(), ids[1], Event{Type: "PLAIN"}, Settled())
			_, got[2] = rt.Broadcast(c.Context(), "M", Event{Type: "PLAIN"}, SettledOneByOne())
			return nil
		},
		"chain": func(c *Call) error {
			if c.Instance() == ids[0] {
				_, err := rt.Send(c.Context(), ids[1], Event{Type: "CHAIN"})
				return err
			}
			_, got[3] = rt.Send(c.Context(), ids[0], Event{Type: "PLAIN"})
			return nil
		},
	}
	rt = started(t, Config{Components: []*Component{componentOf("C", fsmOf("M",
		on("A", "SELF", "A", calls("self")), on("A", "CHAIN", "A", calls("chain")), on("A", "PLAIN", "A")))}, Hooks: Hooks{Methods: hooks}})
	ids = [2]string{mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil)}
	mustSend(t, rt, ids[0], "SELF")
	mustSend(t, rt, ids[0], "CHAIN")
	for i, what := range []string{"to itself", "settled", "broadcast one by one", "through another"} {
		wantCode(t, what, got[i], CodeReentrant)
	}
	if v := mustGet(t, rt, ids[1]).Version(); v != 2 {
		t.Errorf("version %d, want 2", v)
	}
}

// Twenty hooks that never return hold up their own instances and nobody else,
// strangers with hooks neither.
func TestHooksThatNeverReturn(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	var held atomic.Int32
	rt, _ := hookRuntime(t, Config{Shards: 4}, func(c *Call) error {
		if _, stuck := c.Event().Payload.Get("stuck"); stuck {
			held.Add(1)
			<-never
		}
		return nil
	})
	t.Cleanup(func() { close(never) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 20 {
		id := mustCreate(t, rt, "M", nil)
		go rt.Send(ctx, id, Event{Type: "GO", Payload: map[string]any{"stuck": 1}})
	}
	eventually(t, "all twenty run", func() bool { return held.Load() == 20 })
	m, s := mustCreate(t, rt, "M", nil), mustCreate(t, rt, "S", nil)
	plain, hooked := newLatencies(), newLatencies()
	for range 2000 {
		plain.time(func() { mustSend(t, rt, s, "TICK") })
		hooked.time(func() { mustSend(t, rt, m, "GO") })
	}
	t.Logf("beside 20 hooks that never return: p99 of a send %v, with a hook %v", plain.p99(), hooked.p99())
	if plain.p99() > 500*time.Millisecond || hooked.p99() > 500*time.Millisecond {
		t.Error("strangers were held up")
	}
}

// latencies are how long calls took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func newLatencies() *latencies { return &latencies{} }

func (l *latencies) time(f func()) {
	begin := time.Now()
	f()
	d := time.Since(begin)
	l.mu.Lock()
	l.all = append(l.all, d)
	l.mu.Unlock()
}

func (l *latencies) p99() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[len(l.all)*99/100]
}

func (l *latencies) max() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Max(l.all)
}

func (l *latencies) String() string {
	return fmt.Sprintf("p99 %v, max %v of %d", l.p99(), l.max(), len(l.all))
}
