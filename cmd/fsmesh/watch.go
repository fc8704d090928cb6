package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

func (p *program) watchCommand() *cobra.Command {
	var component, machine string
	c := &cobra.Command{
		Use:   "watch",
		Short: "Print what happens on a running mesh, as it happens",
		Long: `Prints what the runtimes tell from now on, until Ctrl-C. With -o json each is an
object on one line. If more happens than can be printed, it says that some was
left out.`,
		Example: `  fsmesh watch
  fsmesh watch --component Orders --machine Order -o json`,
		Args: args(0, 0),
	}
	r := p.newRemote(c)
	c.Flags().StringVar(&component, "component", "", "only what happens in this component")
	c.Flags().StringVar(&machine, "machine", "", "only what happens to instances of this machine")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return r.with(c.Context(), true, func(ctx context.Context, s *session) error {
			notices, err := s.bus.Notices(ctx, component)
			if err != nil {
				return stopped(ctx, err)
			}
			fmt.Fprintln(p.stderr, "fsmesh: watching (Ctrl-C ends it)")
			for n, err := range notices {
				switch _, broken := errors.AsType[*mesh.DecodeError](err); {
				case errors.Is(err, fsm.ErrLagged):
					fmt.Fprintln(p.stderr, "fsmesh: more happened than could be printed; some is left out")
					continue
				case broken:
					fmt.Fprintln(p.stderr, "fsmesh: "+oneLine(err.Error()))
					continue
				case err != nil:
					return err
				}
				if machine != "" && n.Machine != machine {
					continue
				}
				if err := s.tell(n); err != nil {
					return err
				}
				if p.stdout.err != nil {
					return nil // reported at the end
				}
			}
			return nil
		})
	}
	return c
}

// tell prints one notice.
func (s *session) tell(n mesh.Told) error {
	switch s.form.value {
	case "json":
		return json.NewEncoder(s.p.stdout).Encode(n)
	case "yaml":
		fmt.Fprintln(s.p.stdout, "---")
		return writeYAML(s.p.stdout, n)
	}
	text := fmt.Sprintf("%s  %s %s %s  %s", time.UnixMilli(n.Timestamp).Format("15:04:05.000"), n.Component, n.Machine, n.Instance, n.Kind)
	switch {
	case n.Previous != "" && n.Previous != n.State:
		text += fmt.Sprintf("  %s → %s", n.Previous, n.State)
	case n.State != "":
		text += "  " + n.State
	}
	if n.Event != nil && n.Event.Type != "" {
		text += ", by " + n.Event.Type
	}
	if n.Error != "" {
		text += ": " + n.Error
	}
	fmt.Fprintln(s.p.stdout, oneLine(text))
	return nil
}
