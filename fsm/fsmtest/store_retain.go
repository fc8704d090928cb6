package fsmtest

import (
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// retaining opens and claims a log, and has it write checkpoints of the lives if
// it is one that does.
func retaining(t *testing.T, st fsm.Store, name string, lives ...*life) fsm.Log {
	t.Helper()
	if c := checkpointing(t, st, name, lives...); c != nil {
		return c
	}
	return claimed(t, st, name)
}

// retain drops what is too old, without any checkpoint that is not there yet.
func retain(t *testing.T, log fsm.Log, cut func(component, machine string) fsm.Cut) {
	t.Helper()
	if err := log.Retain(t.Context(), cut); err != nil {
		t.Fatalf("retain: %v", err)
	}
}

// need lists versions that have to be kept.
type need []uint64

// versions fails unless the needed records of an instance are there. The others are
// too young to be dropped one by one, or not superseded: who does that has them, too,
// and no more.
func (s *storeSuite) versions(t *testing.T, log fsm.Log, instance string, needed need, others ...uint64) {
	t.Helper()
	var got []uint64
	for _, r := range history(t, log, instance, 0) {
		got = append(got, r.Version)
	}
	if s.holds(OldRecords) {
		want := append(slices.Clone(needed), others...)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("versions of %q that are kept: %v, want %v", instance, got, want)
		}
		return
	}
	for _, v := range needed {
		if !slices.Contains(got, v) {
			t.Errorf("versions of %q that are kept: %v, want at least %v", instance, got, needed)
		}
	}
}

// gone fails if there is a record of an instance.
func gone(t *testing.T, log fsm.Log, instance string) {
	t.Helper()
	if got := history(t, log, instance, 0); len(got) > 0 {
		t.Errorf("the records %v of %q are kept, want none", recordIDs(got), instance)
	}
}

func (s *storeSuite) retention(t *testing.T) {
	// All records are older than this but those made with recent.
	before := time.UnixMilli(baseTime).AddDate(1, 0, 0)
	recent := func(r *fsm.Record) { r.Time = before.UnixMilli() + 1 }
	old := func(string, string) fsm.Cut { return fsm.Cut{Ended: before, Records: before} }
	// covered drops what is too old once checkpoints have all that is.
	covered := func(t *testing.T, log fsm.Log) {
		t.Helper()
		if c, ok := log.(*checkpointed); ok {
			c.flush()
		}
		retain(t, log, old)
	}
	s.run(t, "ended instances are dropped", func(t *testing.T, st fsm.Store, name string) {
		over, withSnapshot, late, live := newLife(t, "over"), newLife(t, "with snapshot"), newLife(t, "late"), newLife(t, "live")
		log := retaining(t, st, name, over, withSnapshot, late, live)
		add(t, log, live.create())
		add(t, log, over.create(), over.next(ending), withSnapshot.create(), withSnapshot.next(ending, snapshotted))
		add(t, log, late.create(), late.next(), late.next(ending, snapshotted, recent), live.next())
		for range 2 {
			retain(t, log, old)
			gone(t, log, "over")
			gone(t, log, "with snapshot")
			s.versions(t, log, "late", need{1, 2, 3})
			s.versions(t, log, "live", need{1, 2})
			endedAre(t, log, "who writes", late)
			readAgain(t, st, name).is(t, live, late)
		}
		add(t, log, live.next())
		readAgain(t, st, name).is(t, live, late)
		covered(t, log)
		readAgain(t, st, name).is(t, live, late)
		add(t, log, live.next())
		readAgain(t, st, name).is(t, live, late)
	})
	s.run(t, "each machine has times of its own", func(t *testing.T, st fsm.Store, name string) {
		audit := func(r *fsm.Record) { r.Machine = "Audit" }
		order, over, kept, overAudit := newLife(t, "order"), newLife(t, "over"), newLife(t, "audit"), newLife(t, "over audit")
		log := retaining(t, st, name, order, over, kept, overAudit)
		add(t, log, order.create(), over.create())
		add(t, log, order.next(snapshotted), over.next(ending, snapshotted))
		for _, l := range []*life{kept, overAudit} {
			r := l.create()
			audit(r)
			add(t, log, r)
		}
		add(t, log, kept.next(audit, snapshotted), overAudit.next(audit, ending, snapshotted), order.next())
		if c, ok := log.(*checkpointed); ok {
			c.flush()
		}
		retain(t, log, func(component, machine string) fsm.Cut {
			if component == "Shop" && machine == "Order" {
				return old(component, machine)
			}
			return fsm.Cut{}
		})
		gone(t, log, "over")
		s.versions(t, log, "order", nil, 2, 3)
		s.versions(t, log, "audit", need{1, 2})
		s.versions(t, log, "over audit", need{1, 2})
		readAgain(t, st, name).is(t, order, kept, overAudit)
		retain(t, log, func(_, machine string) (c fsm.Cut) {
			if machine == "Audit" {
				c.Ended = before
			}
			return c
		})
		gone(t, log, "over audit")
		s.versions(t, log, "audit", need{1, 2})
		readAgain(t, st, name).is(t, order, kept)
	})
	s.run(t, "an ended entry point is kept", func(t *testing.T, st fsm.Store, name string) {
		entry := newLife(t, "entry")
		log := retaining(t, st, name, entry)
		add(t, log, entry.begin(fsm.RecordOrigin{EntryPoint: true}), entry.next(), entry.next(ending, snapshotted))
		covered(t, log)
		readAgain(t, st, name).is(t, entry)
	})
	s.run(t, "a snapshot replaces the records before it", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := retaining(t, st, name, x, y)
		origin := fsm.RecordOrigin{Key: "order:1", Generation: 1}
		add(t, log, y.create(), x.begin(origin), x.next(), x.next(snapshotted), x.next(), y.next())
		covered(t, log)
		s.versions(t, log, "x", nil, 3, 4)
		s.versions(t, log, "y", nil, 1, 2)
		readAgain(t, st, name).is(t, y, x)
		add(t, log, x.next(), x.next(snapshotted))
		covered(t, log)
		s.versions(t, log, "x", nil, 6)
		readAgain(t, st, name).is(t, y, x)
	})
	s.run(t, "recent records are kept", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := retaining(t, st, name, x)
		add(t, log, x.create())
		add(t, log, x.next(recent), x.next(recent))
		add(t, log, x.next(snapshotted, recent))
		covered(t, log)
		s.versions(t, log, "x", need{2, 3, 4})
		readAgain(t, st, name).is(t, x)
	})
	s.run(t, "a record with an open effect is kept", func(t *testing.T, st fsm.Store, name string) {
		x, over, y := newLife(t, "x"), newLife(t, "over"), newLife(t, "y")
		log := retaining(t, st, name, x, over, y)
		add(t, log, x.create(), y.create())
		fromX := x.next(sending([]string{"y", "gone"}))
		add(t, log, fromX, x.next(snapshotted))
		add(t, log, y.next())
		covered(t, log)
		s.versions(t, log, "x", need{2}, 3)
		add(t, log, over.create())
		fromOver := over.next(sending(nil, []string{"y"}), ending, snapshotted)
		add(t, log, fromOver, y.next(outcomeOf(fromX, 0, 0)), y.next(snapshotted))
		covered(t, log)
		s.versions(t, log, "x", need{2}, 3)
		s.versions(t, log, "over", need{2})
		s.versions(t, log, "y", nil, 4)
		got := readAgain(t, st, name)
		got.is(t, x, over, y)
		got.isOpen(t, EffectIDs(fromX)[1], EffectIDs(fromOver)[0], EffectIDs(fromOver)[1])

		addBatch(t, log, fsm.Batch{Done: []fsm.EffectID{EffectIDs(fromX)[1], EffectIDs(fromOver)[0]}})
		covered(t, log)
		s.versions(t, log, "x", nil, 3)
		s.versions(t, log, "over", need{2})
		readAgain(t, st, name).isOpen(t, EffectIDs(fromOver)[1])
		add(t, log, y.next(outcomeOf(fromOver, 1, 0)))
		covered(t, log)
		gone(t, log, "over")
		got = readAgain(t, st, name)
		got.is(t, x, y)
		got.isOpen(t)
	})
	s.run(t, "a reader goes on after records were dropped", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := retaining(t, st, name, x, y)
		add(t, log, x.create(), y.create())
		reader := opened(t, st, name)
		list := restore(t, reader)
		add(t, log, x.next(), x.next(), x.next(snapshotted), y.next())
		covered(t, log)
		list = append(list, restore(t, reader)...)
		replay(t, list).is(t, x, y)
		if _, err := reader.Claim(t.Context(), "reader"); err != nil {
			t.Errorf("claim after reading on: %v", err)
		}
	})
}
