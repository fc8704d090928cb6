package fsmtest

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

// A snapshotStore is what scenarios call persistence without event sourcing:
// whoever opens it again finds the latest snapshots and nothing else. It holds
// one log and leaves out all checks.
type snapshotStore struct {
	mu     sync.Mutex // guards all below
	latest map[string]*fsm.Snapshot
	claim  fsm.Claim
}

func newSnapshotStore() *snapshotStore { return &snapshotStore{latest: map[string]*fsm.Snapshot{}} }

// snapshots returns the latest of each instance in the order of creation.
func (s *snapshotStore) snapshots() []*fsm.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.latest), func(a, b *fsm.Snapshot) int { return cmp.Compare(a.Origin.Order, b.Origin.Order) })
}

func (s *snapshotStore) Open(context.Context, string) (fsm.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &snapshotLog{store: s, last: s.claim, records: map[string][]*fsm.Record{}}, nil
}

// A snapshotLog keeps the records of this run, too.
type snapshotLog struct {
	store   *snapshotStore
	last    fsm.Claim
	records map[string][]*fsm.Record // guarded by store.mu
}

func (l *snapshotLog) ID() string           { return "snapshots" }
func (l *snapshotLog) LastClaim() fsm.Claim { return l.last }
func (l *snapshotLog) Waits() bool          { return false }
func (l *snapshotLog) Close() error         { return nil }

func (l *snapshotLog) Claim(_ context.Context, by string) (fsm.Claim, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.store.claim = fsm.Claim{Epoch: l.store.claim.Epoch + 1, By: by}
	return l.store.claim, nil
}

func (l *snapshotLog) Append(_ context.Context, b fsm.Batch) error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	for _, r := range b.Records {
		l.records[r.Instance] = append(l.records[r.Instance], r)
		if r.Snapshot != nil {
			l.store.latest[r.Instance] = r.Snapshot
		}
	}
	return nil
}

func (l *snapshotLog) Restore(context.Context) iter.Seq2[fsm.Restored, error] {
	return func(yield func(fsm.Restored, error) bool) {
		for _, s := range l.store.snapshots() {
			if !yield(fsm.Restored{Snapshot: s}, nil) {
				return
			}
		}
	}
}

func (l *snapshotLog) History(_ context.Context, instance string, after uint64) iter.Seq2[*fsm.Record, error] {
	return func(yield func(*fsm.Record, error) bool) {
		l.store.mu.Lock()
		list := slices.Clone(l.records[instance])
		l.store.mu.Unlock()
		for _, r := range list {
			if r.Version > after && !yield(r, nil) {
				return
			}
		}
	}
}

// What follows is not asked for in scenarios of persistence.

func (l *snapshotLog) Caused(context.Context, fsm.RecordID) iter.Seq2[*fsm.Record, error] {
	return func(func(*fsm.Record, error) bool) {}
}

func (l *snapshotLog) Ended(context.Context) iter.Seq2[*fsm.Snapshot, error] {
	return func(func(*fsm.Snapshot, error) bool) {}
}

func (l *snapshotLog) Retain(context.Context, func(component, machine string) fsm.Cut) error {
	return nil
}
