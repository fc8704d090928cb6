package browsertest

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/fsmesh/fsmesh/fsm"
)

// An act is something that people do on a page.
type act struct {
	name string
	// route is what answers it.
	route string
	// open is the page where it begins.
	open func(w *world, in *fsm.Instance) string
	do   func(w *world, in *fsm.Instance, p *Page)
}

func at(address string) func(*world, *fsm.Instance) string {
	return func(w *world, _ *fsm.Instance) string { return w.URL + address }
}

func atInstance(w *world, in *fsm.Instance) string { return w.instance(in) }

// acts begin with an order in Draft; there are order:ORD-2, which is paid, and
// thirty letters besides.
var acts = []act{
	{"send an event", "POST /instance", atInstance, func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click("summary", "SUBMIT")
		p.Fill("details[open] textarea", `{"by": "Bo"}`)
		p.Click("button", "Send SUBMIT")
		p.Wait("#outcome", "went to Pending")
		p.Wait("#state", "Pending")
		p.Wait("#timeline", `by "Bo"`)
		p.Wait("#timers", "EXPIRE")
	}},
	{"send an event that is refused", "POST /instance", atInstance, func(w *world, in *fsm.Instance, p *Page) {
		p.Click("summary", "CANCEL")
		p.Click(`details[open] input[type="checkbox"]`, "")
		w.send(in, "SUBMIT") // meanwhile
		p.Click("button", "Send CANCEL")
		p.Wait("#outcome", "ignored CANCEL in state Pending")
		p.Wait("#outcome", "Accepted now: PAY, REFUSE, EXPIRE.")
		p.Wait("#state", "Pending")
	}},
	{"send an event for a version that has gone", "POST /instance", atInstance, func(w *world, in *fsm.Instance, p *Page) {
		p.Click("summary", "CANCEL")
		w.send(in, "SUBMIT")
		p.Click("button", "Send CANCEL")
		p.Wait("#outcome", "has moved on")
		p.Wait("#state", "Pending")
	}},
	{"create an instance", "POST /create", at("create?component=Orders&machine=Order"), func(_ *world, in *fsm.Instance, p *Page) {
		p.Fill(`input[name="key"]`, "new:"+in.Key())
		p.Fill("textarea", `{"orderId": "ORD-900", "amount": 12}`)
		p.Click("button", "Create Order")
		p.Wait("#outcome", "Order new:"+in.Key()+" is created in Draft")
		p.Wait("#state", "Draft")
	}},
	{"create with data that does not fit", "POST /create", at("create?component=Orders&machine=Order"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Fill("textarea", `{"orderId": "900"}`)
		p.Click("button", "Create Order")
		p.Wait("#outcome", "the data does not fit the schema")
		p.Wait("#outcome", "amount:")
	}},
	{"filter", "GET /instances", at("instances"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Choose(`select[name="machine"]`, "Order")
		p.Choose(`select[name="state"]`, "Paid")
		p.Click("button", "Show")
		p.Wait("#range", "1 to 1 of 1")
		p.Wait("tbody", "order:ORD-2")
	}},
	{"sort", "GET /instances", at("instances"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Choose(`select[name="machine"]`, "Order")
		p.Choose(`select[name="sort"]`, "longest")
		p.Click("button", "Show")
		p.Wait("tbody tr:first-child", "order:ORD-2")
	}},
	{"sort by a heading", "GET /instances", at("instances?machine=Order"), func(_ *world, in *fsm.Instance, p *Page) {
		if window, _ := p.Size(); window < 500 { // no headings on a telephone
			p.Choose(`select[name="sort"]`, "oldest")
			p.Click("button", "Show")
			p.Wait("tbody tr:first-child", "order:ORD-2")
			return
		}
		p.Click("thead a.sort", "Age")
		p.Wait("tbody tr:first-child", "order:ORD-2")
		p.Click("thead a.sort", "Age")
		p.Wait("tbody tr:first-child", in.Key())
	}},
	{"go to the next rows", "GET /instances", at("instances?machine=Letter"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click("a", "Next")
		p.Wait("#range", "26 to 30 of 30")
		p.Click("a", "Previous")
		p.Wait("#range", "1 to 25 of 30")
	}},
	{"search", "GET /instances", at(""), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click("#gsearch", "")
		p.Type("ord-2")
		p.Press(kb.Enter)
		p.Wait("#count", "1 match")
		p.Wait("tbody", "order:ORD-2")
	}},
	{"open an instance", "GET /instance", at("instances?state=Paid"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click("tbody a", "order:ORD-2")
		p.Wait("h1", "order:ORD-2")
	}},
	{"look at a record", "GET /instance", atInstance, func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click("#timeline a", "1")
		p.Wait("#at-record", "At record 1")
		p.Wait("#at-record", `orderId: "ORD-`)
		p.Click("a", "Back to now")
		p.Until("the record is gone", func() bool { return p.Text("#at-record") == "" && p.Text("#timeline") != "" })
	}},
	{"choose a state", "GET /machine", at("machine?component=Orders&machine=Order"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click("#states a", "Paid")
		p.Wait("#rows", "Instances in Paid")
		p.Wait("#result", "order:ORD-2")
	}},
	{"turn the light off", "GET /runtimes", at("runtimes"), func(_ *world, _ *fsm.Instance, p *Page) {
		p.Click(".menu summary", "")
		p.Click(".menu a", "Dark")
		p.Until("the page is dark", func() bool { return p.Background() == "rgb(13, 16, 21)" })
	}},
	{"pause live updates", "GET /instance", atInstance, func(w *world, in *fsm.Instance, p *Page) {
		p.Click(`#live a[title="Pause"]`, "")
		p.Until("the page is paused", func() bool { return p.Address(`#live a[title="Resume"]`) != "" })
		w.send(in, "SUBMIT")
		p.Wait("#state", "Draft") // how long it stays is asked with an instance that moves
		p.Click(`#live a[title="Resume"]`, "")
		p.Wait("#state", "Pending")
		p.Until("the page is live", func() bool { return p.Address(`#live a[title="Pause"]`) != "" })
	}},
	{"go to the first page from the old address", "GET /dashboard.html", at("runtimes"), func(w *world, _ *fsm.Instance, p *Page) {
		p.Open(w.URL + "dashboard.html")
		p.Wait("h1", "Overview")
	}},
}

// send sends an event from elsewhere.
func (w *world) send(in *fsm.Instance, event string) {
	w.t.Helper()
	if _, err := w.rt.Send(w.t.Context(), in.ID(), fsm.Event{Type: event}); err != nil {
		w.t.Fatal(err)
	}
}

// TestActs does what people do, with scripts and without; and then once more
// with that switched off which answers it, when it has to fail.
func TestActs(t *testing.T) {
	w := newWorld(t)
	w.order(2, "Paid")
	for range 30 {
		if _, err := w.rt.Create(t.Context(), "Letter", map[string]any{"to": "Ada"}); err != nil {
			t.Fatal(err)
		}
	}
	number := 300
	windows := map[Look]*Page{} // one of each look: to open one takes a second
	try := func(a act, look Look, off bool) error {
		number++
		in := w.order(number, "Draft")
		p := windows[look]
		if p == nil {
			p = w.page(look)
			windows[look] = p
		}
		p.Fresh()
		p.Open(a.open(w, in))
		if !look.NoScript && p.Address(`#live a[title="Pause"]`) != "" {
			p.Wait("#live-state", "Live")
		}
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		if off {
			w.SwitchOff(a.route)
			defer w.SwitchOff("")
			p.Patience = 300 * time.Millisecond
		}
		a.do(w, in, p)
		return p.Err()
	}
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			for name, look := range map[string]Look{"with scripts": {}, "without scripts, on a telephone": {NoScript: true, Width: 390, Height: 844}} {
				if err := try(a, look, false); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if try(a, Look{}, true) == nil {
				t.Errorf("with %q switched off it works all the same", a.route)
			}
		})
	}
}
