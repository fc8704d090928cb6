package fsm

import (
	"context"
	"fmt"
	"sync"
)

// A Call is what a hook gets: the event, a view of the data, and a sender. It
// is valid until the hook returns or runs out of time; after that its methods
// fail with ErrCallEnded. It may be used by several goroutines of the hook.
//
// What is sent through a Call is handled after the transition is complete and
// stored. An instance that it creates is there at once for the rest of the
// transition, and for everybody else once the transition is stored.
type Call struct {
	ctx    context.Context
	at     HookPoint
	method string
	before *Instance
	event  RecordEvent

	mu    sync.Mutex // guards r and what it points to while the hook runs
	r     *run
	ended bool
}

// Context is cancelled when the hook runs out of time or the runtime stops. It
// marks the hook: given to a call on the runtime that would wait for the
// hook's own instance, that fails with ErrReentrant.
func (c *Call) Context() context.Context { return c.ctx }

// Hook returns where in the transition the hook is run.
func (c *Call) Hook() HookPoint { return c.at }

// Method returns the name by which the definition knows the hook.
func (c *Call) Method() string { return c.method }

// Component returns the name of the instance's component.
func (c *Call) Component() string { return c.before.Component() }

// Machine returns the name of the instance's machine.
func (c *Call) Machine() string { return c.before.Machine() }

// Instance returns the id of the instance.
func (c *Call) Instance() string { return c.before.id }

// Key returns the instance's business key, or "".
func (c *Call) Key() string { return c.before.origin.key }

// Parent returns the id of the instance's parent, or "".
func (c *Call) Parent() string { return c.before.origin.parent }

// Event returns the event being handled.
func (c *Call) Event() RecordEvent { return c.event }

// State returns the current state: the old one in exit and triggered hooks, the
// new one in entry hooks.
func (c *Call) State() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ""
	}
	return c.r.st.name
}

// Data returns the instance's data as it is now: before the merge of the
// payload in exit and triggered hooks, after it in entry hooks, and with what
// UpdateContext has set.
func (c *Call) Data() Data {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return Data{}
	}
	return c.r.data
}

// Decode fills v, a pointer to a struct, from Data.
func (c *Call) Decode(v any) error { return c.Data().Decode(v) }

// UpdateContext sets values in the instance's data; other keys stay. It fails
// with ErrBadValue, or ErrContextTooLarge.
func (c *Call) UpdateContext(values map[string]any) error {
	d, err := NewData(values)
	if err != nil {
		return err
	}
	return c.do(func(r *run) error { return r.update(d) })
}

// SendToSelf sends an event to the hook's own instance.
func (c *Call) SendToSelf(ev Event) error { return c.SendTo(c.before.id, ev) }

// SendTo sends an event to an instance of the same component. An id that no
// instance has is not noticed here, but reported when the event is delivered.
func (c *Call) SendTo(id string, ev Event) error { return c.send(c.Component(), id, ev) }

// SendToComponent sends an event to an instance of another component. It fails
// with ErrUnknownComponent.
func (c *Call) SendToComponent(component, id string, ev Event) error {
	return c.send(component, id, ev)
}

func (c *Call) send(component, id string, ev Event) error {
	payload, err := newPayload(ev)
	if err != nil {
		return err
	}
	return c.do(func(r *run) error {
		if r.env.local(component) == nil && !r.env.remote() {
			return &Error{Code: CodeUnknownComponent, Component: component}
		}
		return r.send(Effect{
			Kind: EffectSend, Targets: []string{id}, Component: component, Event: ev.Type, Payload: payload,
			Hook: c.at, Method: c.method,
		})
	})
}

// Broadcast sends an event to instances of a machine, as they are now, and
// returns how many were chosen; -1 if the component is that of another
// runtime, which will choose. It fails with ErrUnknownMachine or
// ErrUnknownComponent.
func (c *Call) Broadcast(machine string, ev Event, opts ...BroadcastOption) (n int, err error) {
	var o broadcastOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	payload, err := newPayload(ev)
	if err != nil {
		return 0, err
	}
	err = c.do(func(r *run) error {
		n, err = r.broadcast(o.component, machine, o.state, ev.Type, payload)
		return err
	})
	return n, err
}

// CreateInstance creates an instance in the hook's own component and returns
// its id.
func (c *Call) CreateInstance(machine string, data map[string]any) (string, error) {
	return c.CreateInstanceInComponent(c.Component(), machine, data)
}

// CreateInstanceInComponent creates an instance in a component and returns its
// id. machine may be "" for the entry machine. In a component that this
// runtime does not host it is created after the transition.
func (c *Call) CreateInstanceInComponent(component, machine string, data map[string]any) (id string, err error) {
	d, err := NewData(data)
	if err != nil {
		return "", err
	}
	err = c.do(func(r *run) error {
		_, m, err := r.hostedMachine(component, machine)
		if err != nil {
			return err
		}
		if m == nil {
			id = r.env.newID(r, -1-len(r.out.effects))
			return r.send(Effect{Kind: EffectCreate, Targets: []string{id}, Component: component, Machine: machine, Payload: d})
		}
		id, err = r.create(m, d, &origin{})
		return err
	})
	return id, err
}

// do runs f on the step, while the step waits for the hook.
func (c *Call) do(f func(*run) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return &Error{Code: CodeCallEnded, Instance: c.before.id}
	}
	return f(c.r)
}

func (c *Call) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

// invoke runs the hook. A panic becomes its error; and its error is put into
// words here, since a method of it may panic, too.
func (c *Call) invoke(h Hook) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = textError(fmt.Sprint(p))
		}
	}()
	if e := h(c); e != nil {
		return textError(errorText(e))
	}
	return nil
}

func newPayload(ev Event) (Data, error) {
	d, err := NewData(ev.Payload)
	if err != nil {
		return d, fmt.Errorf("payload of %s: %w", ev.Type, err)
	}
	return d, nil
}
