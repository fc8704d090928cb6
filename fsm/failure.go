package fsm

import (
	"errors"
	"slices"
	"time"
)

// What happens when the store does not take a batch. Nothing of it was told to
// anyone: working copies are dropped, callers get the error, and what has no
// caller is taken again.

// fail ends a batch that was not stored.
func (sh *shard) fail(b *batch, err error) {
	var conflict *Error
	if errors.As(err, &conflict) && conflict.Code == CodeConflict {
		sh.conflict(b, conflict)
		return
	}
	if errors.Is(err, ErrFenced) {
		sh.rt.fenced(err)
	}
	err = &Error{Code: codeOf(err, CodeStoreFailed), Err: err}
	for _, c := range b.chosen {
		c.stored <- err // the sender sends it again
	}
	sh.dropSteps(b.steps, err)
	// Effects that led to nothing are marked done with the next commit.
	if done := b.done; len(done) > 0 && !sh.rt.halted.Load() {
		sh.later(&delivery{}, func() {
			sh.openBatch().done = append(sh.openBatch().done, done...)
			if !sh.rt.waits {
				sh.seal()
			}
		})
	}
}

func codeOf(err error, otherwise Code) Code {
	if c := ErrorCode(err); c != "" {
		return c
	}
	return otherwise
}

// conflict drops what has to do with the instance that the store has in another
// version, quarantines that instance, and has the rest stored.
func (sh *shard) conflict(b *batch, err *Error) {
	tainted := map[*slot]bool{}
	dropped := map[*group]bool{}
	for _, st := range b.steps {
		if st.concerns(err.Instance) {
			dropped[st.group] = true
		}
	}
	if len(dropped) == 0 {
		// It names nothing of this batch: treat it like any other failure.
		failed := &Error{Code: CodeStoreFailed, Err: err}
		for _, c := range b.chosen {
			c.stored <- failed
		}
		sh.dropSteps(b.steps, failed)
		return
	}
	// A group goes with it if one of its steps builds on a dropped one.
	for again := true; again; {
		again = false
		for _, st := range b.steps {
			if dropped[st.group] {
				if st.s != nil && !tainted[st.s] {
					tainted[st.s], again = true, true
				}
			} else if st.s != nil && tainted[st.s] {
				dropped[st.group], again = true, true
			}
		}
	}
	var gone, rest []*stepping
	for _, st := range b.steps {
		if dropped[st.group] {
			gone = append(gone, st)
		} else {
			rest = append(rest, st)
		}
	}
	if s := sh.tab.get(err.Instance); s != nil {
		sh.quarantine(s)
	}
	sh.dropSteps(gone, err)
	if len(rest) > 0 || len(b.done) > 0 || len(b.chosen) > 0 {
		again := sh.newBatch(rest, b.done)
		again.chosen = b.chosen
		sh.commit(again)
	}
}

// conflicts reports whether the error is a conflict about the step's instance.
func (st *stepping) conflicts(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeConflict && st.concerns(e.Instance)
}

// concerns reports whether the step makes a record of the instance.
func (st *stepping) concerns(id string) bool {
	if st.out.after != nil && st.out.after.id == id {
		return true
	}
	for _, c := range st.out.created {
		if c.in.id == id {
			return true
		}
	}
	return false
}

// dropSteps undoes steps that were not stored.
func (sh *shard) dropSteps(steps []*stepping, err error) {
	var again []*delivery // what waited for one of them
	for _, st := range steps {
		st.leave()
		sh.unreserve(st.out)
	}
	for _, st := range steps {
		for st.group.next.len() > 0 {
			sh.complete(st.group.next.pop()) // made again with its cause
		}
		d := st.d
		switch {
		case d.joined:
			sh.complete(d)
		case d.waiter != nil || sh.rt.halted.Load() || st.conflicts(err):
			again = append(again, sh.vacate(st)...)
			sh.rearm(st)
			if st.before == nil && st.conflicts(err) {
				err = &Error{Code: CodeIDExists, Instance: d.target, Err: err}
			}
			sh.countFailed(d)
			sh.doneWithout(d)
			sh.refuse(d, err)
		}
	}
	// From the last to the first: each is put before what its instance holds.
	for _, st := range slices.Backward(steps) {
		if d := st.d; !d.joined && !d.completed {
			again = append(again, sh.vacate(st)...)
			sh.repeat(st)
		}
	}
	for _, st := range steps {
		if st.s != nil {
			sh.release(st.s)
		}
	}
	for _, d := range again {
		if sh.rt.halted.Load() {
			sh.refuse(d, sh.rt.notRunning())
		} else {
			sh.handle(d)
		}
	}
}

// vacate gives up the place that a creation from outside had reserved, and returns
// the repeats of it that have waited.
func (sh *shard) vacate(st *stepping) (repeats []*delivery) {
	if st.before == nil {
		repeats = sh.creating[st.d.target].repeats
		delete(sh.creating, st.d.target)
		sh.rt.places.drop(st.out.after)
	}
	return repeats
}

// unreserve gives up the places of what a dropped step would have created.
func (sh *shard) unreserve(out *outcome) {
	for _, c := range out.created {
		sh.rt.places.drop(c.in)
	}
}

// rearm lets the timer fire again whose event was dropped.
func (sh *shard) rearm(st *stepping) {
	if st.s != nil && st.d.given.timer != nil {
		st.s.firing = false
		sh.arm(st.s, st.s.cur.Load())
	}
}

// repeat takes a step again that has no caller who could: an effect or a timer.
// Until then its instance takes nothing else, so that nothing overtakes it.
func (sh *shard) repeat(st *stepping) {
	d := st.d
	if st.s == nil {
		sh.later(d, func() { sh.handle(d) })
		return
	}
	s := st.s
	s.hold(d)
	if s.paused {
		return // with the one that comes after it
	}
	s.paused = true
	sh.later(d, func() {
		s.paused = false
		sh.release(s)
	})
}

// Bounds of the time after which something is tried again.
const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = time.Second
)

func backoff(attempts int) time.Duration {
	return min(maxBackoff, minBackoff<<min(attempts, 10))
}

// later runs f as the shard's owner after a while, longer with each attempt.
func (sh *shard) later(d *delivery, f func()) {
	sh.rt.work.add(1)
	sh.rt.after(backoff(d.attempts), func() {
		sh.post(item{f: f})
		sh.rt.work.done(1)
	})
	d.attempts++
}
