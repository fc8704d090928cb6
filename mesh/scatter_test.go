package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// asked gathers all instances of a query, and checks its pages.
func asked(t *testing.T, c *Client, q Query) (ids []string, pages int) {
	t.Helper()
	for {
		page, err := c.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Limit > 0 && len(page.Instances) > q.Limit || len(page.Missing) > 0 {
			t.Fatalf("%d instances on a page of %d, missing: %v", len(page.Instances), q.Limit, page.Missing)
		}
		for _, in := range page.Instances {
			ids = append(ids, in.ID)
		}
		pages++
		if q.Cursor = page.Next; q.Cursor == "" {
			slices.Sort(ids)
			return ids, pages
		}
	}
}

// Queries over the runtimes give what going through all their tables gives,
// page by page, each instance once.
func TestQueryAgainstAll(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	var runtimes []*fsm.Runtime
	var all []*fsm.Instance
	for i := range 3 {
		rt := startRuntime(t, fmt.Sprint("rt-", i), nil)
		runtimes = append(runtimes, rt)
		attach(t, rt, b)
		for j := range 200 {
			in, err := rt.Create(t.Context(), "Order", map[string]any{"n": j % 7, "deep": map[string]any{"b": j%2 == 0}, "text": strings.Repeat("x", 4000)}, fsm.WithKey(fmt.Sprint("key-", i, "-", j)))
			if err != nil {
				t.Fatal(err)
			}
			if j%3 == 0 {
				if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "PLACE"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for in := range rt.Instances(fsm.Filter{}) {
			all = append(all, in)
		}
	}
	c := NewClient(b, ClientOptions{})
	three := Property{"n", json.RawMessage("3.0")}
	for name, q := range map[string]struct {
		Query
		want func(*fsm.Instance) bool
	}{
		"all":            {Query{Limit: 10_000}, func(*fsm.Instance) bool { return true }},
		"in small pages": {Query{Limit: 7}, func(*fsm.Instance) bool { return true }},
		"one a page":     {Query{Limit: 1, Filter: Filter{State: "Placed", Prefix: "key-1-1"}}, func(in *fsm.Instance) bool { return in.State() == "Placed" && strings.HasPrefix(in.Key(), "key-1-1") }},
		"state":          {Query{Limit: 50, Filter: Filter{Component: "Shop", Machine: "Order", State: "Placed"}}, func(in *fsm.Instance) bool { return in.State() == "Placed" }},
		"properties": {Query{Filter: Filter{Properties: []Property{three, {"deep.b", json.RawMessage("true")}}}}, func(in *fsm.Instance) bool {
			n, _ := in.Data().Path("n")
			b, _ := in.Data().Path("deep.b")
			return fmt.Sprint(n) == "3" && b == true
		}},
		"runtime": {Query{Filter: Filter{Name: "rt-2"}}, func(in *fsm.Instance) bool { return strings.HasPrefix(in.Key(), "key-2-") }},
		"keys":    {Query{Limit: 2, Keys: []string{"key-0-1", "key-1-1", "key-2-1", "nobody's"}}, func(in *fsm.Instance) bool { return strings.HasSuffix(in.Key(), "-1") }},
		"ids":     {Query{IDs: []string{all[5].ID(), all[300].ID(), "x"}, Keys: []string{all[5].Key()}}, func(in *fsm.Instance) bool { return in.ID() == all[5].ID() || in.ID() == all[300].ID() }},
		"machine": {Query{Filter: Filter{Machine: "Nothing"}}, func(*fsm.Instance) bool { return false }},
	} {
		var want []string
		for _, in := range all {
			if q.want(in) {
				want = append(want, in.ID())
			}
		}
		slices.Sort(want)
		got, pages := asked(t, c, q.Query)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %d instances, want %d", name, len(got), len(want))
		}
		if name == "all" && pages < 2 {
			t.Errorf("%d pages for 800 kB of each runtime: an answer has 512 kB at most", pages)
		}
	}
	n := 0
	for _, err := range c.All(t.Context(), Query{Limit: 100}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(all) {
		t.Errorf("All yields %d, want %d", n, len(all))
	}
	for _, cursor := range []string{"!", "e30", "bnVsbA"} {
		if _, err := c.Query(t.Context(), Query{Cursor: cursor}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, err := c.Query(t.Context(), Query{Filter: Filter{Properties: []Property{{"n", json.RawMessage("{")}}}}); !errors.Is(err, fsm.ErrBadValue) {
		t.Errorf("a value that is no JSON: %v", err)
	}
	if _, err := c.Query(t.Context(), Query{IDs: make([]string, maxSought+1)}); !errors.Is(err, fsm.ErrBadValue) {
		t.Errorf("too many ids: %v", err)
	}
	// One that ended is found by its id.
	ended := all[0]
	for _, e := range []string{"PLACE", "PAY", "SHIP"} {
		_, _ = runtimes[0].Send(t.Context(), ended.ID(), fsm.Event{Type: e})
	}
	if page, err := c.Query(t.Context(), Query{IDs: []string{ended.ID()}}); err != nil || len(page.Instances) != 1 || page.Instances[0].Status != Completed || page.Instances[0].RuntimeID == "" || page.Instances[0].Name != "rt-0" {
		t.Errorf("one that ended: %+v, %v", page, err)
	}
}

// Who does not answer a query is named, on that page and all later ones.
func TestQueryNamesWhoIsMissing(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	one, two := startRuntime(t, "one", nil), startRuntime(t, "two", nil)
	attach(t, one, b)
	mute := attach(t, two, b)
	for range 10 {
		for _, rt := range []*fsm.Runtime{one, two} {
			if _, err := rt.Create(t.Context(), "Order", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	deafTo(t, mute, func(s string) bool { return strings.HasSuffix(s, ".query") })
	c := NewClient(b, ClientOptions{})
	n, missing := 0, error(nil)
	for _, err := range c.All(t.Context(), Query{Limit: 3}) {
		if err != nil {
			missing = err
			continue
		}
		n++
	}
	if m, ok := errors.AsType[*MissingError](missing); !ok || !slices.Equal(m.Runtimes, []string{"two/Shop"}) || n != 10 {
		t.Errorf("%d instances, %v", n, missing)
	}
}
