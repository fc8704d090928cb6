package jetstream

import (
	"sync/atomic"
	"time"
)

const (
	// busyFor is how long after a commit the next one is to be expected.
	busyFor = 5 * time.Millisecond
	// longestRest bounds one rest: a frame that took longer waited for the disk,
	// and what waits takes nothing from commits.
	longestRest = time.Millisecond
)

// A pacer has reading give way to commits. Who reads the past keeps a processor
// busy, and commits wait for whole rounds of the scheduler and of the collector
// then; so while commits are going on, reading rests after each frame for as long
// as the frame took. It may be used by any goroutine.
type pacer struct {
	rest      func(time.Duration)
	committed atomic.Int64 // when something was the last time, ns
}

func newPacer() *pacer { return &pacer{rest: time.Sleep} }

// commit notes that something was committed.
func (p *pacer) commit() { p.committed.Store(time.Now().UnixNano()) }

// giveWay rests after a frame that was begun at start.
func (p *pacer) giveWay(start time.Time) {
	now := time.Now()
	if now.Sub(time.Unix(0, p.committed.Load())) < busyFor {
		p.rest(min(now.Sub(start), longestRest))
	}
}
