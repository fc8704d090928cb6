package fsm

import (
	"context"
	"iter"
)

// How a directory of instances is kept exact: by what it is told (Watch), by
// asking what the notices were about that it missed (Changed and Look), and by
// reading the table piece by piece (Piece). The runtime keeps no state of any
// of this.

// Seq returns the number of the last notice of a component. Who reads that it
// is n and then looks finds every change up to n. It is 0 for a component that
// is not hosted.
func (rt *Runtime) Seq(component string) uint64 {
	if c := rt.comps[component]; c != nil {
		return rt.numbers[c.index].last()
	}
	return 0
}

// Epoch returns a number that grows with each start of the runtime: that of its
// claim on the log, or without a store the time of its making in Unix
// milliseconds. It is 0 before the runtime runs.
func (rt *Runtime) Epoch() uint64 {
	if rt.phase.now.Load() < phaseRunning {
		return 0 // not known yet
	}
	return rt.epoch()
}

// LogID returns the id of the log that the runtime has claimed, or "" without a
// store and before the runtime runs.
func (rt *Runtime) LogID() string {
	if rt.phase.now.Load() < phaseRunning || rt.log == nil {
		return ""
	}
	return rt.log.ID()
}

// A SeqRange is the numbers from First to Last, both included.
type SeqRange struct{ First, Last uint64 }

// A ChangedInstance is what one notice was about.
type ChangedInstance struct {
	Seq uint64
	ID  string
}

// Changed returns which instances the notices with the given numbers were
// about, in the order of the ranges, the first most of them. Numbers that were
// not given yet are left out. tooOld is true, and nothing returned, if one of
// them is not remembered any more: at least the last 100,000 notices are, and
// as many as there are live instances.
func (rt *Runtime) Changed(component string, ranges []SeqRange, most int) (changed []ChangedInstance, tooOld bool) {
	c := rt.comps[component]
	if c == nil {
		return nil, false
	}
	return rt.numbers[c.index].changed(ranges, most)
}

func (n *numbering) changed(ranges []SeqRange, most int) (changed []ChangedInstance, tooOld bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := uint64(len(n.ring))
	for _, r := range ranges {
		r.First, r.Last = max(r.First, 1), min(r.Last, n.seq)
		if r.First > r.Last {
			continue
		}
		if r.First+size <= n.seq {
			return nil, true
		}
		for seq := r.First; seq <= r.Last && len(changed) < most; seq++ {
			changed = append(changed, ChangedInstance{seq, n.ring[seq%size]})
		}
	}
	return changed, false
}

// A Found is what became of an id.
type Found struct {
	// Instance is the live, ended or quarantined instance; nil if none is
	// known.
	Instance *Instance
	// Seq is that of the instance's last notice, or, where there is none, the
	// number of the component's last notice at the moment of looking.
	Seq uint64
}

// Look returns how each of the instances is now, in the order of the ids. It
// looks inside the instances' shards, between two steps, so that all that was
// numbered before is visible. It fails with ErrUnknownComponent, ErrNotRunning
// and the context's error.
func (rt *Runtime) Look(ctx context.Context, component string, ids []string) ([]Found, error) {
	c := rt.comps[component]
	if c == nil {
		return nil, &Error{Code: CodeUnknownComponent, Component: component}
	}
	byShard := map[*shard][]int{}
	for i, id := range ids {
		sh := rt.shardOf(id)
		byShard[sh] = append(byShard[sh], i)
	}
	out := make([]Found, len(ids))
	for sh, at := range byShard {
		found := make([]Found, len(at))
		err := sh.visit(ctx, func() {
			for n, i := range at {
				found[n] = sh.look(c, ids[i])
			}
		})
		if err != nil {
			return nil, err // found may still be written to
		}
		for n, i := range at {
			out[i] = found[n]
		}
	}
	return out, nil
}

// look finds what is known of an id. The number for what is not there is read
// under the lock of the table, so that no creation of the id lies between.
func (sh *shard) look(c *component, id string) Found {
	sh.tab.mu.RLock()
	s := sh.tab.byID[id]
	last := sh.rt.numbers[c.index].last()
	sh.tab.mu.RUnlock()
	if s == nil {
		s = sh.rt.ended.get(id)
	}
	if s == nil {
		return Found{Seq: last}
	}
	in := s.cur.Load()
	if in.st.m.comp != c {
		return Found{Seq: last}
	}
	return Found{in, in.seq}
}

// Shards returns the number of parts of the table. It never changes.
func (rt *Runtime) Shards() int { return len(rt.shards) }

// A Piece is some instances of one shard.
type Piece struct {
	// AsOf is the number of the component's last notice before looking.
	AsOf  uint64
	Slots []PieceSlot
	// Next is the slot to go on from, -1 at the end of the shard.
	Next int
}

// A PieceSlot is an instance with its place in its shard, which it keeps for
// life: whatever is there during a whole reading is in one of its pieces.
type PieceSlot struct {
	Number   int
	Instance *Instance
}

// pieceSlots is how many places one piece looks at, at most.
const pieceSlots = 10_000

// Piece returns instances of a component in one shard from a slot on, in the
// order of slots, the first most of them. It fails with ErrUnknownComponent,
// ErrBadValue if there is no such shard, ErrNotRunning and the context's error.
func (rt *Runtime) Piece(ctx context.Context, component string, shardNo, from, most int) (Piece, error) {
	c := rt.comps[component]
	if c == nil {
		return Piece{}, &Error{Code: CodeUnknownComponent, Component: component}
	}
	if shardNo < 0 || shardNo >= len(rt.shards) || from < 0 {
		return Piece{}, &Error{Code: CodeBadValue, Detail: "there is no such shard or slot"}
	}
	sh := rt.shards[shardNo]
	p := &Piece{Next: -1}
	err := sh.visit(ctx, func() {
		p.AsOf = rt.numbers[c.index].last()
		sh.tab.mu.RLock()
		defer sh.tab.mu.RUnlock()
		end := min(len(sh.tab.slots), from+pieceSlots)
		at := from
		for ; at < end && len(p.Slots) < most; at++ {
			if s := sh.tab.slots[at]; s != nil {
				if in := s.cur.Load(); in.st.m.comp == c {
					p.Slots = append(p.Slots, PieceSlot{at, in})
				}
			}
		}
		if at < len(sh.tab.slots) {
			p.Next = at
		}
	})
	if err != nil {
		return Piece{}, err // p may still be written to
	}
	return *p, nil
}

// visit runs f as the shard's owner and waits for it. A shard that was visited
// has made visible all that had been numbered before.
func (sh *shard) visit(ctx context.Context, f func()) error {
	done := make(chan struct{})
	sh.post(item{f: func() {
		defer close(done)
		f()
	}})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-sh.rt.dead:
		return sh.rt.notRunning()
	}
}

// WatchBatches is Watch for readers that pass on what they read: it yields
// some of the notices that wait at a time, and an empty batch once it has yielded
// all that waited when it last looked: that is the moment to pass on what was kept
// for more to come. A batch is good until the next step of the iteration.
func (rt *Runtime) WatchBatches(ctx context.Context, o WatchOptions) iter.Seq2[[]Notice, error] {
	w, stop := rt.watch(ctx, o)
	return func(yield func([]Notice, error) bool) {
		defer stop()
		w.read(ctx, rt.dead, yield)
	}
}
