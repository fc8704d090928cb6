package ui

import (
	"context"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// How much of what happens is kept.
const (
	recentKept  = 12
	troubleKept = 5
	rateWindow  = 10 // seconds
)

// An activity keeps what the pages show of the past and a directory does not
// keep: the last changes, what went wrong, how many changes a second. It has
// one goroutine, which stop ends.
type activity struct {
	now    func() time.Time
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards what follows
	since   time.Time
	recent  []mesh.Told // newest first
	trouble []mesh.Told // newest first
	failed  int         // how many troubles in all
	lost    bool        // that some were not seen
	steps   steps
	perSec  [rateWindow + 1]struct {
		second int64
		count  map[[2]string]int
	}
}

// follow begins to follow the mesh. The context bounds the start only.
func follow(ctx context.Context, bus Bus, now func() time.Time) (*activity, error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &activity{now: now, cancel: cancel, done: make(chan struct{}), since: now()}
	// Notices are kept from this call on, not from the first one taken.
	notices, err := bus.Notices(run, "")
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(a.done)
		for n, err := range notices {
			a.take(n, err)
		}
	}()
	return a, nil
}

func (a *activity) stop() {
	a.cancel()
	<-a.done
}

func (a *activity) take(n mesh.Told, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.lost = true
		return
	}
	switch n.Kind {
	case mesh.KindCreated, mesh.KindStateChange:
		a.recent = pushFront(a.recent, n, recentKept)
		a.count(n)
	case mesh.KindHookError, mesh.KindDeadLetter, mesh.KindQuarantined, mesh.KindFenced:
		a.fail(n)
	case mesh.KindCompleted:
		if n.Error != "" {
			a.fail(n)
		}
	}
}

func (a *activity) fail(n mesh.Told) {
	a.trouble = pushFront(a.trouble, n, troubleKept)
	a.failed++
}

// count counts a change in its second.
func (a *activity) count(n mesh.Told) {
	now := a.now()
	a.steps.add(now)
	s := now.Unix()
	slot := &a.perSec[s%int64(len(a.perSec))]
	if slot.second != s {
		slot.second, slot.count = s, map[[2]string]int{}
	}
	slot.count[[2]string{n.Component, n.Machine}]++
}

func pushFront(list []mesh.Told, n mesh.Told, limit int) []mesh.Told {
	if len(list) < limit {
		list = append(list, mesh.Told{})
	}
	copy(list[1:], list)
	list[0] = n
	return list
}

// A past is a copy of what was kept.
type past struct {
	since           time.Time
	recent, trouble []mesh.Told
	failed          int
	lost            bool
	rates           map[[2]string]float64 // changes a second, by component and machine
	over            []float64             // changes a second, over the last minutes
	end             time.Time             // of these
}

func (a *activity) past() past {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := past{since: a.since, failed: a.failed, lost: a.lost, rates: map[[2]string]float64{}}
	p.recent = append(p.recent, a.recent...)
	p.trouble = append(p.trouble, a.trouble...)
	now := a.now()
	p.over, p.end = a.steps.rates(a.since, now)
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
