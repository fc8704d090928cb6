package fsmtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A checkpointed log is one that writes checkpoints, with lives for a runtime.
type checkpointed struct {
	fsm.Checkpointer
	t *testing.T

	mu        sync.Mutex // guards all below
	lives     map[string]*life
	forgotten map[fsm.RemoteID]bool
	asked     int
}

// checkpointing opens and claims a log and has it write checkpoints of the
// lives. It returns nil if the log writes none.
func checkpointing(t *testing.T, st fsm.Store, name string, lives ...*life) *checkpointed {
	t.Helper()
	log, ok := claimed(t, st, name).(fsm.Checkpointer)
	if !ok {
		return nil
	}
	c := &checkpointed{Checkpointer: log, t: t, lives: map[string]*life{}, forgotten: map[fsm.RemoteID]bool{}}
	for _, l := range lives {
		c.lives[l.id] = l
	}
	log.Checkpoint(c)
	return c
}

// Snapshots implements fsm.CheckpointSource. Who has ended is not in the tables,
// but for entry points.
func (c *checkpointed) Snapshots(_ context.Context, ids []string) ([]*fsm.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked += len(ids)
	var out []*fsm.Snapshot
	for _, id := range ids {
		l := c.lives[id]
		if l == nil || l.last == nil || l.last.Status != fsm.StatusActive && !l.origin.EntryPoint {
			continue
		}
		r := *l.last
		r.Snapshot = &fsm.Snapshot{}
		out = append(out, l.snapshot(&r))
	}
	return out, nil
}

// Remembers implements fsm.CheckpointSource.
func (c *checkpointed) Remembers(id fsm.RemoteID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.forgotten[id]
}

func (c *checkpointed) flush() {
	c.t.Helper()
	if err := c.Flush(c.t.Context()); err != nil {
		c.t.Fatalf("flush: %v", err)
	}
}

func (s *storeSuite) checkpoints(t *testing.T) {
	s.run(t, "checkpoints stand for what they cover", func(t *testing.T, st fsm.Store, name string) {
		x, y, z := newLife(t, "x"), newLife(t, "y"), newLife(t, "z")
		log := checkpointing(t, st, name, x, y, z)
		if log == nil {
			return
		}
		origin := fsm.RecordOrigin{Key: "order:1", Generation: 2, Parent: "p", ParentMachine: "P", ParentComponent: "C"}
		add(t, log, x.begin(origin), y.create(), x.next(), y.next(everything(t)))
		all := []*fsm.Record{x.last}
		addBatch(t, log, fsm.Batch{Done: EffectIDs(y.last)})
		log.flush()
		got := readAgain(t, st, name)
		got.is(t, x, y)
		if len(got.records) != 0 {
			t.Errorf("%v are read again", recordIDs(got.records))
		}
		add(t, log, x.next(), z.create())
		all = append(all, x.last)
		got = readAgain(t, st, name)
		got.is(t, x, y, z)
		if len(got.records) != 2 {
			t.Errorf("read again: %v, want what was appended since", recordIDs(got.records))
		}
		log.flush()
		add(t, log, x.next(ending, snapshotted), y.next())
		log.flush()
		got = readAgain(t, st, name)
		got.is(t, x, y, z)
		endedAre(t, log, "who writes", x)
		endedAre(t, opened(t, st, name), "another opener", x)
		sameRecords(t, "history", history(t, log, "x", 1), append(all, x.last))
		sameRecords(t, "history of another opener", history(t, opened(t, st, name), "x", 1), append(all, x.last))
	})
	s.run(t, "only what has changed is asked for", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := checkpointing(t, st, name, x, y)
		if log == nil {
			return
		}
		add(t, log, x.create(), y.create())
		log.flush()
		log.flush()
		add(t, log, y.next())
		log.flush()
		if log.asked > 4 {
			t.Errorf("%d snapshots were asked for, for three changes", log.asked)
		}
		readAgain(t, st, name).is(t, x, y)
	})
	s.run(t, "checkpoints keep what is open", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := checkpointing(t, st, name, x, y)
		if log == nil {
			return
		}
		sent := x.create()
		sending([]string{"y", "gone"}, nil)(sent)
		ids := EffectIDs(sent)
		add(t, log, sent, y.create(), x.next())
		log.flush()
		readAgain(t, st, name).isOpen(t, ids...)
		// What is done after the checkpoint of x.
		add(t, log, y.next(outcomeOf(sent, 0, 0)))
		readAgain(t, st, name).isOpen(t, ids[1:]...)
		log.flush()
		readAgain(t, st, name).isOpen(t, ids[1:]...)
		addBatch(t, log, fsm.Batch{Done: ids[1:2]})
		readAgain(t, st, name).isOpen(t, ids[2])
		log.flush()
		addBatch(t, log, fsm.Batch{Done: ids[2:]})
		readAgain(t, st, name).isOpen(t)
		log.flush()
		got := readAgain(t, st, name)
		got.isOpen(t)
		got.is(t, x, y)
	})
	s.run(t, "effects of other runtimes are remembered", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := checkpointing(t, st, name, x)
		if log == nil {
			return
		}
		id := fsm.RemoteID{From: "Far", Log: "l", Record: fsm.RecordID{Instance: "far/1", Version: 3}, N: 1}
		chosen := fsm.ChosenTargets{Effect: id, Targets: []string{"x", "y / ÿ"}}
		addBatch(t, log, fsm.Batch{Records: []*fsm.Record{x.create()}, Chosen: []fsm.ChosenTargets{chosen}})
		add(t, log, x.next(func(r *fsm.Record) { r.Remote = &id }))
		for range 2 {
			got := readAgain(t, st, name)
			if want := []fsm.AppliedEffect{{Effect: id, Instance: "x"}}; !reflect.DeepEqual(got.applied, want) {
				t.Errorf("applied: got %v, want %v", got.applied, want)
			}
			if want := []fsm.ChosenTargets{chosen}; !reflect.DeepEqual(got.chosen, want) {
				t.Errorf("chosen: got %v, want %v", got.chosen, want)
			}
			log.flush()
		}
		log.mu.Lock()
		log.forgotten[id] = true
		log.mu.Unlock()
		addBatch(t, log, fsm.Batch{Records: []*fsm.Record{x.next()}, Chosen: []fsm.ChosenTargets{chosen}})
		log.flush()
		if got := readAgain(t, st, name); len(got.applied)+len(got.chosen) != 0 {
			t.Errorf("what the runtime forgot is kept: %v, %v", got.applied, got.chosen)
		}
	})
	s.run(t, "whoever claims next goes on with the checkpoints", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := checkpointing(t, st, name, x, y)
		if log == nil {
			return
		}
		add(t, log, x.create(), y.create())
		log.flush()
		add(t, log, x.next())
		next := checkpointing(t, st, name, x, y)
		add(t, next, x.next(), y.next(ending, snapshotted))
		next.flush()
		got := readAgain(t, st, name)
		got.is(t, x, y)
		if len(got.records) != 0 {
			t.Errorf("%v are read again", recordIDs(got.records))
		}
		// The one before writes no more.
		if err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{newLife(t, "late").create()}}); !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("append of the fenced: %v, want ErrFenced", err)
		}
		_ = log.Flush(t.Context()) // it may say that it is fenced
		readAgain(t, st, name).is(t, x, y)
	})
	s.run(t, "ended instances leave the checkpoints", func(t *testing.T, st fsm.Store, name string) {
		live, entry, over, late := newLife(t, "live"), newLife(t, "entry"), newLife(t, "over"), newLife(t, "late")
		log := checkpointing(t, st, name, live, entry, over, late)
		if log == nil {
			return
		}
		before := time.UnixMilli(baseTime).AddDate(1, 0, 0)
		recent := func(r *fsm.Record) { r.Time = before.UnixMilli() + 1 }
		add(t, log, live.create(), over.create(), late.create(), entry.begin(fsm.RecordOrigin{EntryPoint: true}))
		add(t, log, over.next(ending, snapshotted), entry.next(ending, snapshotted), late.next(recent), late.next(ending, snapshotted, recent))
		log.flush()
		for range 2 {
			if err := log.Retain(t.Context(), func(string, string) fsm.Cut { return fsm.Cut{Ended: before, Records: before} }); err != nil {
				t.Fatalf("retain: %v", err)
			}
			if got := history(t, log, "over", 0); len(got) != 0 {
				t.Errorf("the history of what was dropped has %d records", len(got))
			}
			endedAre(t, log, "who writes", entry, late)
			readAgain(t, st, name).is(t, live, entry, late)
			add(t, log, live.next())
			readAgain(t, st, name).is(t, live, entry, late)
			log.flush()
		}
		for _, r := range history(t, log, "late", 0) {
			if r.Version > 1 && r.Time < before.UnixMilli() {
				t.Errorf("%s should be gone", r.ID())
			}
		}
		if got := history(t, log, "late", 1); len(got) != 2 {
			t.Errorf("recent records of an ended instance: %v, want two", recordIDs(got))
		}
	})
	s.run(t, "checkpoints are written while records come", func(t *testing.T, st fsm.Store, name string) {
		lives := make([]*life, 50)
		for i := range lives {
			lives[i] = newLife(t, fmt.Sprint("i", i))
		}
		log := checkpointing(t, st, name, lives...)
		if log == nil {
			return
		}
		done := make(chan error, 1)
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if err := log.Flush(context.WithoutCancel(t.Context())); err != nil {
					done <- err
					return
				}
			}
		}()
		for round := range 20 {
			for _, l := range lives {
				log.mu.Lock()
				if round == 0 {
					l.create()
				} else {
					l.next()
				}
				r := l.last
				err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{r}})
				log.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
			}
			if round%5 == 4 {
				readAgain(t, st, name).is(t, lives...)
			}
		}
		close(stop)
		if err := <-done; err != nil {
			t.Errorf("flush: %v", err)
		}
		readAgain(t, st, name).is(t, lives...)
	})
}

func (s *storeSuite) leases(t *testing.T) {
	s.run(t, "a lease is held renewed and released", func(t *testing.T, st fsm.Store, name string) {
		log := opened(t, st, name)
		a, ok := log.(fsm.Leaser)
		if !ok {
			return
		}
		lease := func(l fsm.Log) fsm.Lease {
			t.Helper()
			got, err := l.(fsm.Leaser).Lease(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := lease(a); !got.Seen.IsZero() {
			t.Errorf("a new log has the lease %+v", got)
		}
		if err := a.Renew(t.Context()); !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("renewing without a claim: %v, want ErrFenced", err)
		}
		first := claim(t, a)
		if err := a.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := opened(t, st, name)
		seen := lease(other)
		if seen.Claim != first || time.Since(seen.Seen).Abs() > time.Minute {
			t.Errorf("lease %+v, want that of %+v, now", seen, first)
		}
		if err := a.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again := lease(other); !again.Seen.After(seen.Seen) {
			t.Errorf("renewed at %v, was %v", again.Seen, seen.Seen)
		}
		second := claim(t, other)
		if err := other.(fsm.Leaser).Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Renew(t.Context()); !errors.Is(err, fsm.ErrFenced) {
			t.Errorf("renewing what another holds: %v, want ErrFenced", err)
		}
		if err := a.Release(t.Context()); err != nil {
			t.Errorf("releasing what another holds: %v", err)
		}
		if got := lease(a); got.Claim != second || got.Seen.IsZero() {
			t.Errorf("lease %+v, want that of %+v", got, second)
		}
		if err := other.(fsm.Leaser).Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := lease(a); !got.Seen.IsZero() {
			t.Errorf("the released lease is %+v", got)
		}
		// A lease says who is alive; only the claim says who may append.
		add(t, other, newLife(t, "x").create())
	})
}
