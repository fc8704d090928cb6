package fsm

// publish makes a stored step visible: what it created is entered, then its
// instance moves on. Numbers are given in the same step.
func (sh *shard) publish(st *stepping) {
	sh.count(st)
	for _, c := range st.out.created {
		sh.rt.shardOf(c.in.id).enter(c.in, c.order, sh)
	}
	switch {
	case st.before == nil:
		st.s = sh.enter(st.out.after, st.order, sh)
	case st.out.tr != nil:
		sh.advance(st.s, st.before, st.out.after, st.out.numbered)
		if st.d.eventID != "" {
			st.s.remember(SeenEvent{eventHash(st.d.eventID), st.out.after.version, st.out.after.st.name})
		}
		if sh.rt.log == nil {
			st.s.keep(st.before, st.d, st.out)
		}
	}
	if st.d.given.timer != nil {
		st.s.firing = false
	}
	if st.before != nil {
		sh.arm(st.s, st.out.after)
	}
}

// advance moves a slot on to its next instance, with k numbered notices.
func (sh *shard) advance(s *slot, before, after *Instance, k int) {
	num := sh.rt.numbers[after.st.m.comp.index]
	after.seq = before.seq
	if !indexMoves(before, after) {
		if k > 0 {
			after.seq = num.next(s, k) + uint64(k) - 1
		}
		s.cur.Store(after)
		return
	}
	sh.tab.mu.Lock()
	if k > 0 {
		after.seq = num.next(s, k) + uint64(k) - 1
	}
	sh.tab.move(s, before, after)
	gone := after.status != StatusActive && !after.origin.entryPoint
	if gone {
		sh.tab.remove(s)
	}
	sh.tab.mu.Unlock()
	if gone {
		num.count(-1)
		sh.rt.places.leave(after)
		sh.rt.ended.add(s)
	}
}

// enter puts a new instance into this shard's table; from is the shard whose
// transition created it. It is entered and numbered in one hold of the table's
// lock.
func (sh *shard) enter(in *Instance, order uint64, from *shard) *slot {
	s := &slot{id: in.id, order: order, heapAt: -1}
	num := sh.rt.numbers[in.st.m.comp.index]
	num.count(1)
	sh.tab.mu.Lock()
	in.seq = num.next(s, 1)
	sh.tab.enter(s, in)
	sh.tab.mu.Unlock()
	sh.rt.places.settle(in)
	if len(in.timers) > 0 {
		arm := func() {
			// It may have moved on meanwhile.
			if sh.tab.get(s.id) == s {
				sh.arm(s, s.cur.Load())
			}
		}
		if from == sh {
			arm()
		} else {
			sh.post(item{f: arm})
		}
	}
	return s
}
