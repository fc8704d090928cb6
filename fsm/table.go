package fsm

import (
	"encoding/json"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
)

// A slot is one instance's place in a shard, for the instance's whole life.
type slot struct {
	// The first fields are what a plain step touches, and fill one cache line:
	// among a million instances each line is a wait of its own.

	// cur is the committed instance; everybody may read it.
	cur  atomic.Pointer[Instance]
	hist history
	// number is the position in the table, guarded by its lock.
	number int32
	// The rest belongs to the shard's owner.
	heapAt   int32             // position among the timers, -1: none
	kept     uint8             // records in hist.buf
	busy     bool              // a hook of it is running
	inFlight int16             // steps of it that are on their way to the store
	paused   bool              // a failed commit of it is to be repeated soon
	firing   bool              // its first timer has been taken out and not been handled
	freed    bool              // it is listed to have what is held taken up
	held     *queue[*delivery] // what waits for the instance to be free

	id    string
	order uint64            // of creation, over the whole runtime; selection goes by it
	work  *Instance         // the instance after the open batch, or nil
	due   int64             // of the first timer, in ms
	box   *queue[*delivery] // what transitions sent it and no root has taken up yet
	seen  *seenEvents
}

// blocked reports whether the next event has to wait.
func (s *slot) blocked() bool {
	return s.busy || s.inFlight > 0 || s.paused || s.held != nil && s.held.len() > 0
}

// latest is the instance as the shard's owner has it.
func (s *slot) latest() *Instance {
	if s.work != nil {
		return s.work
	}
	return s.cur.Load()
}

// A table holds the instances of a shard. Its lock is taken for reading to look
// things up, and for writing where an instance is created, removed, or changes
// its place in an index; other shards take it too, never for long.
type table struct {
	mu    sync.RWMutex
	byID  map[string]*slot
	slots []*slot // by slot.number, with holes; a page of a reading goes by it
	free  []int32
	// stateAt has, by slot.number, the position in the list of the state.
	stateAt  []int32
	machines []*machineTable // the indexes, by machine.at
}

// A machineTable indexes the active instances of a machine in one shard.
type machineTable struct {
	// states lists, by state.index, the numbers of the slots. Numbers, and
	// positions beside them, so that a change of state touches no other slot.
	states [][]int32
	// props finds instances by a hash of the value that a property has. Who
	// looks something up compares the values again, so a collision costs
	// time only.
	props []map[uint64]posting
}

// A posting is the instances with one value: mostly one.
type posting struct {
	one  *slot
	more map[*slot]struct{}
}

func newTable(comps []*component) *table {
	t := &table{byID: map[string]*slot{}}
	for _, c := range comps {
		for _, m := range c.list {
			mt := &machineTable{states: make([][]int32, len(m.list))}
			for range m.props {
				mt.props = append(mt.props, map[uint64]posting{})
			}
			t.machines = append(t.machines, mt)
		}
	}
	return t
}

// get looks an instance up. Owners need the lock too: other shards enter what
// their transitions create.
func (t *table) get(id string) *slot {
	t.mu.RLock()
	s := t.byID[id]
	t.mu.RUnlock()
	return s
}

// expect makes room for as many instances, if the table is empty.
func (t *table) expect(n int) {
	if len(t.byID) > 0 {
		return
	}
	t.byID = make(map[string]*slot, n)
	t.slots = make([]*slot, 0, n)
	t.stateAt = make([]int32, 0, n)
}

// enter adds a slot; the caller holds the lock.
func (t *table) enter(s *slot, in *Instance) {
	t.byID[s.id] = s
	if n := len(t.free); n > 0 {
		s.number = t.free[n-1]
		t.free = t.free[:n-1]
		t.slots[s.number] = s
	} else {
		s.number = int32(len(t.slots))
		t.slots = append(t.slots, s)
		t.stateAt = append(t.stateAt, -1)
	}
	if in.status == StatusActive {
		mt := t.machines[in.st.m.at]
		t.addState(mt, s.number, in.st)
		for _, p := range in.st.m.props {
			mt.addValue(s, p, in.data)
		}
	}
	s.cur.Store(in)
}

// move brings the indexes from one instance of the slot to the next; the caller
// holds the lock.
func (t *table) move(s *slot, before, after *Instance) {
	mt := t.machines[before.st.m.at]
	switch {
	case after.status != StatusActive:
		t.unindex(s, before)
	case before.st != after.st:
		t.removeState(mt, s.number, before.st)
		t.addState(mt, s.number, after.st)
	}
	if after.status == StatusActive {
		for _, p := range before.st.m.props {
			if valueMoved(p, before.data, after.data) {
				mt.removeValue(s, p, before.data)
				mt.addValue(s, p, after.data)
			}
		}
	}
	s.cur.Store(after)
}

// unindex takes an active instance out of the indexes.
func (t *table) unindex(s *slot, in *Instance) {
	mt := t.machines[in.st.m.at]
	t.removeState(mt, s.number, in.st)
	for _, p := range in.st.m.props {
		mt.removeValue(s, p, in.data)
	}
}

// remove takes a slot out that is in no index any more; the caller holds the
// lock.
func (t *table) remove(s *slot) {
	delete(t.byID, s.id)
	t.slots[s.number] = nil
	t.free = append(t.free, s.number)
}

// indexMoves reports whether the step changes the slot's place in an index.
func indexMoves(before, after *Instance) bool {
	if before.st != after.st || after.status != StatusActive {
		return true
	}
	for _, p := range before.st.m.props {
		if valueMoved(p, before.data, after.data) {
			return true
		}
	}
	return false
}

func valueMoved(p *property, before, after Data) bool {
	if sameData(before, after) {
		return false
	}
	a, okA := before.lookup(p.path)
	b, okB := after.lookup(p.path)
	return okA != okB || okA && !strictEqual(a, b)
}

// sameData reports whether both are the very same value, without comparing.
func sameData(a, b Data) bool {
	return len(a.fields) == len(b.fields) && (len(a.fields) == 0 || &a.fields[0] == &b.fields[0])
}

func (t *table) addState(mt *machineTable, number int32, st *state) {
	l := mt.states[st.index]
	t.stateAt[number] = int32(len(l))
	mt.states[st.index] = append(l, number)
}

func (t *table) removeState(mt *machineTable, number int32, st *state) {
	l := mt.states[st.index]
	last := len(l) - 1
	at, moved := t.stateAt[number], l[last]
	l[at] = moved
	t.stateAt[moved] = at
	mt.states[st.index] = l[:last]
}

var valueSeed = maphash.MakeSeed()

// valueHash hashes a value so that what === finds equal has one hash. ok is
// false for what equals nothing.
func valueHash(v any) (h uint64, ok bool) {
	switch x := v.(type) {
	case nil:
		return 1, true
	case bool:
		if x {
			return 2, true
		}
		return 3, true
	case string:
		return maphash.String(valueSeed, x), true
	case float64:
		if x == 0 {
			x = 0 // -0 equals 0
		}
		return math.Float64bits(x)*0x9e3779b97f4a7c15 + 5, true
	case json.Number:
		// An integer beyond 2^53 may equal a float64.
		f, err := x.Float64()
		if err != nil {
			return 4, true
		}
		return valueHash(f)
	}
	return 0, false
}

// hash returns that of the property's value; ok is false if it has none by
// which it could be found.
func (p *property) hash(d Data) (h uint64, ok bool) {
	v, ok := d.lookup(p.path)
	if !ok {
		return 0, false
	}
	return valueHash(v)
}

func (mt *machineTable) addValue(s *slot, p *property, d Data) {
	h, ok := p.hash(d)
	if !ok {
		return
	}
	m := mt.props[p.index]
	e := m[h]
	if e.one == nil && e.more == nil {
		m[h] = posting{one: s}
		return
	}
	if e.more == nil {
		e = posting{more: map[*slot]struct{}{e.one: {}}}
		m[h] = e
	}
	e.more[s] = struct{}{}
}

func (mt *machineTable) removeValue(s *slot, p *property, d Data) {
	h, ok := p.hash(d)
	if !ok {
		return
	}
	m := mt.props[p.index]
	e := m[h]
	delete(e.more, s)
	if len(e.more) == 0 {
		delete(m, h)
	}
}

// candidates appends the slots that a query may find: those of an index where
// there is one, else all of the states asked for.
func (t *table) candidates(q *query, out []*slot) []*slot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	mt := t.machines[q.m.at]
	for _, a := range q.alternatives {
		if p, v, ok := a.indexed(q.payload); ok {
			h, ok := valueHash(v)
			if !ok {
				continue // equals nothing
			}
			e := mt.props[p.index][h]
			if e.one != nil {
				out = append(out, e.one)
			}
			for s := range e.more {
				out = append(out, s)
			}
			continue
		}
		for i, l := range mt.states {
			if a.st == nil || a.st.index == i {
				for _, number := range l {
					out = append(out, t.slots[number])
				}
			}
		}
	}
	return out
}

// indexed returns the property by which the alternative's instances can be
// found, and the value that they must have there.
func (a *alternative) indexed(payload Data) (*property, any, bool) {
	for i := range a.rules {
		if r := &a.rules[i]; r.prop != nil {
			if v, ok := payload.lookup(r.event); ok {
				return r.prop, v, true
			}
		}
	}
	return nil, nil, false
}

// all returns the slots in use.
func (t *table) all() []*slot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]*slot, 0, len(t.byID))
	for _, s := range t.slots {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

// population counts the active instances of a machine, in one state or (nil) in
// all.
func (t *table) population(m *machine, st *state) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	mt := t.machines[m.at]
	if st != nil {
		return len(mt.states[st.index])
	}
	n := 0
	for _, l := range mt.states {
		n += len(l)
	}
	return n
}
