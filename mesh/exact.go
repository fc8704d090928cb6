package mesh

import (
	"encoding/json"
	"time"
)

// A Reason says why a directory is not exact about a runtime.
type Reason string

// The reasons, the first that holds.
const (
	ReasonUnknown    Reason = "unknown"    // no such runtime is known
	ReasonSuperseded Reason = "superseded" // another runtime has its instances
	ReasonStopped    Reason = "stopped"    // it said goodbye
	ReasonLost       Reason = "lost"       // silent for a minute
	ReasonUnread     Reason = "unread"     // it has not been read to the end yet
	ReasonRefused    Reason = "refused"    // a row of it could not be held
	ReasonSilent     Reason = "silent"     // silent for three seconds
	ReasonLate       Reason = "late"       // what is heard may be older than three seconds
	ReasonMissing    Reason = "missing"    // something it told of did not come yet
)

// Exactness says whether a directory's rows of a runtime are exactly what the
// runtime has, but for what happened since it was last heard.
type Exactness struct {
	Exact bool
	// Since is when it became so. Not being exact begins with the last news,
	// where it is for silence.
	Since  time.Time
	Reason Reason // "" if exact
	// Missing is how many notices are known to be missing.
	Missing uint64
	// Reading says that the runtime is being read. Page is then how many pages
	// came.
	Reading bool
	Page    int
}

// Exact reports whether the rows of a runtime are exact now, and since when
// they are, or are not.
func (d *Directory) Exact(runtimeID string, now time.Time) (exact bool, since time.Time) {
	e := d.Exactness(runtimeID, now)
	return e.Exact, e.Since
}

// Exactness tells how far the rows of a runtime can be relied on now.
func (d *Directory) Exactness(runtimeID string, now time.Time) Exactness {
	m := d.byID[runtimeID]
	if m == nil {
		return Exactness{Reason: ReasonUnknown}
	}
	return d.exactness(m, now)
}

func (d *Directory) exactness(m *member, now time.Time) Exactness {
	e := Exactness{Since: m.since, Missing: m.seen.MissingCount(uint64(max(0, m.floor)), uint64(max(0, m.known)))}
	if m.reading != nil {
		e.Reading, e.Page = true, m.reading.pages
	}
	switch {
	case m.status == Superseded:
		e.Reason = ReasonSuperseded
	case m.status == Stopped:
		e.Reason = ReasonStopped
	case m.status == Lost:
		e.Reason, e.Since = ReasonLost, m.heard
	case m.floor < 0:
		e.Reason, e.Since = ReasonUnread, m.first
	case m.refused:
		e.Reason, e.Since = ReasonRefused, m.readAt
	case now.Sub(m.told) > tellWithin && !d.off.ExactSilent:
		e.Reason, e.Since = ReasonSilent, m.told
		if now.Sub(m.heard) <= tellWithin {
			e.Reason = ReasonLate
		}
	case m.floor < m.known && !d.off.ExactBehind:
		e.Reason, e.Since = ReasonMissing, m.flipped
	default:
		e.Exact, e.Since = true, m.flipped
	}
	return e
}

// echo takes in that a message of the directory's own came back.
func (d *Directory) echo(sent time.Time) {
	if sent.After(d.now) {
		d.counts.Invalid++
		return
	}
	if sent.After(d.echoed) {
		d.echoed = sent
	}
}

// leastOld is the latest time at which what comes now can not have been sent yet. It
// came after the last echo, so the bus had it later than that; without echoes
// nothing is known of its age.
func (d *Directory) leastOld() time.Time {
	if d.echoed.IsZero() {
		return d.now
	}
	return d.echoed
}

// Floor returns the number up to which everything of a runtime is accounted
// for, -1 if it was never read or is not known. Who waits for the effect of a
// command waits until it has got to the seq of the command's answer.
func (d *Directory) Floor(runtimeID string) int64 {
	if m := d.byID[runtimeID]; m != nil {
		return m.floor
	}
	return -1
}

// A RuntimeInfo is a runtime as a directory knows it.
type RuntimeInfo struct {
	Identity
	Host string
	Port int
	// Store says in words where its instances are kept, if it says so.
	Store    string
	Protocol int
	// Definition is the component as it was announced, nil if it was not, or
	// was too large. It may be broken.
	Definition json.RawMessage
	Status     RuntimeStatus
	Since      time.Time // of the status
	First      time.Time // heard of
	Heard      time.Time // last heard
	Exactness  Exactness
	// Followed says that the runtime does not number what it tells: Exactness is
	// about what the bridge to it holds, which is as of the runtime's last
	// answer, AsOf (zero before the first), and what it has told since.
	Followed bool
	AsOf     time.Time
	// Floor and Known are what is accounted for, and the highest number heard
	// of.
	Floor, Known int64
	// Rows are all rows held, Ended those of them that have ended, and Quarantined
	// those that are set aside: they may go on after a restart, and stay here
	// until the runtime tells something else of them.
	Rows, Ended, Quarantined int
	// Bytes estimates the memory of the rows.
	Bytes int64
}

// InMotion is how many instances have neither ended nor are quarantined.
func (i RuntimeInfo) InMotion() int { return i.Rows - i.Ended - i.Quarantined }

// Runtimes returns all runtimes, in the order in which they were first heard.
func (d *Directory) Runtimes(now time.Time) []RuntimeInfo {
	out := make([]RuntimeInfo, len(d.list))
	for i, m := range d.list {
		out[i] = d.info(m, now)
	}
	return out
}

// Runtime returns one runtime.
func (d *Directory) Runtime(runtimeID string, now time.Time) (RuntimeInfo, bool) {
	m := d.byID[runtimeID]
	if m == nil {
		return RuntimeInfo{}, false
	}
	return d.info(m, now), true
}

func (d *Directory) info(m *member, now time.Time) RuntimeInfo {
	return RuntimeInfo{
		Identity: m.Identity, Host: m.host, Port: m.port, Store: m.store, Protocol: m.protocol, Definition: m.definition,
		Status: m.status, Since: m.since, First: m.first, Heard: m.heard, Exactness: d.exactness(m, now),
		Followed: m.followed, AsOf: m.asOf,
		Floor: m.floor, Known: m.known, Rows: len(m.table.byID), Ended: m.table.ended, Quarantined: m.table.held, Bytes: m.table.bytes,
	}
}
