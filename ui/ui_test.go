package ui

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/fsmesh/fsmesh/mesh"
	"go.uber.org/goleak"
)

// layouts is shared by all tests: to start Graphviz takes seconds with the race
// detector.
var layouts = diagram.New()

// A shared layouter stays open when pages are closed.
type shared struct{ *diagram.Layouter }

func (shared) Close() error { return nil }

func TestMain(m *testing.M) {
	status := m.Run()
	if err := layouts.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
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
      - { name: Pending, onEntry: askForPayment }
      - { name: Paid }
      - { name: Cancelled, type: final }
    transitions:
      - { from: Draft, to: Pending, event: SUBMIT }
      - { from: Draft, to: Cancelled, event: CANCEL }
      - { from: Pending, to: Paid, event: PAY }
      - { from: Pending, to: Cancelled, event: EXPIRE, type: timeout, timeoutMs: 3600000 }
      - { from: Paid, to: Paid, event: NOTE, type: internal }
  - name: Letter
    publicMemberType: Letter
    initialState: Written
    states: [{ name: Written, type: entry }, { name: Sent }]
    transitions: [{ from: Written, to: Sent, event: SEND }]
`

// hostile names and data try to leave the place where they are shown.
const hostile = `
name: "<script>alert(1)</script>"
stateMachines:
  - name: "\"><img src=x onerror=alert(1)>"
    initialState: "</svg><script>alert(2)</script>"
    states:
      - { name: "</svg><script>alert(2)</script>", type: entry }
      - { name: "javascript:alert(3)" }
    transitions:
      - { from: "</svg><script>alert(2)</script>", to: "javascript:alert(3)", event: "' onclick='alert(4)" }
`

// A site is a running dashboard, with the mesh and the runtimes that it shows.
type site struct {
	t     *testing.T
	bus   *mesh.Bus
	view  *mesh.View
	rts   []*fsm.Runtime
	store fsm.Store // of what is hosted from here on; nil is none
	atts  []*mesh.Attachment
	rt    *fsm.Runtime // the first
	pages *Dashboard
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newSite has one runtime with all components, by the name "test".
func newSite(t *testing.T, config Config, definitions ...string) *site {
	t.Helper()
	s := newMesh(t)
	s.host("test", definitions...)
	s.show(config)
	return s
}

// newMesh has no runtime and no pages yet.
func newMesh(t *testing.T) *site {
	t.Helper()
	node, err := mesh.Start(t.Context(), mesh.Config{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t}
	if s.bus, err = node.Connect(mesh.BusOptions{Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	if s.view, err = mesh.Watch(t.Context(), s.bus, mesh.ViewOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		for _, err := range []error{s.view.Close(ctx), s.bus.Close(ctx), node.Stop(ctx)} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// host runs one more runtime on the mesh.
func (s *site) host(name string, definitions ...string) *fsm.Runtime {
	s.t.Helper()
	var components []*fsm.Component
	for _, d := range definitions {
		c, _, err := fsm.ParseComponent([]byte(d))
		if err != nil {
			s.t.Fatal(err)
		}
		components = append(components, c)
	}
	hooks := fsm.Hooks{Methods: map[string]fsm.Hook{"askForPayment": func(*fsm.Call) error { return nil }}}
	rt, err := fsm.NewRuntime(fsm.Config{Name: name, Components: components, Hooks: hooks, Store: s.store, Logger: quiet()})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := rt.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	att, err := mesh.Attach(s.t.Context(), rt, s.bus, mesh.AttachOptions{Host: "host-of-" + name, Port: 4000})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if err := errors.Join(att.Close(ctx), rt.Stop(ctx)); err != nil {
			s.t.Error(err)
		}
	})
	s.rts, s.atts = append(s.rts, rt), append(s.atts, att)
	if s.rt == nil {
		s.rt = rt
	}
	s.settle()
	return rt
}

// show opens the pages. What the config has is left as it is.
func (s *site) show(config Config) {
	s.t.Helper()
	if config.View == nil {
		config.View = s.view
	}
	if config.Bus == nil {
		config.Bus = s.bus
	}
	config.Client, config.Logger, config.Version = mesh.NewClient(s.bus, mesh.ClientOptions{}), quiet(), "1.0.0"
	pages, err := New(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	own := pages.drawings.layouts
	pages.drawings.layouts = shared{layouts}
	s.t.Cleanup(func() {
		if err := own.Close(); err != nil {
			s.t.Error(err)
		}
		if err := pages.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.pages = pages
}

// settle waits until the view is exact about all that the runtimes have done.
func (s *site) settle() {
	s.t.Helper()
	for i, rt := range s.rts {
		for component, id := range s.atts[i].RuntimeIDs() {
			seq := rt.Seq(component)
			s.until("the view is exact about "+rt.Name(), func() (ok bool) {
				s.view.Read(func(d *mesh.Directory) {
					exact, _ := d.Exact(id, time.Now())
					r, known := d.Runtime(id, time.Now())
					ok = exact && d.Floor(id) >= int64(seq) && known && r.Definition != nil
				})
				return ok
			})
		}
	}
}

// until waits for a condition.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	// Graphviz is compiled for the first diagram: half a minute where the race
	// detector shares a core.
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("it never came about that %s", what)
		}
	}
}

// create makes an instance in the first runtime and waits until it is shown.
func (s *site) create(machine string, data map[string]any, opts ...fsm.CreateOption) *fsm.Instance {
	s.t.Helper()
	return s.createIn(s.rt, machine, data, opts...)
}

func (s *site) createIn(rt *fsm.Runtime, machine string, data map[string]any, opts ...fsm.CreateOption) *fsm.Instance {
	s.t.Helper()
	in, err := rt.Create(s.t.Context(), machine, data, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return in
}

func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.pages.ServeHTTP(w, r)
	return w
}

func (s *site) get(path string) *httptest.ResponseRecorder {
	return s.do(httptest.NewRequest(http.MethodGet, path, nil))
}

// post sends a form as a browser does from one of the pages.
func (s *site) post(path string, pairs ...string) *httptest.ResponseRecorder {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.do(r)
}

// follow asks for the page that an answer leads to.
func (s *site) follow(w *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	s.t.Helper()
	if w.Code != http.StatusSeeOther {
		s.t.Fatalf("status %d, want 303; page:\n%s", w.Code, text(w))
	}
	return s.get("/" + w.Header().Get("Location"))
}

// text is a page without its markup, on one line.
func text(w *httptest.ResponseRecorder) string {
	var b strings.Builder
	in := false
	for _, r := range w.Body.String() {
		switch {
		case r == '<':
			in = true
			b.WriteByte(' ')
		case r == '>':
			in = false
		case !in:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(html.UnescapeString(b.String())), " ")
}

func wantPage(t *testing.T, w *httptest.ResponseRecorder, status int, words ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	got := text(w)
	for _, word := range words {
		if !strings.Contains(got, word) {
			t.Errorf("the page lacks %q; it says:\n%s", word, got)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	order := s.create("Order", map[string]any{"orderId": "ORD-1", "amount": 12.5, "lines": []any{map[string]any{"sku": "TEA"}}}, fsm.WithKey("order:ORD-1"), fsm.InState("Pending"))
	s.create("Letter", map[string]any{"to": "Ada"})

	wantPage(t, s.get("/"), http.StatusOK, "1 runtime live, all exact", "Orders v1.2.0", "on test", "2 instances in motion", "Pending 1")
	s.until("the diagram is drawn", func() bool {
		return strings.Contains(text(s.get("/machine?component=Orders&machine=Order")), "State diagram of Order")
	})
	wantPage(t, s.get("/machine?component=Orders&machine=Order"), http.StatusOK, "State diagram of Order", "1 in motion, 0 ended of late, on test", "order:ORD-1", "Pending 1 regular in motion")
	wantPage(t, s.get("/machine?component=Orders&machine=Order&state=Draft"), http.StatusOK, "Instances in Draft", "Nothing is here.")
	wantPage(t, s.get("/instances"), http.StatusOK, "2 match, 2 are in motion in all", "order:ORD-1", "1 to 2 of 2", "amount 12.5, orderId ORD-1")
	wantPage(t, s.get("/instances?machine=Order&state=Pending&q=ord-1&sort=unchanged"), http.StatusOK, "1 match, 2 are in motion in all")
	wantPage(t, s.get("/instances?q=nothing"), http.StatusOK, "No instance matches", "Open id nothing")
	wantPage(t, s.get("/instance?id="+order.ID()), http.StatusOK, "order:ORD-1", "PAY to Paid", "EXPIRE to Cancelled", "comes by itself", "ends the instance", "of 1 h", "Not accepted in Pending: 3 events", "INSTANCE_CREATED", "3 fields set", `"TEA"`)
	wantPage(t, s.get("/runtimes"), http.StatusOK, "1 of 1 runtime live", "test host-of-test:4000", "Orders v1.2.0", "live", "yes for")
	wantPage(t, s.get("/create"), http.StatusOK, "of which machine?", "Letter")
	wantPage(t, s.get("/create?component=Orders&machine=Order"), http.StatusOK, "Order number", "required", "like ^ORD-[0-9]+$", `"currency": "EUR"`)
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	wantPage(t, s.get("/nowhere"), http.StatusNotFound, "No page /nowhere")
	wantPage(t, s.get("/instance?id=nobody"), http.StatusNotFound, "No instance")
	wantPage(t, s.get("/machine?component=Orders&machine=order"), http.StatusNotFound, "Did you mean Order ?", "All instances")
	wantPage(t, s.get("/create?component=Orders&machine=Oder"), http.StatusNotFound, "Did you mean Order ?", "All instances")
	wantPage(t, s.get("/assets/nothing.css"), http.StatusNotFound, "No file nothing.css")
	wantPage(t, s.post("/instance", "id", "nobody", "event", "PAY"), http.StatusNotFound, "No instance")
}

// TestMethods has every address say which methods it takes where it is asked by
// another.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	for path, allow := range map[string]string{
		"/instance?id=x": "GET, HEAD, POST", "/create": "GET, HEAD, POST",
		"/": "GET, HEAD", "/machine": "GET, HEAD", "/instances": "GET, HEAD", "/runtimes": "GET, HEAD", "/live": "GET, HEAD",
		"/assets/fsmesh.css": "GET, HEAD", "/healthz": "GET, HEAD", "/dashboard.html": "GET, HEAD",
	} {
		for _, method := range []string{http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodOptions, http.MethodPost} {
			if strings.Contains(allow, method) {
				continue
			}
			w := s.do(httptest.NewRequest(method, path, nil))
			wantPage(t, w, http.StatusMethodNotAllowed, method+" is not allowed here", "This address takes "+allow+" only.")
			if got := w.Header().Get("Allow"); got != allow {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, allow)
			}
		}
	}
	if w := s.do(httptest.NewRequest(http.MethodDelete, "/nowhere", nil)); w.Code != http.StatusNotFound || w.Header().Get("Allow") != "" {
		t.Errorf("DELETE /nowhere: status %d, Allow %q; want 404 and none", w.Code, w.Header().Get("Allow"))
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Order", nil, fsm.WithKey("order:ORD-1")).ID()

	wantPage(t, s.follow(s.post("/instance", "id", id, "event", "SUBMIT", "payload", `{"by": "Bo"}`, "version", "1")), http.StatusOK,
		"Order order:ORD-1 went to Pending", "SUBMIT is stored as record 2, from Draft.", `by "Bo"`)
	wantPage(t, s.post("/instance", "id", id, "event", "SHIP"), http.StatusConflict,
		"Order order:ORD-1 ignored SHIP in state Pending", "Accepted now: PAY, EXPIRE.")
	wantPage(t, s.post("/instance", "id", id, "event", "PAY", "version", "1"), http.StatusConflict,
		"PAY was not sent: Order order:ORD-1 has moved on", "It is at version 2 now, in state Pending.")
	for payload, want := range map[string]string{
		`{"amount": `: "ends too early", `[1]`: "it is a list", `null`: "it is null", `{} x`: "text after it", `"x"`: "it is a string", `{"a":1,"a":2}`: "is there twice", `{"a":NaN}`: "invalid character",
	} {
		wantPage(t, s.post("/instance", "id", id, "event", "PAY", "payload", payload), http.StatusBadRequest, "its payload is not a JSON object")
		if got := text(s.post("/instance", "id", id, "event", "PAY", "payload", payload)); !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			t.Errorf("payload %s: the page lacks %q:\n%s", payload, want, got)
		}
	}
	s.follow(s.post("/instance", "id", id, "event", "EXPIRE"))
	wantPage(t, s.get("/instance?id="+id), http.StatusOK, "It has ended in Cancelled and takes no more events.")
	wantPage(t, s.post("/instance", "id", id, "event", "PAY"), http.StatusGone, "has ended")
}

func TestBigNumbersAreKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Order", nil).ID()
	wantPage(t, s.follow(s.post("/instance", "id", id, "event", "SUBMIT", "payload", `{"n": 9007199254740993}`)), http.StatusOK, "9007199254740993")
}

func TestCreate(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	form := func(pairs ...string) *httptest.ResponseRecorder {
		return s.post("/create", append([]string{"component", "Orders", "machine", "Order"}, pairs...)...)
	}
	wantPage(t, s.follow(form("key", "order:ORD-1", "state", "Pending", "data", `{"orderId": "ORD-1", "amount": 1}`)), http.StatusOK,
		"Order order:ORD-1 is created in Pending")
	wantPage(t, form("data", `{"orderId": "1", "amount": -1, "currency": "XXX"}`), http.StatusUnprocessableEntity,
		"Not created: the data does not fit the schema", "orderId:", "amount:", "currency:")
	wantPage(t, form("data", `{"orderId"`), http.StatusBadRequest, "the data is not a JSON object")
	wantPage(t, form("key", "order:ORD-1", "data", `{"orderId": "ORD-1", "amount": 1}`), http.StatusConflict, "Not created", "order:ORD-1")
	wantPage(t, form("state", "Cancelled", "data", `{"orderId": "ORD-2", "amount": 1}`), http.StatusConflict, "is final")
	wantPage(t, form("state", "Nowhere", "data", `{"orderId": "ORD-2", "amount": 1}`), http.StatusNotFound, "No state")
}

// TestPrefix mounts the pages below a prefix and follows every link of each.
func TestPrefix(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	s.create("Order", map[string]any{"orderId": "ORD-1"}, fsm.WithKey("order:ORD-1"))
	id := s.create("Order", map[string]any{"orderId": "ORD-2"}, fsm.WithID("../a b?c#d&e/f%")).ID()
	server := httptest.NewServer(http.StripPrefix("/fleet", s.pages))
	defer server.Close()
	start, err := url.Parse(server.URL + "/fleet/")
	if err != nil {
		t.Fatal(err)
	}
	seen, queue := map[string]bool{}, []*url.URL{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		at.Fragment = ""
		if seen[at.String()] || at.Query().Has("theme") {
			continue
		}
		seen[at.String()] = true
		res, err := server.Client().Get(at.String())
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, error %v", at, res.StatusCode, err)
		}
		for _, part := range strings.Split(string(body), `href="`)[1:] {
			link := strings.ReplaceAll(part[:strings.IndexByte(part, '"')], "&amp;", "&")
			to, err := at.Parse(link)
			if err != nil {
				t.Errorf("%s: link %q: %v", at, link, err)
			} else if to.Host == start.Host {
				queue = append(queue, to)
			}
		}
	}
	if page := server.URL + "/fleet/instance?component=Orders&id=" + url.QueryEscape(id) + "&runtime=test"; !seen[page] {
		t.Errorf("no link leads to %s", page)
	}
	if len(seen) < 12 {
		t.Errorf("only %d pages were found", len(seen))
	}
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, hostile)
	const component, machine = `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`
	in := s.create(machine, map[string]any{"<b>": "</textarea><script>alert(5)</script>"}, fsm.WithKey(`"><script>alert(6)</script>`))
	q := url.Values{"component": {component}, "machine": {machine}, "state": {`"><script>alert(7)</script>`}, "q": {`"><script>alert(8)</script>`}}.Encode()
	for _, page := range []string{"/", "/machine?" + q, "/instances?" + q, "/create?" + q, "/instance?id=" + url.QueryEscape(in.ID()), "/instance?id=" + url.QueryEscape("<script>"), "/<script>alert(9)</script>"} {
		body := s.get(page).Body.String()
		for _, ours := range []string{"live", "keys"} {
			body = strings.ReplaceAll(body, `<script src="assets/`+ours+`.js" defer></script>`, "")
		}
		for _, bad := range []string{"<script", "<img", "<b>:", " onclick='", `href="javascript:`} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %s in it", page, bad)
			}
		}
	}
	w := s.post("/instance", "id", in.ID(), "event", "<script>", "payload", "</textarea><script>x")
	if strings.Contains(w.Body.String(), "<script>") {
		t.Error("the answer to a post has <script> in it")
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Order", nil).ID()
	form := url.Values{"id": {id}, "event": {"SUBMIT"}}.Encode()
	tests := []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
	}{
		{name: "post from another site", method: "POST", path: "/instance", body: form, header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 403},
		{name: "post from a neighbour", method: "POST", path: "/instance", body: form, header: map[string]string{"Sec-Fetch-Site": "same-site"}, status: 403},
		{name: "post from another origin, old browser", method: "POST", path: "/instance", body: form, header: map[string]string{"Origin": "http://evil.example"}, status: 403},
		{name: "link from another site", path: "/", header: map[string]string{"Sec-Fetch-Site": "cross-site"}, status: 200},
		{name: "JSON where a form is expected", method: "POST", path: "/instance", body: "{}", header: map[string]string{"Content-Type": "application/json"}, status: 415},
		{name: "no content type", method: "POST", path: "/instance", body: form, header: map[string]string{"Content-Type": ""}, status: 415},
		{name: "2 MB and more", method: "POST", path: "/instance", body: "payload=" + strings.Repeat("x", maxBody), status: 413},
		{name: "broken form", method: "POST", path: "/instance", body: "a=%zz", status: 400},
		{name: "data over the limit", method: "POST", path: "/instance", body: form + "&payload=" + url.QueryEscape(`{"x":"`+strings.Repeat("x", 600<<10)+`"}`), status: 413},
		{name: "good post", method: "POST", path: "/instance", body: form, status: 303},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequest(method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := s.do(r)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d; it says:\n%.300s", w.Code, tt.status, text(w))
			}
			for k, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
				if got := w.Header().Get(k); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("Content-Security-Policy: %q", csp)
			}
		})
	}
}

// TestNothingInline checks that pages obey their own policy: no inline script,
// style or handler, nothing from elsewhere.
func TestNothingInline(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Order", map[string]any{"a": 1}).ID()
	for _, page := range []string{"/", "/machine?component=Orders&machine=Order", "/instances", "/instance?id=" + id, "/create?component=Orders&machine=Order", "/nowhere"} {
		body := strings.ReplaceAll(s.get(page).Body.String(), `xmlns="http://www.w3.org/2000/svg"`, "")
		for _, bad := range []string{" style=", "<style", " onclick", "<script>", "//", "{{"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q in it", page, bad)
			}
		}
	}
}

// A cutBus can be told to say that it is not connected.
type cutBus struct {
	*mesh.Bus
	down atomic.Bool
}

func (b *cutBus) Connected() bool { return !b.down.Load() && b.Bus.Connected() }

func TestRedirectsAndHealth(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	s.host("test", orders)
	bus := &cutBus{Bus: s.bus}
	s.show(Config{Bus: bus})
	if w := s.get("/dashboard.html"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./" {
		t.Errorf("/dashboard.html: status %d to %q, want 303 to ./", w.Code, w.Header().Get("Location"))
	}
	wantPage(t, s.get("/healthz"), http.StatusOK, "ok")
	if w := s.get("/assets/fsmesh.css"); w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Errorf("the stylesheet: status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	if w := s.do(httptest.NewRequest(http.MethodHead, "/", nil)); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("HEAD: status %d, %d bytes; want 200 and none", w.Code, w.Body.Len())
	}
	bus.down.Store(true)
	wantPage(t, s.get("/healthz"), http.StatusServiceUnavailable, "not connected to the mesh")
	wantPage(t, s.get("/"), http.StatusOK, "The mesh can't be reached")
	if body := s.get("/").Body.String(); !strings.Contains(body, "data-away") {
		t.Error("the script is not told that what is live is old")
	}
}

func TestTheme(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	w := s.get("/instances?machine=Order&theme=dark")
	cookie := w.Header().Get("Set-Cookie")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "./instances?machine=Order" || !strings.Contains(cookie, "fsmesh-theme=dark") {
		t.Fatalf("status %d to %q, cookie %q", w.Code, w.Header().Get("Location"), cookie)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", cookie)
	if body := s.do(r).Body.String(); !strings.Contains(body, `class="theme-dark"`) {
		t.Error("the page is not dark")
	}
}

func TestActivity(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Order", nil, fsm.WithKey("order:ORD-1")).ID()
	s.follow(s.post("/instance", "id", id, "event", "CANCEL"))
	// The notices come by a goroutine of their own: ask until they are there.
	deadline := time.After(60 * time.Second)
	for {
		page := text(s.get("/"))
		if strings.Contains(page, "order:ORD-1 Draft → to Cancelled CANCEL") && strings.Contains(page, "order:ORD-1 created in Draft") && strings.Contains(page, "Ended of late 1") {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the overview does not tell what happened:\n%s", page)
		case <-t.Context().Done():
			return
		default:
		}
	}
}

func TestManyInstances(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	for range 60 {
		if _, err := s.rt.Create(t.Context(), "Order", nil); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	wantPage(t, s.get("/instances"), http.StatusOK, "1 to 25 of 60")
	wantPage(t, s.get("/instances?page=3"), http.StatusOK, "51 to 60 of 60")
	for _, page := range []string{"0", "-1", "x", "99999999999999999999"} {
		wantPage(t, s.get("/instances?page="+page), http.StatusOK, "1 to 25 of 60")
	}
	wantPage(t, s.get("/instances?page=1000000000"), http.StatusOK, "So far into a list is not looked.")
}

// TestNothingMatches says which of the filters to drop.
func TestNothingMatches(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	s.create("Order", nil, fsm.WithKey("first"))
	s.create("Order", nil, fsm.WithKey("second"))
	s.create("Letter", nil, fsm.WithKey("third"))
	for filters, want := range map[string]string{
		"machine=Order&state=Paid":              "Without state Paid : 2 instances.",
		"machine=Order&state=Draft&q=third":     "Without key or id has third : 2 instances.",
		"machine=Letter&q=first":                "Without machine Letter : 1 instance. Without key or id has first : 1 instance.",
		"machine=Order&q=first&ended=only":      "Without ended only : 1 instance.",
		"component=Orders&q=nobody&state=Draft": "Without key or id has nobody : 2 instances.",
	} {
		page := text(s.get("/instances?" + filters))
		_, page, _ = strings.Cut(page, "No instance matches")
		_, page, _ = strings.Cut(page, "Without ")
		if page = "Without " + page; !strings.HasPrefix(page, want+" ") || strings.Count(page, "Without ") != strings.Count(want, "Without ") {
			t.Errorf("%s: it says %.200q, want %q", filters, page, want)
		}
	}
	if page := text(s.get("/instances?q=nobody")); strings.Contains(page, "Without") {
		t.Errorf("of one filter it is said that it may be dropped: %s", page)
	}
}

// TestSort sorts by the headings of columns, either way.
func TestSort(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	first := s.create("Order", nil, fsm.WithKey("first"))
	s.create("Order", nil, fsm.WithKey("second"))
	s.follow(s.post("/instance", "id", first.ID(), "event", "SUBMIT"))
	s.settle()
	for sort, want := range map[string]struct{ top, heading string }{
		"":          {"second", `aria-sort="ascending"><a class="sort" href="instances?machine=Order&amp;sort=oldest">Age ↑`},
		"oldest":    {"first", `aria-sort="descending"><a class="sort" href="instances?machine=Order">Age ↓`},
		"changed":   {"first", `aria-sort="ascending"><a class="sort" href="instances?machine=Order&amp;sort=unchanged">Unchanged for ↑`},
		"unchanged": {"second", `aria-sort="descending"><a class="sort" href="instances?machine=Order&amp;sort=changed">Unchanged for ↓`},
		"nonsense":  {"second", `<th scope="col" class="num"><a class="sort" href="instances?machine=Order&amp;sort=unchanged">Unchanged for `},
	} {
		body := s.get("/instances?machine=Order&sort=" + sort).Body.String()
		if !strings.Contains(body, want.heading) {
			t.Errorf("sort %q: the headings lack %s", sort, want.heading)
		}
		if _, rows, _ := strings.Cut(body, "<tbody>"); !strings.Contains(strings.SplitN(rows, "</tr>", 2)[0], ">"+want.top+"<") {
			t.Errorf("sort %q: %s is not on top", sort, want.top)
		}
	}
}

// TestLogOut has a button where people are logged in.
func TestLogOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{LogOut: "logout"}, orders)
	if body := s.get("/runtimes").Body.String(); !strings.Contains(body, `<form method="post" action="logout"><button`) {
		t.Error("there is no way out")
	}
	s.show(Config{})
	if page := text(s.get("/runtimes")); strings.Contains(page, "Log out") {
		t.Error("people can log out where nobody logs in")
	}
}

// TestMarksAreShown has characters that turn writing round told by their names where
// they would change how a page reads, and sent back as they are by its forms.
func TestMarksAreShown(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, strings.ReplaceAll(orders, "Pending", `"\u2067Pending\u202e"`))
	const id = "\u202eevil\u2069"
	s.create("Order", map[string]any{"note": id}, fsm.WithID(id))
	page := s.get("/instance?id=" + url.QueryEscape(id))
	wantPage(t, page, http.StatusOK, "Order [U+202E]evil[U+2069]", "SUBMIT to [U+2067]Pending[U+202E]")
	if body := page.Body.String(); !strings.Contains(body, `name="id" value="`+id+`"`) {
		t.Error("the form does not send the id as it is")
	}
	answer := s.post("/instance", "id", id, "event", "SHIP"+id, "payload", `{"x": "`+id+`"`)
	wantPage(t, answer, http.StatusBadRequest, "SHIP[U+202E]evil[U+2069] was not sent")
	answer = s.post("/instance", "id", id, "event", "CANCEL", "payload", `{"x": "`+id+`"`)
	if body := answer.Body.String(); !strings.Contains(body, `&#34;x&#34;: &#34;`+id+`&#34;</textarea>`) {
		t.Error("what was entered does not come back as it is")
	}
	wantPage(t, s.follow(s.post("/instance", "id", id, "event", "SUBMIT")), http.StatusOK, "Order [U+202E]evil[U+2069] went to [U+2067]Pending[U+202E]")
	tag := regexp.MustCompile(`(?s)<textarea.*?</textarea>|<[^>]*>`)
	for _, address := range []string{"", "machine?component=Orders&machine=Order", "instances", "instances?q=" + url.QueryEscape(id), "instance?id=" + url.QueryEscape(id), "instance?at=1&id=" + url.QueryEscape(id), "runtimes", "create?component=Orders&machine=Order", "instance?id=no" + url.QueryEscape(id)} {
		html := s.get("/" + address).Body.String()
		parts, _ := s.pages.parts(t.Context(), address) // not of those that are not live
		for _, p := range parts {
			html += p.html
		}
		if i := strings.IndexFunc(tag.ReplaceAllString(html, ""), directs); i >= 0 {
			t.Errorf("%q has a mark in its text", address)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := New(t.Context(), Config{})
	for _, want := range []string{"ui.Config.View is not set", "ui.Config.Client is not set", "ui.Config.Bus is not set"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want in it: %s", err, want)
		}
	}
}
