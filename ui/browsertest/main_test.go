package browsertest

import (
	"fmt"
	"os"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// browser is shared by all tests: to start one takes seconds.
var browser *Browser

func TestMain(m *testing.M) {
	var err error
	if browser, err = Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if err := browser.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

const orders = `
name: Orders
version: 1.2.0
stateMachines:
  - name: Order
    initialState: Draft
    contextSchema:
      orderId: { type: text, label: Order number, required: true, pattern: "^ORD-[0-9]+$", placeholder: ORD-1 }
      amount: { type: number, required: true, min: 0 }
      currency: { type: select, options: [EUR, USD], default: EUR }
    states:
      - { name: Draft, type: entry }
      - { name: Pending }
      - { name: Paid }
      - { name: Cancelled, type: final }
      - { name: Failed, type: error }
    transitions:
      - { from: Draft, to: Pending, event: SUBMIT }
      - { from: Draft, to: Cancelled, event: CANCEL }
      - { from: Pending, to: Paid, event: PAY }
      - { from: Pending, to: Failed, event: REFUSE }
      - { from: Pending, to: Cancelled, event: EXPIRE, type: timeout, timeoutMs: 3600000 }
      - { from: Paid, to: Paid, event: NOTE, type: internal }
  - name: Letter
    initialState: Written
    states: [{ name: Written, type: entry }, { name: Sent }]
    transitions: [{ from: Written, to: Sent, event: SEND }]
`

// A world is a site with a runtime that hosts orders.
type world struct {
	*Site
	t  *testing.T
	rt *fsm.Runtime
}

func newWorld(t *testing.T, definitions ...string) *world {
	t.Helper()
	w := newSite(t, Options{})
	w.host(definitions...)
	return w
}

// newSite is a world without a runtime.
func newSite(t *testing.T, o Options) *world {
	t.Helper()
	site, err := OpenSite(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{Site: site, t: t}
}

// host runs the runtime, with orders if nothing else is said.
func (w *world) host(definitions ...string) {
	t := w.t
	t.Helper()
	if len(definitions) == 0 {
		definitions = []string{orders}
	}
	var components []*fsm.Component
	for _, d := range definitions {
		c, err := Parse(d)
		if err != nil {
			t.Fatal(err)
		}
		components = append(components, c)
	}
	var err error
	if w.rt, err = w.Host(t.Context(), "test", fsm.Hooks{}, components...); err != nil {
		t.Fatal(err)
	}
}

// order creates an order in a state, and waits until the pages show it.
func (w *world) order(number int, state string) *fsm.Instance {
	w.t.Helper()
	key := fmt.Sprintf("ORD-%d", number)
	return w.create("Order", map[string]any{"orderId": key, "amount": 10.5 * float64(number)}, fsm.WithKey("order:"+key), fsm.InState(state))
}

func (w *world) create(machine string, data map[string]any, opts ...fsm.CreateOption) *fsm.Instance {
	w.t.Helper()
	in, err := w.rt.Create(w.t.Context(), machine, data, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Settle(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return in
}

// page opens a window that is closed with the test.
func (w *world) page(look Look) *Page {
	p := browser.Page(look)
	w.t.Cleanup(p.Close)
	return p
}

// instance is the address of the page of an order.
func (w *world) instance(in *fsm.Instance) string {
	return w.URL + "instance?id=" + in.ID() + "&component=Orders"
}
