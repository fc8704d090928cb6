package main

import (
	"io"
	"net/http"
	neturl "net/url"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
)

// TestDashboard has two services of one component each, and pages of another
// process that show and move both.
func TestDashboard(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	const folder = "../../examples/two-services/"
	env := map[string]string{"PORT": "0"}
	pages := startProgram(t, map[string]string{"PORT": "0", "BROKER_URL": url}, "dashboard")
	wants(t, "nothing yet", get(t, pages.address, http.StatusOK), "No runtime is on the mesh")
	orders := startProgram(t, env, "serve", folder+"orders.yaml", "--broker", url)
	startProgram(t, env, "serve", folder+"billing.yaml", "--broker", url, "--name", "bills")
	until(t, func() bool {
		page := get(t, pages.address+"runtimes", http.StatusOK)
		return strings.Contains(page, "2 of 2 runtimes live") && strings.Contains(page, "bills") && strings.Contains(page, "Orders")
	})

	id := post(t, pages.address+"create", "component", "Orders", "machine", "Order", "key", "order:ORD-1", "data", `{"orderId": "ORD-1", "amount": 40}`)
	wants(t, "after the creation", id.page, "Order order:ORD-1 is created in Draft")
	sent := post(t, pages.address+"instance", "id", id.query.Get("id"), "component", "Orders", "event", "PLACE", "payload", "{}")
	wants(t, "after the event", sent.page, "went to", "PLACE")
	until(t, func() bool {
		return strings.Contains(get(t, pages.address+"instances?machine=Invoice", http.StatusOK), "Open")
	})
	// The pages of a service show all of the mesh, too.
	until(t, func() bool {
		return strings.Contains(get(t, orders.address+"instances", http.StatusOK), "Invoice")
	})
	orders.end()
	until(t, func() bool {
		return strings.Contains(get(t, pages.address, http.StatusOK), "has stopped; what is shown is how it was left")
	})
	if status := pages.end(); status != exitDone {
		t.Errorf("exit status %d; it said:\n%s", status, pages.stderr)
	}
	if got := fsmesh(t, "dashboard", "--broker", "memory"); got.status != exitUsage || !strings.Contains(got.err, "inside one process") {
		t.Errorf("a mesh in memory: %+v", got)
	}
}

// Who cannot say goodbye, because the mesh does not answer, has done all that it had
// to do all the same.
func TestLeavesAMeshThatIsSlow(t *testing.T) {
	t.Parallel()
	proxy := bridgetest.NewProxy(t, strings.TrimPrefix(startNode(t), "nats://"))
	url := "nats://" + proxy.Addr()
	env := map[string]string{"PORT": "0"}
	programs := map[string]*running{
		"dashboard": startProgram(t, env, "dashboard", "--broker", url),
		"serve":     startProgram(t, env, "serve", "testdata/order.yaml", "--broker", url),
	}
	proxy.Stall()
	for name, p := range programs {
		if status := p.end(); status != exitDone || !strings.Contains(p.stderr.String(), "the mesh is slow") {
			t.Errorf("%s: exit status %d; it said:\n%s", name, status, p.stderr)
		}
	}
}

type posted struct {
	page  string
	query neturl.Values
}

// post sends a form and follows to the page that it leads to.
func post(t *testing.T, address string, pairs ...string) posted {
	t.Helper()
	form := neturl.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("post to %s: status %d, %v:\n%s", address, res.StatusCode, err, b)
	}
	return posted{string(b), res.Request.URL.Query()}
}

// TestServeNames has a runtime for each component, and no two of one.
func TestServeNames(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	startProgram(t, map[string]string{"PORT": "0"}, "serve", "testdata/order.yaml", "testdata/ticker.yaml", "--broker", url, "--name", "north")
	wants(t, "runtimes", at(t, url, exitDone, "runtimes").out, "north-Orders  Orders", "north-Clock   Clock")
	if got := fsmesh(t, "serve", "testdata/order.yaml", "testdata/order.yaml", "--listen", "0"); got.status != exitUsage || !strings.Contains(got.err, "which another file has, too") {
		t.Errorf("one component twice: %+v", got)
	}
}
