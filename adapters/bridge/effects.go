package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A sentEffect is an effect that was published, so that it is not again.
type sentEffect struct {
	done chan struct{} // closed when it was tried
	err  error
	// again says that it is to be tried again, for those that have not got it.
	again bool
	// reached are the instances that have got it, of an effect for several that is to
	// be tried again.
	reached map[string]struct{}
}

// effectsMost is how many effects are remembered.
const effectsMost = 100_000

// effect publishes what a transition of the mesh leads to in a component behind
// the bridge, once, whichever of its runtimes it was given to. It is done when
// the broker has it or, where the runtime answers, when that has said so.
func (r *behind) effect(ctx context.Context, c *mesh.Command) (*mesh.Outcome, error) {
	if c.Effect == nil || c.Effect.From == "" {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the command has no effect"}
	}
	key := fmt.Sprintf("%s\x00%s\x00%s\x00%d", c.Effect.From, c.Effect.Log, c.Effect.Record, c.Effect.Effect.N)
	s := r.s
	s.mu.Lock()
	sent := s.effects[key]
	if sent != nil && !sent.again {
		s.mu.Unlock()
		select {
		case <-sent.done:
			return nil, sent.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	next := &sentEffect{done: make(chan struct{}), reached: map[string]struct{}{}}
	if sent != nil {
		next.reached = sent.reached
	} else {
		s.effectOrder = append(s.effectOrder, key)
	}
	s.effects[key] = next
	if len(s.effectOrder) > effectsMost {
		delete(s.effects, s.effectOrder[0])
		s.effectOrder = s.effectOrder[1:]
	}
	s.mu.Unlock()
	next.err = next.send(ctx, r, &c.Effect.Effect, c.Effect.Record.Instance, key)
	// What failed has not left the process or was refused, or the runtime knows by
	// its id what it has done: it may be tried again.
	s.mu.Lock()
	if next.again = next.err != nil; !next.again {
		next.reached = nil
	}
	s.mu.Unlock()
	close(next.done)
	return nil, next.err
}

// send publishes the effect.
func (sent *sentEffect) send(ctx context.Context, r *behind, e *fsm.Effect, source, key string) error {
	payload, err := e.Payload.MarshalJSON()
	if err != nil {
		return &fsm.Error{Code: fsm.CodeBadValue, Err: err}
	}
	if e.Kind == fsm.EffectCreate {
		body := &Body{Component: e.Component, Machine: e.Machine, Context: payload, SourceComponent: e.Source, SourceInstance: source}
		if len(e.Targets) > 0 {
			body.EventID = e.Targets[0]
		}
		return r.deliver(ctx, CreateInstance, body)
	}
	ev := &Event{ID: effectEventID(key), Type: e.Event, Payload: payload, Timestamp: time.Now().UnixMilli()}
	if len(e.Targets) > 0 {
		var failed error
		for _, id := range e.Targets {
			failed = worse(failed, sent.to(ctx, r, id, &Body{Component: e.Component, Instance: id, Event: ev}))
		}
		return failed
	}
	rules := []Rule{}
	for _, m := range e.Rules {
		value, ok := e.Payload.Path(m.EventProperty)
		raw, err := json.Marshal(value)
		if !ok || err != nil {
			return nil // a value that is missing chooses nobody
		}
		op := m.Operator
		if op == "" {
			op = "==="
		}
		rules = append(rules, Rule{m.EventProperty, m.InstanceProperty, op, raw})
	}
	if e.State != "" {
		return sent.sendToState(ctx, r, e, ev, rules)
	}
	return r.deliver(ctx, CrossEvent, &Body{
		TargetComponent: e.Component, TargetMachine: e.Machine, Event: ev, Rules: &rules, SourceComponent: e.Source, SourceInstance: source,
	})
}

// to delivers to one of several instances, unless that has got it. Those are not
// kept waiting for each other: one that refuses it keeps it from nobody.
func (sent *sentEffect) to(ctx context.Context, r *behind, id string, b *Body) error {
	if _, has := sent.reached[id]; has {
		return nil
	}
	err := r.deliver(ctx, TriggerEvent, b)
	if err == nil {
		sent.reached[id] = struct{}{}
	}
	return err
}

// worse is the error of several that is told: one that says that it is to be tried
// again, before one that says that it was refused.
func worse(a, b error) error {
	if a == nil || passing(b) && !passing(a) {
		return b
	}
	return a
}

// passing reports whether what failed may be done at another try: nobody has refused
// it.
func passing(err error) bool {
	switch fsm.ErrorCode(err) {
	case "", fsm.CodeNotRunning, fsm.CodeUnknownOutcome, fsm.CodeOverloaded:
		return err != nil
	}
	return false
}

// sendToState publishes an event for the instances that are in a state and that the
// rules choose: as a broadcast to the component where the external API is switched
// on, which is how the ancestor does it; else, or where the channel of that is not
// mirrored, to each that the bridge knows.
func (sent *sentEffect) sendToState(ctx context.Context, r *behind, e *fsm.Effect, ev *Event, rules []Rule) error {
	filters := make([]Filter, len(rules))
	for i, m := range rules {
		filters[i] = Filter{Property: m.InstanceProperty, Operator: m.Operator, Value: m.Value}
	}
	s := r.s
	if s.c.External && ComponentChannel(e.Component) != "" {
		// What is chosen by a component has a channel of its own, and its event in
		// two fields.
		frames, err := s.frames(ComponentBroadcast, &Body{
			SourceComponent: e.Source, TargetComponent: e.Component, TargetMachine: e.Machine, TargetState: e.State, Event: ev, Filters: filters,
		})
		if err != nil {
			return err
		}
		if len(frames) > 0 {
			return r.sendOnce(ctx, frames)
		}
	}
	if err := s.follow(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	var all []*behind
	for _, o := range s.behind {
		if o.component() == e.Component {
			all = append(all, o)
		}
	}
	s.mu.Unlock()
	var failed error
	for _, o := range all {
		rows := o.table.live(func(row *mesh.Row) bool {
			return (e.Machine == "" || row.Machine == e.Machine) && (e.State == "*" || row.State == e.State) &&
				passes(&mesh.Instance{Row: *row}, filters)
		})
		for i := range rows {
			one := *ev
			one.ID += "/" + rows[i].ID
			failed = worse(failed, sent.to(ctx, o, rows[i].ID, &Body{Component: e.Component, Instance: rows[i].ID, Event: &one}))
		}
	}
	return failed
}

// deliver publishes one command of an effect, and waits for the answer of a
// runtime that gives one.
func (r *behind) deliver(ctx context.Context, k Kind, b *Body) error {
	if r.answers() {
		_, err := r.ask(ctx, k, b, nil, nil)
		switch fsm.ErrorCode(err) {
		case fsm.CodeEventIgnored, fsm.CodeInstanceEnded:
			return nil // it has come, and led to nothing
		}
		return err
	}
	frames, err := r.s.frames(k, b)
	if err != nil {
		return err
	}
	return r.sendOnce(ctx, frames)
}

// sendOnce publishes what the runtime cannot tell from a second one, if it does not
// answer: when it is not known what became of it, it is never sent again by itself.
func (r *behind) sendOnce(ctx context.Context, frames []Frame) error {
	err := r.s.send(ctx, frames)
	if fsm.ErrorCode(err) == fsm.CodeUnknownOutcome && !r.answers() {
		return nil
	}
	return err
}

// effectEventID is the id of the event that an effect sends, the same each time.
func effectEventID(key string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(key)).String()
}
