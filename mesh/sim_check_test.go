package mesh

import (
	"encoding/json"
	"fmt"
	"time"
)

// A simKey is an id in what passes instances on.
type simKey struct {
	l  lineage
	id string
}

type simShown struct {
	epoch uint64
	seq   int64
}

type simEnd struct {
	m    *member
	id   string
	at   int64
	over bool // false where it is quarantined
}

// check looks whether everything holds that has to at any moment. The numbers
// of the invariants are those of docs/healing.md.
func (w *world) check() {
	if w.broken != "" {
		return
	}
	for _, m := range w.dir.list {
		p := w.byID[m.RuntimeID]
		if p == nil {
			w.fail("I3: runtime %q does not exist", m.RuntimeID)
			return
		}
		w.checkNumbers(m, p)
		if m.status != Superseded {
			w.checkShown(m)
		} else if len(m.table.byID) > 0 {
			w.fail("I3: %s is superseded and holds rows", m.RuntimeID)
		}
		if exact, _ := w.dir.Exact(m.RuntimeID, w.now); exact {
			w.checkExact(m, p)
		}
		w.checkGone(m, p)
	}
	w.checkEnded()
}

// checkNumbers is I3 for the floor, and I4.
func (w *world) checkNumbers(m *member, p *simProc) {
	if m.floor < p.floor {
		w.fail("I3: the floor of %s goes back from %d to %d", m.RuntimeID, p.floor, m.floor)
	}
	p.floor = m.floor
	if m.known > int64(p.seq) {
		w.fail("I4: known of %s is %d, the runtime is at %d", m.RuntimeID, m.known, p.seq)
	}
	for int64(len(p.knownAt)) < m.known {
		p.knownAt = append(p.knownAt, w.now)
	}
	if m.floor > m.known {
		w.fail("I4: the floor of %s is %d, known is %d", m.RuntimeID, m.floor, m.known)
	}
	for _, e := range m.table.byID {
		if seq := m.table.seqOf(e); seq > m.known {
			w.fail("I4: %s holds %s at %d, known is %d", m.RuntimeID, e.id, seq, m.known)
		}
	}
	for id, seq := range m.tombs.at {
		if seq <= m.floor {
			w.fail("I4: %s has a tombstone of %s at %d, the floor is %d", m.RuntimeID, id, seq, m.floor)
		}
	}
	if most := w.dir.cfg.Limits.Ranges; len(m.seen) > most+1 || len(m.seen) > 0 && int64(m.seen[0].From) <= m.floor {
		w.fail("I4: %s has seen %v, the floor is %d, %d ranges are allowed", m.RuntimeID, m.seen, m.floor, most)
	}
}

// checkShown is I3 for rows.
func (w *world) checkShown(m *member) {
	for id, e := range m.table.byID {
		now := simShown{m.Epoch, m.table.seqOf(e)}
		k := simKey{m.lineage(), id}
		was := w.shown[k]
		if was.epoch == 0 && e.generation != m.table.generation {
			w.fail("I3: %s of %s is inherited from another log", id, m.RuntimeID)
		}
		if now.epoch < was.epoch || now.epoch == was.epoch && now.seq < was.seq {
			w.fail("I3: %s of %s was at %v, is at %v", id, m.RuntimeID, was, now)
		}
		if now != was {
			w.shown[k] = now
		}
	}
	for _, o := range w.dir.list {
		if o != m && o.status != Superseded && o.lineage() == m.lineage() {
			w.fail("I3: %s and %s are both shown", m.RuntimeID, o.RuntimeID)
		}
	}
}

// checkExact is I1 and I6.
func (w *world) checkExact(m *member, p *simProc) {
	if m.floor < p.truthAt || m.floor > int64(p.seq) {
		w.fail("I1: %s is exact at %d, the runtime is at %d", m.RuntimeID, m.floor, p.seq)
		return
	}
	p.truth, p.truthAt = p.tableAt(m.floor), m.floor
	for i, r := range p.truth {
		e := m.table.byID[simIDs[i]]
		switch live := e != nil && e.live(); {
		case live != r.there:
			w.fail("I1: %s is exact at %d: %s is live: %v, should be %v", m.RuntimeID, m.floor, simIDs[i], live, r.there)
		case live && (m.table.seqOf(e) != int64(r.seq) || e.version != r.version || e.machine.states[e.state].name != r.state):
			w.fail("I1: %s is exact at %d: %s is at seq %d, version %d, should be at %d, %d", m.RuntimeID, m.floor, simIDs[i], m.table.seqOf(e), e.version, r.seq, r.version)
		}
		p.gone[i] = !r.there
	}
	p.exactAt = m.floor
	old := w.now.Add(-tellWithin - simDelay)
	// The oldest that is not accounted for says it for all.
	if rest := p.log[m.floor:]; len(rest) > 0 && rest[0].at.Before(old) {
		w.fail("I6: %s is exact at %d, a commit %v ago is not seen", m.RuntimeID, m.floor, w.now.Sub(rest[0].at))
	}
}

// checkGone is I2.
func (w *world) checkGone(m *member, p *simProc) {
	if p.exactAt < 0 {
		return
	}
	for i, gone := range p.gone {
		if e := m.table.byID[simIDs[i]]; gone && e != nil && e.live() && m.table.seqOf(e) <= p.exactAt {
			w.fail("I2: %s of %s was gone at %d, is live at %d", e.id, m.RuntimeID, p.exactAt, m.table.seqOf(e))
		}
	}
}

// checkEnded is the last part of I4.
func (w *world) checkEnded() {
	now := w.ended[:0:0]
	for _, was := range w.ended {
		if e := was.m.table.byID[was.id]; e != nil || was.m.status == Superseded || w.dir.byID[was.m.RuntimeID] == nil {
			continue
		}
		// Others of the message may have come back, to life or into quarantine, after
		// it had to go.
		held := was.m.table.byName["M"].ended.held
		for _, o := range w.ended {
			if e := o.m.table.byID[o.id]; o.m == was.m && o.over && e != nil && !e.over() {
				held++
			}
		}
		if held < w.cfg.cap && w.now.UnixMilli()-was.at <= w.dir.cfg.KeepEnded.Milliseconds() {
			w.fail("I4: the ended row of %s in %s left early", was.id, was.m.RuntimeID)
		}
	}
	for _, m := range w.dir.list {
		if m.table.ended == 0 {
			continue
		}
		for id, e := range m.table.byID {
			if !e.live() {
				at, ok := w.dir.Ended(m.RuntimeID, id)
				if !ok {
					at = w.now // it is quarantined, and has no time to go
				}
				now = append(now, simEnd{m, id, at.UnixMilli(), ok})
			}
		}
	}
	w.ended = now
}

const (
	simRound = 25 * time.Millisecond // a message takes that long when nothing is wrong
	// simHeal is what the protocol promises after the first beacon: 2.5 s, and
	// the jitter of a takeover.
	simHeal = 2500*time.Millisecond + time.Second
)

// settle stops the faults and is I5: each runtime is exact in time, and little
// is asked for it.
func (w *world) settle() {
	w.calm = true
	w.cut = time.Time{}
	for _, p := range w.procs {
		if p != w.groups[w.group(p)] {
			p.alive = false
		}
	}
	asked := map[string]time.Time{}
	asks := map[string]int{}
	start := w.now
	round := simRound
	for w.now.Sub(start) < time.Second+simHeal+3*time.Second && w.broken == "" {
		w.pass(round)
		n := len(w.bus) // what is sent from here on arrives in the next round
		w.tick()
		for range n {
			w.deliver(0, 0)
		}
		for _, m := range w.dir.list {
			if at, ok := asked[m.RuntimeID]; ok && m.askedAt.After(at) {
				asks[m.RuntimeID]++
			}
			asked[m.RuntimeID] = m.askedAt
		}
		if w.now.Sub(start) < time.Second+simHeal {
			if round = simRound; len(w.bus) == 0 {
				round *= 4
			}
			continue
		}
		round = 10 * simRound
		for _, p := range w.groups {
			if !p.alive {
				continue
			}
			if exact, _ := w.dir.Exact(p.id.RuntimeID, w.now); !exact {
				w.fail("I5: %s is not exact after %v: %+v", p.id.RuntimeID, w.now.Sub(start), w.dir.Exactness(p.id.RuntimeID, w.now))
			} else if m := w.dir.byID[p.id.RuntimeID]; m.floor != int64(p.seq) {
				w.fail("I5: %s is exact at %d, the runtime is at %d", p.id.RuntimeID, m.floor, p.seq)
			} else if !m.announced && w.now.Sub(m.whoAt) > callAgain {
				w.fail("I5: %s was not asked to announce itself", p.id.RuntimeID)
			}
		}
	}
	if bad := unsound(w.dir); bad != "" {
		w.fail("the directory does not agree with itself: %s", bad)
	}
	most := 2
	if w.cfg.ranges > 0 || w.cfg.tombs > 0 {
		most++ // the reading where so few are kept
	}
	for id, n := range asks {
		if n > most {
			w.fail("I5: %s was asked %d things after the faults stopped", id, n)
		}
	}
}

// show writes a message for a person.
func show(m Message) string {
	b, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%T%s", m, b)
}
