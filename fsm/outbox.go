package fsm

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A Dispatcher takes effects to the runtimes of components that this one does
// not host. It is used by several goroutines.
type Dispatcher interface {
	// Dispatch returns nil once the receiver has taken the effect over (that
	// no instance matches is a way of taking it), ErrUnknownComponent if
	// nobody hosts the component yet, and any other error where it is to be
	// tried again. An effect may be dispatched more than once, always under
	// the same id; receivers drop copies (Runtime.Receive does).
	Dispatch(ctx context.Context, e RemoteEffect) error
}

// A RemoteEffect is an effect on its way to another runtime.
type RemoteEffect struct {
	// From is the Name of the sending runtime, Log the id of its log. Ids of
	// effects are unique within a log.
	From string `json:"from"`
	Log  string `json:"log"`
	// Epoch grows with each start of From. Seq numbers what it has sent since,
	// one after the other for each component: when one comes, those before it
	// for the same component are done. All that is below Lowest is done,
	// whichever component it was for. The first Reopened ones were left open by
	// the run before.
	Epoch    uint64   `json:"epoch"`
	Seq      uint64   `json:"seq"`
	Lowest   uint64   `json:"lowest"`
	Reopened uint64   `json:"reopened"`
	Record   RecordID `json:"record"`
	Effect   Effect   `json:"effect"`
}

// A DeadLetter is an effect that was given up: no runtime took it for
// Limits.EffectAge.
type DeadLetter struct {
	Effect RemoteEffect `json:"effect"`
	// Since is when it was made, in Unix milliseconds.
	Since int64  `json:"since"`
	Error string `json:"error"`
}

// maxDeadLetters bounds those that are kept; the oldest go first.
const maxDeadLetters = 10_000

// An outbox has effects for other runtimes until their receivers have them. It
// has a lane for each component, which keeps their order; one that nobody takes
// holds up its lane only.
type outbox struct {
	rt *Runtime

	mu       sync.Mutex // guards all below
	seq      uint64
	reopened uint64
	lowest   uint64 // of those open; seq + 1 if none is
	open     map[uint64]struct{}
	lanes    map[string]*lane
	dead     []DeadLetter
}

type lane struct {
	q       queue[*outbound]
	running bool
	retry   chan struct{} // closed to try again at once
}

type outbound struct {
	e     RemoteEffect
	since int64 // ns
}

// add takes an effect of a stored record.
func (o *outbox) add(record RecordID, e *Effect, since int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seq++
	out := &outbound{RemoteEffect{From: o.rt.cfg.Name, Epoch: o.rt.epoch(), Seq: o.seq, Record: record, Effect: *e}, since}
	if o.rt.log != nil {
		out.e.Log = o.rt.log.ID()
	}
	o.open[o.seq] = struct{}{}
	l := o.lanes[e.Component]
	if l == nil {
		l = &lane{}
		o.lanes[e.Component] = l
	}
	l.q.push(out)
	if !l.running {
		l.running = true
		if !o.rt.spawn(func() { o.send(l) }) {
			l.running = false
		}
	}
}

func (o *outbox) noteReopened() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reopened = o.seq
}

// send takes a lane's effects to their receivers, one after the other, until it
// is empty.
func (o *outbox) send(l *lane) {
	for attempts := 0; ; {
		o.mu.Lock()
		if l.q.len() == 0 {
			l.running = false
			o.mu.Unlock()
			return
		}
		out := l.q.peek()
		out.e.Lowest, out.e.Reopened = o.lowest, o.reopened
		l.retry = make(chan struct{})
		retry := l.retry
		o.mu.Unlock()

		err := o.dispatch(out.e)
		if o.rt.halted.Load() {
			return
		}
		age := time.Duration(o.rt.clock.now() - out.since)
		if err != nil && age < o.rt.limits.EffectAge {
			if attempts++; !o.rt.pause(backoff(attempts), retry) {
				return
			}
			continue
		}
		attempts = 0
		o.mu.Lock()
		l.q.pop()
		delete(o.open, out.e.Seq)
		for ; o.lowest <= o.seq; o.lowest++ {
			if _, open := o.open[o.lowest]; open {
				break
			}
		}
		if err != nil {
			o.bury(out, err)
		}
		o.mu.Unlock()
		if err == nil {
			o.rt.markDone(out.e)
		}
	}
}

// dispatch calls code that is not ours: a panic becomes its error.
func (o *outbox) dispatch(e RemoteEffect) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = textError(fmt.Sprint("the dispatcher panicked: ", p))
		}
	}()
	return o.rt.cfg.Dispatcher.Dispatch(o.rt.ctx, e)
}

// pause waits on the runtime's clock, until a retry is asked for. It returns
// false once the runtime has ended.
func (rt *Runtime) pause(d time.Duration, retry <-chan struct{}) bool {
	woken := make(chan struct{})
	var once sync.Once
	stop := rt.cfg.Clock.AfterFunc(d, func() { once.Do(func() { close(woken) }) })
	defer stop()
	select {
	case <-woken:
	case <-retry:
	case <-rt.dead:
		return false
	}
	return true
}

// bury makes a dead letter of an effect; the caller holds the lock.
func (o *outbox) bury(out *outbound, err error) {
	if len(o.dead) >= maxDeadLetters {
		o.dead = o.dead[1:]
	}
	o.dead = append(o.dead, DeadLetter{out.e, out.since / 1e6, err.Error()})
	o.rt.report(Trace{
		Kind: NoticeDeadLetter, Instance: out.e.Record.Instance, Component: out.e.Effect.Source,
		TargetComponent: out.e.Effect.Component, TargetMachine: out.e.Effect.Machine, TargetEvent: out.e.Effect.Event, Error: errorText(err),
	})
	o.rt.cfg.Logger.Warn("effect given up: no runtime took it", "record", out.e.Record.String(), "component", out.e.Effect.Component, "err", err)
}

// markDone notes in the log that a receiver has the effect.
func (rt *Runtime) markDone(e RemoteEffect) {
	if rt.log == nil {
		return
	}
	sh := rt.shardOf(e.Record.Instance)
	sh.post(item{f: func() {
		for i := range max(1, len(e.Effect.Targets)) {
			sh.openBatch().done = append(sh.openBatch().done, EffectID{e.Record, e.Effect.N, i})
		}
		if !rt.waits {
			sh.seal()
		}
	}})
}

// RetryEffects tries again now what waits for a component: one of its runtimes
// has just been heard of, say.
func (rt *Runtime) RetryEffects(component string) {
	rt.outbox.mu.Lock()
	defer rt.outbox.mu.Unlock()
	if l := rt.outbox.lanes[component]; l != nil && l.retry != nil {
		close(l.retry)
		l.retry = nil
	}
}

// DeadLetters returns the effects that were given up, oldest first.
func (rt *Runtime) DeadLetters() []DeadLetter {
	rt.outbox.mu.Lock()
	defer rt.outbox.mu.Unlock()
	return append([]DeadLetter(nil), rt.outbox.dead...)
}

// ResendDeadLetter puts a dead letter back into the outbox. It reports whether
// there was one of that record and position.
func (rt *Runtime) ResendDeadLetter(record RecordID, n int) bool {
	o := &rt.outbox
	o.mu.Lock()
	at := -1
	for i, d := range o.dead {
		if d.Effect.Record == record && d.Effect.Effect.N == n {
			at = i
		}
	}
	if at < 0 {
		o.mu.Unlock()
		return false
	}
	e := o.dead[at].Effect.Effect
	o.dead = append(o.dead[:at:at], o.dead[at+1:]...)
	o.mu.Unlock()
	o.add(record, &e, rt.clock.now())
	return true
}
