package fsmtest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// steps are what a scenario can do. They return what there is to tell of them.
var steps = map[string]func(r *runner, step *action) []entry{
	"create":    (*runner).create,
	"send":      (*runner).send,
	"broadcast": (*runner).broadcast,
	"advance":   (*runner).advance,
	"restart":   (*runner).restart,
	"start":     (*runner).startSend,
	"open":      (*runner).openGate,
}

func (r *runner) create(step *action) []entry {
	component := step.text("component")
	if component == "" {
		component = r.components[0].Name
	}
	options := []fsm.CreateOption{fsm.WithComponent(component)}
	if state, ok := step.args()["state"]; ok {
		options = append(options, fsm.InState(fmt.Sprint(state)))
	}
	r.aliases.expect(step.text("as"))
	_, err := r.rt.Create(r.ctx, step.text("machine"), r.aliases.inMap(step.object("context")), options...)
	r.aliases.expect("")
	return failure(err)
}

func (r *runner) send(step *action) []entry {
	id := r.aliases.id(step.text("to"))
	if err := r.livesIn(id, step.text("component")); err != nil {
		return failure(err)
	}
	_, err := r.rt.Send(r.ctx, id, r.outsideEvent(step), fsm.Settled())
	return failure(err)
}

// livesIn fails if a component is named that does not exist, or where the
// instance is not.
func (r *runner) livesIn(id, component string) error {
	if component == "" {
		return nil
	}
	for _, c := range r.components {
		if c.Name != component {
			continue
		}
		if in, err := r.rt.Get(id); err == nil && in.Component() != component {
			return &fsm.Error{Code: fsm.CodeUnknownInstance, Instance: id}
		}
		return nil
	}
	return &fsm.Error{Code: fsm.CodeUnknownComponent, Component: component}
}

func (r *runner) outsideEvent(step *action) fsm.Event {
	return fsm.Event{Type: step.text("type"), Payload: r.aliases.inMap(step.object("payload"))}
}

func (r *runner) broadcast(step *action) []entry {
	options := append(broadcastOptions(step), fsm.SettledOneByOne())
	if step.text("component") == "" {
		options = append(options, fsm.ToComponent(r.components[0].Name))
	}
	count, err := r.rt.Broadcast(r.ctx, step.text("machine"), r.outsideEvent(step), options...)
	if err != nil {
		return failure(err)
	}
	return []entry{{"count": count}}
}

// broadcastOptions are those that a step or an operation names.
func broadcastOptions(a *action) []fsm.BroadcastOption {
	var options []fsm.BroadcastOption
	if state := a.text("state"); state != "" {
		options = append(options, fsm.OnlyInState(state))
	}
	if component := a.text("component"); component != "" {
		options = append(options, fsm.ToComponent(component))
	}
	return options
}

func (r *runner) advance(step *action) []entry {
	r.clock.Advance(milliseconds(step.arg), func() {
		if err := r.rt.Idle(r.ctx, len(r.held)); err != nil {
			r.t.Errorf("waiting for a timer to be handled: %v", err)
		}
	})
	return nil
}

func (r *runner) restart(step *action) []entry {
	r.kill()
	down := milliseconds(step.args()["down"])
	// A new process has a clock of its own, which knows nothing of what the
	// old one was waiting for.
	r.clock = fsm.NewManualClock(r.clock.Now().Add(down))
	drop, _ := step.args()["drop"].([]any)
	r.components = r.dropped(drop)
	if err := r.start(); err != nil {
		r.t.Fatalf("starting again: %v", err)
	}
	reports, err := r.rt.Restored()
	if err != nil {
		return failure(err)
	}
	var out []entry
	for _, report := range reports {
		e := entry{"restored": report.Restored, "failed": report.Failed}
		if len(r.components) > 1 {
			e["component"] = report.Component
		}
		out = append(out, e)
	}
	return out
}

// startSend sends in the background, and goes on as soon as a method waits at
// the gate.
func (r *runner) startSend(step *action) []entry {
	g := r.gate(step.text("gate"))
	if g == nil {
		r.t.Errorf("no method waits at the gate %q", step.text("gate"))
		return nil
	}
	id, ev := r.aliases.id(step.text("to")), r.outsideEvent(step)
	go func() {
		_, err := r.rt.Send(r.ctx, id, ev, fsm.Settled())
		g.ended <- err
	}()
	select {
	case g.inst = <-g.reached:
		r.held[g.inst] = true
	case err := <-g.ended:
		g.ended <- err
		r.t.Errorf("the send ended before a method waited at the gate: %v", err)
	case <-r.ctx.Done():
		r.t.Errorf("no method waits at the gate: %v", r.ctx.Err())
	}
	return nil
}

func (r *runner) openGate(step *action) []entry {
	g := r.gate(fmt.Sprint(step.arg))
	if g == nil {
		r.t.Errorf("no such gate as %v", step.arg)
		return nil
	}
	g.openUp()
	delete(r.held, g.inst)
	select {
	case err := <-g.ended:
		return failure(err)
	case <-r.ctx.Done():
		r.t.Errorf("the send that was started does not end: %v", r.ctx.Err())
		return nil
	}
}

// failure tells of an error. That an event was ignored is none: the send has
// succeeded.
func failure(err error) []entry {
	if err == nil || errors.Is(err, fsm.ErrEventIgnored) {
		return nil
	}
	code := scenarioCode(string(fsm.ErrorCode(err)))
	if code == "" {
		code = err.Error()
	}
	return []entry{{"error": code}}
}

func milliseconds(v any) time.Duration {
	n, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
	return time.Duration(n * float64(time.Millisecond))
}
