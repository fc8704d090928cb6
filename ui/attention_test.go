package ui

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// TestAttention lists what somebody should look at, most urgent first.
func TestAttention(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	broken := strings.Replace(orders, "- { name: Cancelled, type: final }", "- { name: Cancelled, type: final }\n      - { name: Broken, type: error }", 1)
	broken = strings.Replace(broken, "- { from: Draft, to: Cancelled, event: CANCEL }", "- { from: Draft, to: Broken, event: CANCEL }", 1)
	s.host("north", orders)
	south := s.host("south", broken)
	s.show(Config{})
	wantPage(t, s.get("/"), http.StatusOK, "Needs attention 1", "The definitions of Orders differ")
	wantPage(t, s.get("/instances"), http.StatusOK, "Overview needs attention: 1 Instances")
	in := s.createIn(south, "Order", nil)
	s.follow(s.post("/instance", "id", in.ID(), "event", "CANCEL"))
	s.until("the error is shown", func() bool { return strings.Contains(text(s.get("/")), "1 Order in Broken") })
	if page := text(s.get("/")); strings.Index(page, "1 Order in Broken") > strings.Index(page, "The definitions of Orders differ") {
		t.Errorf("what is urgent is not first: %s", page)
	}
}

// TestQuarantinedShown: instances whose state is not in the definition any more
// are named on the overview and with their runtime, and the list that both lead to
// has them and nothing else.
func TestQuarantinedShown(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	s.store = fsm.NewMemoryStore()
	c, _, err := fsm.ParseComponent([]byte(orders))
	if err != nil {
		t.Fatal(err)
	}
	before, err := fsm.NewRuntime(fsm.Config{
		Name: "north", Components: []*fsm.Component{c}, Store: s.store, Logger: quiet(),
		Hooks: fsm.Hooks{Methods: map[string]fsm.Hook{"askForPayment": func(*fsm.Call) error { return nil }}},
	})
	if err == nil {
		err = before.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	for id, state := range map[string]string{"o-1": "Paid", "o-2": "Paid", "o-3": "Draft"} {
		if _, err := before.Create(t.Context(), "Order", nil, fsm.WithID(id), fsm.InState(state)); err != nil {
			t.Fatal(err)
		}
	}
	if err := before.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.host("north", strings.ReplaceAll(orders, "Paid", "Settled"))
	s.show(Config{})
	s.settle()
	list := "/instances?component=Orders&runtime=north&ended=quarantined"
	for path, wants := range map[string][]string{
		"/":         {"2 instances of north (Orders) quarantined", "not defined there any more", "Ended of late 0", "1 2 quarantined 0 0"},
		"/runtimes": {"1 2 quarantined"},
		// They are neither in motion nor ended.
		"/machine?machine=Order": {"1 in motion, 0 ended of late, 2 quarantined", "Paid 0 regular in motion, 2 quarantined"},
		list:                     {"2 match", "o-1", "o-2"},
	} {
		page := s.get(path)
		wantPage(t, page, http.StatusOK, wants...)
		if (path == "/" || path == "/runtimes") && !strings.Contains(page.Body.String(), strings.ReplaceAll(href("instances", "component", "Orders", "runtime", "north", "ended", "quarantined"), "&", "&amp;")) {
			t.Errorf("%s does not lead to the list", path)
		}
	}
	if strings.Contains(text(s.get(list)), "o-3") {
		t.Error("the list of quarantined ones has one that is not")
	}
	s.createIn(s.rt, "Order", nil, fsm.WithID("o-4"))
	wantPage(t, s.get("/runtimes"), http.StatusOK, "2 2 quarantined")
}

// TestAttentionOfFleet lists what takes a minute to come about.
func TestAttentionOfFleet(t *testing.T) {
	t.Parallel()
	heard := time.Date(2026, 3, 14, 3, 11, 7, 0, time.UTC)
	runtime := func(name string, status mesh.RuntimeStatus, rows, ended int) member {
		return member{RuntimeInfo: mesh.RuntimeInfo{
			Identity: mesh.Identity{RuntimeID: name, Component: "Orders", Name: name}, Status: status, Heard: heard, Since: heard, Rows: rows, Ended: ended,
		}}
	}
	fl := &fleet{runtimes: []member{
		runtime("fine", mesh.Live, 5, 0), runtime("done", mesh.Stopped, 3, 3), runtime("paused", mesh.Stopped, 3, 2),
		runtime("gone", mesh.Lost, 1500, 2), runtime("double", mesh.Live, 1, 0), runtime("double", mesh.Live, 1, 0),
	}}
	held := runtime("held", mesh.Live, 2, 0)
	held.Quarantined = 1
	fl.runtimes = append(fl.runtimes, held)
	fl.bridges = []bridgeView{
		{broker: "redis://a", kind: "ok", counters: []counterView{{"received", 4, false}}},
		{broker: "redis://b", kind: "warn", heardFor: "2 m ago"},
		{broker: "amqp://c", kind: "ok", counters: []counterView{{"broker dead letters", 3, true}}},
	}
	got := attentionOf(fl)
	want := []string{
		"Runtime gone (Orders) is lost: Last heard at 03:11:07. 1,498 instances shown as of then",
		"1 instance of held (Orders) quarantined: It can't advance it: its machine or state",
		"Runtime paused (Orders) has stopped: Since 03:11:07. 1 instance shown",
		"Two runtimes double host Orders",
		"The bridge to redis://b is silent: Last heard 2 m ago.",
		"The bridge to amqp://c met what it could not use, or lost some: Since it started: broker dead letters 3.",
	}
	if len(got) != len(want) {
		t.Fatalf("got %d entries, want %d: %+v", len(got), len(want), got)
	}
	if a := alertsOf(fl, got); a != (alerts{all: 6, urgent: 2, lost: 1, silent: 1}) {
		t.Errorf("alerts are %+v", a)
	}
	for i, a := range got {
		if line := a.what + ": " + a.why; !strings.HasPrefix(line, want[i]) {
			t.Errorf("entry %d is %q, want %q", i, line, want[i])
		}
		if a.urgent != (i < 2) {
			t.Errorf("%q: urgent is %v", a.what, a.urgent)
		}
		if len(a.links) == 0 {
			t.Errorf("%q leads nowhere", a.what)
		}
	}
}
