package fsm_test

import (
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// checkTimers: timers are those that the rules say, they never fire before they
// are due, in the order of their deadlines, and once in a stay.
func (w *world) checkTimers(f *folded) {
	m := w.plan.machine(f.last.Machine)
	var before []fsm.RecordTimer
	// Timeouts that keep their deadline over self-loops and have fired: the
	// state that they lead out of has not been left since.
	fired := map[int]bool{}
	for i, r := range f.records {
		if i > 0 && r.Before != r.After {
			clear(fired)
		}
		if reason := timerReason(r); reason != "" && i > 0 {
			w.checkFiring(m, r, before, reason, fired)
		}
		w.checkRunning(m, r, before, fired)
		before = r.Timers
	}
}

// expired is the reason of a timeout that ran out while no runtime ran.
const expired = "timeout_expired_during_restart"

// timerReason returns why a timer fired, "" for a record of another event.
// Events from outside have no such payload, all others have a cause.
func timerReason(r *fsm.Record) string {
	reason, _ := r.Event.Payload.Get("reason")
	text, _ := reason.(string)
	if r.CausedBy != (fsm.RecordID{}) || r.Effect != nil {
		return ""
	}
	return text
}

func (w *world) checkFiring(m *fsm.Machine, r *fsm.Record, running []fsm.RecordTimer, reason string, fired map[int]bool) {
	kind := "timeout"
	if reason == "auto-transition" {
		kind = "auto"
	}
	var first *fsm.RecordTimer
	for i := range running {
		t := &running[i]
		// Of what ran out during a restart, timeouts go first.
		if reason == expired && m.Transitions[t.Transition].Type != kind {
			continue
		}
		if first == nil || t.Due < first.Due || t.Due == first.Due && t.Transition < first.Transition {
			first = t
		}
	}
	if first == nil {
		w.errorf("%s: %s fired (%s), and no timer was running", r.ID(), r.Event.Type, reason)
		return
	}
	if first.Event != r.Event.Type || first.To != r.After || m.Transitions[first.Transition].Type != kind {
		w.errorf("%s: %s to %s fired (%s), but first was %+v", r.ID(), r.Event.Type, r.After, reason, *first)
	}
	if r.Time < first.Due {
		w.errorf("%s: %s fired at %d, %d ms early", r.ID(), r.Event.Type, r.Time, first.Due-r.Time)
	}
	if fired[first.Transition] {
		w.errorf("%s: %s fired twice in one stay", r.ID(), r.Event.Type)
	}
	if keepsDeadline(&m.Transitions[first.Transition]) && r.Before == r.After {
		fired[first.Transition] = true
	}
}

func keepsDeadline(tr *fsm.Transition) bool {
	return tr.Type == "timeout" && tr.ResetOnTransition != nil && !*tr.ResetOnTransition
}

// checkRunning: after a record those timers run that its transition leaves or
// starts.
func (w *world) checkRunning(m *fsm.Machine, r *fsm.Record, before []fsm.RecordTimer, fired map[int]bool) {
	_, taken := w.plan.taken(r)
	if taken != nil && taken.Type == "internal" {
		if !slices.Equal(r.Timers, before) {
			w.errorf("%s: an internal transition changed the timers from %+v to %+v", r.ID(), before, r.Timers)
		}
		return
	}
	running := map[int]fsm.RecordTimer{}
	for _, t := range r.Timers {
		running[t.Transition] = t
	}
	if len(running) != len(r.Timers) {
		w.errorf("%s: one timer runs twice: %+v", r.ID(), r.Timers)
	}
	for i := range m.Transitions {
		tr := &m.Transitions[i]
		t, runs := running[i]
		delete(running, i)
		timed := tr.Type == "auto" || tr.Type == "timeout" && tr.TimeoutMs > 0
		should := timed && tr.From == r.After && r.Status == fsm.StatusActive
		earliest := r.Time + tr.TimeoutMs
		if should && keepsDeadline(tr) && r.Before == r.After {
			old := slices.IndexFunc(before, func(o fsm.RecordTimer) bool { return o.Transition == i })
			// Of several that ran out during a restart the others are void.
			void := old >= 0 && timerReason(r) == expired && before[old].Due <= r.Time
			should = old >= 0 && !fired[i] && !void
			if should {
				earliest = before[old].Due
			}
		}
		if runs != should {
			w.errorf("%s from %q to %q: the timer of transition %d (%s %s) runs: %t, want %t", r.ID(), r.Before, r.After, i, tr.Type, tr.Event, runs, should)
			continue
		}
		if runs && (t.Due < earliest || t.Event != tr.Event || t.To != tr.To) {
			w.errorf("%s: the timer %+v of %s to %s is not due before %d", r.ID(), t, tr.Event, tr.To, earliest)
		}
	}
	for _, t := range running {
		w.errorf("%s: the timer %+v belongs to no transition", r.ID(), t)
	}
}
