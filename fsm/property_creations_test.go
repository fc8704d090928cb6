package fsm_test

import (
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// checkCreations: what transitions and hooks create is there, once, and nothing
// else is.
func (w *world) checkCreations(records []*fsm.Record, byID map[string]*folded) {
	children, crossed := map[fsm.RecordID][]*fsm.Record{}, map[fsm.RecordID][]*fsm.Record{}
	made := w.madeByHooks()
	for _, r := range records {
		switch {
		case r.Kind != fsm.KindCreated:
		case r.Origin.Parent != "":
			children[r.CausedBy] = append(children[r.CausedBy], r)
			if r.CausedBy.Instance != r.Origin.Parent {
				w.errorf("%s: caused by %s, child of %s", r.ID(), r.CausedBy, r.Origin.Parent)
			}
		case r.CausedBy != (fsm.RecordID{}) && !slices.Contains(made, r.Instance):
			crossed[r.CausedBy] = append(crossed[r.CausedBy], r)
		}
	}
	for _, r := range records {
		w.checkChild(r, children[r.ID()])
		w.checkCrossed(r, crossed[r.ID()])
		delete(children, r.ID())
		delete(crossed, r.ID())
	}
	for id, list := range children {
		w.errorf("%d children are caused by %s, which is not stored", len(list), id)
	}
	for id, list := range crossed {
		w.errorf("%d instances are caused by %s, which is not stored", len(list), id)
	}
	// A transition that is taken again, or lost in a crash, may have called
	// in vain.
	if w.lossy || w.plan.store == "flaky" {
		return
	}
	for _, id := range made {
		if byID[id] == nil {
			w.errorf("a hook was given the id %s, and there is no such instance", id)
		}
	}
}

func (w *world) madeByHooks() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.made)
}

// checkChild: an inter_machine transition creates one child, or fails.
func (w *world) checkChild(r *fsm.Record, children []*fsm.Record) {
	_, tr := w.plan.taken(r)
	want := 0
	if tr != nil && tr.Type == "inter_machine" && r.Error == "" {
		want = 1
	}
	if len(children) != want {
		w.errorf("%s by %s has %d children, want %d", r.ID(), r.Event.Type, len(children), want)
		return
	}
	for _, child := range children {
		if child.Machine != tr.TargetMachine || child.Component != r.Component {
			w.errorf("%s is of %s in %s, want %s in %s", child.ID(), child.Machine, child.Component, tr.TargetMachine, r.Component)
		}
	}
	if r.Error == "" || r.Error == string(fsm.CodeTooMany) {
		return
	}
	if tr == nil || tr.Type != "inter_machine" || tr.TargetMachine != ghost && !w.singleton(r.Component, tr.TargetMachine) {
		w.errorf("%s by %s failed (%s), and its transition %+v can't", r.ID(), r.Event.Type, r.Error, tr)
	}
}

// checkCrossed: a cross_component transition without an event creates one
// instance, unless there may be none.
func (w *world) checkCrossed(r *fsm.Record, created []*fsm.Record) {
	_, tr := w.plan.taken(r)
	least, most := 0, 0
	if tr != nil && tr.Type == "cross_component" && tr.TargetEvent == "" && tr.TargetComponent != nowhere && tr.TargetMachine != ghost {
		most = 1
		if !w.singleton(tr.TargetComponent, tr.TargetMachine) && !w.told.cutOff() {
			least = 1
		}
	}
	if n := len(created); n < least || n > most {
		w.errorf("%s by %s created %d instances elsewhere, want %d to %d", r.ID(), r.Event.Type, n, least, most)
	}
	for _, c := range created {
		if tr != nil && (c.Machine != tr.TargetMachine || c.Component != tr.TargetComponent) {
			w.errorf("%s is of %s in %s, want %s in %s", c.ID(), c.Machine, c.Component, tr.TargetMachine, tr.TargetComponent)
		}
	}
}

// singleton reports whether a machine may have one instance only.
func (w *world) singleton(component, machine string) bool {
	return slices.ContainsFunc(w.plan.components, func(c *fsm.Component) bool {
		return c.Name == component && c.EntryMachine == machine && c.EntryMachineMode != "multiple"
	})
}
