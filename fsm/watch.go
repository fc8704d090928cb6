package fsm

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// WatchOptions says what a watcher wants. Empty fields are any.
type WatchOptions struct {
	Component, Machine, Instance string
	// Buffer is how many notices may wait for the reader; at that bound it
	// loses what it has not read. Defaults to 4,096.
	Buffer int
}

func (o *WatchOptions) wants(component, machine, instance string) bool {
	return (o.Component == "" || o.Component == component) && (o.Machine == "" || o.Machine == machine) &&
		(o.Instance == "" || o.Instance == instance)
}

// A told is a notice as it waits for a reader: those of plain steps, which are
// nearly all, are written out only when they are read.
type told struct {
	notice  *Notice // nil for a plain step
	event   string
	from    *state
	after   *Instance
	payload Data
}

// A watcher buffers notices for one reader. A slow reader cannot slow the
// runtime: when the buffer is full what is in it is dropped, counted, and told.
type watcher struct {
	o    WatchOptions
	more chan struct{} // room for one

	mu    sync.Mutex // guards buf, spare and lost
	buf   []told
	spare []told // the room of what was read, for what comes
	lost  int
}

// keepRoom is for how much a watcher keeps the room of what was read, for what
// comes: some MB.
const keepRoom = 65_536

// yieldedOnce is how many notices a watcher writes out at a time: so few that they
// are still in the processor's cache when they are read.
const yieldedOnce = 64

func (w *watcher) put(n *Notice) {
	if w.o.wants(n.Component, n.Machine, n.Instance) {
		w.add(told{notice: n})
	}
}

func (w *watcher) putPlain(t told) {
	if in := t.after; w.o.wants(in.Component(), in.Machine(), in.id) {
		w.add(t)
	}
}

func (w *watcher) add(t told) {
	w.mu.Lock()
	if len(w.buf) >= w.o.Buffer {
		w.lost += len(w.buf)
		w.buf = w.buf[:0]
	}
	w.buf = append(w.buf, t)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// miss notes that notices were not made.
func (w *watcher) miss(n int) {
	w.mu.Lock()
	w.lost += n
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// take returns what waits. read is what it returned the last time, of which
// nothing is needed any more.
func (w *watcher) take(read []told) ([]told, int) {
	clear(read) // what it points to may go
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(read) > 0 && cap(read) <= keepRoom {
		w.spare = read[:0]
	}
	buf, lost := w.buf, w.lost
	w.buf, w.spare, w.lost = w.spare, nil, 0
	return buf, lost
}

// watchers is the list of them, replaced whole at each change so that telling
// takes no lock.
type watchers struct {
	list atomic.Pointer[[]*watcher]
	mu   sync.Mutex // held to change list
}

func (ws *watchers) all() []*watcher {
	if l := ws.list.Load(); l != nil {
		return *l
	}
	return nil
}

func (ws *watchers) add(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	l := append(slices.Clip(ws.all()), w)
	ws.list.Store(&l)
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	l := slices.DeleteFunc(slices.Clone(ws.all()), func(o *watcher) bool { return o == w })
	ws.list.Store(&l)
}

// Watch yields the notices from the call on, until the context ends, the
// runtime stops, or the reader breaks off. A reader that is too slow gets
// ErrLagged with the number of notices that it missed, and goes on from there;
// it never slows the runtime. What happens between the call of Watch and the
// first step of the iteration is not missed.
func (rt *Runtime) Watch(ctx context.Context, o WatchOptions) iter.Seq2[Notice, error] {
	batches := rt.WatchBatches(ctx, o)
	return func(yield func(Notice, error) bool) {
		for batch, err := range batches {
			if err != nil {
				if !yield(Notice{}, err) {
					return
				}
				continue
			}
			for _, n := range batch {
				if !yield(n, nil) {
					return
				}
			}
		}
	}
}

// watch registers a watcher. A sequence that is never iterated does not stay
// registered beyond its context.
func (rt *Runtime) watch(ctx context.Context, o WatchOptions) (w *watcher, stop func()) {
	if o.Buffer <= 0 {
		o.Buffer = 4096
	}
	w = &watcher{o: o, more: make(chan struct{}, 1)}
	rt.watchers.add(w)
	unhook := context.AfterFunc(ctx, func() { rt.watchers.remove(w) })
	return w, func() {
		unhook()
		rt.watchers.remove(w)
	}
}

// read yields what comes until the context or the runtime ends.
func (w *watcher) read(ctx context.Context, dead <-chan struct{}, yield func([]Notice, error) bool) {
	var buf []told
	var notices []Notice
	for last := false; ; {
		var lost int
		buf, lost = w.take(buf)
		if lost > 0 && !yield(nil, &Error{Code: CodeLagged, Count: lost}) {
			return
		}
		for some := range slices.Chunk(buf, yieldedOnce) {
			clear(notices)
			notices = notices[:0]
			for i := range some {
				notices = some[i].appendTo(notices)
			}
			if !yield(notices, nil) {
				return
			}
		}
		if len(buf) > 0 || lost > 0 {
			if !yield(nil, nil) {
				return
			}
			continue
		}
		if last {
			return
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return
		case <-dead:
			last = true // what was told before is still to be read
		}
	}
}

// appendTo appends the notice.
func (t *told) appendTo(out []Notice) []Notice {
	if t.notice != nil {
		return append(out, *t.notice)
	}
	in := t.after
	return append(out, Notice{
		Trace: stateChange(t.from, in, t.event),
		Seq:   in.seq, Version: in.version, Key: in.origin.key, Of: in, Time: time.Unix(0, in.updated),
		Payload: t.payload,
	})
}

// tracing reports whether anybody wants to know what transitions do.
func (rt *Runtime) tracing() bool { return rt.cfg.Trace != nil || len(rt.watchers.all()) > 0 }

// trace gives an entry to the observer, which cannot disturb the engine.
func (rt *Runtime) trace(t *Trace) {
	if rt.cfg.Trace == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			rt.cfg.Logger.Error("the trace observer panicked", "kind", t.Kind, "panic", p)
		}
	}()
	rt.cfg.Trace(*t)
}

// tellStep tells the watchers what a stored step did, in its order.
func (rt *Runtime) tellStep(st *stepping) {
	ws := rt.watchers.all()
	switch {
	case len(ws) == 0:
		return
	case st.out.plain:
		tellPlain(ws, st.before.st, st.out.after, st.d.given.event, st.d.given.payload)
		return
	}
	if !st.out.traced && !st.ignored() {
		// It began before anybody watched.
		for _, w := range ws {
			w.miss(st.out.numbered + len(st.out.created))
		}
		return
	}
	own := st.out.after
	seq := own.seq - uint64(st.out.numbered)
	version, part := own.version, 0
	if st.ignored() {
		version = 0
	}
	created := st.out.created
	for i := range st.out.traces {
		t := &st.out.traces[i]
		if t.method() {
			continue
		}
		n := Notice{Trace: *t, Version: version, Key: own.origin.key, Of: own, Time: time.Unix(0, own.updated)}
		if t.Event != "" {
			n.Payload, n.Source = st.d.given.payload, st.d.given.source
		}
		switch {
		case t.Kind == TraceCreated && st.before != nil:
			in := created[0].in
			created = created[1:]
			n.Seq, n.Version, n.Key, n.Of = in.seq, 1, in.origin.key, in
		case t.Kind == TraceCreated:
			n.Seq = own.seq
		default:
			n.Part = part
			part++
			if t.Kind.numbered() {
				seq++
				n.Seq = seq
			}
		}
		for _, w := range ws {
			w.put(&n)
		}
	}
}

// tellPlain tells the watchers of a plain step, as tellStep would.
func tellPlain(ws []*watcher, from *state, after *Instance, event string, payload Data) {
	for _, w := range ws {
		w.putPlain(told{event: event, from: from, after: after, payload: payload})
	}
}

// tell tells the watchers what changed no instance.
func (rt *Runtime) tell(in *Instance, traces []Trace) {
	for _, w := range rt.watchers.all() {
		for i := range traces {
			if !traces[i].method() {
				w.put(&Notice{Trace: traces[i], Key: in.origin.key, Of: in, Time: time.Unix(0, rt.clock.now())})
			}
		}
	}
}

// tellNumbered tells of a change that no step made.
func (rt *Runtime) tellNumbered(in *Instance, t Trace) {
	for _, w := range rt.watchers.all() {
		w.put(&Notice{Trace: t, Seq: in.seq, Version: in.version, Key: in.origin.key, Of: in, Time: time.Unix(0, rt.clock.now())})
	}
}

// report traces and tells what happened outside any step.
func (rt *Runtime) report(t Trace) {
	rt.trace(&t)
	for _, w := range rt.watchers.all() {
		w.put(&Notice{Trace: t, Time: time.Unix(0, rt.clock.now())})
	}
}
