package main

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A memory is a store that keeps its one log in memory and takes a while for
// each append, as a disk would. It does what the bench needs of a store.
type memory struct {
	wait    time.Duration
	appends atomic.Int64
	stored  atomic.Int64 // records

	mu       sync.Mutex // guards all below
	claim    fsm.Claim
	records  []*fsm.Record
	done     []fsm.EffectID
	versions map[string]uint64
}

func newMemory(wait time.Duration) *memory {
	return &memory{wait: wait, versions: map[string]uint64{}}
}

// Open returns the log. The name does not matter: there is one.
func (m *memory) Open(context.Context, string) (fsm.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryLog{m: m, last: m.claim}, nil
}

// A memoryLog is the log as one opener has it.
type memoryLog struct {
	m    *memory
	last fsm.Claim // in force when it was opened
	mine fsm.Claim
	read int // records that Restore has read
}

func (l *memoryLog) ID() string           { return "bench" }
func (l *memoryLog) LastClaim() fsm.Claim { return l.last }
func (l *memoryLog) Waits() bool          { return l.m.wait > 0 }
func (l *memoryLog) Close() error         { return nil }

// Restore yields the last snapshot of each instance, then later records.
func (l *memoryLog) Restore(context.Context) iter.Seq2[fsm.Restored, error] {
	return func(yield func(fsm.Restored, error) bool) {
		l.m.mu.Lock()
		records, done := l.m.records[l.read:], l.m.done
		l.read = len(l.m.records)
		l.m.mu.Unlock()
		last := map[string]*fsm.Snapshot{}
		for _, r := range records {
			if r.Snapshot != nil {
				last[r.Instance] = r.Snapshot
			}
		}
		for _, s := range last {
			if !yield(fsm.Restored{Snapshot: s}, nil) {
				return
			}
		}
		for _, r := range records {
			if s := last[r.Instance]; s != nil && r.Version <= s.Version {
				continue
			}
			if !yield(fsm.Restored{Record: r}, nil) {
				return
			}
		}
		for i := range done {
			if !yield(fsm.Restored{Done: &done[i]}, nil) {
				return
			}
		}
	}
}

// Claim makes this opener the one that may append.
func (l *memoryLog) Claim(_ context.Context, by string) (fsm.Claim, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.read != len(l.m.records) {
		return fsm.Claim{}, fsm.ErrConflict
	}
	now := time.Now().UnixMilli()
	l.mine = fsm.Claim{Epoch: max(l.m.claim.Epoch+1, uint64(now)), By: by, At: now}
	l.m.claim = l.mine
	return l.mine, nil
}

// Append waits, then stores the batch.
func (l *memoryLog) Append(_ context.Context, b fsm.Batch) error {
	if l.m.wait > 0 {
		time.Sleep(l.m.wait)
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.mine != l.m.claim {
		return fsm.ErrFenced
	}
	if len(b.Records) > 0 && l.m.versions[b.Records[0].Instance] >= b.Records[0].Version {
		return nil // stored before
	}
	next := map[string]uint64{}
	for _, r := range b.Records {
		v, ok := next[r.Instance]
		if !ok {
			v = l.m.versions[r.Instance]
		}
		if r.Version != v+1 {
			return fmt.Errorf("%w: instance %s is at version %d, not %d", fsm.ErrConflict, r.Instance, v, r.Version-1)
		}
		next[r.Instance] = r.Version
	}
	for id, v := range next {
		l.m.versions[id] = v
	}
	l.m.records = append(l.m.records, b.Records...)
	l.m.done = append(l.m.done, b.Done...)
	l.m.appends.Add(1)
	l.m.stored.Add(int64(len(b.Records)))
	return nil
}

// History yields the records of one instance.
func (l *memoryLog) History(_ context.Context, instance string, after uint64) iter.Seq2[*fsm.Record, error] {
	return func(yield func(*fsm.Record, error) bool) {
		l.m.mu.Lock()
		if l.m.versions[instance] <= after {
			l.m.mu.Unlock()
			return
		}
		records := l.m.records
		l.m.mu.Unlock()
		for _, r := range records {
			if r.Instance == instance && r.Version > after && !yield(r, nil) {
				return
			}
		}
	}
}

// Retain keeps everything.
func (l *memoryLog) Retain(context.Context, func(component, machine string) fsm.Cut) error {
	return nil
}

// Caused and Ended are not measured here.
func (l *memoryLog) Caused(context.Context, fsm.RecordID) iter.Seq2[*fsm.Record, error] {
	return func(func(*fsm.Record, error) bool) {}
}

func (l *memoryLog) Ended(context.Context) iter.Seq2[*fsm.Snapshot, error] {
	return func(func(*fsm.Snapshot, error) bool) {}
}
