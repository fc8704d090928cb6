package fsm

// A batch is what one turn of a shard wants stored, all or nothing. While it is
// on its way to the store its instances are not stepped again.
type batch struct {
	sh    *shard
	steps []*stepping
	done  []EffectID // effects that led to no step
	// chosen are targets of effects of other runtimes.
	chosen []*pendingChoice
	bytes  int
	turns  int // of the shard, put together
	// closed is set once something that a step led to has to wait for the
	// commit: nothing may join any more then, or it could overtake that.
	closed bool
}

// A stepping is one step on its way to the store.
type stepping struct {
	s      *slot // nil for a creation, until it is entered
	before *Instance
	d      *delivery
	out    *outcome
	group  *group
	own    group      // for the first of a group
	order  uint64     // of a creation
	sent   bool       // it counts in s.inFlight
	done   []EffectID // effects that the step leads to nothing for
	rec    *Record
	made   []*Record // of out.created
	remote []*Effect // for other runtimes
}

// A group is a step together with what it led to and what was taken into the
// same batch. It is stored or dropped as a whole.
type group struct {
	steps int
	// next is what its steps led to and what is still to be handled: in this
	// batch as long as that goes without waiting for an instance or a hook,
	// else after the commit, in this order.
	next queue[*delivery]
}

// Bounds of what a group takes into one batch.
const (
	groupSteps = 1000
	groupBytes = 1 << 20
)

func (sh *shard) openBatch() *batch {
	if sh.batch == nil {
		sh.batch = sh.newBatch(nil, nil)
	}
	return sh.batch
}

// newBatch makes a batch, which counts as work until it is finished.
func (sh *shard) newBatch(steps []*stepping, done []EffectID) *batch {
	sh.rt.work.add(1)
	b := sh.spare
	if b == nil {
		b = &batch{sh: sh}
	}
	sh.spare = nil
	b.turns, b.steps, b.done = 1, append(b.steps, steps...), done
	return b
}

// keep holds on to the memory of a batch for a later one.
func (sh *shard) keep(b *batch) {
	clear(b.steps)
	*b = batch{sh: sh, steps: b.steps[:0]}
	sh.spare = b
}

// add puts a step into the open batch. Where commits take time, what it leads
// to joins it; where they don't, it is committed at once.
func (sh *shard) add(st *stepping) {
	g := &st.own
	sh.include(st, g)
	if sh.rt.waits {
		sh.join(g)
		if sh.batch.bytes >= groupBytes || len(sh.batch.steps) >= groupSteps {
			sh.seal()
		}
	} else {
		sh.seal()
	}
}

func (sh *shard) include(st *stepping, g *group) {
	b := sh.openBatch()
	st.group = g
	g.steps++
	b.steps = append(b.steps, st)
	for i := range st.out.created {
		st.out.created[i].order = sh.rt.order.Add(1)
	}
	if st.before == nil {
		st.order = sh.rt.order.Add(1)
	}
	if st.d.eventID != "" && !st.ignored() && st.s != nil {
		st.s.expect(SeenEvent{eventHash(st.d.eventID), st.out.after.version, st.out.after.st.name})
	}
	if !st.ignored() {
		sh.record(st)
	} else if st.d.isEffect {
		st.done = append(st.done, st.d.effect)
	}
	for i := range st.out.effects {
		sh.rt.deliveries(st, &st.out.effects[i])
	}
}

// join takes into the batch what the group's steps led to, first in, first out,
// as long as the target is in this shard and free and its transition runs no
// hook. A group never waits.
func (sh *shard) join(g *group) {
	for b := sh.batch; !b.closed && g.next.len() > 0; {
		d := g.next.peek()
		s, in, tr, ok := sh.joinable(d)
		if !ok || g.steps >= groupSteps || b.bytes >= groupBytes {
			b.closed = true
			return
		}
		g.next.pop()
		d.joined = true
		st := sh.step(s, in, tr, d)
		out := st.out
		if out.err != nil {
			d.joined, b.closed = false, true
			g.next.pushFront(d)
			return
		}
		if out.tr != nil {
			s.work = out.after
		}
		sh.include(st, g)
	}
}

func (sh *shard) joinable(d *delivery) (*slot, *Instance, *transition, bool) {
	if d.kind != deliverEvent || d.given.hops >= sh.rt.limits.Hops || sh.rt.shardOf(d.target) != sh {
		return nil, nil, nil, false
	}
	s := sh.tab.get(d.target)
	if s == nil || s.blocked() || s.box != nil {
		return nil, nil, nil, false
	}
	in := s.latest()
	if in.status != StatusActive {
		return nil, nil, nil, false
	}
	tr := d.given.transition(in)
	if tr != nil && sh.slow(tr) {
		return nil, nil, nil, false
	}
	return s, in, tr, true
}

// record makes the records of a step, if they are to be stored.
func (sh *shard) record(st *stepping) {
	if sh.rt.log == nil {
		return
	}
	for _, c := range st.out.created {
		st.made = append(st.made, sh.rt.creationRecord(c.in, c.order, st.d))
	}
	if st.before == nil {
		st.rec = sh.rt.creationRecord(st.out.after, st.order, st.d)
	} else {
		st.rec = sh.newRecord(st)
	}
	sh.batch.bytes += st.rec.size()
	for _, r := range st.made {
		sh.batch.bytes += r.size()
	}
}

// seal closes the open batch and has it stored.
func (sh *shard) seal() {
	if b := sh.batch; b != nil {
		sh.batch = nil
		sh.commit(b)
	}
}

func (sh *shard) commit(b *batch) {
	if !sh.rt.waits {
		var err error
		if sh.rt.log != nil {
			err = sh.rt.append(records([]*batch{b}))
		}
		sh.finish(b, err)
		if err == nil {
			sh.keep(b)
		}
		sh.rt.work.done(1)
		return
	}
	for _, st := range b.steps {
		if st.s != nil && !st.sent {
			st.s.inFlight++
			st.sent = true
		}
	}
	sh.turns++
	if sh.rt.committer.submit(b) {
		sh.keep(b)
		sh.rt.work.done(1)
		return
	}
	sh.inFlight++
}

// records are what the store gets of some batches, in the order in which the
// steps were taken.
func records(batches []*batch) (out Batch) {
	n := 0
	for _, b := range batches {
		for _, st := range b.steps {
			if st.rec != nil {
				n += 1 + len(st.made)
			}
		}
	}
	out.Records = make([]*Record, 0, n)
	for _, b := range batches {
		b.addTo(&out)
	}
	return out
}

func (b *batch) addTo(out *Batch) {
	out.Done = append(out.Done, b.done...)
	for _, c := range b.chosen {
		out.Chosen = append(out.Chosen, c.ChosenTargets)
	}
	for _, st := range b.steps {
		out.Done = append(out.Done, st.done...)
		if st.rec == nil {
			continue
		}
		late := st.made
		for i, c := range st.out.created {
			if c.early {
				out.Records = append(out.Records, st.made[i])
				late = st.made[i+1:]
			}
		}
		out.Records = append(out.Records, st.rec)
		out.Records = append(out.Records, late...)
	}
}

// answered takes the store's answer to a batch that was on its way.
func (sh *shard) answered(b *batch, err error) {
	sh.inFlight--
	sh.turns -= b.turns
	sh.finish(b, err)
	if err == nil {
		sh.keep(b)
	}
}

// finish ends a batch: everything of it becomes visible, or nothing does.
func (sh *shard) finish(b *batch, err error) {
	if err != nil {
		sh.fail(b, err)
		return
	}
	for _, c := range b.chosen {
		c.stored <- nil
	}
	for _, st := range b.steps {
		sh.publish(st)
	}
	for _, st := range b.steps {
		st.leave()
		sh.rt.tellStep(st)
		if st.before == nil {
			sh.created(st.out.after)
		}
		switch in := st.out.after; {
		case st.d.waiter == nil:
		case st.ignored():
			st.d.reply(Result{}, ignoredError(in, st.d.given.event))
		default:
			st.d.reply(Result{Record: RecordID{in.id, in.version}, State: in.st.name, Version: in.version, Seq: in.seq, Instance: in}, nil)
		}
	}
	for _, st := range b.steps {
		for st.group.next.len() > 0 {
			sh.dispatch(st.group.next.pop())
		}
		for _, e := range st.remote {
			sh.rt.outbox.add(RecordID{st.out.after.id, st.out.after.version}, e, st.out.after.updated)
		}
	}
	for _, st := range b.steps {
		sh.complete(st.d)
		sh.release(st.s)
		sh.rt.land(st)
	}
}

// leave takes the step's mark off its slot. One that was ignored left no working
// copy, and there may be one of a later step by now.
func (st *stepping) leave() {
	if st.s == nil {
		return
	}
	if st.sent {
		st.sent = false
		st.s.inFlight--
	}
	if !st.ignored() {
		st.s.work = nil
		if st.s.seen != nil {
			st.s.seen.open = nil
		}
	}
}

// ignored reports whether no transition took the event.
func (st *stepping) ignored() bool { return st.before != nil && st.out.tr == nil }

// dispatch sends a delivery on its way.
func (sh *shard) dispatch(d *delivery) {
	if target := sh.rt.shardOf(d.target); target != sh {
		target.post(item{d: d})
		return
	}
	sh.enqueue(d)
}
