package fsm

import (
	"fmt"
)

// A checkMachine is the check of one machine of a component.
type checkMachine struct {
	*definitionCheck
	checkIndex
	machine *Machine
	path    string
}

func (m *checkMachine) at(key string) string { return m.path + "." + key }

func (m *checkMachine) run() {
	m.initialState()
	seen := newCheckNames(m.definitionCheck, "state")
	for i := range m.machine.States {
		if path := pathIndex(m.at("states"), i); !m.broken(path) {
			seen.name(path, m.machine.States[i].Name)
			m.state(&m.machine.States[i], path)
		}
	}
	for i := range m.machine.Transitions {
		if path := pathIndex(m.at("transitions"), i); !m.broken(path) {
			m.transition(&m.machine.Transitions[i], path)
		}
	}
	if p := m.machine.ParentLink; p != nil && p.Enabled && p.OnStateChange == "" {
		m.warn(m.at("parentLink"), "name the event in onStateChange", "the parent link is enabled but has no event to send")
	}
	m.contextSchema(m.machine.ContextSchema, m.at("contextSchema"))
	m.ways()
}

func (m *checkMachine) initialState() {
	path, name := m.at("initialState"), m.machine.InitialState
	if len(m.machine.States) == 0 {
		m.error(m.at("states"), "", "machine %s has no states", problemQuote(m.machine.Name))
	}
	if name == "" {
		m.error(path, "", "machine %s has no initialState", problemQuote(m.machine.Name))
		return
	}
	s, ok := m.states[name]
	if !ok {
		m.unknownState(path, name, "initial state")
		return
	}
	if stateEnds(s) {
		m.error(path, "an instance would have ended before it began", "initial state %s is of type %s", problemQuote(name), s.Type)
	}
}

// stateEnds says whether an instance in the state has ended.
func stateEnds(s *State) bool { return s.Type == "final" || s.Type == "error" }

func (m *checkMachine) unknownState(path, name, what string) {
	if m.whole {
		m.error(path, m.near(SeverityError, name, m.names), "%s %s is not among the states of machine %s", what, problemQuote(name), problemQuote(m.machine.Name))
	}
}

func (m *checkMachine) state(s *State, path string) {
	m.oneOf(path+".type", s.Type, definitionStateTypes)
	for i := range s.CascadingRules {
		if at := pathIndex(path+".cascadingRules", i); !m.broken(at) {
			m.cascade(&s.CascadingRules[i], at)
		}
	}
}

func (m *checkMachine) cascade(r *CascadingRule, path string) {
	if r.Event == "" {
		m.error(path+".event", "", "a cascading rule has no event")
	}
	if r.TargetMachine == "" {
		m.error(path+".targetMachine", "", "a cascading rule has no targetMachine")
	}
	if r.TargetState == "" {
		m.error(path+".targetState", "", "a cascading rule has no targetState")
	}
	m.rules(r.MatchingRules, path)
	if r.TargetComponent != "" && r.TargetComponent != m.component.Name {
		return // what another component has can't be seen from here
	}
	i, ok := m.targetMachine(r.TargetMachine, path+".targetMachine", "the rule will fail with a cascade_error whenever it is due")
	if !ok || r.TargetState == "" {
		return
	}
	if target := m.indexes[i]; target.states[r.TargetState] == nil && target.whole {
		m.warn(path+".targetState", m.near(SeverityWarning, r.TargetState, target.names), "machine %s has no state %s, so the rule reaches nobody", problemQuote(r.TargetMachine), problemQuote(r.TargetState))
	}
}

// targetMachine finds a machine of this component, or warns that there is
// none of that name.
func (m *checkMachine) targetMachine(name, path, consequence string) (int, bool) {
	i, ok := m.machineAt[name]
	if !ok && name != "" && m.allMachines {
		m.warn(path, m.near(SeverityWarning, name, m.machineNames), "machine %s is not in this component: %s", problemQuote(name), consequence)
	}
	return i, ok
}

func (m *checkMachine) transition(t *Transition, path string) {
	m.end(t.From, path+".from", "from")
	m.end(t.To, path+".to", "to")
	if t.Event == "" {
		hint := ""
		if t.Type == "timeout" || t.Type == "auto" {
			hint = "timers need one too: it is the name under which they are recorded"
		}
		m.error(path+".event", hint, "a transition has no event")
	}
	m.oneOf(path+".type", t.Type, definitionTransitionTypes)
	m.delay(t, path)
	m.rules(t.MatchingRules, path)
	for key, from := range t.ContextMapping {
		if from == "" {
			m.warn(pathKey(path+".contextMapping", key), "give the path of a value", "an empty path maps nothing to %s", problemQuote(key))
		}
	}
	if t.NotifyParent != nil && t.NotifyParent.Event == "" {
		m.error(path+".notifyParent.event", "", "notifyParent has no event")
	}
	if s := m.states[t.From]; s != nil && stateEnds(s) {
		m.warn(path+".from", "instances end when they reach it", "state %s is of type %s, so this transition is never taken", problemQuote(t.From), s.Type)
	}
	m.byType(t, path)
}

// byType checks what the type of a transition asks for.
func (m *checkMachine) byType(t *Transition, path string) {
	switch t.Type {
	case "inter_machine":
		switch {
		case t.TargetMachine == "" && t.TargetComponent == "":
			m.error(path+".targetMachine", "name the machine of the child in targetMachine", "an inter_machine transition has no target")
		case t.TargetMachine == "":
			m.warn(path+".targetComponent", "name a machine in targetMachine", "an inter_machine transition without targetMachine creates no child")
		case t.TargetComponent == "" || t.TargetComponent == m.component.Name:
			m.targetMachine(t.TargetMachine, path+".targetMachine", "taking this transition will end the instance with an error")
		}
	case "cross_component":
		if t.TargetComponent == "" {
			m.error(path+".targetComponent", "name the other component", "a cross_component transition has no targetComponent")
		}
		if t.TargetEvent != "" && len(t.MatchingRules) == 0 && !m.broken(path+".matchingRules") {
			m.warn(path+".targetEvent", "add matchingRules that select the instances", "without matchingRules event %s is delivered to nobody", problemQuote(t.TargetEvent))
		}
	case "internal":
		if t.To != t.From && t.To != "" && t.From != "" {
			m.error(path+".to", fmt.Sprintf("set to to %s, or leave out the type", problemQuote(t.From)), "an internal transition stays in its state, but leads from %s to %s", problemQuote(t.From), problemQuote(t.To))
		}
	}
}

// end checks one end of a transition.
func (m *checkMachine) end(state, path, what string) {
	if state == "" {
		m.error(path, "", "a transition has no %s", what)
	} else if m.states[state] == nil {
		m.unknownState(path, state, "state")
	}
}

func (m *checkMachine) delay(t *Transition, path string) {
	switch {
	case t.TimeoutMs < 0:
		m.error(path+".timeoutMs", "", "timeoutMs is negative: %d", t.TimeoutMs)
	case t.TimeoutMs > maxTimeoutMs:
		m.error(path+".timeoutMs", "", "timeoutMs is more than 292 years: %d", t.TimeoutMs)
	case t.Type == "timeout" && t.TimeoutMs == 0:
		m.warn(path+".timeoutMs", "set timeoutMs to a number above 0", "a timeout without timeoutMs never fires")
	}
}

func (m *checkMachine) rules(rules []MatchingRule, path string) {
	for i, r := range rules {
		at := pathIndex(path+".matchingRules", i)
		if m.broken(at) {
			continue
		}
		if r.EventProperty == "" {
			m.error(at+".eventProperty", "give a path into the event's payload", "a matching rule has an empty eventProperty")
		}
		if r.InstanceProperty == "" {
			m.error(at+".instanceProperty", "give a path into the instance's data", "a matching rule has an empty instanceProperty")
		}
		m.oneOf(at+".operator", r.Operator, definitionOperators)
	}
}
