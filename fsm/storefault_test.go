package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

// A hangingStore lets no append through while it is shut.
type hangingStore struct {
	fsm.Store
	mu     sync.RWMutex // held by the test while the store hangs
	failed atomic.Bool
}

type hangingLog struct {
	fsm.Log
	s *hangingStore
}

var errDown = errors.New("the disk is gone")

func (s *hangingStore) Open(ctx context.Context, name string) (fsm.Log, error) {
	l, err := s.Store.Open(ctx, name)
	return &hangingLog{l, s}, err
}

func (l *hangingLog) Waits() bool { return true }

func (l *hangingLog) Append(ctx context.Context, b fsm.Batch) error {
	l.s.mu.RLock()
	defer l.s.mu.RUnlock()
	if l.s.failed.Load() {
		return errDown
	}
	return l.Log.Append(ctx, b)
}

func faulty(t *testing.T, s fsm.Store, hooks fsm.Hooks) *fsm.Runtime {
	t.Helper()
	machine := fsm.Machine{
		Name: "M", InitialState: "A",
		States: []fsm.State{{Name: "A"}, {Name: "B"}},
		Transitions: []fsm.Transition{
			{From: "A", Event: "GO", To: "A"},
			{From: "A", Event: "LATER", To: "B"},
			{From: "B", Event: "DUE", To: "A", Type: "timeout", TimeoutMs: 30},
			{From: "A", Event: "PASS", To: "A", TriggeredMethod: "pass"},
		},
	}
	rt, err := fsm.NewRuntime(fsm.Config{
		Components: []*fsm.Component{{Name: "C", StateMachines: []fsm.Machine{machine}}}, Store: s, Hooks: hooks,
		Shards: 2, Inbox: 64, Limits: fsm.Limits{Held: 10}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := rt.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return rt
}

func create(t *testing.T, rt *fsm.Runtime) string {
	t.Helper()
	in, err := rt.Create(t.Context(), "M", nil)
	if err != nil {
		t.Fatal(err)
	}
	return in.ID()
}

// While a commit hangs callers wait within their contexts, and however many
// come, what is gathered is bounded: inboxes, batches in flight, and what is held
// for each instance. All goes on when the store does.
func TestHangingStore(t *testing.T) {
	s := &hangingStore{Store: fsm.NewMemoryStore()}
	rt := faulty(t, s, fsm.Hooks{})
	ids := make([]string, 20)
	for i := range ids {
		ids[i] = create(t, rt)
	}
	s.mu.Lock()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	wave := func() {
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for i := range 400 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, err := rt.Send(ctx, ids[i%len(ids)], fsm.Event{Type: "GO", Payload: map[string]any{"pad": fmt.Sprintf("%01000d", i)}})
					if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, fsm.ErrOverloaded) {
						t.Errorf("Send: %v", err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	wave() // fills all that is bounded
	before := heap()
	for range 5 {
		wave()
	}
	if grown := int64(heap()) - int64(before); grown > 1<<20 {
		t.Errorf("2,000 more callers left %d kB behind", grown>>10)
	}
	s.mu.Unlock()
	if err := rt.Idle(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Send(t.Context(), ids[0], fsm.Event{Type: "GO"}); err != nil {
		t.Errorf("Send after the store came back: %v", err)
	}
}

// A store that fails is told to callers with its own error; timers and effects
// are taken again until it works, once each.
func TestFailingStore(t *testing.T) {
	t.Parallel()
	var other atomic.Pointer[string]
	s := &hangingStore{Store: fsm.NewMemoryStore()}
	rt := faulty(t, s, fsm.Hooks{Methods: map[string]fsm.Hook{"pass": func(c *fsm.Call) error {
		return c.SendTo(*other.Load(), fsm.Event{Type: "GO"})
	}}})
	timed, target, source := create(t, rt), create(t, rt), create(t, rt)
	other.Store(&target)
	if _, err := rt.Send(t.Context(), timed, fsm.Event{Type: "LATER"}); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Send(t.Context(), source, fsm.Event{Type: "PASS"}); err != nil {
		t.Fatal(err)
	}
	s.failed.Store(true)
	for end := time.Now().Add(150 * time.Millisecond); time.Now().Before(end); {
		_, err := rt.Send(t.Context(), source, fsm.Event{Type: "GO"})
		if !errors.Is(err, fsm.ErrStoreFailed) || !errors.Is(err, errDown) {
			t.Fatalf("Send: %v", err)
		}
		if _, err = rt.Create(t.Context(), "M", nil, fsm.WithKey("k")); !errors.Is(err, errDown) {
			t.Fatalf("Create: %v", err)
		}
	}
	if in, _ := rt.Get(timed); in.State() != "B" {
		t.Errorf("the timer fired without being stored: %s", in.State())
	}
	s.failed.Store(false)
	end := time.Now().Add(10 * time.Second)
	at := func(id string) uint64 {
		in, err := rt.Get(id)
		if err != nil {
			t.Fatal(err)
		}
		return in.Version()
	}
	for (at(timed) < 3 || at(target) < 2) && time.Now().Before(end) {
		time.Sleep(time.Millisecond)
	}
	if err := rt.Idle(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if at(timed) != 3 || at(target) != 2 || at(source) != 2 {
		t.Errorf("versions %d, %d, %d, want 3 (timer), 2 (effect), 2", at(timed), at(target), at(source))
	}
	if _, err := rt.Create(t.Context(), "M", nil, fsm.WithKey("k")); err != nil {
		t.Errorf("Create with the key whose creation failed: %v", err)
	}
	if p := rt.Status().Phase; p != fsm.PhaseRunning {
		t.Errorf("the runtime is %s", p)
	}
}

// The clock is set back and forth by an hour, also while the runtime is down
// (F10): no timer is lost, and none fires twice.
func TestClockSetByAnHour(t *testing.T) {
	t.Parallel()
	mem := fsm.NewMemoryStore()
	clock := fsm.NewManualClock(time.Unix(1e9, 0))
	const stays = 90 * time.Second
	component := &fsm.Component{Name: "C", StateMachines: []fsm.Machine{{
		Name: "M", InitialState: "A",
		States:      []fsm.State{{Name: "A"}, {Name: "B"}},
		Transitions: []fsm.Transition{{From: "A", Event: "DUE", To: "B", Type: "timeout", TimeoutMs: stays.Milliseconds()}},
	}}}
	start := func() *fsm.Runtime {
		rt, err := fsm.NewRuntime(fsm.Config{
			Components: []*fsm.Component{component}, Store: fsmtest.SlowStore(mem, 10*time.Microsecond), Clock: clock, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return rt
	}
	rt := start()
	settle := func() {
		if err := rt.Idle(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for round := range 24 {
		for range 3 {
			in, err := rt.Create(t.Context(), "M", nil)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, in.ID())
		}
		clock.Advance(20*time.Second, settle)
		by := []time.Duration{time.Hour, -time.Hour}[round%2]
		if round%3 == 0 {
			if err := rt.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			clock = fsm.NewManualClock(clock.Now().Add(by))
			rt = start()
		} else {
			clock.SetWall(clock.Now().Add(by))
			clock.Advance(time.Second, settle)
		}
	}
	clock.Advance(3*time.Hour, settle)
	settle()
	fired := map[string]int{}
	for _, r := range mem.Records("C") {
		if r.Event.Type == "DUE" {
			fired[r.Instance]++
		}
	}
	for i, id := range ids {
		if fired[id] != 1 {
			t.Errorf("the timer of instance %d fired %d times", i, fired[id])
		}
	}
	if err := rt.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
