package bridge

import (
	"cmp"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

const (
	// ringMost is how many notices a table remembers at least.
	ringMost = 100_000
	// endedMost is how many ended instances it remembers.
	endedMost = 10_000
	// tableMost bounds the live instances of one runtime.
	tableMost = 1_000_000
)

// A table holds the instances of one runtime behind the bridge, as the bridge
// knows them, and numbers what is told of them. It is the source from which
// directories heal. Its numbers begin with the time at which it was made, so
// that they never go back when another bridge takes over.
type table struct {
	mu    sync.Mutex // guards all below
	seq   uint64
	slots []*held // nil where nothing is any more
	free  []int
	byID  map[string]*held
	// ring has the ids that the last notices were about; ring[i] has the number
	// first + i.
	ring  []string
	first uint64
	ended map[string]*held
	order []string // of ended
	// answered is the runtime's own number as of which its last answer was.
	answered uint64
	// room is shared with the other tables, bytes what this one has of it.
	room  *budget
	bytes int
	// refused counts what there was no room for; short says that some is missing of
	// what the runtime has, as of its last answer or for want of room.
	refused atomic.Uint64
	short   atomic.Bool
}

// held is one instance. It is replaced, never changed.
type held struct {
	mesh.Row
	slot int
	// wireSeq is the number that the instance's own runtime gave.
	wireSeq uint64
}

func (h *held) row() mesh.Rower { return heldRow{h} }

type heldRow struct{ h *held }

func (r heldRow) Row() (mesh.Row, error) { return r.h.Row, nil }

// numbersFrom is the number with which a table begins that is made now.
func numbersFrom(now time.Time) uint64 { return uint64(now.UnixMilli()) * 1000 }

func newTable(now time.Time, room *budget) *table {
	t := &table{seq: numbersFrom(now), byID: map[string]*held{}, ended: map[string]*held{}, room: room}
	t.first = t.seq + 1
	return t
}

// rebase jumps ahead with the numbers: somebody else numbered the runtime's
// notices meanwhile, so that directories have to read it anew.
func (t *table) rebase(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq = max(t.seq+1, numbersFrom(now))
	t.cut(len(t.ring))
	t.first = t.seq + 1
}

// take and give account for what the table holds; the caller holds mu.
func (t *table) take(n int) bool {
	if !t.room.take(n) {
		return false
	}
	t.bytes += n
	return true
}

func (t *table) give(n int) {
	t.room.give(n)
	t.bytes -= n
}

// change accounts for something else that is held for the runtime, by how much more
// it is than before, and reports whether there was room.
func (t *table) change(n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.take(n)
}

// release gives back all. What the table is given afterwards is not accounted for:
// nobody holds it any more.
func (t *table) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.give(t.bytes)
	t.room = nil
}

// ringBytes is what the number of a notice takes.
func ringBytes(id string) int { return 16 + len(id) }

// cut forgets the first numbers.
func (t *table) cut(n int) {
	for _, id := range t.ring[:n] {
		t.give(ringBytes(id))
	}
	t.ring = append(make([]string, 0, len(t.ring)-n), t.ring[n:]...)
	t.first += uint64(n)
}

// number gives the next number, for an id. Where there is no room for it, what it is
// for is forgotten: who asks for it reads the table anew.
func (t *table) number(id string) uint64 {
	t.seq++
	if len(t.ring) >= 2*max(ringMost, len(t.byID)) {
		t.cut(len(t.ring) / 2)
	}
	if !t.take(ringBytes(id)) {
		t.cut(len(t.ring))
		if !t.take(ringBytes(id)) {
			t.first = t.seq + 1
			return t.seq
		}
	}
	t.ring = append(t.ring, id)
	return t.seq
}

// refuse notes that there is no room for an instance.
func (t *table) refuse() uint64 {
	t.refused.Add(1)
	t.short.Store(true)
	return 0
}

// set enters or replaces an instance and returns its number, 0 if there is no
// room for it.
func (t *table) set(r mesh.Row, wireSeq uint64) uint64 {
	old := t.byID[r.ID]
	if old != nil {
		r.Key, r.Parent = cmp.Or(r.Key, old.Key), cmp.Or(r.Parent, old.Parent)
	}
	h := &held{Row: r, wireSeq: wireSeq}
	if old == nil && len(t.byID) >= tableMost {
		return t.refuse()
	}
	more := rowBytes(&r)
	switch {
	case old != nil:
		more -= rowBytes(&old.Row)
	case len(t.free) == 0:
		more += slotBytes
	}
	if !t.take(more) {
		return t.refuse()
	}
	switch {
	case old != nil:
		h.slot = old.slot
		if h.CreatedAt == 0 {
			h.CreatedAt = old.CreatedAt
		}
	case len(t.free) > 0:
		h.slot = t.free[len(t.free)-1]
		t.free = t.free[:len(t.free)-1]
	default:
		h.slot = len(t.slots)
		t.slots = append(t.slots, nil)
	}
	h.Seq = t.number(r.ID)
	t.byID[r.ID], t.slots[h.slot] = h, h
	t.forget(r.ID)
	return h.Seq
}

// forget forgets an ended instance.
func (t *table) forget(id string) {
	if h := t.ended[id]; h != nil {
		t.give(rowBytes(&h.Row))
		delete(t.ended, id)
	}
}

// forgetFirst forgets the first of those that ended.
func (t *table) forgetFirst() {
	t.forget(t.order[0])
	t.give(ringBytes(t.order[0]))
	t.order = t.order[1:]
}

// remove takes a live instance out.
func (t *table) remove(h *held) {
	t.slots[h.slot] = nil
	t.free = append(t.free, h.slot)
	delete(t.byID, h.ID)
	t.give(rowBytes(&h.Row))
}

// end takes an instance out; r is how it ended, which is remembered if there is room.
func (t *table) end(r mesh.Row, wireSeq uint64) uint64 {
	if old := t.byID[r.ID]; old != nil {
		t.remove(old)
		if r.CreatedAt == 0 {
			r.CreatedAt = old.CreatedAt
		}
	}
	h := &held{Row: r, wireSeq: wireSeq}
	h.Seq = t.number(r.ID)
	if again := t.ended[r.ID]; again != nil && t.take(rowBytes(&r)-rowBytes(&again.Row)) {
		t.ended[r.ID] = h
		return h.Seq
	}
	t.forget(r.ID)
	need := rowBytes(&r) + ringBytes(r.ID)
	room := t.take(need)
	for !room && len(t.order) > 0 {
		t.forgetFirst()
		room = t.take(need)
	}
	if room {
		t.order = append(t.order, r.ID)
		t.ended[r.ID] = h
	}
	for len(t.order) > endedMost {
		t.forgetFirst()
	}
	return h.Seq
}

// vanish takes an instance out that is not there any more, nobody knows how.
func (t *table) vanish(id string) {
	if old := t.byID[id]; old != nil {
		t.remove(old)
		t.number(id)
	}
}

// apply takes in a numbered notice and gives it the table's number. It reports
// whether anything changed: what is older than what is held, by the numbers of
// the runtime itself, does not.
func (t *table) apply(n *mesh.Notice, wireSeq uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, ends := t.find(n.Instance), n.Kind == mesh.KindCompleted || n.Kind == mesh.KindQuarantined
	if wireSeq != 0 {
		if old != nil && wireSeq <= old.wireSeq {
			return false
		}
		// An answer has told it already. One that it did not name has ended since:
		// only how is news.
		if wireSeq <= t.answered && (old != nil || !ends) {
			return false
		}
	}
	row := n.Row()
	switch {
	case ends:
		n.Seq = t.end(row, wireSeq)
	default:
		n.Seq = t.set(row, wireSeq)
	}
	return n.Seq != 0
}

func (t *table) find(id string) *held {
	if h := t.byID[id]; h != nil {
		return h
	}
	return t.ended[id]
}

// get returns an instance, nil if there is none.
func (t *table) get(id string) *held {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(id)
}

// live returns the instances that match.
func (t *table) live(want func(*mesh.Row) bool) []mesh.Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []mesh.Row
	for _, h := range t.slots {
		if h != nil && want(&h.Row) {
			out = append(out, h.Row)
		}
	}
	return out
}

// reconcile makes the table equal to the whole answer of its runtime and
// returns the notices of what changed. ends tells how a state ends an instance,
// "" if it does not.
// asOf is the runtime's own number as of which the answer is, nil where it has
// none: what changed since stays, and what the answer told does not change by a
// notice that it has overtaken. Of what an answer has not that is not whole it says
// nothing.
func (t *table) reconcile(rows []Row, at int64, asOf *uint64, whole bool, ends func(machine, state string) mesh.Status) []mesh.Notice {
	t.mu.Lock()
	defer t.mu.Unlock()
	if asOf != nil && whole {
		t.answered = max(t.answered, *asOf)
	}
	if whole {
		t.short.Store(false)
	}
	var out []mesh.Notice
	if whole { // first, as it makes room
		named := make(map[string]struct{}, len(rows))
		for i := range rows {
			named[rows[i].ID] = struct{}{}
		}
		for id, h := range t.byID {
			if _, there := named[id]; !there && (asOf == nil || h.wireSeq <= *asOf) {
				t.vanish(id)
			}
		}
	}
	for i := range rows {
		r := toRow(&rows[i], at)
		old := t.find(r.ID)
		// A row without a number has not changed since its runtime started, so one
		// that has a number is newer.
		if old != nil && (same(&old.Row, &r) || (asOf != nil || rows[i].Seq != 0) && rows[i].Seq < old.wireSeq) {
			continue
		}
		n := mesh.Notice{
			Kind: mesh.KindStateChange, Instance: r.ID, Machine: r.Machine, State: r.State, Context: r.Context, PublicMember: r.PublicMember,
			PendingTimeouts: r.PendingTimeouts, Version: r.Version, Key: r.Key, Parent: r.Parent, Timestamp: at,
		}
		if old == nil {
			n.Kind = mesh.KindCreated
		} else {
			n.Previous = old.State
		}
		if how := ends(r.Machine, r.State); how != "" {
			n.Kind, n.Status, r.Status = mesh.KindCompleted, how, how
			n.Seq = t.end(r, rows[i].Seq)
		} else {
			n.Seq = t.set(r, rows[i].Seq)
		}
		if n.Seq != 0 {
			out = append(out, n)
		}
	}
	return out
}

// same reports whether an answer tells nothing new of an instance.
func same(old, now *mesh.Row) bool {
	return old.State == now.State && old.Machine == now.Machine && equalJSON(old.Context, now.Context) &&
		(now.Version == 0 || now.Version == old.Version)
}

func equalJSON(a, b json.RawMessage) bool { return string(or(a, nothing)) == string(or(b, nothing)) }

// The rest is mesh.Source.

// Seq implements mesh.Source.
func (t *table) Seq() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq
}

// Shards implements mesh.Source.
func (t *table) Shards() int { return 1 }

// Changed implements mesh.Source.
func (t *table) Changed(seqs mesh.Ranges, most int) (changed []mesh.Changed, tooOld bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range seqs {
		if r.From > t.seq {
			break
		}
		if r.From < t.first {
			return nil, true
		}
		for n := r.From; n <= min(r.To, t.seq) && len(changed) < most; n++ {
			changed = append(changed, mesh.Changed{Seq: n, ID: t.ring[n-t.first]})
		}
	}
	return changed, false
}

// Look implements mesh.Source.
func (t *table) Look(ids []string) []mesh.Found {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]mesh.Found, 0, len(ids))
	for _, id := range ids {
		if h := t.find(id); h != nil {
			out = append(out, mesh.Found{Instance: h.row(), Seq: h.Seq})
		} else {
			out = append(out, mesh.Found{Seq: t.seq})
		}
	}
	return out
}

// Piece implements mesh.Source.
func (t *table) Piece(_, slot, most int) mesh.Piece {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := mesh.Piece{AsOf: t.seq, Next: -1}
	end := min(len(t.slots), slot+10*most)
	for i := slot; i < end; i++ {
		if len(p.Slots) == most {
			p.Next = i
			return p
		}
		if h := t.slots[i]; h != nil {
			p.Slots = append(p.Slots, mesh.Slot{Number: i, Instance: h.row()})
		}
	}
	if end < len(t.slots) {
		p.Next = end
	}
	return p
}

var _ mesh.Source = (*table)(nil)

// missing is what of a runtime's own numbers did not come.
type missing struct {
	known  bool
	last   uint64 // that came, or is known to be missing
	behind uint64 // how many are missing since the last answer
	upTo   uint64 // the last of them
	// said is what a heartbeat said that there is, and saidAt since when that is
	// waited for.
	said   uint64
	saidAt time.Time
}

// note takes in the number of a notice, and returns how many before it are missing.
func (m *missing) note(seq uint64) (gap uint64) {
	switch {
	case !m.known:
		m.known, m.last = true, seq
	case seq > m.last:
		gap = m.skip(seq - 1)
		m.last = seq
	}
	return gap
}

// skip notes that all after the last one and up to a number did not come.
func (m *missing) skip(to uint64) (gap uint64) {
	if gap = to - m.last; gap > 0 {
		m.behind, m.upTo, m.last = m.behind+gap, to, to
	}
	return gap
}

// hint takes in that a heartbeat says how many there are.
func (m *missing) hint(seq uint64, now time.Time) {
	switch {
	case !m.known:
		m.known, m.last = true, seq
	case seq > m.last:
		if m.said <= m.last {
			m.saidAt = now
		}
		m.said = max(m.said, seq)
	}
}

// hintFor is how long a notice may take longer than the heartbeat that says that
// there is one: they take different ways through a process.
const hintFor = time.Second

// overdue returns how many are missing that a heartbeat spoke of a while ago: that
// the last ones are lost no later notice may tell.
func (m *missing) overdue(now time.Time) (gap uint64) {
	if m.said <= m.last || now.Sub(m.saidAt) < hintFor {
		return 0
	}
	return m.skip(m.said)
}

// answered takes in an answer that has told all up to a number, nil for all that
// was sent before it. It reports whether that is all that was missing: an answer
// may have been on its way when something got lost.
func (m *missing) answered(seq *uint64) bool {
	if seq != nil {
		m.known, m.last = true, max(m.last, *seq)
		if *seq < m.upTo {
			return false
		}
	}
	m.behind = 0
	return true
}

// endings reads from a definition how states end an instance.
func endings(definition json.RawMessage) func(machine, state string) mesh.Status {
	types := stateTypes(definition)
	return func(machine, state string) mesh.Status {
		switch types(machine, state) {
		case "final":
			return mesh.Completed
		case "error":
			return mesh.Failed
		}
		return ""
	}
}

// stateTypes reads from a definition of what type states are: "entry", "regular",
// "final" or "error"; "" for a state that it does not have.
func stateTypes(definition json.RawMessage) func(machine, state string) string {
	var c struct {
		Machines []struct {
			Name   string `json:"name"`
			States []struct{ Name, Type string }
		} `json:"stateMachines"`
	}
	types := map[[2]string]string{}
	if json.Unmarshal(definition, &c) == nil {
		for _, m := range c.Machines {
			for _, s := range m.States {
				types[[2]string{m.Name, s.Name}] = cmp.Or(s.Type, "regular")
			}
		}
	}
	return func(machine, state string) string { return types[[2]string{machine, state}] }
}
