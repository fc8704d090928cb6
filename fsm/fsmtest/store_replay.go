package fsmtest

import (
	"cmp"
	"reflect"
	"slices"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// A replayed is what a reader makes of the things that a log yields.
type replayed struct {
	instances map[string]*fsm.Snapshot
	records   []*fsm.Record
	done      []fsm.EffectID
	chosen    []fsm.ChosenTargets
	applied   []fsm.AppliedEffect
}

// replay reads a list as fsm.Restored says it is to be read, and fails where
// it cannot be: a version that follows on nothing.
func replay(t *testing.T, list []fsm.Restored) *replayed {
	t.Helper()
	p := &replayed{instances: map[string]*fsm.Snapshot{}}
	for _, r := range list {
		switch {
		case r.Snapshot != nil:
			s := *r.Snapshot
			p.instances[s.Instance] = &s
		case r.Done != nil:
			p.done = append(p.done, *r.Done)
		case r.Chosen != nil:
			p.chosen = append(p.chosen, *r.Chosen)
		case r.Applied != nil:
			p.applied = append(p.applied, *r.Applied)
		default:
			p.apply(t, r.Record)
		}
	}
	return p
}

func (p *replayed) apply(t *testing.T, r *fsm.Record) {
	t.Helper()
	p.records = append(p.records, r)
	if r.Remote != nil {
		p.applied = append(p.applied, fsm.AppliedEffect{Effect: *r.Remote, Instance: r.Instance})
	}
	in := p.instances[r.Instance]
	if in == nil {
		in = &fsm.Snapshot{Instance: r.Instance, CreatedAt: r.Time}
		p.instances[r.Instance] = in
	}
	switch {
	case r.Version <= in.Version:
		return
	case r.Version > in.Version+1:
		t.Errorf("record %s follows on version %d", r.ID(), in.Version)
	}
	if r.Origin != nil {
		in.Origin = *r.Origin
	}
	in.Version, in.Component, in.Machine = r.Version, r.Component, r.Machine
	in.State, in.Status, in.Timers, in.UpdatedAt = r.After, r.Status, r.Timers, r.Time
	in.Data, in.Context = r.Data, r.Context
	if r.EndData != nil {
		in.Data = *r.EndData
	}
	if r.EndContext != nil {
		in.Context = r.EndContext
	}
}

// open returns the effects of the records that are not done yet.
func (p *replayed) open() []fsm.EffectID {
	done := map[fsm.EffectID]bool{}
	for _, id := range p.done {
		done[id] = true
	}
	for _, r := range p.records {
		if r.Effect != nil {
			done[*r.Effect] = true
		}
	}
	var out []fsm.EffectID
	for _, r := range p.records {
		for _, id := range EffectIDs(r) {
			if !done[id] {
				out = append(out, id)
			}
		}
	}
	return out
}

// EffectIDs returns the ids of a record's effects: one for each target, and
// one for an effect whose receiver chooses the targets.
func EffectIDs(r *fsm.Record) []fsm.EffectID {
	var out []fsm.EffectID
	for _, e := range r.Effects {
		for k := range max(1, len(e.Targets)) {
			out = append(out, fsm.EffectID{Record: r.ID(), N: e.N, Target: k})
		}
	}
	return out
}

// is fails unless the instances are those that the lives have led to. The event
// ids of snapshots are not compared: records do not have them.
func (p *replayed) is(t *testing.T, lives ...*life) {
	t.Helper()
	known := map[string]bool{}
	for _, l := range lives {
		known[l.id] = true
		got, ok := p.instances[l.id]
		if !ok {
			t.Errorf("instance %q is not there", l.id)
			continue
		}
		end := *l.last
		end.Snapshot = &fsm.Snapshot{}
		want := l.snapshot(&end)
		g := *got
		g.EventIDs = nil
		if !reflect.DeepEqual(g, *want) {
			t.Errorf("instance %q:\n got %s\nwant %s", l.id, asJSON(g), asJSON(want))
		}
	}
	for id := range p.instances {
		if !known[id] {
			t.Errorf("instance %q should not be there", id)
		}
	}
}

// isOpen fails unless these are the open effects.
func (p *replayed) isOpen(t *testing.T, want ...fsm.EffectID) {
	t.Helper()
	got := p.open()
	byText := func(a, b fsm.EffectID) int { return cmp.Compare(a.String(), b.String()) }
	slices.SortFunc(got, byText)
	slices.SortFunc(want, byText)
	if !slices.Equal(got, want) {
		t.Errorf("open effects: got %v, want %v", got, want)
	}
}

// readAgain opens the log anew and replays it.
func readAgain(t *testing.T, st fsm.Store, name string) *replayed {
	t.Helper()
	return replay(t, restore(t, opened(t, st, name)))
}
