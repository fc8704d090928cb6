package ui

import (
	"maps"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/mesh"
)

// An attentionView is something that somebody should look at, with where to.
type attentionView struct {
	urgent    bool
	what, why string
	links     []linkView
}

type linkView struct{ text, href string }

// attentionOf lists what somebody should look at, most urgent first and else in
// the order of names: so that nothing jumps under the hand.
func attentionOf(fl *fleet) []attentionView {
	out := slices.Concat(fl.lostOnes(), fl.setAside(), fl.inError(), fl.doubtful(), bridgesInNeed(fl.bridges))
	slices.SortStableFunc(out, func(a, b attentionView) int { return trueFirst(a.urgent, b.urgent) })
	return out
}

// alertsOf counts what needs attention, how much of it is urgent, and how many
// runtimes are lost or bridges silent.
func alertsOf(fl *fleet, attention []attentionView) (a alerts) {
	for _, v := range attention {
		a.all++
		if v.urgent {
			a.urgent++
		}
	}
	for i := range fl.runtimes {
		if fl.runtimes[i].Status == mesh.Lost {
			a.lost++
		}
	}
	for _, b := range fl.bridges {
		if b.kind == "warn" {
			a.silent++
		}
	}
	return a
}

// lostOnes are runtimes that are gone and have left instances behind.
func (f *fleet) lostOnes() (out []attentionView) {
	for i := range f.runtimes {
		m := &f.runtimes[i]
		left := m.InMotion()
		a := attentionView{links: []linkView{
			{"Runtimes", "runtimes"}, {"Its instances", href("instances", "component", m.Component, "runtime", m.Name)},
		}}
		switch {
		case m.Status == mesh.Lost:
			a.urgent = true
			a.what = "Runtime " + m.Name + " (" + m.Component + ") is lost"
			a.why = "Last heard at " + clock(m.Heard) + ". " + counted(left, "instance") + " shown as of then; their events and timers wait until it, or another one, has them."
		case m.Status == mesh.Stopped && left > 0:
			a.what = "Runtime " + m.Name + " (" + m.Component + ") has stopped"
			a.why = "Since " + clock(m.Since) + ". " + counted(left, "instance") + " shown as it left them; nothing moves them until one has them."
		default:
			continue
		}
		out = append(out, a)
	}
	return out
}

// setAside are runtimes with instances that are quarantined.
func (f *fleet) setAside() (out []attentionView) {
	for i := range f.runtimes {
		m := &f.runtimes[i]
		if m.Quarantined == 0 {
			continue
		}
		why := "It can't advance them: their machine or state is not defined there any more, or the store holds another version of them. They go on after a start that can."
		if m.Quarantined == 1 {
			why = "It can't advance it: its machine or state is not defined there any more, or the store holds another version of it. It goes on after a start that can."
		}
		out = append(out, attentionView{
			urgent: true,
			what:   counted(m.Quarantined, "instance") + " of " + m.Name + " (" + m.Component + ") quarantined",
			why:    why,
			links:  []linkView{{"Open", quarantinedOf(m)}, {"Runtimes", "runtimes"}},
		})
	}
	return out
}

// quarantinedOf is the list of those that a runtime has.
func quarantinedOf(m *member) string {
	return href("instances", "component", m.Component, "runtime", m.Name, "ended", heldOnly)
}

// inError are states of the kind error with somebody in them.
func (f *fleet) inError() (out []attentionView) {
	for _, c := range f.components {
		for _, m := range c.machines {
			for _, state := range slices.Sorted(maps.Keys(m.states)) {
				n := m.states[state]
				if kindOf(m.def, state) != "error" || n.Ended+inMotion(n) == 0 {
					continue
				}
				out = append(out, attentionView{
					urgent: true,
					what:   number(n.Ended+inMotion(n)) + " " + m.name + " in " + state,
					why:    "A state of the kind error of " + c.name + ". Those of the last 15 minutes are counted.",
					links: []linkView{
						{"Open", href("instances", "component", c.name, "machine", m.name, "state", state, "ended", "too")},
						{"In the diagram", href("machine", "component", c.name, "machine", m.name)},
					},
				})
			}
		}
	}
	return out
}

// doubtful are runtimes that are there, but something is not as it should be.
func (f *fleet) doubtful() (out []attentionView) {
	names := map[[2]string]int{}
	for i := range f.runtimes {
		m := &f.runtimes[i]
		if m.Status != mesh.Live {
			continue
		}
		names[[2]string{m.Name, m.Component}]++
		if names[[2]string{m.Name, m.Component}] == 2 {
			out = append(out, attentionView{
				what: "Two runtimes " + m.Name + " host " + m.Component, why: "Each has instances of its own. Give one of them another name.",
				links: []linkView{{"Runtimes", "runtimes"}},
			})
		}
		if m.Exactness.Reason == mesh.ReasonRefused {
			out = append(out, attentionView{
				what: "Runtime " + m.Name + " (" + m.Component + ") has more than is held here", why: "Some of its instances are not shown.",
				links: []linkView{{"Runtimes", "runtimes"}},
			})
		}
	}
	for _, c := range f.components {
		if c.differ {
			out = append(out, attentionView{
				what: "The definitions of " + c.name + " differ", why: "Its runtimes were started from different files; what is shown of states is that of the newest.",
				links: []linkView{{"Runtimes", "runtimes"}},
			})
		}
	}
	return out
}

// bridgesInNeed are silent ones, and those that could not use or lost something.
func bridgesInNeed(bridges []bridgeView) (out []attentionView) {
	for _, b := range bridges {
		var wrong []string
		for _, c := range b.counters {
			if c.wrong {
				wrong = append(wrong, c.name+" "+number(c.n))
			}
		}
		a := attentionView{links: []linkView{{"Bridges", "runtimes#br-h"}}}
		switch {
		case b.kind == "warn":
			a.what, a.why = "The bridge to "+b.broker+" is silent", "Last heard "+b.heardFor+". What runs there is shown as it was."
		case len(wrong) > 0:
			a.what, a.why = "The bridge to "+b.broker+" met what it could not use, or lost some", "Since it started: "+strings.Join(wrong, ", ")+". It goes on."
		default:
			continue
		}
		out = append(out, a)
	}
	return out
}
