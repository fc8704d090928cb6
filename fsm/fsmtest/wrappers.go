package fsmtest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// An appendStore changes how the logs of another store append.
type appendStore struct {
	fsm.Store
	waits  bool
	append func(ctx context.Context, log fsm.Log, b fsm.Batch) error
}

func (s *appendStore) Open(ctx context.Context, name string) (fsm.Log, error) {
	log, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &appendLog{log, s}, nil
}

type appendLog struct {
	fsm.Log
	store *appendStore
}

func (l *appendLog) Waits() bool { return l.store.waits || l.Log.Waits() }

func (l *appendLog) Append(ctx context.Context, b fsm.Batch) error {
	return l.store.append(ctx, l.Log, b)
}

// SlowStore returns the store with appends that take the delay, and that says
// so: a runtime goes on with other things meanwhile.
func SlowStore(s fsm.Store, delay time.Duration) fsm.Store {
	return &appendStore{s, true, func(ctx context.Context, log fsm.Log, b fsm.Batch) error {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		return log.Append(ctx, b)
	}}
}

// ErrFlaky is what the appends of a FlakyStore fail with.
var ErrFlaky = errors.New("the store is flaky")

// FlakyStore returns the store with every n-th append failing with ErrFlaky: by
// turns before anything is stored, and after all is stored. In the second case
// the error is fsm.ErrUnknownOutcome as well.
func FlakyStore(s fsm.Store, n int) fsm.Store {
	var count atomic.Int64
	return &appendStore{s, false, func(ctx context.Context, log fsm.Log, b fsm.Batch) error {
		turn := count.Add(1)
		if turn%int64(n) != 0 {
			return log.Append(ctx, b)
		}
		if turn/int64(n)%2 == 1 {
			return ErrFlaky
		}
		if err := log.Append(ctx, b); err != nil {
			return err
		}
		return &fsm.Error{Code: fsm.CodeUnknownOutcome, Err: ErrFlaky}
	}}
}

// A Counting is a store that counts what is appended to it.
type Counting struct {
	fsm.Store
	batches, records, done atomic.Int64
}

// CountingStore returns the store with its appends counted.
func CountingStore(s fsm.Store) *Counting {
	c := &Counting{}
	c.Store = &appendStore{s, false, func(ctx context.Context, log fsm.Log, b fsm.Batch) error {
		if err := log.Append(ctx, b); err != nil {
			return err
		}
		c.batches.Add(1)
		c.records.Add(int64(len(b.Records)))
		c.done.Add(int64(len(b.Done)))
		return nil
	}}
	return c
}

// Batches is the number of appends that succeeded.
func (c *Counting) Batches() int { return int(c.batches.Load()) }

// Records is the number of records in them.
func (c *Counting) Records() int { return int(c.records.Load()) }

// Done is the number of done marks in them.
func (c *Counting) Done() int { return int(c.done.Load()) }
