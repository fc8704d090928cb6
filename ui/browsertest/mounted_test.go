package browsertest

import (
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/ui/access"
)

// TestMounted works with pages that are mounted below a prefix, login and all: they
// are kept fresh there, act, and ask for nothing outside of it.
func TestMounted(t *testing.T) {
	w := newSite(t, Options{Prefix: "/x/y", Access: access.Config{Password: "correct horse"}})
	w.host(swing)
	s := w.swinger("swing:mounted")
	p := w.page(Look{})
	p.Open(w.URL)
	p.Fill("#password", "correct horse")
	p.Click("button", "Log in")
	p.Wait("h1", "Overview")
	for _, page := range []struct{ address, element string }{
		{s.address(), "#state"}, {s.URL + "instances", "#list tbody .st"}, {s.URL + "machine?machine=Swing", "#result tbody .st"}, {s.URL, "#feed li:first-child b"},
	} {
		p.Open(page.address)
		p.Wait("#live-state", "Live")
		loads := p.Loads()
		for range 2 {
			p.Wait(page.element, s.move())
		}
		if err := p.Err(); err != nil {
			t.Fatalf("%s: %v", page.address, err)
		}
		if got := p.Loads(); got != loads {
			t.Errorf("%s: the page was loaded %d times again", page.address, got-loads)
		}
	}
	p.Open(s.address())
	p.Click("summary", "PUSH")
	p.Click("button", "Send PUSH")
	p.Wait("#outcome", "went to Right")
	p.Wait("#live-state", "Live")
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	s.send(s.in, "PULL")
	p.Wait("#state", "Left") // the page after a post is kept fresh, too
	p.Click(".menu summary", "")
	p.Click(".menu button", "Log out")
	p.Wait("label", "Password")
	for _, r := range p.Requests() {
		if !strings.HasPrefix(r, w.URL) && r != "data:," {
			t.Errorf("a page asks for %s, outside of where it is mounted", r)
		}
	}
	for _, f := range p.Faults() {
		t.Errorf("the console says: %s", f)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}
