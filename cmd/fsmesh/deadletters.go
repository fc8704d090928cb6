package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

func (p *program) deadLettersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "deadletters",
		Short: "List the effects that runtimes of a running mesh have given up, or send one again",
		Long: `An effect for another component that nobody takes is given up after 24 hours. These
commands list what was given up, on all runtimes, and put one back on its way.
Without a command it lists.`,
		Example: `  fsmesh deadletters
  fsmesh deadletters ls --component Orders -o json
  fsmesh deadletters resend 0198c5a8-3c4e-7a6b-9d55-0a4f6f1f2f10/3 0`,
		Args: p.knownCommand,
	}
	ls := &cobra.Command{Use: "ls", Short: "List what was given up", Example: "  fsmesh deadletters ls --component Orders", Args: args(0, 0)}
	for _, c := range []*cobra.Command{c, ls} {
		r := p.newRemote(c)
		component := c.Flags().String("component", "", "only what this component sent")
		c.RunE = func(c *cobra.Command, _ []string) error {
			return r.with(c.Context(), false, func(ctx context.Context, s *session) error { return s.deadLetters(ctx, *component) })
		}
	}
	c.AddCommand(ls, p.resendCommand())
	return c
}

func (s *session) deadLetters(ctx context.Context, component string) error {
	letters, err := s.client.DeadLetters(ctx, component)
	missing := map[string]bool{}
	if m, ok := errors.AsType[*mesh.MissingError](err); ok {
		for _, name := range m.Runtimes {
			missing[name] = true
		}
	} else if err != nil {
		return err
	}
	list := s.listing("RECORD", "N", "FROM", "TO", "MACHINE", "EVENT", "SINCE", "ERROR")
	for i := range letters {
		l := &letters[i]
		e := &l.Effect.Effect
		if err := list.add(l, l.Effect.Record.String(), strconv.Itoa(e.N), l.Component, e.Component, e.Machine, e.Event, moment(l.Since), l.Error); err != nil {
			return err
		}
	}
	if err := list.end(); err != nil {
		return err
	}
	s.warnMissing(missing)
	return nil
}

func (p *program) resendCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "resend RECORD N",
		Short:   "Put what was given up back on its way",
		Long:    `Puts an effect back among what waits for its receiver. RECORD and N are as ls shows them.`,
		Example: `  fsmesh deadletters resend 0198c5a8-3c4e-7a6b-9d55-0a4f6f1f2f10/3 0`,
		Args:    args(2, 2),
	}
	r := p.newRemote(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		var id fsm.RecordID
		if err := id.UnmarshalText([]byte(words[0])); err != nil || words[0] == "" {
			return usage("%q is no record; ls shows them, as INSTANCE/VERSION", words[0])
		}
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 0 {
			return usage("%q is no number of an effect; ls shows them, from 0", words[1])
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			letters, missing := s.client.DeadLetters(ctx, "")
			for _, l := range letters {
				if l.Effect.Record == id && l.Effect.Effect.N == n {
					if err := s.client.Resend(ctx, l); err != nil {
						return err
					}
					return s.print(&l, "record", id.String(), "n", strconv.Itoa(n), "to", l.Effect.Effect.Component, "status", "on its way again")
				}
			}
			if missing != nil {
				return missing
			}
			return &exitError{exitNotFound, fmt.Errorf("there is no dead letter %d of record %s; fsmesh deadletters lists them", n, id)}
		})
	}
	return c
}
