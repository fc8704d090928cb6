package mesh

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// TestAwait reads what a command did as soon as the view has got there.
func TestAwait(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	attach(t, rt, b)
	v, c := watch(t, b), NewClient(b, ClientOptions{})
	for range 50 {
		out, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		err = v.Await(ctx, out.RuntimeID, out.Seq)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		var found []Instance
		v.Read(func(d *Directory) { found = d.Find(out.Instance) })
		if len(found) != 1 {
			t.Fatalf("%d instances of id %s, want 1", len(found), out.Instance)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := v.Await(ctx, "nobody", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a runtime that is not there: %v, want that the time is over", err)
	}
}

// TestOneIDInTwoRuntimes has commands meet the one that is meant.
func TestOneIDInTwoRuntimes(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	one, two := startRuntime(t, "one", nil), startRuntime(t, "two", nil)
	ids := map[*fsm.Runtime]string{one: attach(t, one, b).RuntimeIDs()["Shop"], two: attach(t, two, b).RuntimeIDs()["Shop"]}
	for rt := range ids {
		if _, err := rt.Create(t.Context(), "Order", nil, fsm.WithID("twin")); err != nil {
			t.Fatal(err)
		}
	}
	c := NewClient(b, ClientOptions{})
	out, err := c.Send(t.Context(), Target{ID: "twin", RuntimeID: ids[two]}, fsm.Event{Type: "PLACE"}, SendOptions{})
	if err != nil || out.RuntimeID != ids[two] {
		t.Fatalf("Send: %+v, %v; want an answer of %s", out, err, ids[two])
	}
	for rt, want := range map[*fsm.Runtime]string{one: "Draft", two: "Placed"} {
		if out, err := c.Get(t.Context(), Target{ID: "twin", RuntimeID: ids[rt]}); err != nil || out.State != want && (out.Row == nil || out.Row.State != want) {
			t.Errorf("Get from %s: %+v, %v; want %s", rt.Name(), out, err, want)
		}
	}
	if _, err := c.Get(t.Context(), Target{ID: "twin", RuntimeID: "nobody"}); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Errorf("a runtime that is not there: %v", err)
	}
}
