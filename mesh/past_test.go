package mesh

import (
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// Causes and what was caused are followed from runtime to runtime and back.
func TestCausesAcrossRuntimes(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	shop, bills := startOn(t, b, "shop", sales), startOn(t, b, "bills", billing)
	order, err := shop.Create(t.Context(), "Order", map[string]any{"order": 1})
	if err != nil {
		t.Fatal(err)
	}
	billed, err := shop.Send(t.Context(), order.ID(), fsm.Event{Type: "BILL"})
	if err != nil {
		t.Fatal(err)
	}
	var invoice *fsm.Instance
	waitFor(t, func() bool {
		for in := range bills.Instances(fsm.Filter{}) {
			invoice = in
		}
		return invoice != nil
	})
	settled, err := bills.Send(t.Context(), invoice.ID(), fsm.Event{Type: "SETTLE", Payload: map[string]any{"order": 1}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		in, err := shop.Get(order.ID())
		return err == nil && in.State() == "Paid"
	})
	c := NewClient(b, ClientOptions{})
	tree, err := c.Caused(t.Context(), billed.Record, fsm.CausedOptions{})
	if err != nil || len(tree.Caused) != 1 || tree.Caused[0].Record.Instance != invoice.ID() || tree.Cut {
		t.Fatalf("BILL led to %+v, %v", tree, err)
	}
	if tree, err = c.Caused(t.Context(), billed.Record, fsm.CausedOptions{Count: 1}); err != nil || !tree.Cut || tree.Caused != nil {
		t.Errorf("cut off at one record: %+v, %v", tree, err)
	}
	if tree, err = c.Caused(t.Context(), settled.Record, fsm.CausedOptions{}); err != nil || len(tree.Caused) != 1 || tree.Caused[0].Record.Event.Type != "PAID" {
		t.Fatalf("SETTLE led to %+v, %v", tree, err)
	}
	chain, err := c.Causes(t.Context(), tree.Caused[0].Record.ID())
	if err != nil || len(chain) != 2 || chain[0].Event.Type != "PAID" || chain[1].ID() != settled.Record {
		t.Errorf("PAID goes back to %v, %v", chain, err)
	}
	created, err := c.Causes(t.Context(), fsm.RecordID{Instance: invoice.ID(), Version: 1})
	if err != nil || len(created) != 2 || created[1].ID() != billed.Record {
		t.Errorf("the invoice goes back to %v, %v", created, err)
	}
	if _, err := c.Causes(t.Context(), fsm.RecordID{Instance: invoice.ID(), Version: 9}); fsm.ErrorCode(err) != fsm.CodeUnknownRecord {
		t.Errorf("a record that is not there: %v", err)
	}
}
