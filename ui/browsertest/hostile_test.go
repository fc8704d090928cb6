package browsertest

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// hostile names try to leave the place where they are shown: markup, a bidi
// override that turns round what follows, line ends that would forge an event
// of the stream.
const hostile = `
name: "<script>document.title='taken'</script>"
stateMachines:
  - name: "\"><img src=x onerror=document.title='taken'>"
    initialState: "</svg><script>document.title='taken'</script>"
    states:
      - { name: "</svg><script>document.title='taken'</script>", type: entry }
      - { name: "\u202Ereversed\u202C", onEntry: fail }
    transitions:
      - { from: "</svg><script>document.title='taken'</script>", to: "\u202Ereversed\u202C", event: "' onclick='alert(4)" }
`

// big is about as much as an instance may have.
const big = 400 << 10

// TestHostile shows names, data and errors that nobody should show as they are.
func TestHostile(t *testing.T) {
	w := newSite(t, Options{})
	c, err := Parse(hostile)
	if err != nil {
		t.Fatal(err)
	}
	fault := "<b>bold</b>\r\n\r\nevent: gone\r\ndata:\r\n\r\n" + strings.Repeat("x", 1<<20)
	hooks := fsm.Hooks{Methods: map[string]fsm.Hook{"fail": func(*fsm.Call) error { return errors.New(fault) }}}
	if w.rt, err = w.Host(t.Context(), "test<b>", hooks, c); err != nil {
		t.Fatal(err)
	}
	machine := c.StateMachines[0].Name
	in := w.create(machine, map[string]any{
		"<img src=x onerror=document.title='taken'>": "</div><script>document.title='taken'</script>",
		"lines": "one\r\n\r\nevent: gone\rdata: {}\n\n", "turned": "\u202Eabc\u202C", "big": strings.Repeat("x", big),
	}, fsm.WithKey("<svg onload=document.title='taken'>\u202E"))
	p := w.page(Look{})
	address := w.URL + "instance?id=" + in.ID()
	p.Open(address)
	p.Wait("#live-state", "Live")
	p.Wait("h1", "<svg onload=document.title='taken'>")
	p.Wait("#data", `<img src=x onerror=document.title='taken'>: "</div><script>document.title='taken'</script>"`)
	p.Wait("#data", `one\r\n\r\nevent: gone\rdata: {}\n\n`)
	if _, err := w.rt.Send(t.Context(), in.ID(), fsm.Event{Type: "' onclick='alert(4)", Payload: map[string]any{"note": "x\r\n\r\nevent: gone\r\n\r\n"}}); err != nil {
		t.Fatal(err)
	}
	p.Wait("#state", "[U+202E]reversed[U+202C]")
	p.Wait("#data", `x\r\n\r\nevent: gone\r\n\r\n`)
	p.Wait("#live-state", "Live")
	if gone := p.Text("#gone"); gone != "" {
		t.Error("a value forged an event of the stream")
	}
	for _, page := range []string{"", "machine?machine=" + url.QueryEscape(machine), "instances", "instances?q=%3Cscript%3Edocument.title%3D'taken'%3C/script%3E%E2%80%AE", "runtimes", "create?machine=" + url.QueryEscape(machine), "instance?at=2&id=" + in.ID(), "%3Cscript%3E"} {
		p.Open(w.URL + page)
		if p.Address(`#live a[title="Pause"]`) != "" {
			p.Wait("#live-state", "Live")
		}
		p.Wait("h1", "")
		if title := p.Title(); strings.Contains(title, "taken") && !strings.Contains(title, "<") {
			t.Errorf("%s: a name ran: the title is %q", page, title)
		}
		if window, content := p.Size(); content > window {
			t.Errorf("%s: the page is %d wide in a window of %d", page, content, window)
		}
	}
	p.Open(w.URL)
	p.Wait("#trouble", "<b>bold</b>")
	for _, f := range p.Faults() {
		if !strings.Contains(f, "404") {
			t.Errorf("the console says: %s", f)
		}
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}
