package mesh

import (
	"context"
	"testing"

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
	c, _, err := fsm.ParseComponent([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: name, Components: []*fsm.Component{c}, Dispatcher: NewDispatcher(b), Logger: quiet()})
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
