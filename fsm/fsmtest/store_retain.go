package fsmtest

import (
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

func (s *storeSuite) retention(t *testing.T) {
	// All records are older than this but those made with recent.
	before := time.UnixMilli(baseTime).AddDate(1, 0, 0)
	recent := func(r *fsm.Record) { r.Time = before.UnixMilli() + 1 }
	retain := func(t *testing.T, log fsm.Log) {
		t.Helper()
		if err := log.Retain(t.Context(), func(string, string) fsm.Cut { return fsm.Cut{Ended: before, Records: before} }); err != nil {
			t.Fatalf("retain: %v", err)
		}
	}
	versions := func(t *testing.T, log fsm.Log, instance string, want ...uint64) {
		t.Helper()
		var got []uint64
		for _, r := range history(t, log, instance, 0) {
			got = append(got, r.Version)
		}
		if asJSON(got) != asJSON(want) {
			t.Errorf("versions of %q that are kept: %v, want %v", instance, got, want)
		}
	}
	s.run(t, "ended instances are dropped", func(t *testing.T, st fsm.Store, name string) {
		over, withSnapshot, late, live := newLife(t, "over"), newLife(t, "with snapshot"), newLife(t, "late"), newLife(t, "live")
		log := claimed(t, st, name)
		add(t, log, over.create(), over.next(ending), live.create(), withSnapshot.create(), withSnapshot.next(ending, snapshotted))
		add(t, log, late.create(), late.next(), late.next(ending, recent), live.next())
		retain(t, log)
		versions(t, log, "over")
		versions(t, log, "with snapshot")
		versions(t, log, "late", 1, 2, 3)
		versions(t, log, "live", 1, 2)
		readAgain(t, st, name).is(t, live, late)
		add(t, log, live.next())
		readAgain(t, st, name).is(t, live, late)
	})
	s.run(t, "an ended entry point is kept", func(t *testing.T, st fsm.Store, name string) {
		entry := newLife(t, "entry")
		log := claimed(t, st, name)
		add(t, log, entry.begin(fsm.RecordOrigin{EntryPoint: true}), entry.next(), entry.next(ending, snapshotted))
		retain(t, log)
		readAgain(t, st, name).is(t, entry)
	})
	s.run(t, "a snapshot replaces the records before it", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		origin := fsm.RecordOrigin{Key: "order:1", Generation: 1}
		add(t, log, y.create(), x.begin(origin), x.next(), x.next(snapshotted), x.next(), y.next())
		retain(t, log)
		versions(t, log, "x", 3, 4)
		versions(t, log, "y", 1, 2)
		readAgain(t, st, name).is(t, y, x)
		add(t, log, x.next(), x.next(snapshotted))
		retain(t, log)
		versions(t, log, "x", 6)
		readAgain(t, st, name).is(t, y, x)
	})
	s.run(t, "recent records are kept", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := claimed(t, st, name)
		add(t, log, x.create(), x.next(recent), x.next(recent), x.next(snapshotted, recent))
		retain(t, log)
		versions(t, log, "x", 2, 3, 4)
		readAgain(t, st, name).is(t, x)
	})
	s.run(t, "a record with an open effect is kept", func(t *testing.T, st fsm.Store, name string) {
		x, over, y := newLife(t, "x"), newLife(t, "over"), newLife(t, "y")
		log := claimed(t, st, name)
		add(t, log, x.create(), over.create(), y.create())
		fromX := x.next(sending([]string{"y", "gone"}))
		add(t, log, fromX, x.next(snapshotted))
		fromOver := over.next(sending(nil, []string{"y"}), ending, snapshotted)
		add(t, log, fromOver, y.next(outcomeOf(fromX, 0, 0)), y.next(snapshotted))
		retain(t, log)
		versions(t, log, "x", 2, 3)
		versions(t, log, "over", 2)
		versions(t, log, "y", 3)
		got := readAgain(t, st, name)
		got.is(t, x, over, y)
		got.isOpen(t, EffectIDs(fromX)[1], EffectIDs(fromOver)[0], EffectIDs(fromOver)[1])

		addBatch(t, log, fsm.Batch{Done: []fsm.EffectID{EffectIDs(fromX)[1], EffectIDs(fromOver)[0]}})
		retain(t, log)
		versions(t, log, "x", 3)
		versions(t, log, "over", 2)
		readAgain(t, st, name).isOpen(t, EffectIDs(fromOver)[1])
		add(t, log, y.next(outcomeOf(fromOver, 1, 0)))
		retain(t, log)
		versions(t, log, "over")
		got = readAgain(t, st, name)
		got.is(t, x, y)
		got.isOpen(t)
	})
	s.run(t, "a reader goes on after records were dropped", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		add(t, log, x.create(), y.create())
		reader := opened(t, st, name)
		list := restore(t, reader)
		add(t, log, x.next(), x.next(), x.next(snapshotted), y.next())
		retain(t, log)
		list = append(list, restore(t, reader)...)
		replay(t, list).is(t, x, y)
		if _, err := reader.Claim(t.Context(), "reader"); err != nil {
			t.Errorf("claim after reading on: %v", err)
		}
	})
}
