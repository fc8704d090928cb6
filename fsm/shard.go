package fsm

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// What a turn may do before the batch is closed and others get a look in.
const (
	turnSteps    = 1000 // over all roots
	outsideSteps = 200  // of them for outside events
	rootSteps    = 100  // of one root, before it goes to the back
	crowded      = 10_000
	crowdedSteps = 16 // outside events a turn while that many inside ones wait
	// foreignSteps is how many others' events a caller handles after its own
	// before it hands the shard over.
	foreignSteps = 128
	// What a shard may have given to the store without an answer: batches, and
	// turns that made them. One that waits grows turn by turn, see committer.
	maxInFlight = 4
	maxTurns    = 64
)

// A shard owns the instances whose id hashes to it: it alone takes them from
// one state to the next. It is itself owned by one goroutine at a time, the
// caller that found it idle or one of the runtime's.
type shard struct {
	rt *Runtime
	n  int

	owned atomic.Bool
	// inbox is what comes from outside. It is bounded: a full one makes
	// callers wait.
	inbox chan *delivery

	// in is what comes from inside: from other shards, timers, the committer,
	// hooks. It is not bounded here but by what one root may lead to: a
	// shard must never wait for another.
	mu     sync.Mutex // guards in
	in     []item
	inSize atomic.Int32

	tab *table
	// tallies are by machine.at.
	tallies []tally

	// The rest belongs to the owner.
	ready    queue[*rootQueue] // that have something to handle
	roots    map[*root]*rootQueue
	waiting  int                 // deliveries in roots
	freed    queue[*slot]        // with something held back that may be taken up
	creating map[string]creating // by the id that is on its way to the table
	batch    *batch
	spare    *batch // to be used again
	inFlight int    // batches
	turns    int    // of the batches in flight
	// kept is the next of the inbox, taken out when it could not be handled yet.
	kept   *delivery
	timers timerHeap
	env    stepEnv
	whole  Record // the last one that was encoded

	// waits is the last batch that the committer has not taken up yet, or nil.
	// The committer's lock guards it.
	waits *batch

	// answers are the shard's batches of the commit under way. It belongs to
	// the committer.
	answers []*batch
}

// An item is one thing posted to a shard: a delivery, or something to run as
// its owner.
type item struct {
	d *delivery
	f func()
}

// A rootQueue is what one root still has to do in one shard, in order.
type rootQueue struct {
	root   *root
	q      queue[turnItem]
	listed bool
	// blocked is set with Ordered while the one taken last is not complete.
	blocked bool
}

// A turnItem is a delivery, or the slot whose box has the next one. Roots take
// turns, but what an instance was sent is handled in the order in which it
// came, whichever root's turn it is.
type turnItem struct {
	d *delivery
	s *slot
}

func newShard(rt *Runtime, n int) *shard {
	sh := &shard{rt: rt, n: n, inbox: make(chan *delivery, rt.cfg.Inbox), roots: map[*root]*rootQueue{}, creating: map[string]creating{}, tab: newTable(rt.list)}
	sh.env = stepEnv{rt: rt, own: sh}
	for _, c := range rt.list {
		sh.tallies = append(sh.tallies, make([]tally, len(c.list))...)
	}
	return sh
}

// offer puts an outside delivery into the inbox and sees that somebody takes
// it. It blocks while the inbox is full, until the context ends.
func (sh *shard) offer(ctx context.Context, d *delivery) error {
	sh.rt.work.add(1)
	select {
	case sh.inbox <- d:
	default:
		select {
		case sh.inbox <- d:
		case <-ctx.Done():
			sh.rt.work.done(1)
			return context.Cause(ctx)
		case <-sh.rt.dead:
			sh.rt.work.done(1)
			return sh.rt.notRunning()
		}
	}
	return nil
}

// post puts something in from inside. It never blocks.
func (sh *shard) post(it item) {
	sh.leave(it)
	sh.wake()
}

// leave is post without a goroutine to take it: the caller sees to that.
func (sh *shard) leave(it item) {
	sh.rt.work.add(1)
	sh.mu.Lock()
	sh.in = append(sh.in, it)
	sh.inSize.Store(int32(len(sh.in)))
	sh.mu.Unlock()
}

// wake makes sure that a goroutine owns the shard.
func (sh *shard) wake() {
	if !sh.owned.Load() && sh.owned.CompareAndSwap(false, true) {
		if !sh.rt.spawn(func() {
			if sh.rt.waits {
				runtime.Gosched() // callers that are ready leave theirs before
			}
			sh.run(-1)
		}) {
			sh.owned.Store(false)
		}
	}
}

// wakeAll is wake for many at once: a few goroutines go from shard to shard. Each
// hands a shard with much to do over, so that none waits long for another.
func (rt *Runtime) wakeAll(shards []*shard) {
	parts := min(runtime.GOMAXPROCS(0), len(shards))
	for i := range parts {
		own := shards[i*len(shards)/parts : (i+1)*len(shards)/parts]
		rt.spawn(func() {
			for _, sh := range own {
				if !sh.owned.Load() && sh.owned.CompareAndSwap(false, true) {
					sh.run(foreignSteps)
				}
			}
		})
	}
}

// idle reports whether nothing waits. Only the owner may rely on it.
func (sh *shard) idle() bool {
	return len(sh.inbox) == 0 && sh.inSize.Load() == 0 && sh.ready.len() == 0 && sh.freed.len() == 0
}

// full reports whether the store has to answer before more is taken up.
func (sh *shard) full() bool { return sh.inFlight >= maxInFlight || sh.turns >= maxTurns }

// run works until nothing waits, as the owner, and gives the ownership up. With
// a bound it hands over to a goroutine of the runtime's after so many steps.
func (sh *shard) run(bound int) {
	for {
		n := sh.turn()
		if bound >= 0 {
			if bound -= n; bound < 0 && !sh.idle() {
				if sh.rt.spawn(func() { sh.run(-1) }) {
					return
				}
			}
		}
		if n > 0 {
			continue
		}
		// With too much in flight the shard waits for the store's answer, which
		// is posted, as it is if the store ails: see refuseOutside.
		leaves := sh.full() && (sh.kept != nil || sh.rt.ails.why() == nil)
		sh.owned.Store(false)
		// Whoever put something in meanwhile may have seen the shard owned.
		if sh.inSize.Load() == 0 && (leaves || len(sh.inbox) == 0) || !sh.owned.CompareAndSwap(false, true) {
			return
		}
	}
}

// turn takes up some of what waits and returns how much that was.
func (sh *shard) turn() int {
	if sh.rt.halted.Load() {
		return sh.discard()
	}
	n := sh.takePosted()
	if sh.full() {
		return n + sh.refuseOutside()
	}
	outside := outsideSteps
	if sh.waiting > crowded {
		outside = crowdedSteps
	}
	n += sh.takeFreed(turnSteps)
	n += sh.takeOutside(outside)
	for steps := turnSteps - outside; steps > 0 && sh.ready.len() > 0 && !sh.full(); {
		taken := sh.takeRoot(min(rootSteps, steps))
		n += taken
		steps -= max(taken, 1)
	}
	sh.seal()
	return n
}

// discard drops what waits once the runtime has ended: nothing of it was
// stored, and callers are told so.
func (sh *shard) discard() int {
	sh.mu.Lock()
	n := len(sh.in)
	sh.in = nil
	sh.inSize.Store(0)
	sh.mu.Unlock()
	for len(sh.inbox) > 0 {
		(<-sh.inbox).reply(Result{}, sh.rt.notRunning())
		n++
	}
	if sh.kept != nil {
		sh.kept = nil
		n++
	}
	for ; sh.freed.len() > 0; n++ {
		sh.freed.pop()
	}
	for ; sh.ready.len() > 0; n++ {
		sh.ready.pop()
	}
	if sh.batch != nil {
		sh.batch = nil
		n++
	}
	sh.timers.cancel()
	sh.rt.work.done(n)
	return 0
}

func (sh *shard) takePosted() int {
	if sh.inSize.Load() == 0 {
		return 0
	}
	sh.mu.Lock()
	items := sh.in
	sh.in = nil
	sh.inSize.Store(0)
	sh.mu.Unlock()
	for _, it := range items {
		if it.f != nil {
			it.f()
		} else {
			sh.enqueue(it.d)
		}
		sh.rt.work.done(1)
	}
	return len(items)
}

func (sh *shard) takeOutside(most int) int {
	if d := sh.kept; d != nil {
		sh.kept = nil
		sh.handle(d)
		sh.rt.work.done(1)
	}
	for n := range most {
		if sh.full() {
			return n
		}
		select {
		case d := <-sh.inbox:
			sh.handle(d)
			sh.rt.work.done(1)
		default:
			return n
		}
	}
	return most
}

// enqueue adds a delivery to those of its root.
func (sh *shard) enqueue(d *delivery) {
	rq := sh.roots[d.root]
	if rq == nil {
		rq = &rootQueue{root: d.root}
		sh.roots[d.root] = rq
	}
	it := turnItem{d: d}
	if s := sh.tab.get(d.target); s != nil && d.kind == deliverEvent {
		if s.box == nil {
			s.box = &queue[*delivery]{}
		}
		s.box.push(d)
		it = turnItem{s: s}
	}
	rq.q.push(it)
	sh.waiting++
	sh.list(rq)
}

func (sh *shard) list(rq *rootQueue) {
	if !rq.listed && !rq.blocked && rq.q.len() > 0 {
		rq.listed = true
		sh.ready.push(rq)
		sh.rt.work.add(1)
	}
}

// takeRoot handles some of the next root's deliveries.
func (sh *shard) takeRoot(most int) int {
	rq := sh.ready.pop()
	rq.listed = false
	defer sh.rt.work.done(1)
	n := 0
	for ; n < most && !rq.blocked && rq.q.len() > 0 && !sh.full(); n++ {
		d := rq.q.pop().next()
		sh.waiting--
		if sh.rt.cfg.Ordered {
			d.queue = rq
			rq.blocked = true
		}
		sh.handle(d)
	}
	switch {
	case rq.blocked:
	case rq.q.len() == 0:
		delete(sh.roots, rq.root)
	default:
		sh.list(rq)
	}
	return n
}

func (it turnItem) next() *delivery {
	if it.s == nil {
		return it.d
	}
	d := it.s.box.pop()
	if it.s.box.len() == 0 {
		it.s.box = nil
	}
	return d
}

// complete is called once a delivery has been handled, with its commit and its
// notices.
func (sh *shard) complete(d *delivery) {
	d.completed = true
	d.root.finish()
	sh.unblock(d)
}

// unblock lets the rest of an ordered root go on.
func (sh *shard) unblock(d *delivery) {
	if rq := d.queue; rq != nil {
		d.queue = nil
		rq.blocked = false
		if rq.q.len() == 0 {
			delete(sh.roots, rq.root)
		}
		sh.list(rq)
	}
	sh.timers.next(sh)
}
