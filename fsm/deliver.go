package fsm

import (
	"context"
)

// handle takes up a delivery: at once if its instance is free, else when its
// turn comes.
func (sh *shard) handle(d *delivery) {
	switch {
	case d.given.hops >= sh.rt.limits.Hops:
		sh.drop(d, &Error{Code: CodeTooDeep, Instance: d.target, Event: d.given.event, Count: sh.rt.limits.Hops})
	case d.kind == deliverCreate:
		sh.create(d)
	default:
		s := sh.tab.get(d.target)
		switch {
		case s == nil:
			sh.missing(d)
		case s.blocked():
			sh.hold(s, d)
		default:
			sh.deliver(s, d)
		}
	}
}

// hold keeps a delivery until its instance is free.
func (sh *shard) hold(s *slot, d *delivery) {
	if err := sh.refusal(s, d); err != nil {
		sh.refuse(d, err)
		return
	}
	if s.held == nil {
		s.held = &queue[*delivery]{}
	}
	// What a transition or a timer led to cannot be refused any more.
	if !d.isEffect && d.given.timer == nil && s.held.len() >= sh.rt.limits.Held {
		in := s.latest()
		sh.drop(d, &Error{Code: CodeOverloaded, Instance: s.id, Machine: in.Machine(), Key: in.Key()})
		return
	}
	s.held.push(d)
}

// release sees that what was held back is taken up in this turn or the next.
func (sh *shard) release(s *slot) {
	if s.held != nil && s.held.len() > 0 && !s.freed {
		s.freed = true
		sh.freed.push(s)
		sh.rt.work.add(1)
	}
}

// takeFreed takes up what was held back, until the instances are busy again.
func (sh *shard) takeFreed(most int) int {
	n := 0
	for ; n < most && sh.freed.len() > 0 && !sh.full(); n++ {
		s := sh.freed.pop()
		s.freed = false
		for s.held != nil && !s.busy && s.inFlight == 0 && !s.paused {
			d := s.held.pop()
			if s.held.len() == 0 {
				s.held = nil
			}
			if sh.tab.get(s.id) != s {
				sh.missing(d) // it has ended meanwhile
			} else if !sh.deliver(s, d) {
				break
			}
		}
		sh.rt.work.done(1)
	}
	return n
}

// deliver takes the event to its instance, which is free. It returns false if
// it was held back again, because a hook needs a committed instance to start
// from.
func (sh *shard) deliver(s *slot, d *delivery) bool {
	in := s.latest()
	if in.status != StatusActive {
		if s.work != nil && d.waiter != nil {
			s.hold(d) // the store may refuse the end, and it may be this very event that led to it
			return false
		}
		sh.missing(d)
		return true
	}
	if d.given.timer != nil && !sh.timerRuns(in, d) {
		s.firing = false
		sh.arm(s, s.cur.Load())
		sh.complete(d)
		return true
	}
	if d.versioned && d.version != in.version {
		sh.refuse(d, &Error{Code: CodeVersionMoved, Instance: s.id, Machine: in.Machine(), Key: in.Key(), State: in.st.name, Version: in.version})
		return true
	}
	if d.eventID != "" {
		if s.work != nil {
			s.hold(d) // the one before may have the same id
			return false
		}
		if r, ok := s.repeated(d.eventID); ok {
			sh.answer(d, r)
			return true
		}
	}
	tr := d.given.transition(in)
	if tr != nil && sh.slow(tr) {
		if s.work != nil {
			s.hold(d)
			return false
		}
		sh.startWorker(s, in, tr, d)
		return true
	}
	sh.stepped(sh.step(s, in, tr, d))
	return true
}

// step takes the event to the instance. What is stored of most steps is one
// piece of memory.
func (sh *shard) step(s *slot, in *Instance, tr *transition, d *delivery) *stepping {
	limits := &sh.rt.limits
	if sh.rt.cfg.Trace == nil && d.given.timer == nil && tr != nil && in.plain(tr) {
		short := d.short()
		if shortStep(&short.outcome, in, tr, &d.given, sh.rt.clock.now(), limits) {
			st := &short.stepping
			st.s, st.before, st.d, st.out = s, in, d, &short.outcome
			return st
		}
	}
	return &stepping{s: s, before: in, d: d, out: step(&sh.env, in, tr, d.given, limits, sh.rt.tracing())}
}

// hold puts a delivery back at the front.
func (s *slot) hold(d *delivery) {
	if s.held == nil {
		s.held = &queue[*delivery]{}
	}
	s.held.pushFront(d)
}

// slow reports whether taking the transition may take long: it runs user code,
// or looks through many instances.
func (sh *shard) slow(tr *transition) bool {
	if tr.hooked() {
		return true
	}
	for _, k := range tr.to.cascades {
		if sh.rt.longScan(k, tr) {
			return true
		}
	}
	return false
}

// startWorker runs the step aside. The instance is an immutable value, so the
// worker can have it; the shard goes on with others and takes the outcome as a
// message.
func (sh *shard) startWorker(s *slot, in *Instance, tr *transition, d *delivery) {
	s.busy = true
	rt := sh.rt
	rt.work.hookStarts()
	rt.workers.submit(func() {
		e := &stepEnv{rt: rt, d: d}
		out := step(e, in, tr, d.given, &rt.limits, rt.tracing())
		sh.post(item{f: func() {
			s.busy = false
			sh.stepped(&stepping{s: s, before: in, d: d, out: out})
			sh.release(s)
		}})
		rt.work.hookEnds()
	})
}

// stepped takes what a step led to towards its commit.
func (sh *shard) stepped(st *stepping) {
	s, in, d, out := st.s, st.before, st.d, st.out
	switch {
	case out.err != nil:
		if d.given.timer != nil {
			s.firing = false
			sh.arm(s, s.cur.Load())
		}
		sh.unreserve(out)
		sh.drop(d, out.err)
		return
	case out.tr == nil && s.work == nil && !(d.isEffect && sh.rt.log != nil):
		// Ignored on a committed instance: nothing to store.
		sh.tallyOf(in).ignored.Add(1)
		sh.rt.tell(in, out.traces)
		if d.waiter != nil {
			d.reply(Result{}, ignoredError(in, d.given.event))
		}
		sh.complete(d)
		return
	}
	if out.tr != nil {
		s.work = out.after
	}
	sh.add(st)
}

func ignoredError(in *Instance, event string) error {
	return &Error{
		Code: CodeEventIgnored, Component: in.Component(), Machine: in.Machine(), Instance: in.id, Key: in.Key(),
		State: in.st.name, Event: event, Version: in.version, Accepted: in.Accepts(),
	}
}

// missing is called for a delivery whose instance is not there, or not active.
func (sh *shard) missing(d *delivery) {
	if d.eventID != "" {
		// The event that ended the instance may be repeated, too.
		if s := sh.rt.slot(d.target); s != nil {
			if r, ok := s.repeated(d.eventID); ok {
				sh.answer(d, r)
				return
			}
		}
	}
	err := sh.rt.noInstance(d.target)
	if u := d.sender; u != nil {
		code := ErrorCode(err)
		if code == CodeInstanceEnded {
			code = CodeUnknownInstance // it is gone, for those that are inside
		}
		sh.rt.report(Trace{
			Kind: TraceUserCodeError, Instance: u.source.id, Component: u.source.Component(), Machine: u.source.Machine(),
			State: u.source.st.name, Event: d.given.event, Hook: u.hook, Method: u.method, Error: string(code),
		})
	}
	sh.doneWithout(d)
	d.reply(Result{}, err)
	sh.complete(d)
}

// refuse answers the caller with an error; nothing happened.
func (sh *shard) refuse(d *delivery, err error) {
	d.reply(Result{}, err)
	sh.complete(d)
}

// drop is refuse for what may have no caller: it is told as a notice then.
func (sh *shard) drop(d *delivery, err error) {
	sh.countFailed(d)
	if d.waiter == nil {
		t := Trace{Kind: NoticeDropped, Instance: d.target, Event: d.given.event, Error: errorText(err)}
		if s := sh.tab.get(d.target); s != nil {
			t.Component, t.Machine = s.cur.Load().Component(), s.cur.Load().Machine()
		}
		sh.rt.report(t)
		sh.rt.cfg.Logger.Warn("event dropped", "instance", d.target, "event", d.given.event, "code", errorText(err))
	}
	sh.doneWithout(d)
	sh.refuse(d, err)
}

// doneWithout marks an effect done that leads to no record.
func (sh *shard) doneWithout(d *delivery) {
	if d.isEffect && sh.rt.log != nil {
		sh.openBatch().done = append(sh.openBatch().done, d.effect)
		if !sh.rt.waits {
			sh.seal()
		}
	}
}

func (sh *shard) answer(d *delivery, r Result) {
	d.reply(r, nil)
	sh.complete(d)
}

// noInstance says why an id has no active instance.
func (rt *Runtime) noInstance(id string) error {
	in, err := rt.Get(id)
	if err == nil {
		code := CodeInstanceEnded
		switch {
		case in.status == StatusQuarantined:
			return rt.quarantineError(in)
		case in.EntryPoint():
			code = CodeInstanceInactive
		}
		return &Error{Code: code, Component: in.Component(), Machine: in.Machine(), Instance: id, Key: in.Key(), State: in.State(), Version: in.Version()}
	}
	return err
}

// hookKey marks the context of a hook with the instances that are busy until
// it returns.
type hookKey struct{}

type hookMark struct {
	rt    *Runtime
	chain []string
}

// busyChain returns the instances that are held up by whoever calls with the
// context.
func (rt *Runtime) busyChain(ctx context.Context) []string {
	if m, ok := ctx.Value(hookKey{}).(hookMark); ok && m.rt == rt {
		return m.chain
	}
	return nil
}
