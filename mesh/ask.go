package mesh

import "time"

const (
	// lagBefore is how long something has to be missing before it is asked
	// for: most of it is only late.
	lagBefore = 100 * time.Millisecond
	// askEvery is the least time between two new questions to a runtime.
	askEvery = 200 * time.Millisecond
	// An unanswered request is repeated after firstWait, then after twice as
	// long each time, up to lastWait.
	firstWait = 250 * time.Millisecond
	lastWait  = 2 * time.Second
	// maxAsked is the most ranges that one repair asks for.
	maxAsked = 1000
	// dearRepair is how many notices may be missing, however few rows there
	// are, before reading all is thought cheaper.
	dearRepair = 10_000
	// whoAfter is how long the announce of a runtime is waited for.
	whoAfter = time.Second
	// refitEvery is how often it is tried anew to hold what did not fit, and
	// recheckEvery whether a row that was refused is still there.
	refitEvery   = time.Minute
	recheckEvery = 10 * time.Minute
	// stalled is how long a page is waited for until its reading does not count
	// any more among those that run at once.
	stalled = time.Second
)

// An Ask is a request that a directory wants sent.
type Ask struct {
	// To is the runtimeId that it is for.
	To string
	// Message is a *RepairRequest, a *PageRequest or a *Discover.
	Message Message
	// Again counts the times that it was asked before without an answer.
	Again bool
}

// Tick lets time pass, and returns what is to be asked now: at most one repair,
// one page and one discover per runtime. It is to be called every 50 ms or so,
// and after each reply that was applied, so that the next page is asked for at
// once. Requests need no bookkeeping by the caller: one that is not answered is
// returned again.
func (d *Directory) Tick(now time.Time) []Ask {
	d.pass(now)
	d.expire()
	var asks []Ask
	for _, id := range d.calls {
		asks = append(asks, Ask{To: id, Message: &Discover{Type: "discover", RuntimeID: id, Timestamp: d.now.UnixMilli()}})
	}
	d.calls = nil
	d.running = 0
	for _, m := range d.list {
		if r := m.reading; r != nil && m.status == Live && r.wait <= stalled {
			d.running++
		}
	}
	for _, m := range d.list {
		for _, mc := range m.table.machines {
			if mc.ended.held > 0 {
				d.evict(m, mc)
			}
		}
		if m.status != Live {
			continue
		}
		asks = d.askWho(m, asks)
		m.ripen(d.now)
		if d.off.AskAtOnce {
			m.ripe = m.known
		}
		asks = d.askPage(m, asks)
		asks = d.askRepair(m, asks)
	}
	return asks
}

// askWho asks a runtime that was heard of, but not by its announce, for one: it
// has the definition.
func (d *Directory) askWho(m *member, asks []Ask) []Ask {
	if m.announced || d.now.Sub(m.first) < whoAfter || d.now.Sub(m.whoAt) < callAgain || d.off.NeverDiscover {
		return asks
	}
	again := !m.whoAt.IsZero()
	m.whoAt = d.now
	return append(asks, Ask{To: m.RuntimeID, Message: &Discover{Type: "discover", RuntimeID: m.RuntimeID, Timestamp: d.now.UnixMilli()}, Again: again})
}

// ripen moves on what has been known long enough to be asked for.
func (m *member) ripen(now time.Time) {
	if m.pending <= m.floor || now.Sub(m.pendingAt) >= lagBefore {
		m.ripe = m.pending
	}
	if m.pending == m.ripe && m.known > m.pending {
		m.pending, m.pendingAt = m.known, now
	}
}

// mayAsk reports whether a new question may be asked.
func (m *member) mayAsk(now time.Time) bool { return now.Sub(m.askedAt) >= askEvery }

// askPage begins a reading if one is needed, and asks for the page that is
// waited for.
func (d *Directory) askPage(m *member, asks []Ask) []Ask {
	if m.refused && m.reading == nil {
		fits := len(m.table.byID) < d.cfg.Limits.Instances*9/10
		ago := d.now.Sub(m.readAt)
		m.reread = m.reread || m.full && fits && ago >= refitEvery || !m.full && ago >= recheckEvery
	}
	if m.reading == nil && (m.floor < 0 || m.reread) && !d.now.Before(m.readAfter) && m.mayAsk(d.now) && d.running < d.cfg.Limits.Readings {
		d.running++
		m.readings++
		m.reading = &reading{asOf: -1, no: m.readings, wait: firstWait}
		m.reread, m.refused, m.full = false, false, false
		m.askedAt, m.readAt = d.now, d.now
		d.counts.Readings++
	}
	r := m.reading
	if r == nil || d.now.Before(r.due) || r.asked && d.off.NeverRepeat {
		return asks
	}
	if r.asked {
		d.counts.Repeats++
		r.wait = min(2*r.wait, lastWait)
	}
	asks = append(asks, Ask{To: m.RuntimeID, Message: &PageRequest{RuntimeID: m.RuntimeID, Cursor: r.cursor}, Again: r.asked})
	r.asked, r.due = true, d.now.Add(r.wait)
	return asks
}

// askRepair asks for what is missing.
func (d *Directory) askRepair(m *member, asks []Ask) []Ask {
	if m.reread || m.reading != nil && d.off.NoRepairBeside {
		m.repair, m.more = nil, false // the next reading brings it
		return asks
	}
	if r := m.repair; r != nil && int64(r.asked[len(r.asked)-1].To) <= m.floor {
		m.repair = nil // it came another way
	}
	r := m.repair
	if r != nil && (d.now.Before(r.due) || d.off.NeverRepeat) && !d.off.AskAlways {
		return asks
	}
	if r == nil && !m.more && !m.mayAsk(d.now) && !d.off.AskAlways {
		return asks
	}
	missing := m.missing(min(maxAsked, d.cfg.Limits.Ranges))
	if len(missing) == 0 {
		m.repair, m.more = nil, false
		return asks
	}
	if m.reading == nil && d.dear(m) {
		m.repair, m.more, m.reread = nil, false, true
		return asks
	}
	again := r != nil
	if again {
		d.counts.Repeats++
		r.wait = min(2*r.wait, lastWait)
		r.asked = missing
	} else {
		r = &repair{asked: missing, wait: firstWait}
		m.repair = r
		if !m.more {
			m.askedAt = d.now
		}
		m.more = false
		d.counts.Repairs++
	}
	r.due = d.now.Add(r.wait)
	return append(asks, Ask{To: m.RuntimeID, Message: &RepairRequest{RuntimeID: m.RuntimeID, Missing: missing}, Again: again})
}

// dear reports whether so much is missing that reading all is cheaper.
func (d *Directory) dear(m *member) bool {
	n := m.seen.MissingCount(uint64(m.floor), uint64(m.known))
	return n > dearRepair && n > uint64(len(m.table.byID))
}
