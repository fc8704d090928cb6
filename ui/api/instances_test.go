package api

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// many creates orders 0 to n-1; each has n and n%3 in its context, and every
// tenth is placed.
func (w *world) many(n int) {
	w.t.Helper()
	for i := range n {
		in, err := w.orders.Create(w.t.Context(), "Order", map[string]any{"orderId": fmt.Sprint("ORD-", i), "amount": i, "third": i % 3}, fsm.WithKey(fmt.Sprint("order:", i)))
		if err != nil {
			w.t.Fatal(err)
		}
		if i%10 == 0 {
			if _, err := w.orders.Send(w.t.Context(), in.ID(), fsm.Event{Type: "GIVE_UP"}); err == nil {
				w.t.Fatal("a draft can't be given up")
			}
			if _, err := w.orders.Send(w.t.Context(), in.ID(), fsm.Event{Type: "PLACE"}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	eventually(w.t, "the view has all", func() bool {
		n2 := 0
		w.view.Read(func(d *mesh.Directory) { n2 = d.Count(mesh.Filter{Component: "Orders"}).Active })
		placed := 0
		w.view.Read(func(d *mesh.Directory) { placed = d.Count(mesh.Filter{State: "AwaitingPayment"}).Active })
		return n2 == n && placed == (n+9)/10
	})
}

func TestListsAreWholeAndPaged(t *testing.T) {
	w := newWorld(t, nil)
	const n = 1300 // more than two steps
	w.many(n)
	all := w.want(200, "GET /api/components/Orders/instances", nil)
	if got := len(all.body["instances"].([]any)); got != n {
		t.Errorf("the whole list has %d, want %d", got, n)
	}
	if _, there := all.body["total"]; there {
		t.Error("the list without a page has not the ancestor's shape")
	}
	// From cursor to cursor, each instance once, whatever is asked for.
	for query, want := range map[string]int{
		"component=Orders": n, "component=Orders&order=newest": n, "component=Orders&state=AwaitingPayment": n / 10,
		"component=Orders&filter=" + url.QueryEscape("third = 1"): 433, "component=Orders&filter=" + url.QueryEscape("amount >= 100 and amount < 200"): 100,
		"component=Orders&filter=" + url.QueryEscape(`orderId = "ORD-7"`): 1, "component=Orders&q=ord-12": 111 + 0, "component=Orders&key=order:7": 1,
		"prefix=order:7": 111, "component=Orders&status=ended": 0, "component=Orders&status=active&filter=third!=0&filter=amount%3E1000": 199, "component=Nope": 0,
	} {
		var ids []string
		cursor := ""
		for pages := 0; ; pages++ {
			r := w.want(200, "GET /api/instances?limit=37&cursor="+cursor+"&"+query, nil)
			list := r.body["instances"].([]any)
			for _, in := range list {
				ids = append(ids, in.(map[string]any)["id"].(string))
			}
			if fmt.Sprint(r.body["total"]) != fmt.Sprint(want) {
				t.Fatalf("%s: total %v, want %d", query, r.body["total"], want)
			}
			next, more := r.body["nextCursor"].(string)
			if !more {
				break
			}
			if cursor = next; len(list) != 37 {
				t.Fatalf("%s: a page with %d of 37 that is not the last", query, len(list))
			}
		}
		slices.Sort(ids)
		if len(ids) != want || len(slices.Compact(ids)) != want {
			t.Errorf("%s: %d instances, %d different, want %d", query, len(ids), len(slices.Compact(ids)), want)
		}
	}
	first := w.want(200, "GET /api/instances?component=Orders&limit=1&order=newest", nil).body["instances"].([]any)[0].(map[string]any)
	if first["key"] != "order:1299" {
		t.Errorf("the newest is %v", first["key"])
	}
	r := w.refused(400, CodeBadFilter, "GET /api/instances?filter="+url.QueryEscape("amount > 1 or third = 2"), nil)
	if fmt.Sprint(r.body["position"]) != "12" {
		t.Errorf("the position is not said: %s", r.raw)
	}
}

func TestEndedInstanceIsShown(t *testing.T) {
	w := newWorld(t, nil)
	id := w.want(200, "POST /api/components/Billing/instances", `{"context": {"orderId": "X"}}`).body["instanceId"].(string)
	w.want(200, "POST /api/components/Billing/instances/"+id+"/events", `{"event": "REFUSE"}`)
	in := w.want(200, "GET /api/instances/"+id, nil)
	if in.body["status"] != "error" || in.body["currentState"] != "Refused" {
		t.Errorf("got %s", in.raw)
	}
	for status, want := range map[string]int{"error": 1, "ended": 1, "completed": 0, "active": 0, "quarantined": 0, "gone": 0} {
		if r := w.want(200, "GET /api/instances?status="+status, nil); len(r.body["instances"].([]any)) != want {
			t.Errorf("status %s: %s", status, r.raw)
		}
	}
}

// A fixed view shows one directory.
type fixedView struct {
	mesh.View
	d *mesh.Directory
}

func (v *fixedView) Read(f func(*mesh.Directory)) { f(v.d) }

// TestQuarantinedIsNotEnded: one that is quarantined is neither alive nor ended,
// in counts as in lists.
func TestQuarantinedIsNotEnded(t *testing.T) {
	d, now := mesh.NewDirectory(mesh.DirectoryConfig{}), time.Now()
	d.Apply(&mesh.Announce{Identity: mesh.Identity{RuntimeID: "r", Component: "Orders", Name: "orders"}, Timestamp: now.UnixMilli()}, now)
	for i, kind := range []mesh.Kind{mesh.KindCreated, mesh.KindCompleted, mesh.KindQuarantined, mesh.KindQuarantined} {
		d.Apply(&mesh.Notices{RuntimeID: "r", Notices: []mesh.Notice{{
			Kind: kind, Instance: fmt.Sprint("i", i), Machine: "Order", State: "Draft", Version: 1, Seq: uint64(i + 1), Timestamp: now.UnixMilli(),
		}}}, now)
	}
	w := newWorld(t, func(c *Config) { c.View = &fixedView{d: d} })
	for query, want := range map[string]int{"": 4, "&status=active": 1, "&status=ended": 1, "&status=quarantined": 2, "&status=completed": 1, "&status=gone": 0} {
		r := w.want(200, "GET /api/instances?limit=10"+query, nil)
		if n := len(r.body["instances"].([]any)); n != want || fmt.Sprint(r.body["total"]) != fmt.Sprint(want) {
			t.Errorf("%q: want %v, got %s", query, want, r.raw)
		}
	}
	r := w.want(200, "GET /api/runtimes", nil).body["runtimes"].([]any)[0].(map[string]any)
	if got := fmt.Sprintf("%v %v %v", r["instances"], r["ended"], r["quarantined"]); got != "1 1 2" {
		t.Errorf("the runtime is %v", r)
	}
	for _, c := range w.want(200, "GET /api/components", nil).body["components"].([]any) {
		if n := c.(map[string]any)["instances"].(map[string]any); fmt.Sprint(n) != "map[active:1 ended:1 quarantined:2 stale:0]" {
			t.Errorf("the component has %v", n)
		}
	}
}
