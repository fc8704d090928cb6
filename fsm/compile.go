package fsm

import (
	"cmp"
	"slices"
	"strings"
)

// The types in this file are a definition made ready to run: names are
// resolved to pointers, paths are split, defaults are filled in. They are
// built once, by compile, and only read afterwards.

type component struct {
	name      string
	index     int // position among the runtime's components
	def       *Component
	machines  map[string]*machine
	list      []*machine
	entry     *machine // nil: none
	singleton bool
	auto      bool
}

type machine struct {
	comp    *component
	at      int // position among the runtime's machines
	name    string
	def     *Machine
	public  bool
	initial *state
	states  map[string]*state
	list    []*state
	trs     []*transition
	// routes has, for an event, the transitions with matching rules: they
	// decide who gets a broadcast.
	routes map[string][]*transition
	// parentEvent is told to the parent after each transition, if not "".
	parentEvent string
	// props are the paths that some rule compares with ===, so that
	// instances can be found by their values there.
	props []*property
}

// A property is a path into the data of a machine's instances that is indexed.
type property struct {
	index int
	path  []string
}

type stateKind uint8

const (
	kindRegular stateKind = iota
	kindEntry
	kindFinal
	kindError
)

func (k stateKind) String() string {
	return [...]string{"regular", "entry", "final", "error"}[k]
}

type state struct {
	m        *machine
	name     string
	index    int // position among the machine's states
	kind     stateKind
	onEntry  method
	onExit   method
	cascades []*cascade
	byEvent  map[string][]*transition
	timed    []*transition // timers of a stay, in order of definition
	accepts  []string
}

// ends reports whether an instance that enters the state has ended.
func (s *state) ends() bool { return s.kind == kindFinal || s.kind == kindError }

// status is that of an instance in the state.
func (s *state) status() Status {
	switch s.kind {
	case kindFinal:
		return StatusCompleted
	case kindError:
		return StatusError
	}
	return StatusActive
}

// A method is user code by its name; run is nil where nobody implements it.
type method struct {
	name string
	run  Hook
}

type transitionKind uint8

const (
	trRegular transitionKind = iota
	trTimeout
	trAuto
	trInterMachine
	trCrossComponent
	trInternal
)

var transitionKinds = map[string]transitionKind{
	"": trRegular, "regular": trRegular, "triggerable": trRegular, "timeout": trTimeout, "auto": trAuto,
	"inter_machine": trInterMachine, "cross_component": trCrossComponent, "internal": trInternal,
}

type transition struct {
	from, to *state
	event    string
	kind     transitionKind
	index    int   // position among the machine's transitions
	delay    int64 // ms
	timed    bool  // it is a timer of each stay in from
	keeps    bool  // a timeout that a self-loop does not restart
	method   method
	rules    []rule
	// sendRules are the same rules as looked up in the target's machine, for
	// cross_component.
	sendRules []rule
	mapping   []mapping // how the data sent on is made
	mapped    bool
	// The targets of inter_machine and cross_component.
	targetComponent, targetMachine, targetEvent string
	notify                                      *NotifyParent
	// plain is true if taking the transition runs no hook and leads to
	// nothing beyond the instance itself.
	plain bool
}

// loop reports whether the transition leaves and enters the same state.
func (t *transition) loop() bool { return t.from == t.to && t.kind != trInternal }

// hooked reports whether taking the transition runs user code.
func (t *transition) hooked() bool {
	if t.kind == trInternal {
		return t.method.run != nil
	}
	return t.method.run != nil || t.from.onExit.run != nil || t.to.onEntry.run != nil
}

type mapping struct {
	key  string
	path []string
}

type cascade struct {
	component, machine, state, event string
	payload                          []templateField
	rules                            []rule
}

// A templateField is one key of a cascade's payload: a path, a nested
// template, or a value taken as it is.
type templateField struct {
	key    string
	path   []string
	nested []templateField
	isMap  bool
	value  any
}

// A compileError is a fault that the checker reports better; the compiler only
// refuses what it could not run.
func compileError(c *Component, m, detail string) error {
	return &Error{Code: CodeDefinition, Component: c.Name, Machine: m, Detail: "component " + c.Name + ", machine " + m + ": " + detail}
}

// compile makes a definition ready to run, with the hooks bound to it.
func compile(def *Component, index int, hooks Hooks) (*component, error) {
	c := &component{name: def.Name, index: index, def: def, machines: map[string]*machine{}}
	for i := range def.StateMachines {
		m, err := compileMachine(c, &def.StateMachines[i], hooks)
		if err != nil {
			return nil, err
		}
		if c.machines[m.name] != nil {
			return nil, compileError(def, m.name, "defined twice")
		}
		c.machines[m.name] = m
		c.list = append(c.list, m)
	}
	c.singleton = def.EntryMachineMode != "multiple"
	c.auto = c.singleton
	if def.AutoCreateEntryPoint != nil {
		c.auto = *def.AutoCreateEntryPoint
	}
	if def.EntryMachine != "" {
		if c.entry = c.machines[def.EntryMachine]; c.entry == nil {
			return nil, &Error{Code: CodeEntryMachine, Component: def.Name, Machine: def.EntryMachine}
		}
	}
	return c, nil
}

func compileMachine(c *component, def *Machine, hooks Hooks) (*machine, error) {
	m := &machine{
		comp: c, name: def.Name, def: def, public: def.PublicMemberType != "",
		states: map[string]*state{}, routes: map[string][]*transition{},
	}
	if def.ParentLink != nil && def.ParentLink.Enabled {
		m.parentEvent = def.ParentLink.OnStateChange
	}
	for i := range def.States {
		d := &def.States[i]
		s := &state{m: m, name: d.Name, index: i, byEvent: map[string][]*transition{}}
		switch d.Type {
		case "", "regular":
		case "entry":
			s.kind = kindEntry
		case "final":
			s.kind = kindFinal
		case "error":
			s.kind = kindError
		default:
			return nil, compileError(c.def, def.Name, "state "+d.Name+": unknown type "+d.Type)
		}
		s.onEntry = bind(hooks, cmp.Or(d.OnEntry, d.EntryMethod))
		s.onExit = bind(hooks, cmp.Or(d.OnExit, d.ExitMethod))
		for j := range d.CascadingRules {
			k, err := compileCascade(&d.CascadingRules[j])
			if err != nil {
				return nil, compileError(c.def, def.Name, "state "+d.Name+": "+err.Error())
			}
			s.cascades = append(s.cascades, k)
		}
		if m.states[s.name] != nil {
			return nil, compileError(c.def, def.Name, "state "+d.Name+" is defined twice")
		}
		m.states[s.name] = s
		m.list = append(m.list, s)
	}
	if m.initial = m.states[def.InitialState]; m.initial == nil {
		return nil, compileError(c.def, def.Name, "unknown initial state "+def.InitialState)
	}
	for i := range def.Transitions {
		t, err := compileTransition(m, &def.Transitions[i], i, hooks)
		if err != nil {
			return nil, compileError(c.def, def.Name, err.Error())
		}
		m.trs = append(m.trs, t)
		t.from.add(t)
		if len(t.rules) > 0 {
			m.routes[t.event] = append(m.routes[t.event], t)
		}
	}
	for _, t := range m.trs {
		t.plain = !t.hooked() && len(t.to.cascades) == 0 && t.kind <= trAuto && t.notify == nil && m.parentEvent == ""
	}
	return m, nil
}

func (s *state) add(t *transition) {
	s.byEvent[t.event] = append(s.byEvent[t.event], t)
	if t.timed {
		s.timed = append(s.timed, t)
	}
	if !slices.Contains(s.accepts, t.event) {
		s.accepts = append(s.accepts, t.event)
	}
}

func bind(hooks Hooks, name string) method {
	if name == "" {
		return method{}
	}
	return method{name, hooks.find(name)}
}

type textError string

func (e textError) Error() string { return string(e) }

func compileTransition(m *machine, d *Transition, i int, hooks Hooks) (*transition, error) {
	kind, ok := transitionKinds[d.Type]
	if !ok {
		return nil, textError("transition on " + d.Event + ": unknown type " + d.Type)
	}
	t := &transition{
		from: m.states[d.From], to: m.states[d.To], event: d.Event, kind: kind, index: i, delay: d.TimeoutMs,
		method:          bind(hooks, d.TriggeredMethod),
		targetComponent: d.TargetComponent, targetMachine: d.TargetMachine, targetEvent: d.TargetEvent,
		notify: d.NotifyParent,
	}
	if t.from == nil || t.to == nil {
		return nil, textError("transition on " + d.Event + ": unknown state " + d.From + " or " + d.To)
	}
	if kind == trInternal && t.from != t.to {
		return nil, textError("internal transition on " + d.Event + " leads to another state")
	}
	t.timed = kind == trAuto || kind == trTimeout && d.TimeoutMs > 0
	t.keeps = kind == trTimeout && d.ResetOnTransition != nil && !*d.ResetOnTransition
	var err error
	if t.rules, err = compileRules(d.MatchingRules); err != nil {
		return nil, err
	}
	t.sendRules = slices.Clone(t.rules)
	if d.ContextMapping != nil {
		t.mapped = true
		for key, path := range d.ContextMapping {
			t.mapping = append(t.mapping, mapping{key, strings.Split(path, ".")})
		}
		slices.SortFunc(t.mapping, func(a, b mapping) int { return strings.Compare(a.key, b.key) })
	}
	return t, nil
}

func compileCascade(d *CascadingRule) (*cascade, error) {
	k := &cascade{component: d.TargetComponent, machine: d.TargetMachine, state: d.TargetState, event: d.Event}
	var err error
	if k.rules, err = compileRules(d.MatchingRules); err != nil {
		return nil, err
	}
	payload, err := NewData(d.Payload)
	if err != nil {
		return nil, err
	}
	k.payload = compileTemplate(payload.fields)
	return k, nil
}

func compileTemplate(fs []field) []templateField {
	out := make([]templateField, 0, len(fs))
	for _, f := range fs {
		t := templateField{key: f.key, value: f.value}
		switch v := f.value.(type) {
		case string:
			if len(v) >= 4 && strings.HasPrefix(v, "{{") && strings.HasSuffix(v, "}}") {
				t.path = strings.Split(strings.TrimSpace(v[2:len(v)-2]), ".")
			}
		case map[string]any:
			nested := make([]field, 0, len(v))
			for k, e := range v {
				nested = append(nested, field{k, e})
			}
			sortFields(nested)
			t.isMap, t.nested = true, compileTemplate(nested)
		}
		out = append(out, t)
	}
	return out
}

// expand makes a cascade's payload from the source's data. What leads nowhere
// is left out.
func expand(template []templateField, source Data) Data {
	fs := make([]field, 0, len(template))
	for _, t := range template {
		switch {
		case t.path != nil:
			if v, ok := source.lookup(t.path); ok {
				fs = append(fs, field{t.key, v})
			}
		case t.isMap:
			fs = append(fs, field{t.key, expand(t.nested, source).Map()})
		default:
			fs = append(fs, field{t.key, t.value})
		}
	}
	return Data{fs}
}

// linkRules notes, on every machine, the properties that rules of any hosted
// component compare with === when they look for its instances.
func linkRules(comps map[string]*component) {
	for _, c := range comps {
		for _, m := range c.list {
			for _, trs := range m.routes {
				for _, t := range trs {
					m.index(t.rules)
				}
			}
			for _, t := range m.trs {
				if t.kind == trCrossComponent && t.targetEvent != "" {
					if target := comps[t.targetComponent]; target != nil {
						if tm := target.machine(t.targetMachine); tm != nil {
							tm.index(t.sendRules)
						}
					}
				}
			}
			for _, s := range m.list {
				for _, k := range s.cascades {
					target := c
					if k.component != "" {
						target = comps[k.component]
					}
					if target != nil && target.machines[k.machine] != nil {
						target.machines[k.machine].index(k.rules)
					}
				}
			}
		}
	}
}

// machine returns the machine of a name, or the entry machine for "".
func (c *component) machine(name string) *machine {
	if name == "" {
		return c.entry
	}
	return c.machines[name]
}

func (m *machine) index(rules []rule) {
	for i := range rules {
		r := &rules[i]
		if r.op != opEqual {
			continue
		}
		at := slices.IndexFunc(m.props, func(p *property) bool { return slices.Equal(p.path, r.inst) })
		if at < 0 {
			at = len(m.props)
			m.props = append(m.props, &property{at, r.inst})
		}
		r.prop = m.props[at]
	}
}
