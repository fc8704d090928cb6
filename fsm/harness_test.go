package fsm

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// What the tests of the runtime share: short ways to write definitions, a
// runtime that is stopped at the end, and a store whose appends a test decides
// about.

// on is a transition.
func on(from, event, to string, change ...func(*Transition)) Transition {
	t := Transition{From: from, Event: event, To: to}
	for _, c := range change {
		c(&t)
	}
	return t
}

func timeout(ms int64) func(*Transition) {
	return func(t *Transition) { t.Type, t.TimeoutMs = "timeout", ms }
}

func calls(name string) func(*Transition) { return func(t *Transition) { t.TriggeredMethod = name } }

func internal(t *Transition) { t.Type = "internal" }

// fsmOf makes a machine from its transitions. The state End is final and Bad an
// error state; the first transition's state is the initial one.
func fsmOf(name string, trs ...Transition) Machine {
	m := Machine{Name: name, InitialState: trs[0].From, Transitions: trs}
	for _, t := range trs {
		for _, s := range []string{t.From, t.To} {
			if slices.ContainsFunc(m.States, func(o State) bool { return o.Name == s }) {
				continue
			}
			m.States = append(m.States, State{Name: s, Type: map[string]string{"End": "final", "Bad": "error"}[s]})
		}
	}
	return m
}

// cascading adds a cascade to a state of a machine.
func cascading(m Machine, state string, rule CascadingRule) Machine {
	for i := range m.States {
		if m.States[i].Name == state {
			m.States[i].CascadingRules = append(m.States[i].CascadingRules, rule)
		}
	}
	return m
}

func componentOf(name string, ms ...Machine) *Component {
	return &Component{Name: name, StateMachines: ms}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newRuntime makes a runtime that is stopped when the test ends.
func newRuntime(t testing.TB, c Config) *Runtime {
	t.Helper()
	if c.Logger == nil {
		c.Logger = quiet()
	}
	rt, err := NewRuntime(c)
	if err != nil {
		t.Fatalf("NewRuntime: %v", err)
	}
	t.Cleanup(func() { stopRuntime(t, rt) })
	return rt
}

func stopRuntime(t testing.TB, rt *Runtime) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := rt.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// started is newRuntime and Start.
func started(t testing.TB, c Config) *Runtime {
	t.Helper()
	rt := newRuntime(t, c)
	if err := rt.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	return rt
}

func mustCreate(t testing.TB, rt *Runtime, machine string, data map[string]any, opts ...CreateOption) string {
	t.Helper()
	in, err := rt.Create(t.Context(), machine, data, opts...)
	if err != nil {
		t.Fatalf("Create %s: %v", machine, err)
	}
	return in.ID()
}

func mustSend(t testing.TB, rt *Runtime, id, event string, opts ...SendOption) Result {
	t.Helper()
	r, err := rt.Send(t.Context(), id, Event{Type: event}, opts...)
	if err != nil {
		t.Fatalf("Send %s: %v", event, err)
	}
	return r
}

func mustGet(t testing.TB, rt *Runtime, id string) *Instance {
	t.Helper()
	in, err := rt.Get(id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return in
}

// wantCode checks an error's code, "" for none.
func wantCode(t testing.TB, what string, err error, want Code) {
	t.Helper()
	if got := ErrorCode(err); got != want || (err != nil && want == "") {
		t.Errorf("%s: error %v, want code %q", what, err, want)
	}
}

// eventually waits for a condition. It fails the test if that does not come
// true for long.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	if !within(time.Minute, is) {
		t.Fatalf("not within a minute: %s", what)
	}
}

func within(d time.Duration, is func() bool) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(d)
	defer end.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			return is()
		}
	}
	return true
}

// settle waits until the runtime has nothing to do.
func settle(t testing.TB, rt *Runtime) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := rt.Idle(ctx, 0); err != nil {
		t.Fatalf("Idle: %v", err)
	}
}

// A scriptedStore is a store whose appends go through a function of the test.
type scriptedStore struct {
	Store
	waits  bool
	script func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error
}

type scriptedLog struct {
	Log
	s *scriptedStore
}

func (s *scriptedStore) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &scriptedLog{l, s}, nil
}

func (l *scriptedLog) Waits() bool { return l.s.waits }

func (l *scriptedLog) Append(ctx context.Context, b Batch) error {
	return l.s.script(ctx, b, l.Log.Append)
}

var errDiskFull = errors.New("disk full")

// A gate holds appends back while it is shut.
type gate struct {
	shut    atomic.Pointer[chan struct{}]
	waiting atomic.Int32
}

func (g *gate) close() {
	c := make(chan struct{})
	g.shut.Store(&c)
}

func (g *gate) open() {
	if c := g.shut.Swap(nil); c != nil {
		close(*c)
	}
}

func (g *gate) pass(ctx context.Context) {
	if c := g.shut.Load(); c != nil {
		g.waiting.Add(1)
		defer g.waiting.Add(-1)
		select {
		case <-*c:
		case <-ctx.Done():
		}
	}
}

// oneBatch has the shard of a runtime with one shard take up several outside
// events in one turn: it holds the shard until all of them wait in the inbox.
func oneBatch(t testing.TB, rt *Runtime, sends ...func()) {
	t.Helper()
	sh := rt.shards[0]
	held, release := make(chan struct{}), make(chan struct{})
	sh.post(item{f: func() {
		close(held)
		<-release
	}})
	<-held
	done := make(chan struct{}, len(sends))
	for i, send := range sends {
		go func() {
			send()
			done <- struct{}{}
		}()
		eventually(t, "the event waits in the inbox", func() bool { return len(sh.inbox) == i+1 })
	}
	close(release)
	for range sends {
		<-done
	}
}

// createIn creates instances until one is in a shard that fits.
func createIn(t testing.TB, rt *Runtime, machine string, fits func(*shard) bool) string {
	t.Helper()
	for {
		if id := mustCreate(t, rt, machine, nil); fits(rt.shardOf(id)) {
			return id
		}
	}
}
