package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/jsonobject"
	"github.com/spf13/cobra"
)

func (p *program) simulateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "simulate FILE MACHINE EVENT…",
		Short: "Say which states a list of events leads through",
		Long: `Walks a machine from its initial state, with an empty context, and prints the
states. Nothing is run: no hooks, no timers, no children. An EVENT is a name, or
NAME=JSON for one with a payload. At an event that would be ignored it stops with
exit status 4 and names those that are accepted.`,
		Example: `  fsmesh simulate order.yaml Order SUBMIT PAYMENT_CAPTURED
  fsmesh simulate order.yaml Order 'PAY={"amount": 12.5}'
  fsmesh simulate -o json order.yaml Order SUBMIT`,
		Args: args(2, -1),
	}
	form := outputFlag(c, "table", "json", "yaml")
	c.RunE = func(_ *cobra.Command, args []string) error {
		events, err := parseEvents(args[2:])
		if err != nil {
			return err
		}
		comp, err := p.load(args[0])
		if err != nil {
			return err
		}
		m, err := machine(comp, args[0], args[1])
		if err != nil {
			return err
		}
		states, err := fsm.Simulate(comp, m.Name, events)
		if form.value == "table" {
			p.printWalk(events, states)
			return refusal(m, err)
		}
		return errors.Join(p.writeWalk(form.value, m, states, err), refusal(m, err))
	}
	return c
}

func (p *program) printWalk(events []fsm.Event, states []string) {
	for i, s := range states {
		if i == 0 {
			fmt.Fprintln(p.stdout, s)
		} else {
			fmt.Fprintf(p.stdout, "%s → %s\n", events[i-1].Type, s)
		}
	}
}

func (p *program) writeWalk(form string, m *fsm.Machine, states []string, err error) error {
	out := struct {
		Machine  string   `json:"machineName"`
		States   []string `json:"states"`
		Ignored  string   `json:"ignored,omitempty"`
		Accepted []string `json:"accepted,omitempty"`
	}{Machine: m.Name, States: states}
	if e, ok := errors.AsType[*fsm.Error](err); ok {
		out.Ignored, out.Accepted = e.Event, e.Accepted
	}
	return writeDocument(p.stdout, form, out)
}

// refusal puts an ignored event into the words of a walk, which has no
// instance to speak of.
func refusal(m *fsm.Machine, err error) error {
	e, ok := errors.AsType[*fsm.Error](err)
	if !ok || e.Code != fsm.CodeEventIgnored {
		return err
	}
	accepted := "nothing"
	if len(e.Accepted) > 0 {
		accepted = strings.Join(e.Accepted, ", ")
	}
	return &exitError{exitRefused, fmt.Errorf("%s ignores %q in state %s; accepted there: %s", m.Name, e.Event, e.State, accepted)}
}

// parseEvents reads events as they are given on the command line.
func parseEvents(words []string) ([]fsm.Event, error) {
	var out []fsm.Event
	for _, w := range words {
		ev, err := parseEvent(w)
		if err != nil {
			return nil, err
		}
		out = append(out, ev)
	}
	return out, nil
}

// parseEvent reads NAME or NAME=JSON. A name that holds "=" can't be given
// without a payload unless it is followed by one more: A=B={}.
func parseEvent(w string) (fsm.Event, error) {
	name, payload, has := w, "", false
	if i := strings.Index(w, "={"); i >= 0 {
		name, payload, has = w[:i], w[i+1:], true
	} else if i := strings.IndexByte(w, '='); i >= 0 {
		name, payload, has = w[:i], w[i+1:], true
	}
	if name == "" {
		return fsm.Event{}, usage("event %q has no name; give NAME or NAME={\"key\": value}", w)
	}
	if !has {
		return fsm.Event{Type: name}, nil
	}
	data, err := jsonobject.Read(payload)
	if err != nil {
		return fsm.Event{}, usage("the payload of event %q is not a JSON object: %w", name, err)
	}
	return fsm.Event{Type: name, Payload: data}, nil
}
