package bridge

import (
	"cmp"
	"time"
)

// attemptsMost is how many commands are taken up more than once at a time, and
// attemptsFor how long, at least, it is known how often one was: it may never come
// again, as another bridge has taken it.
const (
	attemptsMost = 10_000
	attemptsFor  = time.Minute
)

// tries says how often commands were tried, by id: in two generations, of which the
// older is forgotten. It is not safe for use by several goroutines.
type tries struct {
	n    [2]map[string]int
	turn time.Time
}

// add counts a try, and reports the how many-th it is. crowded says that more
// commands are counted than may be.
func (t *tries) add(id string, now time.Time) (n int, crowded bool) {
	if t.n[0] == nil || now.Sub(t.turn) > attemptsFor {
		t.n[0], t.n[1], t.turn = map[string]int{}, t.n[0], now
	}
	n = t.of(id) + 1
	t.forget(id)
	t.n[0][id] = n
	return n, len(t.n[0])+len(t.n[1]) > attemptsMost
}

// of is how often a command was tried.
func (t *tries) of(id string) int { return max(t.n[0][id], t.n[1][id]) }

func (t *tries) forget(id string) {
	delete(t.n[0], id)
	delete(t.n[1], id)
}

// makersMost is of how many creations at least it is known who has made the instance,
// or may have: more than can be under way with a broker at a time.
const makersMost = 10_000

// makers says which runtime has made the instance of a creation, or may have, by id, in
// two generations: if the broker delivers it again, that runtime knows it, and no other
// does. It is not safe for use by several goroutines.
type makers [2]map[string]string

func (m *makers) note(id, runtime string) {
	if m[0] == nil || len(m[0]) >= makersMost {
		m[0], m[1] = map[string]string{}, m[0]
	}
	m[0][id] = runtime
}

func (m *makers) of(id string) string { return cmp.Or(m[0][id], m[1][id]) }
