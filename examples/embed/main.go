// Command embed shows fsmesh inside a Go program: an order, the code that its
// states run, and its history.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/fsmesh/fsmesh/fsm"
)

//go:embed order.yaml
var definition []byte

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	orders, _, err := fsm.ParseComponent(definition, fsm.FileName("order.yaml"))
	if err != nil {
		return err
	}
	rt, err := fsm.NewRuntime(fsm.Config{
		Components: []*fsm.Component{orders},
		Hooks: fsm.Hooks{Methods: map[string]fsm.Hook{
			// The payment comes at once here: the event is handled after
			// this transition.
			"requestPayment": func(c *fsm.Call) error {
				return c.SendToSelf(fsm.Event{Type: "PAYMENT_CAPTURED", Payload: map[string]any{"payment": "PAY-7"}})
			},
			"confirm": func(c *fsm.Call) error {
				return c.UpdateContext(map[string]any{"confirmed": true})
			},
		}},
	})
	if err != nil {
		return err
	}
	if err := rt.Start(ctx); err != nil {
		return err
	}
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", map[string]any{"amount": 249.9}, fsm.WithKey("order:ORD-7"))
	if err != nil {
		return err
	}
	// The order does not take everything at any time.
	if _, err := rt.SendByKey(ctx, "order:ORD-7", fsm.Event{Type: "SHIP"}); errors.Is(err, fsm.ErrEventIgnored) {
		fmt.Fprintln(out, err)
	}
	// Settled waits for what the event leads to: here the payment.
	for _, event := range []string{"SUBMIT", "SHIP"} {
		if _, err := rt.SendByKey(ctx, "order:ORD-7", fsm.Event{Type: event}, fsm.Settled()); err != nil {
			return err
		}
	}
	for r, err := range rt.History(ctx, order.ID(), 0) {
		if err != nil {
			return err
		}
		data, err := r.Data.MarshalJSON()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d  %-16s  %-14s  %s\n", r.Version, r.Event.Type, r.After, data)
	}
	return nil
}
