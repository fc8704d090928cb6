package main

import (
	"context"
	"log/slog"
	"math"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/demo"
	"github.com/spf13/cobra"
)

func (p *program) demoCommand() *cobra.Command {
	h := &host{p: p, site: site{p: p}}
	var rate float64
	var instances int
	var seed uint64
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve a built-in shop, with customers that make it move",
		Long: `Hosts a shop of seven machines in two components, each in a runtime of its own
that send to each other over the mesh, with hooks, and a load that
creates carts, pays orders and delivers parcels. Some of it fails on purpose: a
payment gateway that does not always answer, goods that are out of stock, and one
order that is stuck. Open the address that it prints in a browser.`,
		Example: `  fsmesh demo
  fsmesh demo --rate 200 --instances 2000
  fsmesh demo --listen 127.0.0.1:0 --seed 7
  fsmesh demo --broker nats://127.0.0.1:4222 --name demo-2`,
		Args: args(0, 0),
	}
	h.flags(c)
	c.Flags().Float64Var(&rate, "rate", 10, "events and creations a second")
	c.Flags().IntVar(&instances, "instances", 60, "instances at the start, and about as many in motion later")
	c.Flags().Uint64Var(&seed, "seed", 1, "seed of the load's choices")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if rate <= 0 || math.IsNaN(rate) || rate > 100_000 {
			return usage("--rate %v is out of range; more than 0, at most 100000 are allowed", rate)
		}
		if instances < 1 || instances > 1_000_000 {
			return usage("--instances %d is out of range; 1 to 1000000 are allowed", instances)
		}
		if err := h.resolve(c); err != nil {
			return err
		}
		var err error
		if h.components, err = demo.Components(); err != nil {
			return err
		}
		h.hooks = demo.Hooks(seed)
		h.beside = func(ctx context.Context, rts map[string]*fsm.Runtime, log *slog.Logger) error {
			load := demo.Load{Runtimes: map[string]demo.Runtime{}, Rate: rate, Instances: instances, Seed: seed, Logger: log}
			for component, rt := range rts {
				load.Runtimes[component] = rt
			}
			return load.Run(ctx)
		}
		return h.serve(c.Context())
	}
	return c
}
