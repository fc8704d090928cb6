package fsm

import "time"

// An Engine takes instances of a component from state to state without a
// runtime: nothing is stored, no hook is run, no timer fires, no time passes
// but what it is told. It answers what would happen if, and it is what the
// conformance of a definition can be tried on. An Engine is a value that many
// goroutines may use at a time.
type Engine struct {
	comp   *component
	limits Limits
}

// NewEngine compiles a component. It fails with ErrDefinition or
// ErrEntryMachine.
func NewEngine(c *Component) (*Engine, error) {
	comp, err := compile(c, 0, Hooks{})
	if err != nil {
		return nil, err
	}
	linkRules(map[string]*component{comp.name: comp})
	return &Engine{comp, Limits{DataBytes: 3 << 20, Hops: 1000, Events: 1_000_000}}, nil
}

// New returns an instance of a machine in its initial state. It fails with
// ErrUnknownMachine.
func (e *Engine) New(machine, id string, data Data, now time.Time) (*Instance, error) {
	m := e.comp.machine(machine)
	if m == nil {
		return nil, &Error{Code: CodeUnknownMachine, Component: e.comp.name, Machine: machine}
	}
	return newInstance(id, m.initial, data, noOrigin, now.UnixNano()), nil
}

// A Stepped is what a step would lead to.
type Stepped struct {
	// Instance is the instance after the transition.
	Instance *Instance
	// Effects are what other instances would be sent. What a broadcast or a
	// cascade would reach is not known here: their Targets are empty.
	Effects []Effect
	// Created are the children that the transition would create.
	Created []*Instance
}

// Step returns what an event would lead to; the instance itself does not
// change. It fails with ErrEventIgnored, ErrInstanceEnded or
// ErrContextTooLarge.
func (e *Engine) Step(in *Instance, event string, payload Data, now time.Time) (Stepped, error) {
	if in.status != StatusActive {
		return Stepped{}, &Error{Code: CodeInstanceEnded, Component: e.comp.name, Machine: in.Machine(), Instance: in.id, State: in.st.name}
	}
	tr := in.st.choose(event, payload, in.data)
	if tr == nil {
		return Stepped{}, ignoredError(in, event)
	}
	if in.plain(tr) {
		if after, ok := in.plainStep(tr, payload, now.UnixNano(), e.limits.DataBytes); ok {
			return Stepped{Instance: after}, nil
		}
	}
	out := step(whatIf{e, now.UnixNano()}, in, tr, given{event: event, payload: payload}, &e.limits, false)
	if out.err != nil {
		return Stepped{}, out.err
	}
	s := Stepped{Instance: out.after, Effects: out.effects}
	for _, c := range out.created {
		s.Created = append(s.Created, c.in)
	}
	return s, nil
}

// whatIf is the env of a step that nobody takes.
type whatIf struct {
	e  *Engine
	at int64
}

func (w whatIf) now() int64                     { return w.at }
func (w whatIf) trace(*Trace)                   {}
func (w whatIf) find(*query, *run) []string     { return nil }
func (w whatIf) reserve(*machine, string) error { return nil }
func (w whatIf) remote() bool                   { return true }
func (w whatIf) local(name string) *component {
	if name == w.e.comp.name {
		return w.e.comp
	}
	return nil
}
func (w whatIf) newID(r *run, n int) string         { return derivedID(r.before, n) }
func (w whatIf) hook(*run, HookPoint, method) error { return nil }
