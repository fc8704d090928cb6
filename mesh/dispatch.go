package mesh

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Dispatcher takes effects to the runtimes of other components over the mesh:
// give it to fsm.Config before the runtime is started. A creation goes to one
// of the runtimes that host the component, always the same; an event for one
// instance or for those that its rules choose goes to all of them, and each
// serves its own. An effect is taken over once all of those have said so.
// While nobody hosts the component it waits in the runtime's outbox, which an
// Attachment wakes when such a runtime announces itself.
type Dispatcher struct {
	client *Client
}

var _ fsm.Dispatcher = (*Dispatcher)(nil)

// NewDispatcher returns a dispatcher over the mesh of a bus.
func NewDispatcher(bus *Bus) *Dispatcher {
	return &Dispatcher{NewClient(bus, ClientOptions{})}
}

// Dispatch implements fsm.Dispatcher.
func (d *Dispatcher) Dispatch(ctx context.Context, e fsm.RemoteEffect) error {
	c := d.client
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	hosts, err := c.hosts(ctx, e.Effect.Component)
	if err != nil {
		return err
	}
	if len(hosts) == 0 {
		return &fsm.Error{Code: fsm.CodeUnknownComponent, Component: e.Effect.Component}
	}
	cmd := &Command{Do: doEffect, Component: e.Effect.Component, Effect: &e}
	if e.Effect.Kind == fsm.EffectCreate {
		_, err := c.request(ctx, c.bus.subjects.runtime(rendezvous(hosts, e.Effect.Targets[0]), "command"), cmd)
		return c.unlist(err)
	}
	for _, h := range hosts {
		if _, err := c.request(ctx, c.bus.subjects.runtime(h.RuntimeID, "command"), cmd); err != nil {
			return c.unlist(err)
		}
	}
	return nil
}

// unlist has the list of runtimes made anew if one of it was gone.
func (c *Client) unlist(err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		c.members.mu.Lock()
		c.members.list = nil
		c.members.mu.Unlock()
	}
	return err
}

// effect applies an effect of another runtime.
func (a *Attachment) effect(ctx context.Context, c *Command) (*Outcome, error) {
	if c.Effect == nil || c.Effect.From == "" || c.Effect.Effect.Component != c.Component {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the command has no effect"}
	}
	if err := a.rt.Receive(ctx, *c.Effect); err != nil {
		return nil, fmt.Errorf("effect of %s: %w", c.Effect.Record, err)
	}
	return &Outcome{}, nil
}

// heard wakes what waits for a component of which a runtime has come.
func (a *Attachment) heard(m *nats.Msg) {
	var other Announce
	if err := Decode(m.Data, &other); err != nil {
		return // directories count it
	}
	if a.parts[other.Component] == nil {
		a.rt.RetryEffects(other.Component)
	}
}
