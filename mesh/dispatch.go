package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Dispatcher takes effects to the runtimes of other components over the mesh:
// give it to fsm.Config before the runtime is started. A creation goes to one
// of the runtimes that host the component, always the same; an event for one
// instance or for those that its rules choose goes to all of them, and each
// serves its own. An effect is taken over once all of those have said so, also
// those that were there a minute ago and may come back.
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
	begin := time.Now()
	hosts, err := c.hosts(ctx, e.Effect.Component, time.Time{})
	if err == nil && len(hosts.live)+len(hosts.gone) == 0 {
		hosts, err = c.hosts(ctx, e.Effect.Component, begin) // one may have come just now
	}
	if err != nil {
		return err
	}
	// Those that have gone and may come back are waited for: it is theirs, too.
	all := append(hosts.live, hosts.gone...)
	if len(all) == 0 {
		return &fsm.Error{Code: fsm.CodeUnknownComponent, Component: e.Effect.Component}
	}
	cmd := &Command{Do: doEffect, Component: e.Effect.Component, Effect: &e}
	if e.Effect.Kind == fsm.EffectCreate && len(e.Effect.Targets) > 0 {
		_, err := c.request(ctx, c.bus.subjects.runtime(rendezvous(all, e.Effect.Targets[0]), "command"), cmd)
		return c.unlist(err)
	}
	for _, h := range all {
		if _, err := c.request(ctx, c.bus.subjects.runtime(h.RuntimeID, "command"), cmd); err != nil {
			return c.unlist(err)
		}
	}
	return nil
}

// unlist has the list of runtimes made anew if one of it was gone.
func (c *Client) unlist(err error) error {
	if errors.Is(err, ErrGone) {
		c.members.drop()
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
