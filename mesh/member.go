package mesh

import (
	"encoding/json"
	"time"
)

// A RuntimeStatus says how a directory stands with a runtime.
type RuntimeStatus string

// The statuses of a runtime.
const (
	Live RuntimeStatus = "live"
	// Lost is a runtime that was not heard of for a minute. It may come back.
	Lost RuntimeStatus = "lost"
	// Stopped is a runtime that said goodbye.
	Stopped RuntimeStatus = "stopped"
	// Superseded is a runtime whose log another one claimed later. That one
	// has its instances.
	Superseded RuntimeStatus = "superseded"
)

const (
	// lostAfter is how long a runtime may be silent before it is lost.
	lostAfter = 60 * time.Second
	// tellWithin is how old the last number heard from a runtime may be for
	// its rows to be exact: three beacons.
	tellWithin = 3 * time.Second
)

// A member is a runtime as a directory knows it.
type member struct {
	Identity
	host       string
	store      string
	port       int
	protocol   int
	definition json.RawMessage
	announced  bool
	followed   bool
	asOf       time.Time // of a runtime that is followed
	whoAt      time.Time // when it was last asked to announce itself

	status RuntimeStatus
	since  time.Time // of the status
	first  time.Time // heard of
	heard  time.Time // last heard
	told   time.Time // what was last heard with a number was sent after that

	// Everything up to floor is accounted for; -1: never read. known is the
	// highest number heard of, and claimed the highest that the runtime itself
	// said it had got to. seen are the numbers above floor that are accounted
	// for.
	floor, known, claimed int64
	seen                  Ranges
	// blind is up to where tombstones were forgotten. Above the floor and up
	// to it nothing counts as seen, and what is told of instances that are not
	// held is believed only if it was read later.
	blind int64
	tombs tombstones
	table *table
	// behind says that the floor was below known after the last message, and
	// flipped since when that, or else the opposite, is so without a break.
	behind  bool
	flipped time.Time

	// ripe is what known was at least lagBefore ago; pending will be ripe
	// lagBefore after pendingAt.
	ripe, pending int64
	pendingAt     time.Time
	reading       *reading
	readings      uint32    // number of the last one
	readAfter     time.Time // not before
	reread        bool      // a reading is needed
	repair        *repair
	askedAt       time.Time // the last time that something new was asked
	more          bool      // the last repair was cut short

	// refused says that a row of it could not be held, full that a limit was
	// the reason; since the last reading began.
	refused, full bool
	readAt        time.Time // when the last reading began
}

func (m *member) lineage() lineage { return lineage{m.Name, m.Component, m.Log} }

// fits reports whether a message's identity is the member's, as far as it is
// given.
func (m *member) fits(id *Identity) bool {
	return (id.Component == "" || id.Component == m.Component) && (id.Name == "" || id.Name == m.Name) &&
		(id.Epoch == 0 || id.Epoch == m.Epoch) && (id.Log == "" || id.Log == m.Log)
}

// raise takes in that the runtime has got to a number.
func (m *member) raise(seq int64) { m.known = max(m.known, seq) }

// settle notes, after a message, whether something is missing.
func (m *member) settle(now time.Time) {
	if behind := m.floor < m.known; behind != m.behind {
		m.behind, m.flipped = behind, now
	}
}

// see takes in that what the numbers of the range told is accounted for.
func (d *Directory) see(m *member, r Range) {
	if m.blind > m.floor {
		r.From = max(r.From, uint64(m.blind)+1)
	}
	if int64(r.To) <= m.floor || r.From > r.To {
		return
	}
	if m.floor >= 0 && len(m.seen) == 0 && int64(r.From) <= m.floor+1 {
		d.rise(m, int64(r.To))
		return
	}
	if len(m.seen) >= d.cfg.Limits.Ranges && !d.off.RangesUnbounded && !d.makeRoomFor(m, r) {
		return
	}
	m.seen.Add(r)
	d.run(m)
}

// makeRoomFor reports whether a range can be added when there are as many as
// may be. If not it is forgotten, which is safe: it counts as missing then.
func (d *Directory) makeRoomFor(m *member, r Range) bool {
	if m.reading != nil && m.reading.asOf > 0 {
		m.seen.Cut(uint64(m.reading.asOf)) // that far the reading will tell
		if int64(r.To) <= m.reading.asOf {
			return false
		}
	}
	if i := m.seen.after(r.From - 1); len(m.seen) < d.cfg.Limits.Ranges || i < len(m.seen) && m.seen[i].From <= r.To+1 {
		return true // or joined with another
	}
	// Before its first page is read, a reading can still bring it.
	m.reread = m.reread || m.reading == nil || m.reading.asOf >= 0
	return false
}

// rise raises the floor, and lets it run on over what was seen.
func (d *Directory) rise(m *member, floor int64) {
	if floor > m.floor {
		m.floor = floor
		if len(m.seen) > 0 {
			m.seen.Cut(uint64(floor))
		}
	}
	d.run(m)
	if !d.off.TombsForever {
		m.tombs.bury(m.floor)
	}
}

// run lets the floor run on over what was seen, once there is one.
func (d *Directory) run(m *member) {
	if m.floor < 0 || len(m.seen) == 0 || int64(m.seen[0].From) > m.floor+1 {
		return
	}
	to := m.seen[0].To
	m.seen.Cut(to)
	d.rise(m, int64(to))
}

// missing returns up to most ranges of what is to be asked for: once something
// has been missing for a while, all that is, but what the reading that runs
// speaks for.
func (m *member) missing(most int) Ranges {
	base := m.floor
	if m.reading != nil {
		if m.reading.asOf < 0 {
			return nil // it is not known yet what it speaks for
		}
		base = max(base, m.reading.asOf)
	}
	if base < 0 || m.ripe <= base || len(m.seen.Missing(uint64(base), uint64(m.ripe), 1)) == 0 {
		return nil
	}
	return m.seen.Missing(uint64(base), uint64(m.known), most)
}
