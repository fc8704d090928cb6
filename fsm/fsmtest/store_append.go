package fsmtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func (s *storeSuite) appends(t *testing.T) {
	s.run(t, "a batch that is stored already counts as written", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		first := fsm.Batch{Records: []*fsm.Record{x.create(), x.next(sending([]string{"y", "z"})), y.create()}}
		open := fsm.EffectID{Record: x.last.ID(), Target: 1}
		first.Done = []fsm.EffectID{open}
		addBatch(t, log, first)
		addBatch(t, log, first)
		var copies fsm.Batch
		for _, r := range first.Records {
			copies.Records = append(copies.Records, copied(t, r))
		}
		copies.Done = first.Done
		addBatch(t, log, copies)
		add(t, log, y.next(), x.next())
		addBatch(t, log, first)
		got := readAgain(t, st, name)
		got.is(t, x, y)
		if len(got.records) != 5 {
			t.Errorf("%d records are stored, want 5: %v", len(got.records), recordIDs(got.records))
		}
		got.isOpen(t, fsm.EffectID{Record: open.Record})
	})
	s.run(t, "a batch of marks may be repeated", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := claimed(t, st, name)
		r := x.begin(fsm.RecordOrigin{})
		sending([]string{"a", "b"}, nil)(r)
		add(t, log, r)
		readAgain(t, st, name).isOpen(t, EffectIDs(r)...)
		marks := fsm.Batch{Done: EffectIDs(r)[:2]}
		addBatch(t, log, marks)
		addBatch(t, log, marks)
		readAgain(t, st, name).isOpen(t, EffectIDs(r)[2])
	})
	s.run(t, "an empty batch is stored", func(t *testing.T, st fsm.Store, name string) {
		log := claimed(t, st, name)
		addBatch(t, log, fsm.Batch{})
		readAgain(t, st, name).is(t)
	})
	s.run(t, "one batch may hold several records of an instance", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		batch := []*fsm.Record{x.create(), x.next(), y.create(), x.next(ending), y.next()}
		add(t, log, batch...)
		got := readAgain(t, st, name)
		restoredRecords(t, got.records, batch)
	})
	s.run(t, "a batch may be large", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := claimed(t, st, name)
		batch := []*fsm.Record{x.create()}
		for len(batch) < 1000 {
			batch = append(batch, x.next())
		}
		add(t, log, batch...)
		restoredRecords(t, readAgain(t, st, name).records, batch)
	})
	s.run(t, "a cancelled append may be repeated", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := claimed(t, st, name)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		batch := fsm.Batch{Records: []*fsm.Record{x.create(), x.next()}}
		if err := log.Append(ctx, batch); err == nil {
			t.Error("append with a cancelled context succeeds")
		}
		addBatch(t, log, batch)
		restoredRecords(t, readAgain(t, st, name).records, batch.Records)
	})
	s.run(t, "logs of other names are not touched", func(t *testing.T, st fsm.Store, name string) {
		x, other := newLife(t, "x"), newLife(t, "x")
		a, b := claimed(t, st, name), claimed(t, st, name+"!")
		add(t, a, x.create(), x.next())
		add(t, b, other.create())
		readAgain(t, st, name).is(t, x)
		readAgain(t, st, name+"!").is(t, other)
	})
	if s.holds(VersionCheck) {
		s.conflicts(t)
	}
}

func (s *storeSuite) conflicts(t *testing.T) {
	// The instance x is at version 3; each batch breaks a rule with an
	// instance of its own.
	tests := []struct {
		title   string
		version func(l *life) uint64
		started bool
	}{
		{"a gap", func(l *life) uint64 { return l.last.Version + 2 }, true},
		{"a creation that is none", func(*life) uint64 { return 2 }, false},
		{"version 0", func(*life) uint64 { return 0 }, false},
	}
	for _, test := range tests {
		s.run(t, "a record is refused with its batch for "+test.title, func(t *testing.T, st fsm.Store, name string) {
			x, bad, fresh := newLife(t, "x"), newLife(t, "bad"), newLife(t, "fresh")
			log := claimed(t, st, name)
			add(t, log, x.create(), x.next(sending([]string{"bad"})), x.next())
			told := EffectIDs(&fsm.Record{Instance: "x", Version: 2, Effects: []fsm.Effect{{Targets: []string{"bad"}}}})
			wrong := *bad.create()
			if test.started {
				add(t, log, bad.last)
				wrong = *newLifeFrom(bad).next()
			}
			wrong.Version = test.version(bad)
			good := []*fsm.Record{fresh.create(), copied(t, newLifeFrom(x).next())}
			batch := fsm.Batch{Records: []*fsm.Record{good[0], good[1], &wrong}, Done: told}
			refused(t, log, batch, "bad")
			got := readAgain(t, st, name)
			if test.started {
				got.is(t, x, bad)
			} else {
				got.is(t, x)
			}
			got.isOpen(t, told...)
			add(t, log, good...)
			if n := len(history(t, log, "x", 3)); n != 1 {
				t.Errorf("%d records after version 3, want 1: what is left of the batch can be appended", n)
			}
		})
	}
	s.run(t, "a record of another past is refused", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		add(t, log, x.create(), x.next())
		other := *x.last
		other.After, other.Data = "Elsewhere", data(t, map[string]any{"other": true})
		// With a new instance in the batch it can't be taken for a repetition.
		refused(t, log, fsm.Batch{Records: []*fsm.Record{y.create(), &other}}, "x")
		readAgain(t, st, name).is(t, x)
	})
	s.run(t, "a batch that is stored in part is refused", func(t *testing.T, st fsm.Store, name string) {
		x, y := newLife(t, "x"), newLife(t, "y")
		log := claimed(t, st, name)
		add(t, log, x.create(), x.next())
		refused(t, log, fsm.Batch{Records: []*fsm.Record{x.last, y.create()}}, "x")
		readAgain(t, st, name).is(t, x)
	})
	s.run(t, "one batch may not hold one version twice", func(t *testing.T, st fsm.Store, name string) {
		x := newLife(t, "x")
		log := claimed(t, st, name)
		add(t, log, x.create())
		twin := *newLifeFrom(x).next()
		twin.After = "Elsewhere"
		refused(t, log, fsm.Batch{Records: []*fsm.Record{newLifeFrom(x).next(), &twin}}, "x")
		readAgain(t, st, name).is(t, x)
	})
}

// newLifeFrom goes on with a life in another way.
func newLifeFrom(l *life) *life {
	branch := *l
	return &branch
}

// refused fails unless the batch is a conflict that names the instance.
func refused(t *testing.T, log fsm.Log, b fsm.Batch, instance string) {
	t.Helper()
	err := log.Append(t.Context(), b)
	e, ok := errors.AsType[*fsm.Error](err)
	if !ok || e.Code != fsm.CodeConflict {
		t.Fatalf("append of %v: %v, want ErrConflict", recordIDs(b.Records), err)
	}
	if e.Instance != instance {
		t.Errorf("the conflict names %q, want %q: %s", e.Instance, instance, fmt.Sprint(err))
	}
}
