package fsmtest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func (s *storeSuite) histories(t *testing.T) {
	s.run(t, "a history begins after a version", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		all := []*fsm.Record{x.create()}
		add(t, log, all[0], y.create())
		for range 9 {
			all = append(all, x.next(snapshotted))
			add(t, log, x.last, y.next())
		}
		for after := range 12 {
			want := all[min(after, len(all)):]
			sameRecords(t, fmt.Sprintf("history after version %d", after), history(t, log, "x", uint64(after)), want)
		}
	})
	s.run(t, "a history is of one instance", func(t *testing.T, st fsm.Store, name string) {
		log := claimed(t, st, name)
		ids := []string{"a", "a/1", "a/", "A", "a.b", "a.*", "a b", "*", ">", "a#0.0", "%61", "ä", " "}
		for i, id := range ids {
			l := newLife(t, id)
			add(t, log, l.create())
			for range i {
				add(t, log, l.next())
			}
		}
		for i, id := range ids {
			got := history(t, log, id, 0)
			for _, r := range got {
				if r.Instance != id {
					t.Errorf("history of %q has a record of %q", id, r.Instance)
				}
			}
			if len(got) != i+1 {
				t.Errorf("history of %q has %d records, want %d", id, len(got), i+1)
			}
		}
		if got := history(t, log, "nobody", 0); len(got) != 0 {
			t.Errorf("history of an unknown instance has %d records", len(got))
		}
	})
	s.run(t, "a history may be left early", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := claimed(t, st, name)
		all := []*fsm.Record{x.create(), x.next(), x.next()}
		add(t, log, all...)
		for r, err := range log.History(t.Context(), "x", 1) {
			if err != nil || r.Version != 2 {
				t.Fatalf("first of the history: %v, %v", r, err)
			}
			break
		}
		sameRecords(t, "whole history afterwards", history(t, log, "x", 0), all)
	})
}

// concurrency has readers of one log while it is written: what they see of an
// instance has no gaps and never goes back.
func (s *storeSuite) concurrency(t *testing.T) {
	s.run(t, "readers see a log grow", func(t *testing.T, st fsm.Store, name string) {
		const instances, rounds, readers = 4, 25, 3
		log := claimed(t, st, name)
		var done atomic.Bool
		var wg sync.WaitGroup
		for i := range readers {
			own := opened(t, st, name)
			wg.Go(func() { watchGrowth(t, own, log, i, &done) })
		}
		lives := make([]*life, instances)
		var first []*fsm.Record
		for i := range lives {
			lives[i] = newLife(t, fmt.Sprint("i", i))
			first = append(first, lives[i].create())
		}
		add(t, log, first...)
		for i := range rounds {
			var batch []*fsm.Record
			for _, l := range lives {
				batch = append(batch, l.next())
				if i%5 == 4 {
					batch = append(batch, l.next(snapshotted))
				}
			}
			add(t, log, batch...)
		}
		done.Store(true)
		wg.Wait()
		readAgain(t, st, name).is(t, lives...)
	})
}

// watchGrowth reads on in a log of its own, and reads histories from the one
// that is written.
func watchGrowth(t *testing.T, own, written fsm.Log, n int, done *atomic.Bool) {
	versions := map[string]uint64{}
	seen := uint64(0)
	for last := false; !last; {
		last = done.Load()
		for r, err := range own.Restore(t.Context()) {
			switch {
			case err != nil:
				t.Errorf("restore: %v", err)
				return
			case r.Snapshot != nil:
				versions[r.Snapshot.Instance] = max(versions[r.Snapshot.Instance], r.Snapshot.Version)
			case r.Record != nil:
				if v := versions[r.Record.Instance]; r.Record.Version > v+1 {
					t.Errorf("record %s is read after version %d", r.Record.ID(), v)
				}
				versions[r.Record.Instance] = max(versions[r.Record.Instance], r.Record.Version)
			}
		}
		seen = checkHistory(t, written, fmt.Sprint("i", n), seen)
	}
	if seen < 2 || versions[fmt.Sprint("i", n)] != seen {
		t.Errorf("the reader ends at version %d, the history at %d", versions[fmt.Sprint("i", n)], seen)
	}
}

// checkHistory returns the number of records.
func checkHistory(t *testing.T, log fsm.Log, instance string, before uint64) uint64 {
	records, err := readHistory(context.WithoutCancel(t.Context()), log, instance, 0)
	if err != nil {
		t.Errorf("history: %v", err)
	}
	for i, r := range records {
		if r.Version != uint64(i)+1 {
			t.Errorf("history of %q: version %d at place %d", instance, r.Version, i+1)
		}
	}
	if uint64(len(records)) < before {
		t.Errorf("history of %q: %d records after %d", instance, len(records), before)
	}
	return uint64(len(records))
}
