package browsertest

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
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
	w := newWorld(t)
	in := w.order(1, "Draft")
	if _, err := w.rt.Send(t.Context(), in.ID(), fsm.Event{Type: "SUBMIT", Payload: map[string]any{"by": "Bo"}}); err != nil {
		t.Fatal(err)
	}
	w.order(2, "Paid")
	w.create("Letter", map[string]any{"to": "Ada"})
	pages := []struct{ name, address, says string }{
		{"overview", "", "1 runtime live, all exact"},
		{"machine", "machine?component=Orders&machine=Order", "State diagram"},
		{"instances", "instances", "1 to 3 of 3"},
		{"nothing found", "instances?q=nothing", "No instance matches"},
		{"instance", "instance?component=Orders&id=" + in.ID(), "Events it accepts now"},
		{"instance at a record", "instance?component=Orders&at=1&id=" + in.ID(), "At record 1"},
		{"runtimes", "runtimes", "1 of 1 runtime live"},
		{"create", "create?component=Orders&machine=Order", "Fields of the data"},
		{"choice of a machine", "create", "of which machine?"},
		{"not found", "instance?id=nobody", `No instance "nobody"`},
	}
	for name, look := range looks {
		p := w.page(look)
		for _, page := range pages {
			missing := page.name == "not found"
			seen, asked := len(p.Faults()), len(p.Requests())
			p.Open(w.URL + page.address)
			p.Wait("main", page.says)
			if p.Address(`#live a[title="Pause"]`) != "" {
				p.Wait("#live-state", "Live")
			}
			if window, content := p.Size(); content > window {
				t.Errorf("%s, %s: the page is %d wide in a window of %d", page.name, name, content, window)
			}
			if dark := p.Background() == "rgb(13, 16, 21)"; dark != look.Dark {
				t.Errorf("%s, %s: the background is %s", page.name, name, p.Background())
			}
			w.axe(p, page.name+", "+name)
			for _, f := range p.Faults()[seen:] {
				if !missing || !strings.Contains(f, "404") {
					t.Errorf("%s, %s: the console says: %s", page.name, name, f)
				}
			}
			for _, r := range p.Requests()[asked:] {
				if !strings.HasPrefix(r, w.URL) && r != "data:," {
					t.Errorf("%s, %s: it asks for %s", page.name, name, r)
				}
			}
			if err := p.Err(); err != nil {
				t.Fatalf("%s, %s: %v", page.name, name, err)
			}
		}
		p.Close()
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
	site, err := OpenSite(t.Context(), Options{Shows: trouble, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Site: site, t: t}
	for name, look := range map[string]Look{"light": {}, "dark, a telephone": {Dark: true, Width: 390, Height: 844}} {
		p := w.page(look)
		for _, page := range []struct{ address, element, says string }{
			{"", "#attention", "Runtime eu-2 (Orders) is lost"}, {"", "#exact", "told of 37 changes that did not come yet"},
			{"runtimes", "#bridges", "silent"}, {"instances?ended=too", "#list", "quarantined"}, {"machine?component=Orders&machine=Order", "#states", "6 stale"},
			{"instance?component=Orders&id=quarantined-1", "#actions", "It is quarantined"}, {"instance?component=Orders&id=eu-2-1", "#actions", "nothing can be sent"},
			{"instance?component=Orders&id=late-1", "#timers", "overdue by 2 m"}, {"machine?component=Orders&machine=order", "main", "Did you mean Order?"},
		} {
			p.Open(w.URL + page.address)
			p.Wait(page.element, page.says)
			if window, content := p.Size(); content > window {
				t.Errorf("%s, %s: the page is %d wide in a window of %d", page.address, name, content, window)
			}
			w.axe(p, page.address+", "+name)
		}
		p.Click("main p a", "Order")
		p.Wait("h1", "Order")
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
