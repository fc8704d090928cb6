package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/api"
	"github.com/spf13/cobra"
)

// An outcome is what a command led to, as it is printed.
type outcome struct {
	Instance  string `json:"instanceId"`
	Machine   string `json:"machineName,omitempty"`
	Component string `json:"componentName,omitempty"`
	RuntimeID string `json:"runtimeId,omitempty"`
	State     string `json:"currentState"`
	Version   uint64 `json:"version"`
	Seq       uint64 `json:"seq,omitempty"`
	Key       string `json:"key,omitempty"`
	Repeated  bool   `json:"repeated,omitempty"`
}

func (s *session) printOutcome(out *mesh.Outcome, repeated string) error {
	r := outcome{Instance: out.Instance, Component: out.Component, RuntimeID: out.RuntimeID, State: out.State, Version: out.Version, Seq: out.Seq, Repeated: out.Repeated}
	if out.Row != nil {
		r.Machine, r.Key = out.Row.Machine, out.Row.Key
	}
	if !r.Repeated {
		repeated = ""
	}
	return s.print(r, "id", r.Instance, "key", r.Key, "component", r.Component, "machine", r.Machine, "state", r.State,
		"version", strconv.FormatUint(r.Version, 10), "note", repeated)
}

func (p *program) sendCommand() *cobra.Command {
	var target targetFlag
	var o mesh.SendOptions
	c := &cobra.Command{
		Use:   "send (ID | --key KEY) EVENT [JSON]",
		Short: "Send an event to an instance of a running mesh",
		Long: `Sends an event, wherever the instance is, and prints where it led. Exit status 4
means that the instance does not take the event now; the message says what it
does take.`,
		Example: `  fsmesh send 0198c5a8-3c4e-7a6b-9d55-0a4f6f1f2f10 SUBMIT
  fsmesh send --key order:42 --component Orders PAY '{"amount": 12.5}'
  fsmesh send --key order:42 PAY --event-id payment-7 --if-version 2`,
	}
	r := p.newRemote(c)
	target.flags(c)
	c.Flags().StringVar(&o.EventID, "event-id", "", "id of the event: sent twice it takes effect once")
	c.Flags().Uint64Var(&o.IfVersion, "if-version", 0, "refuse if the instance has another version")
	c.RunE = func(c *cobra.Command, words []string) error {
		t, words, err := target.split(c, words, 1, 2)
		if err != nil {
			return err
		}
		payload, err := object("payload", words[1:])
		if err != nil {
			return err
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			out, err := s.client.Send(ctx, t, fsm.Event{Type: words[0], Payload: payload}, o)
			if err != nil {
				return again(api.Meant(err, words[0]))
			}
			return s.printOutcome(out, "the event had been taken before")
		})
	}
	return c
}

func (p *program) createCommand() *cobra.Command {
	var component string
	var o mesh.CreateOptions
	c := &cobra.Command{
		Use:   "create MACHINE [JSON]",
		Short: "Create an instance on a running mesh",
		Long: `Creates an instance on one of the runtimes that host the machine, and prints it.
The JSON is its data.`,
		Example: `  fsmesh create Order '{"amount": 12.5, "customer": "Ada"}'
  fsmesh create Order --component Orders --key order:42 --or-get -o json`,
		Args: args(1, 2),
	}
	r := p.newRemote(c)
	f := c.Flags()
	f.StringVar(&component, "component", "", "component of the machine; needed where several have one of this name")
	f.StringVar(&o.Key, "key", "", "business key of the instance")
	f.StringVar(&o.ID, "id", "", "id of the instance (default: one made up)")
	f.StringVar(&o.State, "state", "", "state to create it in (default: the initial one)")
	f.StringVar(&o.EventID, "event-id", "", "id of the creation: asked for twice it is done once")
	f.BoolVar(&o.OrGet, "or-get", false, "take the instance that has the key, if there is one")
	c.RunE = func(c *cobra.Command, words []string) error {
		if o.OrGet && o.Key == "" {
			return usage("--or-get needs --key: it is by the key that there may be one already")
		}
		data, err := object("data", words[1:])
		if err != nil {
			return err
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			name, err := s.componentOf(ctx, words[0], component)
			if err != nil {
				return err
			}
			if err := s.checkData(ctx, name, words[0], data); err != nil {
				return err
			}
			out, err := s.client.Create(ctx, name, words[0], data, o)
			if err != nil {
				return again(err)
			}
			return s.printOutcome(out, "it was there before")
		})
	}
	return c
}

func (p *program) broadcastCommand() *cobra.Command {
	var component, state, eventID string
	c := &cobra.Command{
		Use:   "broadcast MACHINE EVENT [JSON]",
		Short: "Send an event to all instances of a machine on a running mesh",
		Long: `Sends an event to the instances of a machine in all runtimes, and prints to how
many. Those that do not take it ignore it. Exit status 3 means that nobody has a
component, machine or state of that name, 4 that the machine has no such event.`,
		Example: `  fsmesh broadcast Order CANCEL --state Pending
  fsmesh broadcast Order NOTE '{"note": "delayed"}' --component Orders`,
		Args: args(2, 3),
	}
	r := p.newRemote(c)
	c.Flags().StringVar(&component, "component", "", "component of the machine; needed where several have one of this name")
	c.Flags().StringVar(&state, "state", "", "only instances in this state")
	c.Flags().StringVar(&eventID, "event-id", "", "id of the event: sent twice it takes effect once")
	c.RunE = func(c *cobra.Command, words []string) error {
		payload, err := object("payload", words[2:])
		if err != nil {
			return err
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			name, err := s.componentOf(ctx, words[0], component)
			if err != nil {
				return err
			}
			n, err := s.client.Broadcast(ctx, name, words[0], state, fsm.Event{Type: words[1], Payload: payload}, eventID)
			if err != nil {
				return partly(n, err)
			}
			infos, err := s.defined(ctx)
			if err == nil && n == 0 {
				err = misnamed(infos, mesh.Filter{Component: name, Machine: words[0], State: state})
			}
			if err == nil {
				err = unheardOf(infos, name, words[0], words[1])
			}
			if err != nil {
				return err
			}
			return s.print(struct {
				Component string `json:"componentName"`
				Machine   string `json:"machineName"`
				Count     int    `json:"count"`
			}{name, words[0], n}, "sent to", plural(n, "instance"))
		})
	}
	return c
}

// partly says how far a broadcast got before it failed.
func partly(n int, err error) error {
	_, silent := errors.AsType[*mesh.MissingError](err)
	if n == 0 && !silent {
		return err
	}
	return &exitError{exitFailed, fmt.Errorf("sent to %s, but not to all: %w", plural(n, "instance"), err)}
}
