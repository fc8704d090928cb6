package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

//go:embed couriers.yaml
var couriersYAML []byte

// Couriers returns the component of the runtime that comes and goes, each call a
// new one. Hooks has its code, too.
func Couriers() (*fsm.Component, error) { return component("couriers.yaml", couriersYAML) }

// A Shift lets a runtime go away and come back, for ever: pages show that it has
// stopped, with what it had, and that it goes on from there.
type Shift struct {
	// Away is how long it is gone; it stays three times as long. 0 is never.
	Away time.Duration
	// Begin starts the runtime as part of the mesh. It returns how to make it
	// leave and stop.
	Begin func(context.Context) (rt CourierRuntime, end func() error, err error)
}

// A CourierRuntime is what a Shift needs of a runtime.
type CourierRuntime interface {
	Create(ctx context.Context, machine string, data map[string]any, opts ...fsm.CreateOption) (*fsm.Instance, error)
}

var _ CourierRuntime = (*fsm.Runtime)(nil)

// Run goes on until the context ends, which is no error.
func (s *Shift) Run(ctx context.Context) error {
	for {
		rt, end, err := s.Begin(ctx)
		if err != nil {
			return quiet(ctx, fmt.Errorf("start the demo's couriers: %w", err))
		}
		err = quiet(ctx, hire(ctx, rt))
		if err == nil {
			wait(ctx, 3*s.Away)
		}
		if err = errors.Join(err, end()); err != nil || ctx.Err() != nil {
			return err
		}
		wait(ctx, s.Away)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// hire creates the couriers that are not there.
func hire(ctx context.Context, rt CourierRuntime) error {
	for _, name := range []string{"Anouk", "Bela", "Chidi", "Dora", "Emil", "Farah"} {
		_, err := rt.Create(ctx, "Courier", map[string]any{"name": name, "trips": 0}, fsm.WithKey("courier:"+name))
		if err != nil && !errors.Is(err, fsm.ErrKeyExists) {
			return err
		}
	}
	return nil
}

// countTrip counts what a courier has handed over.
func countTrip(c *fsm.Call) error {
	var courier struct {
		Trips float64 `json:"trips"`
	}
	if err := c.Decode(&courier); err != nil {
		return err
	}
	return c.UpdateContext(map[string]any{"trips": courier.Trips + 1})
}

// wait waits, for ever if d is 0, or until the context ends.
func wait(ctx context.Context, d time.Duration) {
	var after <-chan time.Time
	if d > 0 {
		after = time.After(d)
	}
	select {
	case <-after:
	case <-ctx.Done():
	}
}
