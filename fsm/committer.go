package fsm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// A committer has batches stored, where that takes time. While one commit is on
// its way it gathers what the shards bring. Nothing it does blocks a shard:
// what it is given and what it gives back are bounded by the batches that
// shards may have in flight.
type committer struct {
	rt *Runtime

	mu      sync.Mutex // guards waiting
	waiting []*batch
	records int           // about as many steps are in them
	more    chan struct{} // room for one
	done    chan struct{}
	// under is held from before a commit until the shards have been told of it.
	under chan struct{}
	// rest is what of a commit waits to be tried by itself. It belongs to whoever
	// holds under.
	rest []*batch
}

// maxCommit bounds the records of one commit.
const maxCommit = 1000

func newCommitter(rt *Runtime) *committer {
	return &committer{rt: rt, more: make(chan struct{}, 1), done: make(chan struct{}), under: make(chan struct{}, 1)}
}

// mergedSteps bounds the batches of one shard that are put together.
const mergedSteps = 250

// submit takes a batch. It reports whether that became a part of the shard's last
// one, which still waits: the batch is its shard's again then.
func (c *committer) submit(b *batch) (merged bool) {
	c.mu.Lock()
	if why := c.rt.ails.why(); why != nil {
		c.mu.Unlock()
		b.sh.post(item{f: func() { b.sh.answered(b, why) }})
		c.rt.work.done(1)
		return false
	}
	c.records += len(b.steps)
	last := b.sh.waits
	merged = last != nil && last.merge(b)
	if !merged {
		b.sh.waits = b
		c.waiting = append(c.waiting, b)
	}
	c.mu.Unlock()
	if merged {
		return true
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
	return false
}

// merge puts the steps of a later batch of the shard behind its own, unless it is
// closed or large.
func (b *batch) merge(later *batch) bool {
	if b.closed || len(b.steps)+len(later.steps) > mergedSteps || b.bytes+later.bytes > groupBytes/4 {
		return false
	}
	b.steps = append(b.steps, later.steps...)
	b.done = append(b.done, later.done...)
	b.chosen = append(b.chosen, later.chosen...)
	b.bytes += later.bytes
	b.turns += later.turns
	b.closed = later.closed
	return true
}

// take returns some of what waits, in order.
func (c *committer) take() []*batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, records, bytes := 0, 0, 0
	for n < len(c.waiting) && (n == 0 || records < maxCommit && bytes < groupBytes) {
		records += len(c.waiting[n].steps)
		bytes += c.waiting[n].bytes
		if sh := c.waiting[n].sh; sh.waits == c.waiting[n] {
			sh.waits = nil
		}
		n++
	}
	c.records -= records
	out := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) > 0 {
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
	return out
}

// gather lets goroutines that are ready to run go first, as long as they bring
// something: where processors are short, a commit for each few records would take
// what the callers need.
func (c *committer) gather() {
	for had := 0; ; {
		c.mu.Lock()
		records := c.records
		c.mu.Unlock()
		if records <= had || records >= maxCommit {
			return
		}
		had = records
		runtime.Gosched()
	}
}

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.more:
			c.gather()
			c.commit(c.take())
		case <-c.rt.dead:
			return
		}
	}
}

func (c *committer) commit(batches []*batch) {
	if len(batches) == 0 {
		return
	}
	c.under <- struct{}{}
	defer func() { <-c.under }()
	err := c.rt.append(records(batches))
	if err != nil && !errors.Is(err, ErrFenced) && len(batches) > 1 {
		c.oneByOne(batches)
		return
	}
	c.answer(batches, err)
}

// pass waits until the commit that is on its way now has been told to the
// shards. Whoever waits here comes before the next commit.
func (c *committer) pass(ctx context.Context) error {
	select {
	case c.under <- struct{}{}:
		<-c.under
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.rt.dead:
		return c.rt.notRunning()
	}
}

// oneByOne stores batches that could not be stored together: one of them may be
// to blame, and the others not to suffer. When several fail in a row it is the
// store, and the rest need not be tried.
func (c *committer) oneByOne(batches []*batch) {
	var err error
	failed := 0
	for c.rest = batches; len(c.rest) > 0; {
		b := c.rest[0]
		c.rest = c.rest[1:] // refused at once if the store begins to ail
		if failed < 3 {
			if err = c.rt.append(records([]*batch{b})); err == nil || errors.Is(err, ErrConflict) {
				failed = 0
			} else {
				failed++
			}
		}
		c.answer([]*batch{b}, err)
	}
}

// answer gives the outcome of a commit to the shards whose batches they are.
func (c *committer) answer(batches []*batch, err error) {
	var shards []*shard
	for _, b := range batches {
		if len(b.sh.answers) == 0 {
			shards = append(shards, b.sh)
		}
		b.sh.answers = append(b.sh.answers, b)
	}
	for _, sh := range shards {
		own := sh.answers
		sh.answers = nil
		sh.leave(item{f: func() {
			for _, b := range own {
				sh.answered(b, err)
			}
		}})
	}
	c.rt.work.done(len(batches))
	c.rt.wakeAll(shards)
}

// append stores a batch. While the store cannot say whether it did, the same
// batch is appended again.
func (rt *Runtime) append(b Batch) error {
	if len(b.Records) == 0 && len(b.Done) == 0 && len(b.Chosen) == 0 {
		return nil
	}
	if err := rt.Err(); err != nil {
		return err
	}
	// Once an attempt may have been stored, an error of a later one proves
	// nothing: only success, a conflict and a takeover tell.
	unknown, begin := false, time.Now()
	for attempts := 0; ; attempts++ {
		asked := time.Now()
		err := rt.log.Append(rt.ctx, b)
		rt.commits.count(err, time.Since(asked))
		unknown = unknown || errors.Is(err, ErrUnknownOutcome)
		if !unknown || err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrFenced) {
			rt.storeWorks()
			return err
		}
		if attempts > 0 || time.Since(begin) > patience {
			rt.storeAils(b, err)
		}
		rt.cfg.Logger.Warn("the store cannot say whether it stored a batch; asking again", "records", len(b.Records), "err", err)
		select {
		case <-time.After(backoff(attempts)):
		case <-rt.dead:
			return err
		}
	}
}
