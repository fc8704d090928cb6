package ui

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// How much of what happens is kept.
const (
	recentKept  = 12
	troubleKept = 5
	rateWindow  = 10 // seconds
)

// An activity keeps what the pages show of the past and the runtime does not
// keep: the last changes, how many ended, how many a second. It has one
// goroutine, which stop ends.
type activity struct {
	now    func() time.Time
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards what follows
	since   time.Time
	recent  []fsm.Notice // newest first
	trouble []fsm.Notice // newest first
	failed  int          // how many troubles in all
	missed  int          // notices that were not seen
	ended   map[place]int
	perSec  [rateWindow + 1]struct {
		second int64
		count  map[[2]string]int
	}
}

// A place is a state of a machine of a component.
type place struct{ component, machine, state string }

// watch begins to follow the runtime.
func watch(rt Runtime, now func() time.Time) *activity {
	ctx, cancel := context.WithCancel(context.Background())
	a := &activity{now: now, cancel: cancel, done: make(chan struct{}), since: now(), ended: map[place]int{}}
	// Notices are kept from this call on, not from the first one taken.
	notices := rt.Watch(ctx, fsm.WatchOptions{Buffer: 4096})
	go func() {
		defer close(a.done)
		for n, err := range notices {
			a.take(n, err)
		}
	}()
	return a
}

func (a *activity) stop() {
	a.cancel()
	<-a.done
}

func (a *activity) take(n fsm.Notice, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if lagged, ok := errors.AsType[*fsm.Error](err); ok {
			a.missed += lagged.Count
		}
		return
	}
	switch n.Kind {
	case fsm.TraceCreated, fsm.TraceStateChange:
		a.recent = pushFront(a.recent, n, recentKept)
		a.count(n)
	case fsm.TraceUserCodeError, fsm.TraceCascadeError, fsm.TraceInstanceError, fsm.NoticeDeadLetter,
		fsm.NoticeDropped, fsm.NoticeQuarantined, fsm.TraceRestoreError:
		a.trouble = pushFront(a.trouble, n, troubleKept)
		a.failed++
	}
	switch n.Kind {
	case fsm.TraceDisposed, fsm.TraceInstanceError, fsm.NoticeEntryPointEnded:
		a.ended[place{n.Component, n.Machine, n.State}]++
	}
}

// count counts a change in its second.
func (a *activity) count(n fsm.Notice) {
	s := a.now().Unix()
	slot := &a.perSec[s%int64(len(a.perSec))]
	if slot.second != s {
		slot.second, slot.count = s, map[[2]string]int{}
	}
	slot.count[[2]string{n.Component, n.Machine}]++
}

func pushFront(list []fsm.Notice, n fsm.Notice, limit int) []fsm.Notice {
	if len(list) < limit {
		list = append(list, fsm.Notice{})
	}
	copy(list[1:], list)
	list[0] = n
	return list
}

// A past is a copy of what was kept.
type past struct {
	since           time.Time
	recent, trouble []fsm.Notice
	failed, missed  int
	ended           map[place]int
	rates           map[[2]string]float64 // changes a second, by component and machine
}

func (a *activity) past() past {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := past{since: a.since, failed: a.failed, missed: a.missed, ended: map[place]int{}, rates: map[[2]string]float64{}}
	p.recent = append(p.recent, a.recent...)
	p.trouble = append(p.trouble, a.trouble...)
	for k, n := range a.ended {
		p.ended[k] = n
	}
	now := a.now()
	// The second that has just begun is left out; at the start there are
	// fewer full ones.
	window := min(max(float64(now.Unix()-a.since.Unix()), 1), rateWindow)
	for _, slot := range a.perSec {
		if age := now.Unix() - slot.second; age < 1 || age > rateWindow {
			continue
		}
		for m, n := range slot.count {
			p.rates[m] += float64(n) / window
		}
	}
	return p
}
