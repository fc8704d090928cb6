package mesh

import (
	"time"
	"unicode/utf8"
)

// Limits bound what a directory holds, whatever it is sent. Zero values are
// the defaults.
type Limits struct {
	// Runtimes is the most runtimes, of all that are live, lost, stopped or
	// superseded. More are not taken up. Defaults to 10,000.
	Runtimes int
	// Instances is the most rows of one runtime. One with more is never exact.
	// Defaults to 4,000,000.
	Instances int
	// Bytes is the most memory for rows and definitions of all runtimes, by a
	// careful estimate. Defaults to 8 GiB.
	Bytes int64
	// Machines is the most machines of one runtime, States the most states of
	// one machine. They default to 1,000 each.
	Machines, States int
	// Ranges is the most ranges of numbers that are kept per runtime; where
	// more would be needed the runtime is read anew. Defaults to 10,000.
	Ranges int
	// Tombstones is the most ends that are remembered per runtime until the
	// floor has reached them. Where more would be needed the runtime is read
	// anew. Defaults to 200,000.
	Tombstones int
	// Readings is the most runtimes that are read at once; others wait. It
	// bounds what is on the way, half a megabyte each. Defaults to 32.
	Readings int
	// Row is the most bytes of one row's JSON parts. Defaults to 4 MiB.
	Row int
	// Definition is the most bytes of an announced definition; a larger one is
	// left out. Defaults to 1 MiB.
	Definition int
}

func (l Limits) withDefaults() Limits {
	for p, v := range map[*int]int{
		&l.Runtimes: 10_000, &l.Instances: 4_000_000, &l.Machines: 1000, &l.States: 1000,
		&l.Ranges: 10_000, &l.Tombstones: 200_000, &l.Readings: 32, &l.Row: 4 << 20, &l.Definition: 1 << 20,
	} {
		if *p <= 0 {
			*p = v
		}
	}
	if l.Bytes <= 0 {
		l.Bytes = 8 << 30
	}
	return l
}

const (
	// maxName is the most bytes of a name, an id or a key.
	maxName = 512
	// maxAhead is how far above what a runtime said of itself the number of a
	// row or notice may be. More than that cannot have happened in the second
	// until the next beacon, and would be held missing for ever.
	maxAhead = 1 << 24
	// maxEntries bounds the runtimes of a beacon.
	maxEntries = 1000
)

// goodName reports whether a name, id or key from outside can be used: not
// empty, not too long, no control characters, valid UTF-8.
func goodName(s string) bool { return s != "" && goodText(s) }

func goodText(s string) bool {
	if len(s) > maxName || !utf8.ValidString(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (id *Identity) good() bool {
	return goodName(id.RuntimeID) && goodText(id.Component) && goodText(id.Name) && goodText(id.Log) && goodText(id.Process) &&
		id.Epoch <= MaxSeq
}

// good reports whether a row may be held at all.
func (r *Row) good(l *Limits) bool {
	return goodName(r.ID) && goodName(r.Machine) && goodName(r.State) && goodText(r.Key) && goodText(r.Parent) &&
		r.Status.valid() && r.Seq <= MaxSeq && r.Part >= 0 &&
		len(r.Context)+len(r.PublicMember)+len(r.PendingTimeouts) <= l.Row
}

var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// plausible returns a time from outside for people to read, in Unix ms: its
// own if it can be one, else the time at which it came.
func plausible(ms int64, now time.Time) int64 {
	n := now.UnixMilli()
	if ms < earliest || ms > n+time.Hour.Milliseconds() {
		return n
	}
	return ms
}
