package fsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A store that failed in the middle of a commit cannot say for a while whether it
// has stored that. Who asked for what is in it has to wait; whoever comes
// meanwhile, or waits behind it, is refused at once with the store's error: none
// of that was given to the store.

// patience is how long one try may take that fails without anybody hearing of it:
// the next try, at once, may tell what became of the batch.
const patience = time.Second

// ailing is the store's state as the runtime knows it.
type ailing struct {
	err atomic.Pointer[error] // nil while it works

	mu    sync.Mutex    // guards began
	began chan struct{} // closed while it ails
}

// why returns the error to refuse with, nil while the store works.
func (a *ailing) why() error {
	if err := a.err.Load(); err != nil {
		return *err
	}
	return nil
}

// begins returns a channel that is closed once the store ails.
func (a *ailing) begins() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began == nil {
		a.began = make(chan struct{})
		if a.err.Load() != nil {
			close(a.began)
		}
	}
	return a.began
}

func (a *ailing) set(err *error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.err.Swap(err) != nil
	switch {
	case a.began == nil, was == (err != nil):
	case was:
		a.began = nil
	default:
		close(a.began)
	}
}

// storeAils is called when the store could not say what became of a batch, by who
// waits to ask again.
func (rt *Runtime) storeAils(b Batch, err error) {
	// Its code is about the batch: that of the others is known.
	cause := err
	var e *Error
	if errors.As(err, &e) && e.Code == CodeUnknownOutcome && e.Err != nil {
		cause = e.Err
	}
	first := rt.ails.err.Load() == nil
	why := fmt.Errorf("it has failed, and is tried until it works again: %w", cause)
	rt.ails.set(&why)
	if c := rt.committer; c != nil {
		waiting := append(c.rest, c.take()...)
		if c.rest = nil; len(waiting) > 0 {
			c.answer(waiting, why)
		}
	}
	if first {
		rt.refuseBehind(b)
	}
}

func (rt *Runtime) storeWorks() {
	if rt.ails.err.Load() != nil {
		rt.ails.set(nil)
	}
}

// refuseBehind refuses what waits for instances of a batch to be stored.
func (rt *Runtime) refuseBehind(b Batch) {
	ids := map[*shard][]string{}
	for _, r := range b.Records {
		sh := rt.shardOf(r.Instance)
		ids[sh] = append(ids[sh], r.Instance)
	}
	// Those that have nothing of it, too: one that is full and asleep looks for what
	// has come from outside.
	for _, sh := range rt.shards {
		own := ids[sh]
		sh.post(item{f: func() {
			for _, id := range own {
				sh.refuseBehind(id)
			}
		}})
	}
}

func (sh *shard) refuseBehind(id string) {
	why := sh.rt.ails.why()
	if why == nil {
		return // it works again
	}
	if first, ok := sh.creating[id]; ok {
		repeats := first.repeats
		first.repeats = nil
		sh.creating[id] = first
		for _, d := range repeats {
			sh.refuse(d, &Error{Code: CodeStoreFailed, Err: why})
		}
	}
	s := sh.tab.get(id)
	if s == nil || s.held == nil || s.inFlight == 0 {
		return
	}
	held := s.held
	s.held = nil
	for held.len() > 0 {
		d := held.pop()
		if err := sh.refusal(s, d); err != nil {
			sh.refuse(d, err)
			continue
		}
		if s.held == nil {
			s.held = &queue[*delivery]{}
		}
		s.held.push(d)
	}
}

// refusal is why a delivery should not wait for its instance, nil if it should.
func (sh *shard) refusal(s *slot, d *delivery) error {
	if why := sh.rt.ails.why(); why != nil && d.waiter != nil && !d.isEffect && (s.inFlight > 0 || s.paused) {
		return &Error{Code: CodeStoreFailed, Instance: s.id, Err: why}
	}
	return nil
}

// refuseOutside refuses what has come from outside to a shard that can take up
// nothing until the store has answered, if that ails. What has no caller stays,
// with all that comes after it.
func (sh *shard) refuseOutside() int {
	for n := 0; ; n++ {
		why := sh.rt.ails.why()
		if why == nil || sh.kept != nil {
			return n
		}
		select {
		case d := <-sh.inbox:
			if d.waiter == nil {
				sh.kept = d
				return n
			}
			if d.keyed {
				sh.rt.places.drop(&Instance{id: d.target, st: d.state, origin: d.origin})
			}
			sh.refuse(d, &Error{Code: CodeStoreFailed, Instance: d.target, Err: why})
			sh.rt.work.done(1)
		default:
			return n
		}
	}
}
