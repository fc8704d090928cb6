package fsm_test

import (
	"context"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// told is what the runtimes of a case have told, in the order in which it
// came.
type told struct {
	mu      sync.Mutex // guards all below
	notices map[string][]fsm.Notice
	latest  map[string]mark // how far an instance has been told of
	dropped bool            // an event was cut off by a limit
	news    chan struct{}   // gets something whenever a notice has come
}

// A mark is a version, and whether its instance ended with it: that is told
// last.
type mark struct {
	version uint64
	ended   bool
}

func (m mark) before(o mark) bool {
	return m.version < o.version || m.version == o.version && !m.ended && o.ended
}

func newTold() *told {
	return &told{notices: map[string][]fsm.Notice{}, latest: map[string]mark{}, news: make(chan struct{}, 1)}
}

// watch collects the notices of a runtime until the returned function is
// called, which waits for the end.
func (o *told) watch(rt *fsm.Runtime, report func(string, ...any)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sequence := rt.Watch(ctx, fsm.WatchOptions{Buffer: 1 << 16})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n, err := range sequence {
			if err != nil {
				if ctx.Err() == nil {
					report("watch: %v", err)
				}
				continue
			}
			o.hear(n)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (o *told) hear(n fsm.Notice) {
	o.mu.Lock()
	o.notices[n.Instance] = append(o.notices[n.Instance], n)
	switch n.Kind {
	case fsm.TraceCreated, fsm.TraceStateChange:
		o.advance(n.Instance, mark{n.Version, false})
	case fsm.TraceDisposed, fsm.TraceInstanceError, fsm.NoticeEntryPointEnded:
		o.advance(n.Instance, mark{n.Version, true})
	}
	if n.Kind == fsm.NoticeDropped {
		o.dropped = true
	}
	o.mu.Unlock()
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// advance is called with o.mu held.
func (o *told) advance(id string, m mark) {
	if o.latest[id].before(m) {
		o.latest[id] = m
	}
}

// await waits until each instance was told of as far as given, or for too long:
// the check that follows will show it.
func (o *told) await(marks map[string]mark) {
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	for !o.complete(marks) {
		select {
		case <-o.news:
		case <-timeout.C:
			return
		}
	}
}

func (o *told) complete(marks map[string]mark) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, m := range marks {
		if o.latest[id].before(m) {
			return false
		}
	}
	return true
}

// telling returns how far each instance is sure to be told of: an internal
// transition may have changed nothing.
func (w *world) telling(byID map[string]*folded) map[string]mark {
	marks := map[string]mark{}
	for id, f := range byID {
		for _, r := range f.records {
			if _, tr := w.plan.taken(r); tr == nil || tr.Type != "internal" {
				marks[id] = mark{r.Version, r.Status != fsm.StatusActive}
			}
		}
	}
	return marks
}

// giveUp no longer expects to be told of what is stored now.
func (o *told) giveUp(marks map[string]mark) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, m := range marks {
		o.advance(id, m)
	}
}

// of returns what was told of an instance.
func (o *told) of(id string) []fsm.Notice {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.notices[id]
}

func (o *told) cutOff() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dropped
}

// changes are the kinds that tell of a record.
func changes(k fsm.Kind) bool {
	switch k {
	case fsm.TraceCreated, fsm.TraceStateChange, fsm.TraceContextChange, fsm.TraceDisposed, fsm.TraceInstanceError, fsm.NoticeEntryPointEnded:
		return true
	}
	return false
}

// checkTold fails the test unless the instance's notices say what its records
// say: each record once, in order, with its states. What a crash kept from
// being told may be missing.
func (w *world) checkTold(id string, f *folded) {
	count := map[uint64]map[fsm.Kind]int{}
	var last fsm.Notice
	for _, n := range w.told.of(id) {
		if !changes(n.Kind) {
			continue
		}
		if n.Version < last.Version || n.Version == last.Version && n.Part <= last.Part && last.Kind != "" {
			w.errorf("%s: %s of version %d part %d was told after %s of version %d part %d", id, n.Kind, n.Version, n.Part, last.Kind, last.Version, last.Part)
		}
		last = n
		if n.Version == 0 || n.Version > uint64(len(f.records)) {
			w.errorf("%s: %s of version %d was told, but %d versions are stored", id, n.Kind, n.Version, len(f.records))
			continue
		}
		if count[n.Version] == nil {
			count[n.Version] = map[fsm.Kind]int{}
		}
		count[n.Version][n.Kind]++
		r := f.records[n.Version-1]
		if n.State != r.After || n.Kind == fsm.TraceStateChange && (n.From != r.Before || n.Event != r.Event.Type) {
			w.errorf("%s: told %s by %s from %q to %q, stored %s from %q to %q", id, n.Kind, n.Event, n.From, n.State, r.Event.Type, r.Before, r.After)
		}
	}
	for _, r := range f.records {
		w.checkToldOnce(r, f, count[r.Version])
	}
}

func (w *world) checkToldOnce(r *fsm.Record, f *folded, got map[fsm.Kind]int) {
	want := map[fsm.Kind]int{}
	switch _, tr := w.plan.taken(r); {
	case r.Kind == fsm.KindCreated:
		want[fsm.TraceCreated] = 1
	case tr == nil:
		w.errorf("%s: no transition leads from %q to %q by %s", r.ID(), r.Before, r.After, r.Event.Type)
		return
	case tr.Type != "internal":
		want[fsm.TraceStateChange] = 1
	}
	switch {
	case r.Error != "":
		want[fsm.TraceInstanceError] = 1
	case r.Status != fsm.StatusActive && f.origin.EntryPoint:
		want[fsm.NoticeEntryPointEnded] = 1
	case r.Status != fsm.StatusActive:
		want[fsm.TraceDisposed] = 1
	}
	for _, kind := range []fsm.Kind{fsm.TraceCreated, fsm.TraceStateChange, fsm.TraceDisposed, fsm.TraceInstanceError, fsm.NoticeEntryPointEnded} {
		if got[kind] != want[kind] && !(w.lossy && got[kind] == 0) {
			w.errorf("%s by %s: %s was told %d times, want %d", r.ID(), r.Event.Type, kind, got[kind], want[kind])
		}
	}
}
