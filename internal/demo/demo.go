// Package demo is the shop that `fsmesh demo` shows: two components with seven
// machines, a third that comes and goes, the hooks that they name, and a load that
// makes them move.
//
// The definitions are shop.yaml, fulfilment.yaml and couriers.yaml, whose runtime
// goes away and comes back (shift.go). They use what a real
// application would: timeouts, children that tell their parent, events and
// creations across components, cascades, business keys, context schemas. Some
// of it fails on purpose: a payment gateway that does not always answer, goods
// that are out of stock, orders that nobody will ever pay.
package demo

import (
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

//go:embed shop.yaml
var shopYAML []byte

//go:embed fulfilment.yaml
var fulfilmentYAML []byte

// Components returns the two components of the shop, each call new ones.
func Components() ([]*fsm.Component, error) {
	var out []*fsm.Component
	for _, f := range []struct {
		name string
		data []byte
	}{{"shop.yaml", shopYAML}, {"fulfilment.yaml", fulfilmentYAML}} {
		c, err := component(f.name, f.data)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func component(name string, data []byte) (*fsm.Component, error) {
	c, _, err := fsm.ParseComponent(data, fsm.FileName(name), fsm.Strict())
	if err != nil {
		return nil, fmt.Errorf("read the demo's %s: %w", name, err)
	}
	return c, nil
}

// What the hooks of the demo fail with.
var (
	errGateway = errors.New("the payment gateway did not answer")
	errBank    = errors.New("the bank did not answer")
)

// Hooks returns the code of the shop. Its luck depends on the seed, and on the
// order in which the hooks are called.
func Hooks(seed uint64) fsm.Hooks {
	h := &hooks{rng: rand.New(rand.NewPCG(seed, 1))}
	nothing := func(*fsm.Call) error { return nil }
	return fsm.Hooks{Methods: map[string]fsm.Hook{
		"addItem":       addItem,
		"countTrip":     countTrip,
		"authorize":     h.authorize,
		"pickItems":     h.pickItems,
		"payOut":        h.payOut,
		"thankCustomer": nothing,
		"tellWarehouse": nothing,
		"sendInvoice":   nothing,
	}}
}

type hooks struct {
	mu  sync.Mutex // guards rng: hooks run side by side
	rng *rand.Rand
}

// chance is true in so many of a hundred calls.
func (h *hooks) chance(percent int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rng.IntN(100) < percent
}

func (h *hooks) pick(words ...string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return words[h.rng.IntN(len(words))]
}

// addItem keeps the sum of a cart.
func addItem(c *fsm.Call) error {
	var cart struct {
		Items  float64 `json:"items"`
		Amount float64 `json:"amount"`
	}
	if err := c.Decode(&cart); err != nil {
		return err
	}
	price, _ := c.Event().Payload.Get("price")
	p, _ := price.(float64)
	return c.UpdateContext(map[string]any{"items": cart.Items + 1, "amount": cents(cart.Amount + p)})
}

// authorize asks the payment gateway. When that does not answer, the hook
// fails, nothing is sent, and the timeout of the state asks again.
func (h *hooks) authorize(c *fsm.Call) error {
	switch {
	case h.chance(15):
		return errGateway
	case h.chance(8):
		return c.SendToSelf(fsm.Event{Type: "DECLINED", Payload: map[string]any{"code": "insufficient_funds"}})
	}
	return c.SendToSelf(fsm.Event{Type: "APPROVED"})
}

// pickItems looks whether the goods are there.
func (h *hooks) pickItems(c *fsm.Call) error {
	if h.chance(9) {
		return c.SendToSelf(fsm.Event{Type: "OUT_OF_STOCK"})
	}
	return c.SendToSelf(fsm.Event{Type: "PICKED", Payload: map[string]any{"carrier": h.pick("pigeon", "snail", "comet")}})
}

// payOut asks the bank, which is out for lunch often.
func (h *hooks) payOut(c *fsm.Call) error {
	if h.chance(25) {
		return errBank
	}
	return c.SendToSelf(fsm.Event{Type: "PAID_OUT"})
}
