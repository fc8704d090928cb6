package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// forgetful runs a runtime of the shop that remembers one ended instance only:
// the others are in the store.
func forgetful(t *testing.T, name string, store fsm.Store) *fsm.Runtime {
	t.Helper()
	shop, _, err := fsm.ParseComponent([]byte(orders))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: name, Components: []*fsm.Component{shop}, Store: store, Logger: quiet(), Limits: fsm.Limits{Ended: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	return rt
}

// searched gathers what a search finds.
func searched(t *testing.T, c *Client, s fsm.Search, limit int) (ids []string, err error) {
	t.Helper()
	for in, e := range c.Search(t.Context(), s, limit) {
		if e != nil {
			return ids, e
		}
		ids = append(ids, in.ID)
	}
	slices.Sort(ids)
	return ids, nil
}

// A search finds all instances of all runtimes, each once, over many messages:
// live ones, and those that ended and that only the stores know after a restart.
func TestSearchFindsWhatEnded(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	var all, shipped, sevens []string
	for i := range 2 {
		name, store := fmt.Sprint("rt-", i), fsm.NewMemoryStore()
		rt := forgetful(t, name, store)
		for j := range 150 {
			in, err := rt.Create(t.Context(), "Order", map[string]any{"n": j % 10, "deep": map[string]any{"text": fmt.Sprintf("Nr-%d-%d", i, j)}, "long": strings.Repeat("x", 6000)})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, in.ID())
			if j%10 == 7 {
				sevens = append(sevens, in.ID())
			}
			if j%2 == 0 {
				continue
			}
			shipped = append(shipped, in.ID())
			for _, e := range []string{"PLACE", "PAY", "SHIP"} {
				if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: e}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := rt.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		attach(t, forgetful(t, name, store), b)
	}
	slices.Sort(all)
	slices.Sort(shipped)
	slices.Sort(sevens)
	c := NewClient(b, ClientOptions{})
	for name, x := range map[string]struct {
		fsm.Search
		want []string
	}{
		"all":        {fsm.Search{}, all},
		"ended":      {fsm.Search{Component: "Shop", Machine: "Order", State: "Shipped"}, shipped},
		"a field":    {fsm.Search{Field: "n", Value: "7"}, sevens},
		"a path":     {fsm.Search{Field: "deep.text", Value: "Nr-1-3"}, nil},
		"no machine": {fsm.Search{Machine: "Nothing"}, nil},
	} {
		got, err := searched(t, c, x.Search, 0)
		if name == "a path" {
			if len(got) != 1 || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%s: got %d instances, %v; want %d", name, len(got), err, len(x.want))
		}
	}
	if got, err := searched(t, c, fsm.Search{Text: "nr-0-14"}, 0); err != nil || len(got) != 11 { // 14 and 140 to 149
		t.Errorf("a text: %d, %v", len(got), err)
	}
	if got, err := searched(t, c, fsm.Search{}, 151); err != nil || len(got) != 151 {
		t.Errorf("with a limit of 151: %d, %v", len(got), err)
	}
	// One that only a store has is found by its id, with its history.
	out, err := c.Get(t.Context(), Target{ID: shipped[3]})
	if err != nil || out.Row.State != "Shipped" || out.Row.Status != Completed {
		t.Errorf("Get: %+v, %v", out, err)
	}
	if h, err := c.History(t.Context(), Target{ID: shipped[3]}, 0, 0); err != nil || len(h.Records) != 4 {
		t.Errorf("History: %+v, %v", h, err)
	}
	if p, err := c.StateAt(t.Context(), Target{ID: shipped[3]}, Moment{Version: 2}); err != nil || p.State != "Placed" || p.Status != fsm.StatusActive {
		t.Errorf("StateAt: %+v, %v", p, err)
	}
	if p, err := c.StateAt(t.Context(), Target{ID: shipped[3]}, Moment{Time: time.UnixMilli(out.Row.UpdatedAt)}); err != nil || p.State != "Shipped" || p.Status != fsm.StatusCompleted {
		t.Errorf("StateAt a time: %+v, %v", p, err)
	}
	for _, m := range []Moment{{Version: 9}, {}} {
		if _, err := c.StateAt(t.Context(), Target{ID: shipped[3]}, m); !errors.Is(err, fsm.ErrUnknownRecord) {
			t.Errorf("StateAt %+v: %v", m, err)
		}
	}
	if _, err := c.Get(t.Context(), Target{ID: "nobody's"}); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Errorf("an id that is not there: %v", err)
	}
	// Who wants no more is left alone, and the runtime does not wait for it.
	for range 10 {
		for range c.Search(t.Context(), fsm.Search{}, 0) {
			break
		}
	}
}

// Who does not answer a search, or falls silent, is named at its end.
func TestSearchNamesWhoIsMissing(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	one, two := startRuntime(t, "one", nil), startRuntime(t, "two", nil)
	attach(t, one, b)
	mute := attach(t, two, b)
	for range 10 {
		for _, rt := range []*fsm.Runtime{one, two} {
			if _, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := NewClient(b, ClientOptions{})
	n := 0
	for in, err := range c.Correlated(t.Context(), "7", 15) {
		if err != nil || in.Component != "Shop" || in.RuntimeID == "" {
			t.Fatal(in, err)
		}
		n++
	}
	if n != 15 {
		t.Errorf("%d are correlated, want 15", n)
	}
	deafTo(t, mute, func(s string) bool { return strings.HasSuffix(s, ".search") })
	got, err := searched(t, c, fsm.Search{}, 0)
	if m, ok := errors.AsType[*MissingError](err); !ok || !slices.Equal(m.Runtimes, []string{"two/Shop"}) || len(got) != 10 {
		t.Errorf("%d instances, %v", len(got), err)
	}
}
