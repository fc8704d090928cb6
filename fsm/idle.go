package fsm

import (
	"context"
	"sync"
	"sync/atomic"
)

// A workload counts what is being handled, so that Idle can wait for its end.
type workload struct {
	// units are things that some shard, the committer or a retry will get to;
	// hooks are those that run.
	units, hooks atomic.Int64
	waiting      atomic.Int32
	mu           sync.Mutex
	changed      chan struct{} // closed at a change while someone waits
}

func (w *workload) add(n int) { w.units.Add(int64(n)) }

func (w *workload) done(n int) {
	if w.units.Add(int64(-n)) == 0 {
		w.signal()
	}
}

func (w *workload) hookStarts() { w.hooks.Add(1) }

// hookEnds is called after the outcome was posted, so that the sum never drops
// to zero in between.
func (w *workload) hookEnds() {
	w.hooks.Add(-1)
	w.signal()
}

func (w *workload) signal() {
	if w.waiting.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func (w *workload) idle(hooks int) bool {
	// Hooks first: a hook that ends has posted its outcome before.
	return w.hooks.Load() <= int64(hooks) && w.units.Load() == 0
}

// Idle waits until nothing that was accepted is being handled: no event, no
// timer that fired, nothing they led to. hooks is the number of hooks that may
// still run, because they wait for something that only the caller will do, and
// is usually 0. It is meant for tests with a ManualClock. It returns the
// context's error if that ends first, and ErrNotRunning if the runtime does.
func (rt *Runtime) Idle(ctx context.Context, hooks int) error {
	w := &rt.work
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	for {
		w.mu.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		if w.idle(hooks) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-rt.dead:
			return rt.notRunning()
		}
	}
}
