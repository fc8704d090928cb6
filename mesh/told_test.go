package mesh

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func TestNotices(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, b).RuntimeIDs()["Shop"]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all, err := b.Notices(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	others, err := b.Notices(ctx, "Nobody")
	if err != nil {
		t.Fatal(err)
	}
	// From the call on, not from the loop on.
	in, err := rt.Create(ctx, "Order", nil)
	if err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull2(all)
	defer stop()
	n, err, _ := next()
	if err != nil || n.Kind != KindCreated || n.Instance != in.ID() || n.RuntimeID != id || n.Component != "Shop" {
		t.Fatalf("got %+v, %v; want the creation of %s", n, err, in.ID())
	}
	if err := b.nc.Publish(b.subjects.notices("Shop"), []byte("[]")); err != nil {
		t.Fatal(err)
	}
	_, err, _ = next()
	if _, ok := errors.AsType[*DecodeError](err); !ok {
		t.Errorf("a message that is none: %v", err)
	}
	if _, err := rt.Send(ctx, in.ID(), fsm.Event{Type: "PLACE"}); err != nil {
		t.Fatal(err)
	}
	n, err, _ = next()
	if err != nil || n.Kind != KindStateChange || n.Previous != "Draft" || n.State != "Placed" || n.Event.Type != "PLACE" {
		t.Errorf("got %+v, %v; want the change after the error", n, err)
	}
	cancel()
	if _, err, ok := next(); ok {
		t.Errorf("after the end: %v", err)
	}
	for n, err := range others {
		t.Errorf("of a component that nobody has: %+v, %v", n, err)
	}
}
