package browsertest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/ui/access"
)

// looks are both themes and both widths.
var looks = map[string]Look{
	"light 1440": {}, "dark 1440": {Dark: true},
	"light 390": {Width: 390, Height: 844}, "dark 390": {Width: 390, Height: 844, Dark: true},
}

// TestPages opens every page as everybody may see it: nothing in the console,
// nothing from elsewhere, nothing to scroll sideways, and no serious finding of
// axe-core.
func TestPages(t *testing.T) {
	w := newWorld(t, orders, swing)
	in := w.order(1, "Draft")
	if _, err := w.rt.Send(t.Context(), in.ID(), fsm.Event{Type: "SUBMIT", Payload: map[string]any{"by": "Bo"}}); err != nil {
		t.Fatal(err)
	}
	w.order(2, "Paid")
	w.create("Letter", map[string]any{"to": "Ada"})
	pages := []struct{ name, address, says string }{
		{"overview", "", "2 runtimes live, all exact"},
		{"machine", "machine?component=Orders&machine=Order", "State diagram"},
		{"machine without instances", "machine?component=Yard&machine=Swing", "Nothing is here."},
		{"instances", "instances", "1 to 3 of 3"},
		{"nothing found", "instances?q=nothing", "No instance matches"},
		{"instance", "instance?component=Orders&id=" + in.ID(), "Events it accepts now"},
		{"instance at a record", "instance?component=Orders&at=1&id=" + in.ID(), "At record 1"},
		{"runtimes", "runtimes", "2 of 2 runtimes live"},
		{"create", "create?component=Orders&machine=Order", "Fields of the data"},
		{"choice of a machine", "create", "of which machine?"},
		{"not found", "instance?id=nobody", `No instance "nobody"`},
	}
	for name, look := range looks {
		p := w.page(look)
		for _, page := range pages {
			expected := ""
			if page.name == "not found" {
				expected = "404"
			}
			w.view(p, look, name, viewed{page.name, page.address, "main", page.says, expected})
		}
		p.Close()
	}
}

// TestEmptyPages opens in the same way what there is before the first runtime, behind
// the login; and then without the mesh.
func TestEmptyPages(t *testing.T) {
	w := newSite(t, Options{Access: access.Config{Password: "correct horse"}})
	windows := map[string]*Page{}
	for name, look := range looks {
		p := w.page(look)
		windows[name] = p
		w.view(p, look, name, viewed{"login", "runtimes", "label", "Password", ""})
		w.view(p, look, name, viewed{"refusal", "logout", "h1", "GET is not allowed here", "405"})
		p.Open(w.URL + "runtimes")
		p.Fill("#password", "correct horse")
		p.Click("button", "Log in")
		p.Wait("h1", "Runtimes")
		for _, page := range []viewed{
			{"empty overview", "", "#components", "No runtime is on the mesh", ""},
			{"empty list", "instances", "#list", "No runtime is on the mesh", ""},
		} {
			w.view(p, look, name, page)
		}
		p.Open(w.URL)
		p.Wait("#live-state", "Live")
	}
	if err := w.StopMesh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, p := range windows {
		loads := p.Loads()
		p.Wait("#live-state", "No mesh")
		p.Wait("#exact", "The mesh can't be reached.")
		if p.Loads() != loads {
			t.Errorf("%s: the page was loaded again to say that the mesh is away", name)
		}
		w.view(p, looks[name], name, viewed{"no mesh", "", "#exact", "The mesh can't be reached.", ""})
		if err := p.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A viewed page has a name, an address, an element that says something, and in
// expected what the console may say nevertheless.
type viewed struct{ name, address, element, says, expected string }

// view opens a page, and finds what is wrong with it in a look.
func (w *world) view(p *Page, look Look, name string, v viewed) {
	t := w.t
	t.Helper()
	seen, asked := len(p.Faults()), len(p.Requests())
	p.Open(w.URL + v.address)
	p.Wait(v.element, v.says)
	if p.Address(`#live a[title="Pause"]`) != "" {
		p.Until("the stream has come", func() bool { return p.Text("#live-state") != "As of" })
	}
	if window, content := p.Size(); content > window {
		t.Errorf("%s, %s: the page is %d wide in a window of %d", v.name, name, content, window)
	}
	if dark := p.Background() == "rgb(13, 16, 21)"; dark != look.Dark {
		t.Errorf("%s, %s: the background is %s", v.name, name, p.Background())
	}
	w.axe(p, v.name+", "+name)
	for _, f := range p.Faults()[seen:] {
		if v.expected == "" || !strings.Contains(f, v.expected) {
			t.Errorf("%s, %s: the console says: %s", v.name, name, f)
		}
	}
	for _, r := range p.Requests()[asked:] {
		if !strings.HasPrefix(r, w.URL) && r != "data:," {
			t.Errorf("%s, %s: it asks for %s", v.name, name, r)
		}
	}
	if err := p.Err(); err != nil {
		t.Fatalf("%s, %s: %v", v.name, name, err)
	}
}

// axe checks what a page shows at this moment.
func (w *world) axe(p *Page, name string) {
	w.t.Helper()
	source, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range p.Axe(string(source)) {
		if f.Impact == "serious" || f.Impact == "critical" {
			w.t.Errorf("%s: axe: %s, %s: %s\n%s", name, f.Impact, f.ID, f.Help, strings.Join(f.Where, "\n"))
		}
	}
}

// TestMomentsAreAccessible checks what pages show only for a while: a refusal, the list of
// keys, the menu, what failed, a page that is paused.
func TestMomentsAreAccessible(t *testing.T) {
	w := newWorld(t)
	in := w.order(1, "Draft")
	for name, look := range map[string]Look{"light": {}, "dark, a telephone": {Dark: true, Width: 390, Height: 844}} {
		p := w.page(look)
		p.Open(w.instance(in))
		p.Wait("#live-state", "Live")
		p.Click("summary", "CANCEL")
		w.axe(p, "open form, "+name)
		p.Fill("details[open] textarea", "no JSON")
		p.Click("button", "Send CANCEL")
		p.Wait("#outcome", "CANCEL")
		w.axe(p, "refusal, "+name)
		p.Press("?")
		p.Wait("#keys h2", "Keys")
		w.axe(p, "keys, "+name)
		p.Click("#keys button", "Close")
		p.Click(".menu summary", "")
		p.Wait(".menu .pop", "Dark")
		w.axe(p, "menu, "+name)
		p.Open(w.URL + "runtimes?live=off")
		w.axe(p, "paused, "+name)
		if err := p.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
	}
}

// TestTrouble looks at what takes minutes to come about, or never should: runtimes
// and bridges that are lost, instances that nobody moves; and at much data.
func TestTrouble(t *testing.T) {
	now := time.Now()
	trouble, err := Trouble(now)
	if err != nil {
		t.Fatal(err)
	}
	w := newSite(t, Options{Shows: trouble, Now: func() time.Time { return now }})
	for name, look := range map[string]Look{"light": {}, "dark, a telephone": {Dark: true, Width: 390, Height: 844}} {
		p := w.page(look)
		for _, page := range []struct{ address, element, says string }{
			{"", "#attention", "Runtime eu-2 (Orders) is lost"}, {"", "#exact", "told of 37 changes that did not come yet"},
			{"runtimes", "#bridges", "silent"}, {"instances?ended=too", "#list", "quarantined"}, {"machine?component=Orders&machine=Order", "#states", "6 stale"},
			{"instance?component=Orders&id=quarantined-1", "#actions", "It is quarantined"}, {"instance?component=Orders&id=eu-2-1", "#actions", "nothing can be sent"},
			{"instance?component=Orders&id=late-1", "#timers", "overdue by 2 m"}, {"instance?id=twin", "#result", "eu-4"}, {"nowhere", "h1", "No page /nowhere"}, {"machine?component=Orders&machine=order", "main", "Did you mean Order?"},
		} {
			p.Open(w.URL + page.address)
			p.Wait(page.element, page.says)
			if window, content := p.Size(); content > window {
				t.Errorf("%s, %s: the page is %d wide in a window of %d", page.address, name, content, window)
			}
			w.axe(p, page.address+", "+name)
			var broken []string
			p.eval("look at the rows", &broken, `() => [...document.querySelectorAll("#list tbody tr")].filter(r =>
				Math.abs(r.querySelector("th").getBoundingClientRect().top - r.querySelector("[data-l=State]").getBoundingClientRect().top) > 8).map(r => r.innerText)`)
			if len(broken) > 0 {
				t.Errorf("%s, %s: state and key are not on one line: %q", page.address, name, broken)
			}
		}
		p.Click("main p a", "Order")
		p.Wait("h1", "Order")
		// What is quarantined is in none of the numbers, what is stale in all.
		w.drawn(p, trouble, map[string]string{"Draft": "7", "PaymentPending": "7", "Paid": "9", "Shipped": "0", "Failed": "1"})
		if err := p.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
	}
}

// TestFaultsAreSeen proves that what TestPages looks for would be found.
func TestFaultsAreSeen(t *testing.T) {
	w := newWorld(t)
	w.SwitchOff("GET /assets/fsmesh.css")
	p := w.page(Look{Width: 390})
	p.Open(w.URL)
	p.Until("the console tells of the missing file", func() bool {
		return slices.ContainsFunc(p.Faults(), func(f string) bool { return strings.Contains(f, "fsmesh.css") })
	})
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	if window, content := p.Size(); window != 390 || content <= window {
		t.Errorf("the window is %d wide and the page without its style %d; want 390 and more", window, content)
	}
}
