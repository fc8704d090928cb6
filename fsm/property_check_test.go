package fsm_test

import (
	"context"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

// taken returns the transition that a record tells of, and its position; nil
// for a creation.
func (p *plan) taken(r *fsm.Record) (int, *fsm.Transition) {
	for _, m := range p.machines {
		if m.Name != r.Machine {
			continue
		}
		for i := range m.Transitions {
			if tr := &m.Transitions[i]; tr.From == r.Before && tr.To == r.After && tr.Event == r.Event.Type {
				return i, tr
			}
		}
	}
	return 0, nil
}

// machine returns a machine by its name.
func (p *plan) machine(name string) *fsm.Machine {
	i := slices.IndexFunc(p.machines, func(m *fsm.Machine) bool { return m.Name == name })
	return p.machines[i]
}

// checkAtRest checks all that holds whenever the runtime has nothing to do:
// what is stored makes sense, is what the table shows, and what was told.
func (w *world) checkAtRest() {
	records := w.memory.Records(propertyLog)
	byID, order := fold(records)
	w.told.await(w.telling(byID))
	for _, id := range order {
		f := byID[id]
		w.checkVersions(id, f)
		w.checkTimers(f)
		w.checkTold(id, f)
	}
	w.checkTable(byID)
	w.checkEffects(records)
	w.checkKeys(byID)
	w.checkCreations(records, byID)
}

// checkVersions: without gaps, from 1, each record beginning where the last one
// ended, none after the end.
func (w *world) checkVersions(id string, f *folded) {
	for i, r := range f.records {
		if r.Version != uint64(i)+1 {
			w.errorf("%s: version %d at place %d", id, r.Version, i+1)
		}
		if i == 0 {
			if r.Kind != fsm.KindCreated || r.Before != "" {
				w.errorf("%s: the first record is %s from %q", id, r.Kind, r.Before)
			}
			continue
		}
		last := f.records[i-1]
		if r.Before != last.After || last.Status != fsm.StatusActive || r.Kind == fsm.KindCreated || r.Time < last.Time {
			w.errorf("%s: %s from %q at %d follows on %s to %q (%s) at %d", r.ID(), r.Kind, r.Before, r.Time, last.Kind, last.After, last.Status, last.Time)
		}
	}
}

// checkTable: the table has the instances that the records lead to, no others,
// with all that belongs to them.
func (w *world) checkTable(byID map[string]*folded) {
	seen := map[string]bool{}
	for in := range w.rt.Instances(fsm.Filter{}) {
		f := byID[in.ID()]
		switch {
		case f == nil:
			w.errorf("%s is in the table and has no records", in.ID())
		case seen[in.ID()]:
			w.errorf("%s is in the table twice", in.ID())
		case !f.inTable():
			w.errorf("%s is in the table, and ended by its records", in.ID())
		default:
			if difference := f.differs(in); difference != "" {
				w.errorf("%s %s: %s", in.Machine(), in.ID(), difference)
			}
		}
		seen[in.ID()] = true
	}
	for id, f := range byID {
		if f.inTable() && !seen[id] {
			w.errorf("%s %s is not in the table", f.last.Machine, id)
		}
	}
}

// checkEffects: at rest every effect is done, by one record or without any.
func (w *world) checkEffects(records []*fsm.Record) {
	outcomes := map[fsm.EffectID]int{}
	for _, r := range records {
		if r.Effect != nil {
			outcomes[*r.Effect]++
		}
	}
	for id, n := range outcomes {
		if n != 1 {
			w.errorf("effect %s has the outcome of %d records", id, n)
		}
	}
	done := map[fsm.EffectID]bool{}
	var due []fsm.EffectID
	for _, r := range w.restored() {
		switch {
		case r.Done != nil:
			done[*r.Done] = true
		case r.Record != nil:
			due = append(due, fsmtest.EffectIDs(r.Record)...)
		}
	}
	for _, id := range due {
		if outcomes[id] == 0 && !done[id] {
			w.errorf("effect %s is not done", id)
		}
	}
}

// restored returns what a new reader of the log is given.
func (w *world) restored() []fsm.Restored {
	log, err := w.memory.Open(context.Background(), propertyLog)
	if err != nil {
		w.fatalf("open: %v", err)
	}
	var out []fsm.Restored
	for r, err := range log.Restore(context.Background()) {
		if err != nil {
			w.fatalf("restore: %v", err)
		}
		out = append(out, r)
	}
	if err := log.Close(); err != nil {
		w.errorf("close: %v", err)
	}
	return out
}

// checkKeys: a key belongs to one active instance of its component.
func (w *world) checkKeys(byID map[string]*folded) {
	owner := map[[2]string]string{}
	for id, f := range byID {
		if f.origin.Key == "" || f.last.Status != fsm.StatusActive {
			continue
		}
		key := [2]string{f.last.Component, f.origin.Key}
		if other, ok := owner[key]; ok {
			w.errorf("key %s of %s belongs to %s and to %s", key[1], key[0], id, other)
		}
		owner[key] = id
	}
}
