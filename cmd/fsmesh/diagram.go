package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/spf13/cobra"
)

func (p *program) diagramCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "diagram FILE [MACHINE]",
		Short: "Draw the state diagram of a machine",
		Long: `Draws the state diagram of a machine on the standard output. MACHINE may be left
out where the file has only one.`,
		Example: `  fsmesh diagram order.yaml Order > order.svg
  fsmesh diagram -o mermaid order.yaml Order
  fsmesh diagram -o dot order.yaml Order | dot -Tpng > order.png`,
		Args: args(1, 2),
	}
	form := outputFlag(c, "svg", "mermaid", "dot")
	c.RunE = func(c *cobra.Command, args []string) error {
		comp, err := p.load(args[0])
		if err != nil {
			return err
		}
		m, err := drawn(comp, args)
		if err != nil {
			return err
		}
		switch form.value {
		case "dot":
			_, err = io.WriteString(p.stdout, diagram.DOT(m))
		case "mermaid":
			_, err = io.WriteString(p.stdout, diagram.Mermaid(m))
		default:
			err = p.svg(c.Context(), m)
		}
		return err
	}
	return c
}

func drawn(comp *fsm.Component, args []string) (*fsm.Machine, error) {
	if len(args) == 2 {
		return machine(comp, args[0], args[1])
	}
	if len(comp.StateMachines) == 1 {
		return &comp.StateMachines[0], nil
	}
	var names []string
	for _, m := range comp.StateMachines {
		names = append(names, m.Name)
	}
	return nil, usage("%s has %s; say which to draw: %s", args[0], plural(len(names), "machine"), strings.Join(names, ", "))
}

func (p *program) svg(ctx context.Context, m *fsm.Machine) error {
	l := diagram.New()
	defer l.Close()
	layout, err := l.Layout(ctx, m)
	if err != nil {
		return fmt.Errorf("lay out the diagram of %s: %w", m.Name, err)
	}
	return layout.SVG(p.stdout, diagram.SVGOptions{})
}
