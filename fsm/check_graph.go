package fsm

import (
	"maps"
	"regexp/syntax"
	"slices"
)

// ways warns of states that nothing leads to, or out of. It says nothing
// about a machine that has errors, which would only be told twice.
func (m *checkMachine) ways() {
	out := map[string][]string{}
	for _, t := range m.machine.Transitions {
		if m.states[t.From] == nil || m.states[t.To] == nil {
			return
		}
		out[t.From] = append(out[t.From], t.To)
	}
	initial := m.states[m.machine.InitialState]
	if !m.whole || m.broken(m.at("transitions")) || initial == nil || stateEnds(initial) {
		return
	}
	reached := map[string]bool{initial.Name: true}
	for open := []string{initial.Name}; len(open) > 0; {
		s := open[len(open)-1]
		open = open[:len(open)-1]
		if stateEnds(m.states[s]) {
			continue
		}
		for _, to := range out[s] {
			if !reached[to] {
				reached[to] = true
				open = append(open, to)
			}
		}
	}
	for i := range m.machine.States {
		s := &m.machine.States[i]
		if m.states[s.Name] != s {
			continue // a duplicate
		}
		path := pathIndex(m.at("states"), i)
		if !reached[s.Name] {
			m.warn(path, "only creating an instance in it gets there", "state %s can't be reached from %s", problemQuote(s.Name), problemQuote(initial.Name))
		}
		if !stateEnds(s) && len(out[s.Name]) == 0 {
			m.warn(path, "make it final, or add a transition", "no transition leads out of state %s", problemQuote(s.Name))
		}
	}
}

// contextSchema warns of what CheckContext will not enforce.
func (m *checkMachine) contextSchema(fields map[string]Field, path string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f, at := fields[name], pathKey(path, name)
		if f.Type != "" && !slices.Contains(definitionFieldTypes, f.Type) {
			m.warn(at+".type", m.near(SeverityWarning, f.Type, definitionFieldTypes), "unknown field type %s, so field %s is not checked", problemQuote(f.Type), problemQuote(name))
		}
		if f.Min != nil && f.Max != nil && *f.Min > *f.Max {
			m.warn(at+".min", "neither is checked", "min %v of field %s is above max %v", *f.Min, problemQuote(name), *f.Max)
		}
		if f.MinLength != nil && f.MaxLength != nil && *f.MinLength > *f.MaxLength {
			m.warn(at+".minLength", "neither is checked", "minLength %d of field %s is above maxLength %d", *f.MinLength, problemQuote(name), *f.MaxLength)
		}
		if f.Pattern != "" {
			if _, err := syntax.Parse(f.Pattern, syntax.Perl); err != nil {
				m.warn(at+".pattern", "patterns are in RE2 syntax, which has no look-around and no back-references", "pattern of field %s is not checked: %s", problemQuote(name), problemQuote(err.Error()))
			}
		}
		m.contextSchema(f.Properties, at+".properties")
	}
}

// A cascadeNode is a state, or (with an event) the arrival of an event in a
// state.
type cascadeNode struct{ machine, state, event string }

// cascadeCycles warns of cascading rules that may lead back to themselves:
// entering a state sends an event, whose transition enters a state with
// cascading rules, and so on round.
func (k *definitionCheck) cascadeCycles() {
	g := cascadeGraph{next: map[cascadeNode][]cascadeNode{}, place: map[cascadeNode]string{}}
	for i := range k.component.StateMachines {
		g.addMachine(k.component.Name, &k.component.StateMachines[i], pathIndex("stateMachines", i))
	}
	for _, s := range g.circles() {
		k.warn(g.place[s], "it ends only where an event is ignored, rules do not match, or at 1,000 hops", "cascade cycle: entering state %s of machine %s can lead to entering it again", problemQuote(s.state), problemQuote(s.machine))
	}
}

type cascadeGraph struct {
	next  map[cascadeNode][]cascadeNode
	place map[cascadeNode]string // of the rules of a state
	order []cascadeNode          // states with rules, as defined
}

func (g *cascadeGraph) addMachine(component string, m *Machine, path string) {
	for _, t := range m.Transitions {
		if t.Type != "internal" {
			arrival := cascadeNode{m.Name, t.From, t.Event}
			g.next[arrival] = append(g.next[arrival], cascadeNode{machine: m.Name, state: t.To})
		}
	}
	for i := range m.States {
		s := &m.States[i]
		here := cascadeNode{machine: m.Name, state: s.Name}
		if len(s.CascadingRules) == 0 || s.Name == "" || g.place[here] != "" {
			continue
		}
		for _, r := range s.CascadingRules {
			if (r.TargetComponent == "" || r.TargetComponent == component) && r.Event != "" {
				g.next[here] = append(g.next[here], cascadeNode{r.TargetMachine, r.TargetState, r.Event})
			}
		}
		g.place[here] = pathIndex(path+".states", i) + ".cascadingRules"
		g.order = append(g.order, here)
	}
}

// circles returns the one state of each circle found. The
// search goes along every edge once: a circle is an edge back into the way
// that led here.
func (g *cascadeGraph) circles() []cascadeNode {
	told := map[cascadeNode]bool{}
	seen := map[cascadeNode]bool{}
	onTheWay := map[cascadeNode]bool{}
	var visit func(n cascadeNode)
	visit = func(n cascadeNode) {
		seen[n], onTheWay[n] = true, true
		for _, to := range g.next[n] {
			switch {
			case !seen[to]:
				visit(to)
			case onTheWay[to] && to.event == "":
				told[to] = true
			case onTheWay[to]:
				told[n] = true // closes at an event, so n is the state
			}
		}
		delete(onTheWay, n)
	}
	for _, n := range g.order {
		if !seen[n] {
			visit(n)
		}
	}
	return slices.DeleteFunc(g.order, func(n cascadeNode) bool { return !told[n] })
}
