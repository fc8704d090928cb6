package bridge

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// behind is a runtime on the broker that the bridge speaks for on the mesh.
type behind struct {
	s     *session
	id    string
	guest *mesh.Guest
	table *table
	route route
	// telling is held while what the table numbers is handed over.
	telling sync.Mutex
	// owes says that an answer is waited for, since it was first heard of or
	// something may have been missed.
	owes atomic.Bool

	mu         sync.Mutex // guards all below
	announce   *Body
	heard      time.Time
	asOf       time.Time // of the last whole answer
	own        missing   // its own numbers
	chunks     []Row     // of an answer that is not whole yet
	chunkBytes int
	chunk      int
	chunkOf    string
	followed   bool // as it was announced
	ends       func(machine, state string) mesh.Status
	watchers   map[string][]chan *mesh.Notice // who waits for a change of an instance; "" for creations
	rivalSeen  time.Time
	awaiting   map[chan struct{}]struct{} // closed and taken out at the next whole answer
}

// await returns a channel that is closed with the next whole answer, and how to
// end that.
func (r *behind) await() (<-chan struct{}, func()) {
	ch := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.awaiting == nil {
		r.awaiting = map[chan struct{}]struct{}{}
	}
	r.awaiting[ch] = struct{}{}
	return ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.awaiting, ch)
	}
}

func (r *behind) status() Behind {
	r.table.mu.Lock()
	n := len(r.table.byID)
	r.table.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	return Behind{RuntimeID: r.id, Component: r.announce.Component, Instances: n, Numbered: r.numbered(), AsOf: r.asOf}
}

// numbered reports whether the runtime numbers what it tells, and all that it has
// told has been taken over. The caller holds mu.
func (r *behind) numbered() bool {
	return (r.own.known || r.announce.Protocol > 0) && !r.table.short.Load()
}

// note takes in the number of a notice: what is missing before it is asked for.
func (r *behind) note(seq uint64) {
	r.numbers(func(m *missing) uint64 { return m.note(seq) })
}

// hint takes in how many notices the runtime says that there are.
func (r *behind) hint(seq uint64, now time.Time) {
	r.numbers(func(m *missing) uint64 {
		m.hint(seq, now)
		return 0
	})
}

// overdue has asked for what did not come of what the runtime spoke of.
func (r *behind) overdue(now time.Time) {
	r.numbers(func(m *missing) uint64 { return m.overdue(now) })
}

// numbers takes in what is heard of the runtime's numbers: f returns how many are
// missing, which are asked for. One that numbers after all is announced as such.
func (r *behind) numbers(f func(*missing) uint64) {
	r.mu.Lock()
	gap := f(&r.own)
	r.mu.Unlock()
	r.describe()
	if gap > 0 {
		r.s.b.counts.add(countGaps, int(min(gap, 1<<30)))
		r.s.owe(r, time.Now())
	}
}

// describe announces the runtime anew when it numbers after all what it tells, or not
// all was taken over.
func (r *behind) describe() {
	r.mu.Lock()
	numbered, a := r.numbered(), r.announce
	changed := numbered == r.followed
	r.followed = !numbered
	r.mu.Unlock()
	if changed {
		r.guest.Describe(toAnnounce(a, numbered))
	}
}

// noRoom counts what the table had no room for since it had refused so many.
func (r *behind) noRoom(before uint64) (n uint64) {
	if n = r.table.refused.Load() - before; n > 0 {
		r.s.b.counts.add(countNoRoom, int(n))
	}
	r.describe()
	return n
}

// component is the one that the runtime hosts.
func (r *behind) component() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.announce.Component
}

// answers reports whether the runtime answers commands.
func (r *behind) answers() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.announce.Protocol > 0
}

// tell takes in a notice and passes on what is news.
func (r *behind) tell(k Kind, b *Body) {
	n := toNotice(k, b)
	if n == nil {
		return
	}
	var wireSeq uint64
	if b.Seq != nil {
		wireSeq = *b.Seq
	}
	if !n.Kind.Numbered() {
		r.guest.Tell([]mesh.Notice{*n})
		return
	}
	r.mu.Lock()
	if n.Kind == mesh.KindCompleted && n.Status == "" {
		n.Status = r.ends(n.Machine, n.State)
	}
	r.mu.Unlock()
	if wireSeq != 0 {
		r.note(wireSeq)
	}
	// Numbered and handed over in one go, so that notices leave in the order of
	// their numbers.
	r.telling.Lock()
	defer r.telling.Unlock()
	refused := r.table.refused.Load()
	if !r.table.apply(n, wireSeq) {
		if r.noRoom(refused) == 0 {
			r.s.b.counts.add(countOld, 1)
		}
		return
	}
	r.guest.Tell([]mesh.Notice{*n})
	r.s.b.counts.add(countTold, 1)
	r.wake(n)
}

// take takes in an answer of the runtime, whole or in chunks. What a merged one left
// out is asked for again.
func (r *behind) take(b *Body, now time.Time) (whole bool) {
	r.mu.Lock()
	rows := *b.Instances
	if b.Chunk > 0 {
		if b.Chunk == 1 {
			r.dropChunks()
			r.chunkOf = b.CorrelationID
		}
		if b.Chunk != r.chunk+1 || b.CorrelationID != r.chunkOf {
			r.mu.Unlock()
			r.s.b.counts.add(countLate, 1)
			return false
		}
		if len(r.chunks)+len(rows) > maxRows || !b.Last && !r.table.change(rowsBytes(rows)) {
			r.dropChunks()
			r.table.short.Store(true)
			r.mu.Unlock()
			r.s.b.counts.add(countNoRoom, 1)
			r.describe()
			return false
		}
		r.chunks, r.chunk = append(r.chunks, rows...), b.Chunk
		if !b.Last {
			r.chunkBytes += rowsBytes(rows)
			r.mu.Unlock()
			return false
		}
		rows = r.chunks
		r.dropChunks()
	}
	whole = !b.Merged || b.LeftOut == 0
	if !whole {
		r.table.short.Store(true)
	}
	if whole && r.own.answered(b.AsOf) {
		r.owes.Store(false)
	}
	ends := r.ends
	r.mu.Unlock()
	r.telling.Lock()
	defer r.telling.Unlock()
	refused := r.table.refused.Load()
	notices := r.table.reconcile(rows, b.Timestamp, b.AsOf, whole, ends)
	for len(notices) > 0 {
		n := min(len(notices), 500)
		r.guest.Tell(notices[:n])
		notices = notices[n:]
	}
	if r.noRoom(refused) > 0 || !whole {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asOf = now
	for ch := range r.awaiting {
		close(ch)
		delete(r.awaiting, ch)
	}
	return true
}

// dropChunks forgets the answer that is not whole. The caller holds mu.
func (r *behind) dropChunks() {
	r.table.change(-r.chunkBytes)
	r.chunks, r.chunk, r.chunkBytes = nil, 0, 0
}

// watch returns a channel on which the next change of an instance comes, or with
// "" the next creation, and how to end that.
func (r *behind) watch(instance string) (<-chan *mesh.Notice, func()) {
	ch := make(chan *mesh.Notice, 8)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watchers == nil {
		r.watchers = map[string][]chan *mesh.Notice{}
	}
	r.watchers[instance] = append(r.watchers[instance], ch)
	return ch, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		list := r.watchers[instance]
		for i := range list {
			if list[i] == ch {
				list = append(list[:i:i], list[i+1:]...)
				break
			}
		}
		if r.watchers[instance] = list; len(list) == 0 {
			delete(r.watchers, instance)
		}
	}
}

func (r *behind) wake(n *mesh.Notice) {
	name := n.Instance
	if n.Kind == mesh.KindCreated {
		name = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ch := range r.watchers[name] {
		select {
		case ch <- n:
		default: // it has enough to look at
		}
	}
}

// hear takes in that the runtime is there.
func (r *behind) hear(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = now
}
