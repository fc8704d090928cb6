package api

import "time"

// gaps finds numbered notices that never come. They may come in another order,
// so one is given some time.
type gaps struct{ of map[string]*runtimeGaps }

type runtimeGaps struct {
	high uint64
	open map[uint64]time.Time
}

const (
	// gapAge is how long a number may be late.
	gapAge = 3 * time.Second
	// maxGapRuntimes and maxOpen bound what is remembered. What goes beyond
	// counts as missed at once.
	maxGapRuntimes = 10_000
	maxOpen        = 1000
)

// saw takes in a number, and returns how many are known to be missed by it. The
// first one of a runtime begins the count.
func (g *gaps) saw(runtimeID string, seq uint64, now time.Time) (missed uint64) {
	r := g.of[runtimeID]
	if r == nil {
		if len(g.of) >= maxGapRuntimes {
			clear(g.of)
		}
		g.of[runtimeID] = &runtimeGaps{high: seq, open: map[uint64]time.Time{}}
		return 0
	}
	if seq <= r.high {
		delete(r.open, seq)
		return 0
	}
	between := seq - r.high - 1
	if between > maxOpen-min(maxOpen, uint64(len(r.open))) {
		missed = between
	} else {
		for n := r.high + 1; n < seq; n++ {
			r.open[n] = now
		}
	}
	r.high = seq
	return missed
}

// sweep returns how many have been late for too long, and forgets them.
func (g *gaps) sweep(now time.Time) (missed uint64) {
	for _, r := range g.of {
		for n, since := range r.open {
			if now.Sub(since) >= gapAge {
				delete(r.open, n)
				missed++
			}
		}
	}
	return missed
}
