package mesh

import (
	"bytes"
	"encoding/json"
	"slices"
	"sort"
	"strings"
)

// A table holds the rows of one runtime, and passes on to the one that takes
// it over. Machines and states are kept once each. Rows are found by id, in the
// order in which they were entered, and by machine and state.
type table struct {
	byID map[string]*entry
	// places has the entries by their order, with holes.
	places   []place
	holes    int
	machines []*machine // in the order in which they were first met
	byName   map[string]*machine
	// generation is raised when the table passes on. What is told of an entry
	// in the current one beats all that was told before.
	generation uint32
	bytes      int64 // an estimate of the memory for rows
	ended      int
	held       int // those that are quarantined
}

// A place keeps its order when its entry has gone, so that a cursor can still
// be found.
type place struct {
	order uint64
	e     *entry
}

// An entry is a row as it is held. It is a quarter of a kilobyte with its
// index places, so what few instances have is put aside.
type entry struct {
	id      string
	key     string
	context json.RawMessage
	rare    *rare
	machine *machine
	order   uint64
	version uint64
	seq     int64
	updated int64 // Unix ms
	created int64
	// end numbers the end that the entry is at among those of its machine; 0
	// while it is not over.
	end        uint64
	generation uint32
	read       uint32 // the last reading that named it
	stateAt    int32  // index in its state's entries
	state      uint16 // index in its machine's states
	part       uint8
	status     statusCode
}

// rare is never changed.
type rare struct {
	parent   string
	public   json.RawMessage
	timeouts json.RawMessage
}

type statusCode uint8

var statusCodes = [...]Status{Active, Completed, Failed, quarantined: Quarantined, Vanished}

const quarantined statusCode = 3

func (s Status) code() statusCode {
	return statusCode(max(0, slices.Index(statusCodes[:], s)))
}

func (e *entry) live() bool { return e.status == 0 }

// over reports whether an entry has ended for good, and goes after a while. One
// that is quarantined may go on after a restart, and somebody has to see to it:
// it stays until its runtime tells something else of it.
func (e *entry) over() bool { return !e.live() && e.status != quarantined }

// A machine is one that instances of a table are of.
type machine struct {
	name   string
	states []*population
	byName map[string]uint16
	ended  endedQueue
}

// A population is the entries that are in a state, or ended in it.
type population struct {
	name    string
	entries []*entry // in no order
	ended   int
	held    int // that are quarantined
}

// keep takes in the text of a row. What it does not hold already it copies: the
// row may be a small part of a large message.
func (e *entry) keep(r *Row) {
	if e.key != r.Key {
		e.key = strings.Clone(r.Key)
	}
	if !bytes.Equal(e.context, r.Context) {
		e.context = bytes.Clone(r.Context)
	}
	if r.Parent == "" && len(r.PublicMember) == 0 && len(r.PendingTimeouts) <= 2 {
		e.rare = nil
		return
	}
	e.rare = &rare{parent: strings.Clone(r.Parent), public: bytes.Clone(r.PublicMember), timeouts: bytes.Clone(r.PendingTimeouts)}
}

func newTable() *table { return &table{} }

// seqOf is the number that what is told of an entry has to beat.
func (t *table) seqOf(e *entry) int64 {
	if e.generation != t.generation {
		return -1
	}
	return e.seq
}

// weight estimates what an entry costs beyond what is the same for all.
func (e *entry) weight() int64 {
	n := len(e.id) + len(e.key) + len(e.context)
	if e.rare != nil {
		n += len(e.rare.parent) + len(e.rare.public) + len(e.rare.timeouts) + 64
	}
	return int64(n) + 300
}

// locate returns the places of a machine and a state, which it makes if there
// is room for them. It returns nil if there is not.
func (t *table) locate(machineName, state string, l *Limits) (*machine, uint16) {
	m := t.byName[machineName]
	if m == nil {
		if len(t.machines) >= l.Machines {
			return nil, 0
		}
		if t.byName == nil {
			t.byName = map[string]*machine{}
		}
		m = &machine{name: strings.Clone(machineName), byName: map[string]uint16{}}
		t.byName[m.name] = m
		t.machines = append(t.machines, m)
	}
	s, ok := m.byName[state]
	if !ok {
		if len(m.states) >= l.States || len(m.states) > 1<<16-1 {
			return nil, 0
		}
		s = uint16(len(m.states))
		p := &population{name: strings.Clone(state)}
		m.byName[p.name] = s
		m.states = append(m.states, p)
	}
	return m, s
}

// settle puts an entry among those of its state.
func (t *table) settle(e *entry) {
	p := e.machine.states[e.state]
	e.stateAt = int32(len(p.entries))
	p.entries = append(p.entries, e)
	t.count(p, e, 1)
}

// unsettle takes an entry out of those of its state.
func (t *table) unsettle(e *entry) {
	p := e.machine.states[e.state]
	last := len(p.entries) - 1
	p.entries[e.stateAt] = p.entries[last]
	p.entries[e.stateAt].stateAt = e.stateAt
	p.entries[last] = nil
	p.entries = p.entries[:last]
	if cap(p.entries) > 4*(last+16) {
		p.entries = slices.Clone(p.entries)
	}
	t.count(p, e, -1)
}

// count counts an entry that comes, or goes.
func (t *table) count(p *population, e *entry, n int) {
	switch {
	case e.over():
		p.ended += n
		t.ended += n
	case !e.live():
		p.held += n
		t.held += n
	}
}

// enter adds an entry that is set but for its place.
func (t *table) enter(e *entry, order uint64) {
	if t.byID == nil {
		t.byID = map[string]*entry{}
	}
	e.order = order
	t.byID[e.id] = e
	t.places = append(t.places, place{order, e})
	t.settle(e)
	t.bytes += e.weight()
}

// remove takes an entry out altogether.
func (t *table) remove(e *entry) {
	t.bytes -= e.weight()
	t.unsettle(e)
	delete(t.byID, e.id)
	t.places[t.from(e.order)].e = nil
	t.holes++
	if t.holes > 1024 && t.holes > len(t.places)/2 {
		t.places = slices.DeleteFunc(t.places, func(p place) bool { return p.e == nil })
		t.places = slices.Clone(t.places) // gives the memory back
		t.holes = 0
	}
}

// from returns the index of the first place of that order or a later one.
func (t *table) from(order uint64) int {
	return sort.Search(len(t.places), func(i int) bool { return t.places[i].order >= order })
}
