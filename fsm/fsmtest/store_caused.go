package fsmtest

import (
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func (s *storeSuite) causes(t *testing.T) {
	caused := func(t *testing.T, log fsm.Log, id fsm.RecordID) []*fsm.Record {
		t.Helper()
		var out []*fsm.Record
		for r, err := range log.Caused(t.Context(), id) {
			if err != nil {
				t.Fatalf("what %s caused: %v", id, err)
			}
			out = append(out, r)
		}
		return out
	}
	s.run(t, "what a record caused", func(t *testing.T, st fsm.Store, name string) {
		x, y, z, child := newLife(t, "x"), newLife(t, "y"), newLife(t, "z"), newLife(t, "child")
		log := claimed(t, st, name)
		add(t, log, x.create(), y.create(), z.create())
		// In the same commit: a child, and a transition of z.
		cause := x.next(sending([]string{"y", "z"}))
		by := func(r *fsm.Record) { r.CausedBy = cause.ID() }
		child.create().CausedBy = cause.ID()
		add(t, log, child.last, cause, z.next(by))
		inSame := []*fsm.Record{child.last, z.last}
		// In later ones: the outcomes of its effects, with others in between.
		add(t, log, x.next(), y.next(), z.next())
		add(t, log, z.next(outcomeOf(cause, 0, 1)))
		later := []*fsm.Record{z.last}
		add(t, log, z.next(), y.next())
		add(t, log, y.next(outcomeOf(cause, 0, 0)), x.next())
		later = append(later, y.last)
		want := append(inSame, later...)
		for title, l := range map[string]fsm.Log{"who writes": log, "another opener": opened(t, st, name)} {
			sameRecords(t, "caused, asked of "+title, caused(t, l, cause.ID()), want)
			if got := caused(t, l, x.last.ID()); len(got) != 0 {
				t.Errorf("a record without effects caused %v", recordIDs(got))
			}
			if got := caused(t, l, fsm.RecordID{Instance: "nobody", Version: 7}); len(got) != 0 {
				t.Errorf("a record that is not there caused %v", recordIDs(got))
			}
		}
	})
	s.run(t, "what a record of another log caused", func(t *testing.T, st fsm.Store, name string) {
		x, y, far := newLife(t, "x"), newLife(t, "y"), newLife(t, "far")
		log := claimed(t, st, name)
		add(t, log, x.create(), y.create())
		sent := far.create()
		by := func(r *fsm.Record) {
			r.CausedBy = sent.ID()
			r.Remote = &fsm.RemoteID{From: "Far", Log: "far", Record: sent.ID()}
		}
		add(t, log, y.next(by))
		first := y.last
		add(t, log, x.next(by))
		sameRecords(t, "caused", caused(t, log, sent.ID()), []*fsm.Record{first, x.last})
	})
}

func (s *storeSuite) ends(t *testing.T) {
	s.run(t, "instances that have ended", func(t *testing.T, st fsm.Store, name string) {
		live, over, bare := newLife(t, "live"), newLife(t, "over"), newLife(t, "bare")
		log := claimed(t, st, name)
		endedAre(t, log, "a new log")
		add(t, log, live.create(), over.create(), bare.create(), over.next(ending, snapshotted))
		endedAre(t, log, "who writes", over)
		add(t, log, bare.next(ending), live.next())
		endedAre(t, log, "who writes", over, bare)
		endedAre(t, opened(t, st, name), "another opener", over, bare)
		for range log.Ended(t.Context()) {
			break // may be left early
		}
	})
}

// endedAre fails unless these are the instances that have ended, as their last
// records left them.
func endedAre(t *testing.T, log fsm.Log, who string, lives ...*life) {
	t.Helper()
	got := map[string]*fsm.Snapshot{}
	for s, err := range log.Ended(t.Context()) {
		if err != nil {
			t.Fatalf("ended: %v", err)
		}
		if got[s.Instance] != nil {
			t.Errorf("%q is there twice", s.Instance)
		}
		got[s.Instance] = s
	}
	for _, l := range lives {
		s := got[l.id]
		if s == nil {
			t.Errorf("ended, asked of %s: %q is missing", who, l.id)
			continue
		}
		delete(got, l.id)
		if s.Version != l.last.Version || s.State != l.last.After || s.Status != l.last.Status || !s.Data.Equal(l.last.Data) {
			t.Errorf("ended, asked of %s: got %s, want the state after %s", who, asJSON(s), asJSON(l.last))
		}
	}
	for id := range got {
		t.Errorf("ended, asked of %s: %q has not, or is not kept", who, id)
	}
}
