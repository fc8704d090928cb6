package fsmtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

// operations are what methods of a scenario can do.
var operations = map[string]func(r *runner, c *fsm.Call, op *action) error{
	"updateContext": func(r *runner, c *fsm.Call, op *action) error {
		return c.UpdateContext(r.values(c, op.args()))
	},
	"sendToSelf": func(r *runner, c *fsm.Call, op *action) error {
		return c.SendToSelf(r.event(c, op))
	},
	"sendTo": func(r *runner, c *fsm.Call, op *action) error {
		return c.SendTo(r.aliases.id(op.text("to")), r.event(c, op))
	},
	"sendToComponent": func(r *runner, c *fsm.Call, op *action) error {
		return c.SendToComponent(op.text("component"), r.aliases.id(op.text("to")), r.event(c, op))
	},
	"broadcast": func(r *runner, c *fsm.Call, op *action) error {
		_, err := c.Broadcast(op.text("machine"), r.event(c, op), broadcastOptions(op)...)
		return err
	},
	"createInstance": func(r *runner, c *fsm.Call, op *action) error {
		_, err := c.CreateInstance(op.text("machine"), r.values(c, op.object("context")))
		return err
	},
	"createInstanceInComponent": func(r *runner, c *fsm.Call, op *action) error {
		_, err := c.CreateInstanceInComponent(op.text("component"), op.text("machine"), r.values(c, op.object("context")))
		return err
	},
	"fail":  func(_ *runner, _ *fsm.Call, op *action) error { return errors.New(fmt.Sprint(op.arg)) },
	"panic": func(_ *runner, _ *fsm.Call, op *action) error { panic(fmt.Sprint(op.arg)) },
	"wait":  func(r *runner, c *fsm.Call, op *action) error { return r.gate(fmt.Sprint(op.arg)).pass(c) },
}

// hooks returns the methods of the scenario as hooks. A method that components
// name and the scenario does not list has none.
func (r *runner) hooks() fsm.Hooks {
	methods := map[string]fsm.Hook{}
	for name, list := range r.scenario.Methods {
		methods[name] = func(c *fsm.Call) error {
			for i := range list {
				if err := operations[list[i].name](r, c, &list[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return fsm.Hooks{Methods: methods}
}

func (r *runner) event(c *fsm.Call, op *action) fsm.Event {
	return fsm.Event{Type: op.text("type"), Payload: r.values(c, op.object("payload"))}
}

// values fills in what an operation takes from the event and the instance, and
// the ids of instances.
func (r *runner) values(c *fsm.Call, m map[string]any) map[string]any {
	out, _ := r.value(c, m)
	filled, _ := out.(map[string]any)
	return filled
}

// value reports false for a value that there is none of.
func (r *runner) value(c *fsm.Call, v any) (any, bool) {
	switch x := v.(type) {
	case string:
		if path, ok := strings.CutPrefix(x, "$payload."); ok {
			return c.Event().Payload.Path(path)
		}
		if path, ok := strings.CutPrefix(x, "$context."); ok {
			return c.Data().Path(path)
		}
		return r.aliases.in(x), true
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, e := range x {
			if filled, ok := r.value(c, e); ok {
				m[k] = filled
			}
		}
		return m, true
	case []any:
		l := make([]any, 0, len(x))
		for _, e := range x {
			if filled, ok := r.value(c, e); ok {
				l = append(l, filled)
			}
		}
		return l, true
	}
	return v, true
}

// A gate holds up the methods that wait at it until it is opened.
type gate struct {
	reached chan string // gets the instance that waits first
	open    chan struct{}
	once    sync.Once  // closes open
	ended   chan error // gets the outcome of the send that was started with it
	inst    string     // that waits, once known
}

func newGate() *gate {
	return &gate{reached: make(chan string, 1), open: make(chan struct{}), ended: make(chan error, 1)}
}

func (g *gate) pass(c *fsm.Call) error {
	select {
	case g.reached <- c.Instance():
	default: // somebody waits already
	}
	select {
	case <-g.open:
		return nil
	case <-c.Context().Done():
		return c.Context().Err()
	}
}

// openUp lets everybody through, now and from now on.
func (g *gate) openUp() { g.once.Do(func() { close(g.open) }) }
