package mesh

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

const sales = `
name: Sales
stateMachines:
  - name: Order
    initialState: Draft
    states: [{name: Draft, type: entry}, {name: Billed}, {name: Paid}]
    transitions:
      - {from: Draft, to: Billed, event: BILL, type: cross_component, targetComponent: Billing, targetMachine: Invoice}
      - {from: Billed, to: Paid, event: PAID}
`

const billing = `
name: Billing
stateMachines:
  - name: Invoice
    initialState: Open
    states: [{name: Open, type: entry}, {name: Settled, type: final}]
    transitions:
      - from: Open
        to: Settled
        event: SETTLE
        type: cross_component
        targetComponent: Sales
        targetMachine: Order
        targetEvent: PAID
        matchingRules: [{eventProperty: order, instanceProperty: order}]
`

func startOn(t *testing.T, b *Bus, name, definition string) *fsm.Runtime {
	t.Helper()
	return startAt(t, b, name, definition, nil)
}

// startAt runs a runtime with a clock of the test's own.
func startAt(t *testing.T, b *Bus, name, definition string, clock fsm.Clock) *fsm.Runtime {
	t.Helper()
	c, _, err := fsm.ParseComponent([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: name, Components: []*fsm.Component{c}, Dispatcher: NewDispatcher(b), Clock: clock, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	attach(t, rt, b)
	return rt
}

func count(rt *fsm.Runtime, f fsm.Filter) (n int) {
	for range rt.Instances(f) {
		n++
	}
	return n
}

// Components in different runtimes reach each other: what is sent to one that is
// not there yet waits for it, a creation is done by exactly one runtime, and an
// event with rules finds its instance wherever it is. Guards the outbox over
// the mesh, and that an announce wakes it.
func TestComponentsReachEachOther(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	shops := []*fsm.Runtime{startOn(t, b, "north", sales), startOn(t, b, "south", sales)}
	const n = 40
	for i := range n {
		in, err := shops[i%2].Create(t.Context(), "Order", map[string]any{"order": i})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shops[i%2].Send(t.Context(), in.ID(), fsm.Event{Type: "BILL"}); err != nil {
			t.Fatal(err)
		}
	}
	bills := []*fsm.Runtime{startOn(t, b, "east", billing), startOn(t, b, "west", billing)}
	open := func() int { return count(bills[0], fsm.Filter{}) + count(bills[1], fsm.Filter{}) }
	waitFor(t, func() bool { return open() == n })
	paid := func() int {
		return count(shops[0], fsm.Filter{State: "Paid"}) + count(shops[1], fsm.Filter{State: "Paid"})
	}
	for _, rt := range bills {
		for in := range rt.Instances(fsm.Filter{}) {
			if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "SETTLE"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	waitFor(t, func() bool { return paid() == n })
	if got := open(); got != 0 {
		t.Errorf("%d invoices are open", got)
	}
	for _, rt := range shops {
		for in := range rt.Instances(fsm.Filter{}) {
			if in.Version() != 3 {
				t.Errorf("%s has version %d, want 3: created, billed and paid once", in.ID(), in.Version())
			}
		}
	}
}

// What is sent to a component that nobody hosts waits an hour for it. After a
// day it is a dead letter, which a client lists and sends again; then it arrives.
func TestEffectsWaitAndDie(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	clock := fsm.NewManualClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	shop := startAt(t, b, "north", sales, clock)
	bill := func() string {
		in, err := shop.Create(t.Context(), "Order", map[string]any{"order": 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shop.Send(t.Context(), in.ID(), fsm.Event{Type: "BILL"}); err != nil {
			t.Fatal(err)
		}
		return in.ID()
	}
	c := NewClient(b, ClientOptions{})
	dead := func() []DeadLetter {
		d, err := c.DeadLetters(t.Context(), "Sales")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	bill()
	clock.Advance(time.Hour, nil)
	bills := startOn(t, b, "east", billing)
	waitFor(t, func() bool { return count(bills, fsm.Filter{}) == 1 })
	if d := dead(); len(d) != 0 {
		t.Fatalf("after an hour: %+v", d)
	}
	// The one that hosts the component goes, with a goodbye.
	if err := bills.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { hosts, _ := b.discover(t.Context(), false); return len(hosts.live)+len(hosts.gone) == 1 })
	id := bill()
	waitFor(t, func() bool {
		clock.Advance(time.Minute, nil)
		return len(shop.DeadLetters()) > 0 || clock.Elapsed() > 26*time.Hour
	})
	waitFor(t, func() bool { clock.Advance(time.Minute, nil); return len(shop.DeadLetters()) == 1 })
	if age := clock.Elapsed() - time.Hour; age < 24*time.Hour {
		t.Errorf("given up after %v, want a day", age)
	}
	letters := dead()
	if len(letters) != 1 || letters[0].Effect.Record.Instance != id || letters[0].Component != "Sales" || letters[0].Error == "" {
		t.Fatalf("dead letters: %+v", letters)
	}
	bills = startOn(t, b, "east", billing)
	if n := count(bills, fsm.Filter{}); n != 0 {
		t.Errorf("%d arrived by themselves", n)
	}
	if err := c.Resend(t.Context(), letters[0]); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return count(bills, fsm.Filter{}) == 1 })
	if err := c.Resend(t.Context(), letters[0]); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Errorf("sent again twice: %v", err)
	}
	if d := dead(); len(d) != 0 {
		t.Errorf("after it was sent again: %+v", d)
	}
}
