package fsm_test

import (
	"errors"
	"runtime"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
	"pgregory.net/rapid"
)

// A hookOp is one thing that a hook does.
type hookOp struct {
	call               string
	component, machine string
	state              string
	event              fsm.Event
	target             int // among the instances known by then, or nobody
}

// hookCalls are what hooks do: each call of the sender, calls that are refused,
// and the ways to go wrong.
var hookCalls = []string{
	"UpdateContext", "SendToSelf", "SendTo", "SendToComponent", "Broadcast", "CreateInstance", "CreateInstanceInComponent",
	"refused", "fail", "panic",
}

func (p *plan) drawOp(t *rapid.T) hookOp {
	m := sample(t, "machine of the call", p.machines...)
	return hookOp{
		call: sample(t, "call", hookCalls...), machine: m.Name, component: p.component[m.Name].Name,
		state:  sample(t, "state of the call", "", "*", "s0", "s1"),
		event:  fsm.Event{Type: sample(t, "event of the call", eventNames...), Payload: drawData(t)},
		target: rapid.IntRange(-1, 9).Draw(t, "target of the call"),
	}
}

// A hookWorld is what the hooks of a case share.
type hookWorld struct {
	report func(format string, args ...any)

	mu     sync.Mutex // guards all below
	known  []string   // ids of instances, those from hooks before their commit too
	made   []string   // ids that CreateInstance returned
	budget int        // calls that are left in this case
}

// hooks returns the methods of a plan for one runtime.
func (w *hookWorld) hooks(p *plan) fsm.Hooks {
	methods := map[string]fsm.Hook{}
	running := map[string]string{} // the method of an instance; guarded by mu
	for name, ops := range p.methods {
		methods[name] = func(c *fsm.Call) error {
			w.enter(c, running)
			defer w.leave(c, running)
			for _, op := range ops {
				if !w.allow() {
					return nil
				}
				runtime.Gosched()
				if err := w.perform(c, op); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return fsm.Hooks{Methods: methods}
}

// enter reports a hook that runs while another one of its instance does.
func (w *hookWorld) enter(c *fsm.Call, running map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := running[c.Instance()]; ok {
		w.report("%s: method %s runs while %s does", c.Instance(), c.Method(), other)
	}
	running[c.Instance()] = c.Method()
}

func (w *hookWorld) leave(c *fsm.Call, running map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(running, c.Instance())
}

func (w *hookWorld) allow() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.budget--
	return w.budget >= 0
}

// target returns an instance that is known, or nobody.
func (w *hookWorld) target(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < 0 || len(w.known) == 0 {
		return "nobody"
	}
	// The latest are the ones that live.
	return w.known[len(w.known)-1-n%len(w.known)]
}

func (w *hookWorld) learn(id string, made bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known = append(w.known, id)
	if made {
		w.made = append(w.made, id)
	}
}

func (w *hookWorld) perform(c *fsm.Call, op hookOp) error {
	coverage.count("call " + op.call)
	switch op.call {
	case "UpdateContext":
		return c.UpdateContext(op.event.Payload)
	case "SendToSelf":
		return c.SendToSelf(op.event)
	case "SendTo":
		return c.SendTo(w.target(op.target), op.event)
	case "SendToComponent":
		return c.SendToComponent(op.component, w.target(op.target), op.event)
	case "Broadcast":
		_, err := c.Broadcast(op.machine, op.event, fsm.ToComponent(op.component), fsm.OnlyInState(op.state))
		return err
	case "CreateInstance":
		return w.created(c.CreateInstance(op.machine, op.event.Payload))
	case "CreateInstanceInComponent":
		return w.created(c.CreateInstanceInComponent(op.component, op.machine, op.event.Payload))
	case "refused":
		_, err := c.Broadcast(ghost, op.event)
		if !errors.Is(err, fsm.ErrUnknownMachine) {
			w.report("broadcast to a machine that is not there: %v", err)
		}
		return err
	case "fail":
		return errors.New("failed by plan")
	}
	panic("panicked by plan")
}

func (w *hookWorld) created(id string, err error) error {
	if err == nil {
		w.learn(id, true)
	}
	return err
}
