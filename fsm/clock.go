package fsm

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Clock tells a runtime the time and wakes it. The system's is the default;
// ManualClock is for tests. A clock is used by many goroutines.
type Clock interface {
	// Now returns the wall time.
	Now() time.Time
	// Elapsed returns the time since some fixed moment. It never goes back,
	// whatever is done to the wall clock.
	Elapsed() time.Duration
	// AfterFunc calls f on a goroutine of its own once d has elapsed. The
	// function that it returns cancels that if it is not too late.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type systemClock struct{ start time.Time }

func newSystemClock() systemClock { return systemClock{time.Now()} }

func (systemClock) Now() time.Time           { return time.Now() }
func (c systemClock) Elapsed() time.Duration { return time.Since(c.start) }
func (systemClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// steadyClock turns a Clock into the runtime's time: the larger of the wall
// clock and the last time plus what has elapsed since. It follows a jump ahead
// (a suspended machine) and never goes back, so that a delay keeps its length
// when the wall clock is set back.
type steadyClock struct {
	clock  Clock
	system *systemClock // the same, if it is that: one reading gives both times
	base   atomic.Int64 // wall time minus elapsed time, in ns; only grows
}

func newSteadyClock(c Clock) *steadyClock {
	s := &steadyClock{clock: c}
	if sys, ok := c.(systemClock); ok {
		s.system = &sys
	}
	s.base.Store(c.Now().UnixNano() - int64(c.Elapsed()))
	return s
}

// jump is how far the wall clock may run ahead before it is followed: it
// always drifts a little.
const jump = int64(5 * time.Millisecond)

// now returns the runtime's time in ns since the Unix epoch.
func (s *steadyClock) now() int64 {
	var elapsed, wall int64
	if s.system != nil {
		t := time.Now()
		// Of the two times in it the wall clock's is read first: being held up in
		// between looks like no jump.
		elapsed, wall = int64(t.Sub(s.system.start)), t.UnixNano()
	} else {
		elapsed, wall = s.read()
	}
	base := s.base.Load()
	if wall-elapsed > base+jump {
		for wall-elapsed > base && !s.base.CompareAndSwap(base, wall-elapsed) {
			base = s.base.Load()
		}
		base = max(base, wall-elapsed)
	}
	return base + elapsed
}

// read takes both times as of one moment: a goroutine that is held up in between
// would take that for a jump.
func (s *steadyClock) read() (elapsed, wall int64) {
	elapsed = int64(s.clock.Elapsed())
	for {
		before := elapsed
		wall = s.clock.Now().UnixNano()
		if elapsed = int64(s.clock.Elapsed()); elapsed-before <= jump {
			return elapsed, wall
		}
	}
}

// A ManualClock stands still but for Advance. Its zero value is not usable, see
// NewManualClock.
type ManualClock struct {
	mu      sync.Mutex // guards the fields below
	elapsed time.Duration
	wall    time.Time
	seq     int
	waiting map[int]manualTimer
}

type manualTimer struct {
	due time.Duration
	seq int
	f   func()
}

// NewManualClock returns a clock that shows the given time.
func NewManualClock(now time.Time) *ManualClock {
	return &ManualClock{wall: now, waiting: map[int]manualTimer{}}
}

// Now returns the time that the clock shows.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

// Elapsed returns the sum of all advances.
func (c *ManualClock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

// SetWall sets the wall clock without any time elapsing, as an operator would.
func (c *ManualClock) SetWall(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = now
}

// AfterFunc calls f from within Advance.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	seq := c.seq
	c.waiting[seq] = manualTimer{c.elapsed + max(d, 0), seq, f}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, seq)
	}
}

// Advance lets time pass in steps, from one waiting function to the next in the
// order of their times, calling each. After each of them it calls settle, if
// that is not nil; Runtime.Idle is what fits.
func (c *ManualClock) Advance(d time.Duration, settle func()) {
	c.mu.Lock()
	end := c.elapsed + d
	c.mu.Unlock()
	for c.step(end) {
		if settle != nil {
			settle()
		}
	}
}

// step moves to the next waiting function and calls it. It returns false once
// the end is reached.
func (c *ManualClock) step(end time.Duration) bool {
	c.mu.Lock()
	next, found := manualTimer{due: end}, false
	for _, t := range c.waiting {
		if t.due < next.due || t.due == next.due && (!found || t.seq < next.seq) {
			next, found = t, true
		}
	}
	delete(c.waiting, next.seq)
	if next.due > c.elapsed {
		c.wall = c.wall.Add(next.due - c.elapsed)
		c.elapsed = next.due
	}
	c.mu.Unlock()
	if found {
		next.f()
	}
	return found
}
