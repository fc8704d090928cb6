package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A world is a mesh with the runtimes of the recording, and a server of the API.
type world struct {
	t       *testing.T
	bus     *mesh.Bus
	view    *mesh.View
	client  *mesh.Client
	orders  *fsm.Runtime
	billing *fsm.Runtime
	api     *API
	server  *httptest.Server
}

func load(t *testing.T, path string) *fsm.Component {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := fsm.ParseComponent(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t}
	node, err := mesh.Start(t.Context(), mesh.Config{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Stop(context.Background()) })
	if w.bus, err = node.Connect(mesh.BusOptions{Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.bus.Close(context.Background()) })
	w.orders = w.host("Orders", load(t, "testdata/orders.yaml"), "orders-app", 3000)
	w.billing = w.host("Billing", load(t, "testdata/billing.yaml"), "billing-app", 3001)
	if w.view, err = mesh.Watch(t.Context(), w.bus, mesh.ViewOptions{Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.view.Close(context.Background()) })
	w.client = mesh.NewClient(w.bus, mesh.ClientOptions{})
	c := Config{Commands: w.client, View: w.view, Notices: w.bus, Logger: quiet()}
	if change != nil {
		change(&c)
	}
	if w.api, err = New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.api.Close() })
	w.server = httptest.NewServer(w.api)
	t.Cleanup(func() {
		w.server.CloseClientConnections()
		w.server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	w.exact(2)
	return w
}

// host runs a component in this process and attaches it to the mesh.
func (w *world) host(name string, c *fsm.Component, host string, port int) *fsm.Runtime {
	w.t.Helper()
	rt, err := fsm.NewRuntime(fsm.Config{
		Name: name, Components: []*fsm.Component{c}, Store: fsm.NewMemoryStore(), Logger: quiet(), Dispatcher: mesh.NewDispatcher(w.bus),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := rt.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	a, err := mesh.Attach(w.t.Context(), rt, w.bus, mesh.AttachOptions{Store: "folder: sync always", Host: host, Port: port, Logger: quiet()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = a.Close(context.Background()) })
	return rt
}

// exact waits until the view is exact about so many runtimes.
func (w *world) exact(n int) {
	w.t.Helper()
	eventually(w.t, "the view is exact", func() bool {
		exact := 0
		w.view.Read(func(d *mesh.Directory) {
			for _, i := range d.Runtimes(time.Now()) {
				if i.Exactness.Exact && len(i.Definition) > 0 {
					exact++
				}
			}
		})
		return exact == n
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// do sends a request: "GET /path", a body as text or as what becomes JSON, and
// headers as pairs.
func (w *world) do(request string, body any, headers ...string) reply {
	w.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		content = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, content)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	out := reply{status: res.StatusCode, header: res.Header}
	if out.raw, err = io.ReadAll(res.Body); err != nil {
		w.t.Fatalf("%s: %v", request, err)
	}
	if strings.HasSuffix(res.Header.Get("Content-Type"), "json") && len(out.raw) > 0 {
		d := json.NewDecoder(bytes.NewReader(out.raw))
		d.UseNumber()
		if err := d.Decode(&out.body); err != nil {
			w.t.Fatalf("%s: %v in %s", request, err, out.raw)
		}
	}
	return out
}

// want sends a request and checks the status.
func (w *world) want(status int, request string, body any, headers ...string) reply {
	w.t.Helper()
	r := w.do(request, body, headers...)
	if r.status != status {
		w.t.Fatalf("%s: got %d %s, want %d", request, r.status, r.raw, status)
	}
	return r
}

// refused sends a request and checks the problem that it is answered with.
func (w *world) refused(status int, code fsm.Code, request string, body any, headers ...string) reply {
	w.t.Helper()
	r := w.want(status, request, body, headers...)
	if r.body["code"] != string(code) || r.header.Get("Content-Type") != "application/problem+json" {
		w.t.Fatalf("%s: got code %v as %s, want %s: %s", request, r.body["code"], r.header.Get("Content-Type"), code, r.raw)
	}
	if r.body["error"] == "" || r.body["detail"] == "" || r.body["type"] != "urn:fsmesh:problem:"+string(code) || r.body["title"] == "" {
		w.t.Errorf("%s: the problem is not whole: %s", request, r.raw)
	}
	return r
}

// order creates an order and returns its id.
func (w *world) order(context map[string]any) string {
	w.t.Helper()
	r := w.want(200, "POST /api/components/Orders/instances", map[string]any{"machineName": "Order", "context": context})
	return r.body["instanceId"].(string)
}
