package browsertest

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/fsmesh/fsmesh/ui/access"
)

// TestLogin logs in with a wrong password and the right one, with scripts and
// without, and out again.
func TestLogin(t *testing.T) {
	site, err := OpenSite(t.Context(), Options{Access: access.Config{Password: "correct horse"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Site: site, t: t}
	for name, look := range map[string]Look{"light": {}, "dark, a telephone, no scripts": {Dark: true, Width: 390, Height: 844, NoScript: true}} {
		p := w.page(look)
		p.Open(w.URL + "runtimes")
		p.Wait("label", "Password")
		if !look.NoScript {
			w.axe(p, "login, "+name)
		}
		p.Fill("#password", "wrong horse")
		p.Press(kb.Enter)
		p.Wait("#fault", "That is not the password.")
		if !look.NoScript {
			w.axe(p, "wrong password, "+name)
		}
		if window, content := p.Size(); content > window {
			t.Errorf("%s: the page is %d wide in a window of %d", name, content, window)
		}
		p.Fill("#password", "correct horse")
		p.Click("button", "Log in")
		p.Wait("h1", "Runtimes") // where it was meant to lead
		p.Click(".menu summary", "")
		p.Click(".menu button", "Log out")
		p.Wait("label", "Password")
		p.Open(w.URL)
		p.Wait("label", "Password")
		if got := p.Text("h1"); got != "fsmesh" {
			t.Errorf("%s: after the end of the session the page is %q", name, got)
		}
		if err := p.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
	}
	// With its route switched off it does not work.
	p := w.page(Look{})
	p.Open(w.URL)
	p.Fill("#password", "correct horse")
	w.SwitchOff("POST /login")
	p.Click("button", "Log in")
	if p.Wait("main", "switched off"); p.Text("h1") == "Overview" {
		t.Error("people are let in without the login")
	}
}
