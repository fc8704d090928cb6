package fsm

import (
	"context"
	"errors"
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
	more    chan struct{} // room for one
	done    chan struct{}
	// under is held from before a commit until the shards have been told of it.
	under chan struct{}
}

// maxCommit bounds the records of one commit.
const maxCommit = 1000

func newCommitter(rt *Runtime) *committer {
	return &committer{rt: rt, more: make(chan struct{}, 1), done: make(chan struct{}), under: make(chan struct{}, 1)}
}

func (c *committer) submit(b *batch) {
	c.mu.Lock()
	c.waiting = append(c.waiting, b)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take returns some of what waits, in order.
func (c *committer) take() []*batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, records, bytes := 0, 0, 0
	for n < len(c.waiting) && (n == 0 || records < maxCommit && bytes < groupBytes) {
		records += len(c.waiting[n].steps)
		bytes += c.waiting[n].bytes
		n++
	}
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

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.more:
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
	for _, b := range batches {
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
	unknown := false
	for attempts := 0; ; attempts++ {
		err := rt.log.Append(rt.ctx, b)
		unknown = unknown || errors.Is(err, ErrUnknownOutcome)
		if !unknown || err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrFenced) {
			return err
		}
		rt.cfg.Logger.Warn("the store cannot say whether it stored a batch; asking again", "records", len(b.Records), "err", err)
		select {
		case <-time.After(backoff(attempts)):
		case <-rt.dead:
			return err
		}
	}
}
