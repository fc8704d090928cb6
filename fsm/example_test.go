package fsm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

const orders = `
name: Shop
stateMachines:
  - name: Order
    initialState: Draft
    states:
      - {name: Draft, type: entry}
      - {name: AwaitingPayment, onEntry: remind}
      - {name: Paid}
      - {name: Shipped, type: final}
      - {name: Expired, type: error}
    transitions:
      - {from: Draft, to: AwaitingPayment, event: PLACE}
      - {from: AwaitingPayment, to: Paid, event: PAY}
      - {from: AwaitingPayment, to: Expired, event: GIVE_UP, type: timeout, timeoutMs: 600000}
      - {from: Paid, to: Shipped, event: SHIP}
`

// start runs a runtime of the component above; a program would handle the
// errors.
func start(c fsm.Config) *fsm.Runtime {
	shop, _, err := fsm.ParseComponent([]byte(orders))
	if err != nil {
		log.Fatal(err)
	}
	c.Components = []*fsm.Component{shop}
	rt, err := fsm.NewRuntime(c)
	if err != nil {
		log.Fatal(err)
	}
	if err := rt.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	return rt
}

func Example() {
	ctx := context.Background()
	rt := start(fsm.Config{})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", map[string]any{"amount": 40})
	if err != nil {
		log.Fatal(err)
	}
	res, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE", Payload: map[string]any{"city": "Bern"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.State, res.Version, res.Instance.Data().Map())
	// Output: AwaitingPayment 2 map[amount:40 city:Bern]
}

// Business keys stand for ids. GetOrCreate gives all who ask the same instance.
func ExampleRuntime_GetOrCreate() {
	ctx := context.Background()
	rt := start(fsm.Config{})
	defer rt.Stop(ctx)

	for range 2 {
		in, created, err := rt.GetOrCreate(ctx, "Order", "order:ORD-001", nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(in.Key(), in.State(), created)
	}
	_, err := rt.SendByKey(ctx, "order:abc123", fsm.Event{Type: "PLACE"})
	fmt.Println(err)
	// Output:
	// order:ORD-001 Draft true
	// order:ORD-001 Draft false
	// no instance for order:abc123
}

// An event that the state has no transition for changes nothing, and the error
// says what would be accepted.
func ExampleRuntime_Send_ignored() {
	ctx := context.Background()
	rt := start(fsm.Config{})
	defer rt.Stop(ctx)

	if _, err := rt.Create(ctx, "Order", nil, fsm.WithKey("ORD-7")); err != nil {
		log.Fatal(err)
	}
	_, err := rt.SendByKey(ctx, "ORD-7", fsm.Event{Type: "SHIP"})
	fmt.Println(err)
	fmt.Println(errors.Is(err, fsm.ErrEventIgnored))
	// Output:
	// Order "ORD-7" ignored SHIP in state Draft; accepted now: PLACE
	// true
}

// Hooks act on their instance through the call.
func ExampleHooks() {
	ctx := context.Background()
	rt := start(fsm.Config{Hooks: fsm.Hooks{Methods: map[string]fsm.Hook{
		"remind": func(c *fsm.Call) error {
			var order struct{ Email string }
			if err := c.Decode(&order); err != nil {
				return err
			}
			fmt.Println("remind", order.Email)
			return c.UpdateContext(map[string]any{"reminded": true})
		},
	}}})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", map[string]any{"email": "ada@example.org"})
	if err != nil {
		log.Fatal(err)
	}
	res, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Instance.Data().Get("reminded"))
	// Output:
	// remind ada@example.org
	// true true
}

// With an event id a send can be repeated: it takes effect once.
func ExampleWithEventID() {
	ctx := context.Background()
	rt := start(fsm.Config{})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		res, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE"}, fsm.WithEventID("click-1"))
		fmt.Println(res.State, res.Version, res.Repeated, err)
	}
	// Output:
	// AwaitingPayment 2 false <nil>
	// AwaitingPayment 2 true <nil>
}

// Tests let time pass without waiting.
func ExampleManualClock() {
	ctx := context.Background()
	clock := fsm.NewManualClock(time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC))
	rt := start(fsm.Config{Clock: clock})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE"}); err != nil {
		log.Fatal(err)
	}
	clock.Advance(10*time.Minute, func() { _ = rt.Idle(ctx, 0) })
	order, err = rt.Get(order.ID())
	fmt.Println(order.State(), order.Status(), err)
	// Output: Expired error <nil>
}

// Whoever wants to know what happens watches.
func ExampleRuntime_Watch() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rt := start(fsm.Config{})
	defer rt.Stop(context.Background())

	notices := rt.Watch(ctx, fsm.WatchOptions{Machine: "Order"})
	if _, err := rt.Create(ctx, "Order", nil, fsm.WithKey("ORD-1")); err != nil {
		log.Fatal(err)
	}
	if _, err := rt.SendByKey(ctx, "ORD-1", fsm.Event{Type: "PLACE"}); err != nil {
		log.Fatal(err)
	}
	for n, err := range notices {
		if err != nil {
			log.Print(err) // the reader was too slow, and missed some
			continue
		}
		fmt.Println(n.Seq, n.Key, n.Kind, n.State)
		if n.State == "AwaitingPayment" {
			break
		}
	}
	// Output:
	// 1 ORD-1 instance_created Draft
	// 2 ORD-1 state_change AwaitingPayment
}

// A history shows every record of an instance.
func ExampleRuntime_History() {
	ctx := context.Background()
	rt := start(fsm.Config{Store: fsm.NewMemoryStore()})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range []string{"PLACE", "PAY", "SHIP"} {
		if _, err := rt.Send(ctx, order.ID(), fsm.Event{Type: event}); err != nil {
			log.Fatal(err)
		}
	}
	for r, err := range rt.History(ctx, order.ID(), 0) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s %q -> %q\n", r.Version, r.Event.Type, r.Before, r.After)
	}
	// Output:
	// 1 INSTANCE_CREATED "" -> "Draft"
	// 2 PLACE "Draft" -> "AwaitingPayment"
	// 3 PAY "AwaitingPayment" -> "Paid"
	// 4 SHIP "Paid" -> "Shipped"
}

// What an instance was at any of its records, and what a record changed.
func ExampleRuntime_StateAt() {
	ctx := context.Background()
	rt := start(fsm.Config{Store: fsm.NewMemoryStore()})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", map[string]any{"amount": 40})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE", Payload: map[string]any{"amount": 45, "by": "web"}}); err != nil {
		log.Fatal(err)
	}
	before, err := rt.StateAt(ctx, order.ID(), 1)
	if err != nil {
		log.Fatal(err)
	}
	after, err := rt.StateAt(ctx, order.ID(), 2)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(before.State, "->", after.State)
	for _, c := range fsm.Diff(before.Context, after.Context) {
		fmt.Println(c.Path, c.Before, c.After)
	}
	// Output:
	// Draft -> AwaitingPayment
	// amount 40 45
	// by <nil> web
}

// Instances that are about one thing are found by the fields that say so.
func ExampleRuntime_Correlated() {
	ctx := context.Background()
	rt := start(fsm.Config{})
	defer rt.Stop(ctx)

	for _, id := range []string{"ORD-1", "ORD-2", "ORD-1"} {
		if _, err := rt.Create(ctx, "Order", map[string]any{"orderId": id}); err != nil {
			log.Fatal(err)
		}
	}
	found, err := rt.Correlated(ctx, "ORD-1", 10)
	fmt.Println(len(found.Instances), found.More, err)
	// Output: 2 false <nil>
}

// A record names what led to it; Causes follows that up to what came from
// outside.
func ExampleRuntime_Causes() {
	ctx := context.Background()
	rt := start(fsm.Config{})
	defer rt.Stop(ctx)

	order, err := rt.Create(ctx, "Order", nil)
	if err != nil {
		log.Fatal(err)
	}
	r, err := rt.Send(ctx, order.ID(), fsm.Event{Type: "PLACE"})
	if err != nil {
		log.Fatal(err)
	}
	chain, err := rt.Causes(ctx, r.Record)
	if err != nil {
		log.Fatal(err)
	}
	tree, err := rt.Caused(ctx, r.Record, fsm.CausedOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(chain), chain[0].Event.Type, len(tree.Caused))
	// Output: 1 PLACE 0
}

// What a runtime is doing, for those who ask whether it is ready.
func ExampleRuntime_Status() {
	rt := start(fsm.Config{})
	fmt.Println(rt.Status().Phase)
	rt.Stop(context.Background())
	fmt.Println(rt.Status().Phase)
	// Output:
	// running
	// stopped
}

// Definitions can be tried without a runtime.
func ExampleSimulate() {
	shop, _, err := fsm.ParseComponent([]byte(orders))
	if err != nil {
		log.Fatal(err)
	}
	states, err := fsm.Simulate(shop, "Order", []fsm.Event{{Type: "PLACE"}, {Type: "PAY"}})
	fmt.Println(states, err)
	// Output: [Draft AwaitingPayment Paid] <nil>
}
