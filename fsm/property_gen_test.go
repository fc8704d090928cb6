package fsm_test

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
	"pgregory.net/rapid"
)

// A plan is what one case of the property test runs on.
type plan struct {
	components []*fsm.Component
	methods    map[string][]hookOp
	machines   []*fsm.Machine            // all
	component  map[string]*fsm.Component // of a machine, by its name
	shards     int
	store      string // "memory", "slow" or "flaky"
	interval   int    // of snapshots, 0 for none
}

// Names are few, so that what is sent often meets something.
var (
	eventNames  = []string{"e0", "e1", "e2", "e3"}
	methodNames = []string{"h0", "h1", "h2", "h3", "h4", "h5"}
	keyNames    = []string{"k", "l", "m"}
	operators   = []string{"", "===", "!==", ">", "<", ">=", "<="}
	// types has those of more interest more often.
	types = []string{
		"", "regular", "triggerable", "timeout", "timeout", "auto", "inter_machine", "inter_machine",
		"cross_component", "cross_component", "internal",
	}
)

// ghost is a machine that no component has, nowhere a component that is not
// there.
const (
	ghost   = "ghost"
	nowhere = "nowhere"
)

func sample[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

// oneIn draws true in one of n cases. The smallest draw is false.
func oneIn(t *rapid.T, n int, label string) bool {
	return rapid.IntRange(0, n-1).Draw(t, label) == n-1
}

func drawPlan(t *rapid.T) *plan {
	p := &plan{
		methods: map[string][]hookOp{}, component: map[string]*fsm.Component{},
		shards:   sample(t, "shards", 1, 4),
		store:    sample(t, "store", "memory", "slow", "flaky"),
		interval: sample(t, "snapshot interval", 0, 1, 3),
	}
	n := rapid.IntRange(1, 4).Draw(t, "machines")
	for i := range min(n, rapid.IntRange(1, 2).Draw(t, "components")) {
		p.components = append(p.components, &fsm.Component{Name: fmt.Sprintf("C%d", i)})
	}
	for i := range n {
		c := p.components[i%len(p.components)]
		m := &fsm.Machine{Name: fmt.Sprintf("M%d", i)}
		p.machines, p.component[m.Name] = append(p.machines, m), c
	}
	for _, m := range p.machines {
		p.drawMachine(t, m)
	}
	for i, c := range p.components {
		for _, m := range p.machines {
			if p.component[m.Name] == c {
				c.StateMachines = append(c.StateMachines, *m)
			}
		}
		if oneIn(t, 2, "entry point") {
			c.EntryMachine = fmt.Sprintf("M%d", i)
			c.EntryMachineMode = sample(t, "entry mode", "", "singleton", "multiple")
		}
	}
	for _, name := range methodNames {
		p.methods[name] = rapid.SliceOfN(rapid.Custom(p.drawOp), 0, 3).Draw(t, name)
	}
	return p
}

func (p *plan) drawMachine(t *rapid.T, m *fsm.Machine) {
	m.InitialState = "s0"
	count := rapid.IntRange(2, 4).Draw(t, "states")
	for i := range count {
		s := fsm.State{Name: fmt.Sprintf("s%d", i)}
		if oneIn(t, 4, "has entry hook") {
			s.OnEntry = sample(t, "entry hook", methodNames...)
		}
		if oneIn(t, 5, "has exit hook") {
			s.OnExit = sample(t, "exit hook", methodNames...)
		}
		if oneIn(t, 5, "cascades") {
			s.CascadingRules = append(s.CascadingRules, p.drawCascade(t))
		}
		m.States = append(m.States, s)
	}
	m.States[0].Type = "entry"
	m.States = append(m.States, fsm.State{Name: "done", Type: "final"}, fsm.State{Name: "bad", Type: "error"})
	if oneIn(t, 3, "public member") {
		m.PublicMemberType = "Thing"
	}
	if oneIn(t, 2, "parent link") {
		m.ParentLink = &fsm.ParentLink{Enabled: true, OnStateChange: sample(t, "told", eventNames...)}
	}
	for range rapid.IntRange(6, 14).Draw(t, "transitions") {
		tr := p.drawTransition(t, m, count)
		// From, to and event tell the transitions of a machine apart, so that
		// a record says which one was taken.
		if !slices.ContainsFunc(m.Transitions, func(o fsm.Transition) bool {
			return o.From == tr.From && o.To == tr.To && o.Event == tr.Event
		}) {
			m.Transitions = append(m.Transitions, tr)
		}
	}
}

func (p *plan) drawTransition(t *rapid.T, m *fsm.Machine, states int) fsm.Transition {
	from := rapid.IntRange(0, states-1).Draw(t, "from")
	to := rapid.IntRange(0, states-1).Draw(t, "to")
	tr := fsm.Transition{
		From: m.States[from].Name, To: m.States[to].Name,
		Event: sample(t, "event", eventNames...), Type: sample(t, "type", types...),
	}
	if oneIn(t, 8, "ends") {
		to, tr.To = states, sample(t, "end", "done", "bad")
	}
	if oneIn(t, 3, "has triggered hook") {
		tr.TriggeredMethod = sample(t, "triggered hook", methodNames...)
	}
	if oneIn(t, 4, "has rules") {
		tr.MatchingRules = drawRules(t)
	}
	if oneIn(t, 5, "notifies") {
		tr.NotifyParent = &fsm.NotifyParent{Event: sample(t, "notice", eventNames...), IncludeContext: rapid.Bool().Draw(t, "with context")}
	}
	switch tr.Type {
	case "internal":
		tr.To = tr.From
	case "timeout":
		tr.TimeoutMs = int64(rapid.IntRange(2, 20).Draw(t, "tens of ms")) * 10
		if oneIn(t, 3, "keeps its deadline") {
			tr.ResetOnTransition = new(bool)
		}
	case "auto":
		// What autos without a delay lead to happens while time stands still,
		// and must end somewhere.
		if to < states || tr.NotifyParent != nil || m.ParentLink != nil {
			tr.TimeoutMs = int64(rapid.IntRange(2, 10).Draw(t, "tens of ms")) * 10
		}
	case "inter_machine":
		tr.TargetMachine = p.drawTarget(t, p.component[m.Name].Name)
		tr.ContextMapping = drawMapping(t)
	case "cross_component":
		tr.TargetComponent = nowhere
		for _, c := range p.components {
			if c != p.component[m.Name] {
				tr.TargetComponent = c.Name
			}
		}
		tr.TargetMachine = p.drawTarget(t, tr.TargetComponent)
		tr.ContextMapping = drawMapping(t)
		if oneIn(t, 2, "sends an event") {
			tr.TargetEvent = sample(t, "target event", eventNames...)
			tr.MatchingRules = drawRules(t)
		}
	}
	return tr
}

// drawTarget draws a machine of a component, or rarely one that is not there.
func (p *plan) drawTarget(t *rapid.T, component string) string {
	var names []string
	for _, m := range p.machines {
		if p.component[m.Name].Name == component {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 || oneIn(t, 8, "no such machine") {
		return ghost
	}
	return sample(t, "target machine", names...)
}

func drawMapping(t *rapid.T) map[string]string {
	if !oneIn(t, 3, "maps") {
		return nil
	}
	return map[string]string{sample(t, "mapped key", keyNames...): sample(t, "mapped path", "k", "l.k", "m.0")}
}

func drawRules(t *rapid.T) []fsm.MatchingRule {
	key := sample(t, "rule key", keyNames...)
	return []fsm.MatchingRule{{EventProperty: key, InstanceProperty: key, Operator: sample(t, "operator", operators...)}}
}

func (p *plan) drawCascade(t *rapid.T) fsm.CascadingRule {
	c := sample(t, "cascade component", p.components...)
	r := fsm.CascadingRule{
		TargetComponent: c.Name, TargetMachine: p.drawTarget(t, c.Name), Event: sample(t, "cascade event", eventNames...),
		TargetState: sample(t, "cascade state", "s0", "s1", "s2"),
		Payload:     map[string]any{"k": "{{k}}", "l": map[string]any{"k": "{{ l.k }}"}},
	}
	if oneIn(t, 3, "cascade rules") {
		r.MatchingRules = drawRules(t)
	}
	return r
}

// drawData draws what contexts and payloads hold: each form that a value has,
// and numbers that a float64 would change.
func drawData(t *rapid.T) map[string]any {
	values := []any{
		0, 1, 2, -0.5, "a", "b", "", nil, true, int64(1)<<53 + 1, json.Number("123456789012345678901234567890"),
		map[string]any{"k": 1, "z": nil}, []any{"x", int64(1)<<60 + 1, []any{}},
	}
	return rapid.MapOfN(rapid.SampledFrom(keyNames), rapid.SampledFrom(values), 0, 3).Draw(t, "data")
}
