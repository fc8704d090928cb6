package browsertest

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/fsmesh/fsmesh/ui/access"
)

// TestLogin logs in with a wrong password and the right one, with scripts and
// without, and out again.
func TestLogin(t *testing.T) {
	w := newSite(t, Options{Access: access.Config{Password: "correct horse"}})
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
	// With its route switched off neither works.
	p := w.page(Look{})
	p.Open(w.URL)
	p.Fill("#password", "correct horse")
	w.SwitchOff("POST /login")
	p.Click("button", "Log in")
	p.Wait("pre", "switched off")
	p.Open(w.URL)
	if p.Wait("label", "Password"); p.Err() != nil {
		t.Errorf("people are let in without the login: %v", p.Err())
	}
	w.SwitchOff("POST /logout")
	p.Fill("#password", "correct horse")
	p.Click("button", "Log in")
	p.Wait("h1", "Overview")
	p.Click(".menu summary", "")
	p.Click(".menu button", "Log out")
	p.Wait("pre", "switched off")
	p.Open(w.URL)
	if p.Wait("h1", "Overview"); p.Err() != nil {
		t.Errorf("people are logged out without the route: %v", p.Err())
	}
}
