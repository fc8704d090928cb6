package fsm

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"
)

// A leasedStore is a MemoryStore whose one log has a lease, by a clock.
type leasedStore struct {
	*MemoryStore
	clock Clock

	mu    sync.Mutex // guards all below
	lease Lease
	gate  chan struct{} // holds Restore back while not nil
}

type leasedLog struct {
	Log
	s     *leasedStore
	claim Claim
}

func (s *leasedStore) Open(ctx context.Context, name string) (Log, error) {
	l, err := s.MemoryStore.Open(ctx, name)
	return &leasedLog{Log: l, s: s}, err
}

func (l *leasedLog) Restore(ctx context.Context) iter.Seq2[Restored, error] {
	l.s.mu.Lock()
	gate := l.s.gate
	l.s.mu.Unlock()
	return func(yield func(Restored, error) bool) {
		if gate != nil {
			select {
			case <-gate:
			case <-ctx.Done():
				yield(Restored{}, context.Cause(ctx))
				return
			}
		}
		l.Log.Restore(ctx)(yield)
	}
}

func (l *leasedLog) Claim(ctx context.Context, by string) (Claim, error) {
	c, err := l.Log.Claim(ctx, by)
	l.claim = c
	return c, err
}

func (l *leasedLog) Lease(context.Context) (Lease, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.lease, nil
}

func (l *leasedLog) Renew(context.Context) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.lease.Epoch > l.claim.Epoch {
		return ErrFenced
	}
	l.s.lease = Lease{l.claim, l.s.clock.Now()}
	return nil
}

func (l *leasedLog) Release(context.Context) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.lease.Epoch == l.claim.Epoch {
		l.s.lease.Seen = time.Time{}
	}
	return nil
}

func leased(clock Clock) (*leasedStore, Config) {
	s := &leasedStore{MemoryStore: NewMemoryStore(), clock: clock}
	return s, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}, Store: s, Clock: clock}
}

// starting starts a runtime aside.
func starting(t *testing.T, c Config) (*Runtime, chan error) {
	t.Helper()
	rt := newRuntime(t, c)
	done := make(chan error, 1)
	go func() { done <- rt.Start(context.Background()) }()
	return rt, done
}

func standsBy(t *testing.T, rt *Runtime) {
	t.Helper()
	eventually(t, "it stands by", func() bool { return rt.Status().Phase == PhaseStandingBy })
}

func ended(t *testing.T, what string, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(60 * time.Second):
		t.Fatalf("%s does not end", what)
		return nil
	}
}

// A spare waits while the active one renews its lease, and takes over when that
// stops well. What is asked of it meanwhile waits, too.
func TestSpareTakesOverAtAStop(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Unix(1e9, 0))
	_, cfg := leased(clock)
	active := started(t, cfg)
	id := mustCreate(t, active, "M", nil)
	spare, done := starting(t, cfg)
	standsBy(t, spare)
	for range 20 { // far longer than a lease lasts
		clock.Advance(time.Second, nil)
		settle(t, active)
		// Renewing is done by a goroutine that has just been woken.
		eventually(t, "the lease is renewed", func() bool {
			l, _ := active.log.(Leaser).Lease(t.Context())
			return clock.Now().Sub(l.Seen) < leaseRenewal+time.Second
		})
	}
	if s := spare.Status(); s.Phase != PhaseStandingBy || !strings.Contains(s.Why, "process") {
		t.Fatalf("the spare is %+v", s)
	}
	_, err := spare.Get(id)
	wantCode(t, "Get of a spare", err, CodeNotRunning)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := spare.Send(short, id, Event{Type: "GO"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Send to a spare: %v", err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := spare.Send(context.Background(), id, Event{Type: "GO"})
		sent <- err
	}()
	mustSend(t, active, id, "GO")
	stopRuntime(t, active)
	clock.Advance(leaseWatch, nil)
	for _, what := range []struct {
		name string
		done chan error
	}{{"Start", done}, {"Send", sent}} {
		if err := ended(t, what.name, what.done); err != nil {
			t.Errorf("%s: %v", what.name, err)
		}
	}
	if v := mustGet(t, spare, id).Version(); v != 3 {
		t.Errorf("version %d, want 3", v)
	}
}

// A process that died holds its lease until it is 10 s old; with Takeover nobody
// waits, and whoever is alive is fenced and says by whom.
func TestSpareTakesOverFromTheDead(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Unix(1e9, 0))
	s, cfg := leased(clock)
	s.lease = Lease{Claim{Epoch: 1, By: "a dead one"}, clock.Now()}
	spare, done := starting(t, cfg)
	standsBy(t, spare)
	clock.Advance(leaseTerm-leaseWatch, nil)
	select {
	case err := <-done:
		t.Fatalf("it took over too early: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	eventually(t, "it takes over", func() bool {
		clock.Advance(leaseWatch, nil)
		return spare.Status().Phase == PhaseRunning
	})
	if err := ended(t, "Start", done); err != nil {
		t.Fatal(err)
	}
	cfg.Takeover = true
	started(t, cfg)
	eventually(t, "the first is fenced", func() bool {
		clock.Advance(leaseRenewal, nil)
		return spare.Status().Phase == PhaseFenced
	})
	if err := spare.Err(); !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), by()) {
		t.Errorf("Err: %v", err)
	}
	stopRuntime(t, spare)
	if p := spare.Status().Phase; p != PhaseFenced {
		t.Errorf("after Stop it is %s", p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease.Seen.IsZero() {
		t.Error("the fenced one released the lease of the other")
	}
}

// A lease that nobody has renewed for an hour is nobody's.
func TestOldLease(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Unix(1e9, 0))
	s, cfg := leased(clock)
	s.lease = Lease{Claim{Epoch: 1, By: "long gone"}, clock.Now().Add(-time.Hour)}
	started(t, cfg)
}

// Stop ends a start that stands by, and calls that wait for it.
func TestStopWhileStandingBy(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Unix(1e9, 0))
	s, cfg := leased(clock)
	s.lease = Lease{Claim{Epoch: 1, By: "another"}, clock.Now()}
	spare, done := starting(t, cfg)
	standsBy(t, spare)
	created := make(chan error, 1)
	go func() {
		_, err := spare.Create(context.Background(), "M", nil)
		created <- err
	}()
	stopRuntime(t, spare)
	wantCode(t, "Start", ended(t, "Start", done), CodeNotRunning)
	wantCode(t, "Create", ended(t, "Create", created), CodeNotRunning)
}

// While the log is restored calls wait; when that fails they get the error.
func TestCallsDuringAFailedStart(t *testing.T) {
	t.Parallel()
	s, cfg := leased(newSystemClock())
	s.gate = make(chan struct{})
	rt := newRuntime(t, cfg)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- rt.Start(ctx) }()
	eventually(t, "it restores", func() bool { return rt.Status().Phase == PhaseRestoring })
	sent := make(chan error, 1)
	go func() {
		_, err := rt.Send(context.Background(), "x", Event{Type: "GO"})
		sent <- err
	}()
	cancel(errDiskFull)
	if err := ended(t, "Start", done); !errors.Is(err, errDiskFull) {
		t.Errorf("Start: %v", err)
	}
	if err := ended(t, "Send", sent); !errors.Is(err, errDiskFull) || !errors.Is(err, ErrNotRunning) {
		t.Errorf("Send: %v", err)
	}
	if st := rt.Status(); st.Phase != PhaseStopped || !strings.Contains(st.Why, "disk full") {
		t.Errorf("status %+v", st)
	}
}
