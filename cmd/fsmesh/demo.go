package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/demo"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

// demoKeeps is how long the shop keeps what it needs no more: it may run for
// weeks, and is kept in the user's data folder.
const demoKeeps = time.Hour

func (p *program) demoCommand() *cobra.Command {
	h := newHost(p)
	// A component of somebody's own may be called Shop, too.
	h.storage.prefix = "demo-"
	h.storage.keepEnded.all, h.storage.keepRecords.all = demoKeeps, demoKeeps
	var rate float64
	var instances int
	var seed uint64
	var away time.Duration
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve a built-in shop, with customers that make it move",
		Long: `Hosts a shop of seven machines in two components, each in a runtime of its own
that send to each other over the mesh, with hooks, and a load that
creates carts, pays orders and delivers parcels. Some of it fails on purpose: a
payment gateway that does not always answer, goods that are out of stock, orders
that are stuck, and a third runtime, of couriers, that goes away and comes back.
Open the address that it prints in a browser. What has ended is kept for an hour
(--keep-ended, --keep-records), so that the shop can be left on.`,
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
	c.Flags().DurationVar(&away, "away", 15*time.Second, "how long the couriers' runtime is gone each time, it stays three times as long; 0 is never")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if rate <= 0 || math.IsNaN(rate) || rate > 100_000 {
			return usage("--rate %v is out of range; more than 0, at most 100000 are allowed", rate)
		}
		if instances < 1 || instances > 1_000_000 {
			return usage("--instances %d is out of range; 1 to 1000000 are allowed", instances)
		}
		if away < 0 || away > time.Hour {
			return usage("--away %v is out of range; 0 to 1h are allowed", away)
		}
		if err := h.resolve(c); err != nil {
			return err
		}
		var err error
		if h.components, err = demo.Components(); err != nil {
			return err
		}
		couriers, err := demo.Couriers()
		if err != nil {
			return err
		}
		if err := h.storage.checkMachines(append(h.components, couriers)...); err != nil {
			return err
		}
		h.hooks = demo.Hooks(seed)
		h.alive = func(view *mesh.View) (filled bool) {
			view.Read(func(d *mesh.Directory) { filled = d.Count(mesh.Filter{}).Active >= min(shopAtOnce, instances) })
			return filled
		}
		h.beside = func(ctx context.Context, m *membership, rts map[string]*fsm.Runtime, log *slog.Logger) error {
			load := demo.Load{Runtimes: map[string]demo.Runtime{}, Rate: rate, Instances: instances, Seed: seed, Logger: log}
			for component, rt := range rts {
				load.Runtimes[component] = rt
			}
			shift := demo.Shift{Away: away, Begin: func(ctx context.Context) (demo.CourierRuntime, func() error, error) {
				return h.guest(ctx, m, couriers, log)
			}}
			return together(ctx, load.Run, shift.Run)
		}
		return h.serve(c.Context())
	}
	return c
}

// shopAtOnce is how many instances have to be there before the demo says that it
// is up: a page that is opened then has something to show.
const shopAtOnce = 50

// guest starts a runtime that leaves the mesh before the program ends.
func (h *host) guest(ctx context.Context, m *membership, c *fsm.Component, log *slog.Logger) (demo.CourierRuntime, func() error, error) {
	rt, err := h.newRuntime(m, c, log)
	if err != nil {
		return nil, nil, err
	}
	if err := rt.Start(ctx); err != nil {
		return nil, nil, err
	}
	stop := func() error { return stopAll([]*fsm.Runtime{rt}) }
	att, err := mesh.Attach(ctx, rt, m.bus, mesh.AttachOptions{Logger: log})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	log.Info("the couriers have come", "runtime", rt.Name())
	return rt, func() error {
		leave, done := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer done()
		if err := att.Close(leave); err != nil {
			log.Warn("the mesh was not told that the couriers leave", "err", err)
		}
		log.Info("the couriers leave", "runtime", rt.Name())
		return stop()
	}, nil
}
