package fsmtest

import (
	"context"
	"errors"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func (s *storeSuite) restores(t *testing.T) {
	s.run(t, "a record comes back as it was appended", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "an id / of #1.0 *> signs ÿ")
		log := claimed(t, st, name)
		full := everything(t)
		origin := fsm.RecordOrigin{Parent: "p/1", ParentMachine: "P", ParentComponent: "C", Key: "order:ä", Generation: 1 << 60, EntryPoint: true}
		batch := []*fsm.Record{x.begin(origin), x.next(full), x.next(ending, full)}
		add(t, log, batch...)
		sameRecords(t, "history", history(t, log, x.id, 0), batch)
		sameRecords(t, "history of another opener", history(t, opened(t, st, name), x.id, 0), batch)
		for _, r := range restore(t, opened(t, st, name)) {
			if r.Record != nil {
				restoredRecords(t, []*fsm.Record{r.Record}, batch[r.Record.Version-1:r.Record.Version])
			}
			if r.Snapshot != nil && r.Snapshot.Version == 3 && asJSON(r.Snapshot) != asJSON(x.last.Snapshot) {
				t.Errorf("restored snapshot\n got %s\nwant %s", asJSON(r.Snapshot), asJSON(x.last.Snapshot))
			}
		}
		readAgain(t, st, name).is(t, x)
	})
	s.run(t, "records come in the order of appending", func(t *testing.T, st fsm.Store, name string) {
		x, y, z := newLife(t, "x"), newLife(t, "y"), newLife(t, "z")
		log := claimed(t, st, name)
		all := []*fsm.Record{z.create(), x.create(), z.next(), y.create(), y.next(), x.next(), z.next(), y.next()}
		add(t, log, all[:3]...)
		add(t, log, all[3])
		add(t, log, all[4:]...)
		got := readAgain(t, st, name)
		restoredRecords(t, got.records, all)
		got.is(t, z, x, y)
	})
	s.run(t, "a snapshot stands for the records that it includes", func(t *testing.T, st fsm.Store, name string) {
		x, y, z := newLife(t, "x"), newLife(t, "y"), newLife(t, "z")
		log := claimed(t, st, name)
		end := func(r *fsm.Record) {
			r.EndData = ptr(data(t, map[string]any{"end": r.Version}))
			r.Timers = []fsm.RecordTimer{{Transition: 1, Event: "LATE", To: "Gone", Due: r.Time + 60000}}
		}
		add(t, log, y.create(), x.begin(fsm.RecordOrigin{Parent: "y", ParentMachine: "Order", ParentComponent: "Shop"}), z.create())
		add(t, log, x.next(), x.next(end, snapshotted), y.next(), z.next(ending, snapshotted))
		readAgain(t, st, name).is(t, y, x, z)
		add(t, log, x.next(end), x.next())
		readAgain(t, st, name).is(t, y, x, z)
		add(t, log, x.next(snapshotted), y.next(end, snapshotted))
		readAgain(t, st, name).is(t, y, x, z)
	})
	s.run(t, "effects are open until they are done", func(t *testing.T, st fsm.Store, name string) {
		x, y, z := newLife(t, "x"), newLife(t, "y"), newLife(t, "z")
		log := claimed(t, st, name)
		add(t, log, x.create(), y.create(), z.create())
		sent := x.next(sending([]string{"y", "z", "gone"}, nil, []string{"y"}))
		ids := EffectIDs(sent)
		add(t, log, sent)
		readAgain(t, st, name).isOpen(t, ids...)
		add(t, log, y.next(outcomeOf(sent, 0, 0)))
		readAgain(t, st, name).isOpen(t, ids[1:]...)
		addBatch(t, log, fsm.Batch{Records: []*fsm.Record{z.next(outcomeOf(sent, 0, 1))}, Done: []fsm.EffectID{ids[2]}})
		readAgain(t, st, name).isOpen(t, ids[3], ids[4])
		addBatch(t, log, fsm.Batch{Done: ids[3:]})
		got := readAgain(t, st, name)
		got.isOpen(t)
		got.is(t, x, y, z)
	})
	s.run(t, "snapshots neither hide nor reopen effects", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		sent := x.create()
		sending([]string{"y", "y", "gone"})(sent)
		ids := EffectIDs(sent)
		add(t, log, sent, y.create(), x.next(snapshotted))
		readAgain(t, st, name).isOpen(t, ids...)
		add(t, log, y.next(outcomeOf(sent, 0, 0), snapshotted), y.next(), x.next(ending, snapshotted))
		readAgain(t, st, name).isOpen(t, ids[1:]...)
		addBatch(t, log, fsm.Batch{Records: []*fsm.Record{y.next(snapshotted)}, Done: ids[2:]})
		got := readAgain(t, st, name)
		got.isOpen(t, ids[1])
		got.is(t, x, y)
	})
	s.run(t, "effects of other logs that were done are remembered", func(t *testing.T, st fsm.Store, name string) {
		x, far := newLife(t, "x"), newLife(t, "far")
		log := claimed(t, st, name)
		sent := far.create()
		mark := fsm.EffectID{Record: fsm.RecordID{Instance: "far", Version: 9}, N: 1}
		addBatch(t, log, fsm.Batch{
			Records: []*fsm.Record{x.create(), x.next(outcomeOf(sent, 0, 0)), x.next(snapshotted)},
			Done:    []fsm.EffectID{mark},
		})
		want := map[fsm.EffectID]bool{mark: true, {Record: sent.ID()}: true}
		got := readAgain(t, st, name)
		for _, id := range got.done {
			delete(want, id)
		}
		for _, r := range got.records {
			if r.Effect != nil {
				delete(want, *r.Effect)
			}
		}
		if len(want) > 0 {
			t.Errorf("forgotten: %v", want)
		}
	})
	s.run(t, "a sequence ends with its context", func(t *testing.T, st fsm.Store, name string) {
		add(t, claimed(t, st, name), newLife(t, "x").create())
		log := opened(t, st, name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var last error
		for _, err := range log.Restore(ctx) {
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("restore with a cancelled context ends with %v", last)
		}
		if _, err := readHistory(ctx, log, "x", 0); !errors.Is(err, context.Canceled) {
			t.Errorf("history with a cancelled context ends with %v", err)
		}
	})
	if s.holds(Survival) {
		s.run(t, "a store that was closed has everything", func(t *testing.T, st fsm.Store, name string) {
			x, y := newLife(t, "x"), newLife(t, "y")
			log := opened(t, st, name)
			c := claim(t, log)
			add(t, log, x.create(), x.next(sending([]string{"y"})), y.create(), x.next(everything(t)))
			before := history(t, log, "x", 0)
			open := EffectIDs(before[1])
			st = s.options.Reopen(t, st)
			again := opened(t, st, name)
			if got := again.LastClaim(); again.ID() != log.ID() || got != c {
				t.Errorf("log %q with claim %+v, want %q with %+v", again.ID(), got, log.ID(), c)
			}
			got := replay(t, restore(t, again))
			got.is(t, x, y)
			got.isOpen(t, append(open, EffectIDs(x.last)...)...)
			sameRecords(t, "history", history(t, again, "x", 0), before)
			if next := claim(t, again); next.Epoch <= c.Epoch {
				t.Errorf("epoch %d after %d", next.Epoch, c.Epoch)
			}
			add(t, again, x.next())
			readAgain(t, st, name).is(t, x, y)
		})
	}
}
