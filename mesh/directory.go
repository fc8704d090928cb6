package mesh

import (
	"time"
)

// DirectoryConfig configures a Directory. The zero value works.
type DirectoryConfig struct {
	// Seed makes the jitter of one directory differ from that of others.
	Seed uint64
	// KeepEnded is how long an ended instance stays, and KeepRuntime how long
	// a runtime that is lost, stopped or superseded does. Both default to 15
	// minutes.
	KeepEnded, KeepRuntime time.Duration
	// EndedPerMachine is the most ended instances that stay of one machine of
	// one runtime. Defaults to 10,000.
	EndedPerMachine int
	Limits          Limits
}

// A Directory knows the instances of all runtimes, exactly or it says that it
// does not. It is a plain value: it changes by Apply and Tick only, one at a
// time, and does no I/O. Between them any number of goroutines may read it at
// once. What it hands out is never changed afterwards.
type Directory struct {
	cfg  DirectoryConfig
	off  rules
	now  time.Time // never goes back
	byID map[string]*member
	// list has them in the order in which they were first heard.
	list []*member
	// current has, by name, component and log, the one with the highest epoch.
	current map[lineage]*member
	// unknown are the runtimeIds that were asked to announce themselves.
	unknown map[string]time.Time
	calls   []string // runtimeIds to be asked by the next Tick
	order   uint64   // of the row entered last
	bytes   int64
	changes uint64
	// echoed is when the last message to itself that came back was sent; zero if
	// none ever came.
	echoed  time.Time
	running int // readings that run, as of the last Tick
	counts  Counters
	bridges []*BridgeInfo // replaced, never changed
}

// A lineage is what passes instances on from one start of a runtime to the
// next.
type lineage struct{ name, component, log string }

// Counters count what a directory did with what it was sent, since it was
// made.
type Counters struct {
	Messages uint64 `json:"messages"`
	Notices  uint64 `json:"notices"` // numbered ones
	// Old are notices, rows and ends that were already known, or overtaken.
	Old uint64 `json:"old"`
	// Invalid are messages, or parts of them, with a missing or impossible
	// field.
	Invalid uint64 `json:"invalid"`
	// Misfit are messages under a runtimeId that belongs to another runtime.
	Misfit uint64 `json:"misfit"`
	// Unknown are messages of a runtimeId that was not introduced.
	Unknown uint64 `json:"unknown"`
	// Superseded are messages of runtimes that others took over.
	Superseded uint64 `json:"superseded"`
	// Ahead are notices and rows that were numbered far ahead of what their
	// runtime said of itself.
	Ahead uint64 `json:"ahead"`
	// Late are replies that nobody waited for any more.
	Late uint64 `json:"late"`
	// Refused is what a limit kept out.
	Refused uint64 `json:"refused"`
	// Repairs and Readings are how often they were asked for, and Repeats the
	// requests that were asked again.
	Repairs  uint64 `json:"repairs"`
	Readings uint64 `json:"readings"`
	Repeats  uint64 `json:"repeats"`
	// RepairRows are the rows and ends that repairs brought.
	RepairRows uint64 `json:"repairRows"`
}

// NewDirectory returns an empty directory.
func NewDirectory(c DirectoryConfig) *Directory {
	if c.KeepEnded <= 0 {
		c.KeepEnded = 15 * time.Minute
	}
	if c.KeepRuntime <= 0 {
		c.KeepRuntime = 15 * time.Minute
	}
	if c.EndedPerMachine <= 0 {
		c.EndedPerMachine = 10_000
	}
	c.Limits = c.Limits.withDefaults()
	return &Directory{
		cfg: c, byID: map[string]*member{}, current: map[lineage]*member{}, unknown: map[string]time.Time{},
	}
}

// Counters returns the counters as they are.
func (d *Directory) Counters() Counters { return d.counts }

// Revision grows whenever something that queries show may have changed, but
// for what changes by mere passing of time.
func (d *Directory) Revision() uint64 { return d.changes }

// Apply takes in one message that came at the given time, which is the only
// way to change a directory from outside. Messages that are wrong, forged or
// late are counted and change nothing. It keeps the raw JSON of the message.
func (d *Directory) Apply(m Message, now time.Time) {
	d.pass(now)
	d.counts.Messages++
	switch m := m.(type) {
	case *Announce:
		if r := d.present(&m.Identity, m.Seq); r != nil {
			d.describe(r, m)
			r.settle(d.now)
		}
	case *Heartbeat:
		if r := d.present(&m.Identity, m.Seq); r != nil {
			r.settle(d.now)
		}
	case *Beacon:
		if len(m.Runtimes) > maxEntries {
			d.counts.Invalid++
			return
		}
		for i := range m.Runtimes {
			if r := d.present(&m.Runtimes[i].Identity, &m.Runtimes[i].Seq); r != nil {
				r.settle(d.now)
			}
		}
	case *Goodbye:
		d.leave(m)
	case *BridgeStatus:
		d.bridge(m)
	case *Notices:
		d.notices(m)
	case *RepairReply:
		if r := d.present(&m.Identity, &m.Seq); r != nil {
			d.repaired(r, m)
			r.settle(d.now)
		}
	case *PageReply:
		if r := d.present(&m.Identity, &m.Seq); r != nil {
			d.paged(r, m)
			r.settle(d.now)
		}
	case *Echo:
		d.echo(m.Sent)
	case *Reread:
		if r := d.byID[m.RuntimeID]; r != nil {
			r.reread, r.reading = true, nil
		}
	default:
		d.counts.Invalid++ // requests are for runtimes
	}
}

// pass lets time pass.
func (d *Directory) pass(now time.Time) {
	if now.After(d.now) {
		d.now = now
	}
}
