package browsertest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/fsmesh/fsmesh/fsm"
)

// atOnce is how soon a change has to be seen, as a rule: one of them may meet with a
// machine that is busy.
const atOnce = 500 * time.Millisecond

// A swinger is an instance that moves whenever it is told to.
type swinger struct {
	*world
	in    *fsm.Instance
	right bool
}

func (w *world) swinger(key string) *swinger {
	w.t.Helper()
	return &swinger{world: w, in: w.create("Swing", nil, fsm.WithKey(key))}
}

// move moves the instance and returns the state that it is in then.
func (s *swinger) move() string {
	s.t.Helper()
	s.right = !s.right
	if s.right {
		s.send(s.in, "PUSH")
		return "Right"
	}
	s.send(s.in, "PULL")
	return "Left"
}

func (s *swinger) address() string { return s.URL + "instance?component=Yard&id=" + s.in.ID() }

// TestSwing is all that is tested with an instance that moves, on one site:
// to start one takes seconds with the race detector.
func TestSwing(t *testing.T) {
	w := newWorld(t, swing)
	for _, test := range []struct {
		name string
		run  func(*swinger)
	}{{"live", testLive}, {"pause", testPause}, {"rows hold still", testRows}, {"cut", testCut}, {"form stays", testFormStays}, {"every post shows its state", testEveryPost}, {"keyboard", testKeyboard}, {"keys", testKeys}} {
		t.Run(test.name, func(t *testing.T) {
			own := *w
			own.t = t
			test.run(own.swinger("swing:" + test.name))
		})
	}
}

// testLive watches pages that nobody loads again while an instance moves.
func testLive(s *swinger) {
	t := s.t
	for name, page := range map[string]struct{ address, element string }{
		"instance":  {s.address(), "#state"},
		"history":   {s.address(), "#timeline li:first-child .main b"},
		"instances": {s.URL + "instances?q=live", "#list tbody .st"},
		"machine":   {s.URL + "machine?machine=Swing", "#result tbody .st"},
		"overview":  {s.URL, "#feed li:first-child b"},
	} {
		p := s.page(Look{})
		p.Open(page.address)
		p.Wait("#live-state", "Live")
		loads := p.Loads()
		var took []time.Duration
		for range 8 {
			to := s.move()
			took = append(took, p.Wait(page.element, to))
		}
		if err := p.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slices.Sort(took)
		t.Logf("%s: a change showed after %s at worst", name, took[len(took)-1])
		if median := took[len(took)/2]; median > atOnce {
			t.Errorf("%s: half of the changes showed after %s or more, want %s at most: %s", name, median, atOnce, took)
		}
		if got := p.Loads(); got != loads {
			t.Errorf("%s: the page was loaded %d times again", name, got-loads)
		}
		p.Close()
	}
	// With the stream switched off none of it comes about.
	s.SwitchOff("GET /live")
	defer s.SwitchOff("")
	p := s.page(Look{})
	p.Open(s.address())
	p.Wait("#stopped", "Live updates stopped")
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	p.Patience = 2 * atOnce
	if to := s.move(); p.Wait("#state", to) < 2*atOnce || p.Err() == nil {
		t.Error("a change shows without the stream")
	}
}

// testPause pauses a page, while another one goes on.
func testPause(s *swinger) {
	t := s.t
	p, other := s.page(Look{}), s.page(Look{})
	for _, page := range []*Page{p, other} {
		page.Open(s.address())
		page.Wait("#live-state", "Live")
	}
	p.Click(`#live a[title="Pause"]`, "")
	p.Until("the page is paused", func() bool { return p.Address(`#live a[title="Resume"]`) != "" })
	p.Wait("#keys-open", "Keys") // its scripts have run
	asked := len(p.Requests())
	for range 3 {
		other.Wait("#state", s.move())
		if got := p.Text("#state"); got != "Left" {
			t.Errorf("the page that is paused shows %s", got)
		}
	}
	if more := p.Requests()[asked:]; len(more) > 0 {
		t.Errorf("the page that is paused asks for %s", more)
	}
	p.Click(`#live a[title="Resume"]`, "")
	p.Wait("#live-state", "Live")
	p.Wait("#state", "Right")
	p.Wait("#state", s.move())
	for _, page := range []*Page{p, other} {
		if err := page.Err(); err != nil {
			t.Error(err)
		}
	}
}

// testRows has instances come while somebody is about to open another one: rows stay
// under the mouse and the focus, say how they are, and what has come waits.
func testRows(s *swinger) {
	t := s.t
	add := func(n int) {
		s.create("Swing", nil, fsm.WithKey(fmt.Sprintf("row:%d", n)))
	}
	rows := func(p *Page, want ...string) {
		t.Helper()
		if got := p.Texts("#list tbody th a"); !slices.Equal(got, want) {
			t.Errorf("the rows are %s, want %s", got, want)
		}
	}
	s = s.swinger("row:1")
	add(2)
	p, touched := s.page(Look{}), s.page(Look{Width: 390, Height: 844, Touch: true})
	for _, page := range []*Page{p, touched} {
		page.Open(s.URL + "instances?q=row:")
		page.Wait("#live-state", "Live")
	}
	top := func(p *Page) (y float64) {
		p.eval("look where the rows are", &y, `() => document.querySelector("#list tbody").getBoundingClientRect().top`)
		return y
	}
	p.Point("#list tbody a", "row:1")
	before := map[*Page]float64{p: top(p), touched: top(touched)}
	add(3)
	for _, page := range []*Page{p, touched} {
		page.Wait("#list-waits", "1 more: show")
		rows(page, "row:2", "row:1")
		if y := top(page); y != before[page] {
			t.Errorf("what it says of others moves the rows by %v", y-before[page])
		}
	}
	to := s.move()
	p.Wait("#list tbody tr:nth-child(2) .st", to)
	p.Point("h1", "")
	p.Wait("#list tbody tr:first-child", "row:3")
	rows(p, "row:3", "row:2", "row:1")
	touched.Click("#list-waits", "")
	touched.Wait("#list tbody tr:first-child", "row:3")
	for _, page := range []*Page{p, touched} {
		if note := page.Text("#list-waits"); note != "" {
			t.Errorf("after the rows are shown it says %q", note)
		}
	}
	// With the keyboard, what has come is asked for by going back to what counts it.
	p.Press("j")
	add(4)
	p.Wait("#list-waits", "1 more: show")
	for range maxTabs {
		if p.Press(kb.Tab, chromedp.ModifierShift); p.Has("#list-waits") {
			break
		}
	}
	add(5)
	p.Wait("#list-waits", "2 more: show")
	p.Press("\r")
	p.Wait("#list tbody tr:first-child", "row:5")
	p.Until("the first row has the focus", func() bool { return p.Has("#list tbody tr:first-child a") })
	add(6)
	p.Wait("#list-waits", "1 more: show")
	p.Press("\r")
	p.Wait("h1", "row:5")
	// A telephone that nobody holds shows what comes.
	touched.Wait("#list-waits", "3 more: show")
	var later float64
	touched.eval("let time pass", &later, `() => { const now = Date.now; Date.now = () => now() + 60e3; return Date.now(); }`)
	touched.Wait("#list tbody tr:first-child", "row:6")
	add(7)
	touched.Wait("#list tbody tr:first-child", "row:7")
	for _, page := range []*Page{p, touched} {
		if err := page.Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestWaitsMoveNothing has every list say what waits, and looks whether the headings
// that say it become higher.
func TestWaitsMoveNothing(t *testing.T) {
	w := newWorld(t, swing)
	w.create("Swing", nil)
	for _, look := range []Look{{}, {Width: 1280}, {Width: 390, Height: 844, Touch: true}} {
		p := w.page(look)
		for address, lists := range map[string]int{"": 3, "instances": 1, "machine?machine=Swing&state=Left": 1, "runtimes": 1} {
			p.Open(w.URL + address)
			p.Wait("#live-state", "Live")
			var moves []string
			p.eval("have lists say what waits", &moves, `() => [...document.querySelectorAll(".waits")].map((note) => {
				const head = note.closest(".panel-h"), before = head.getBoundingClientRect().height, were = [...head.querySelectorAll("a")].map(a => a.getBoundingClientRect().x);
				note.textContent = "25 more: show";
				note.hidden = false;
				const by = head.getBoundingClientRect().height - before, same = [...head.querySelectorAll("a")].every((a, i) => a.getBoundingClientRect().x === were[i]);
				return note.checkVisibility() && note.getBoundingClientRect().width > 50 && by === 0 && same ? "" : note.id + " by " + by;
			})`)
			if len(moves) != lists || strings.Join(moves, "") != "" {
				t.Errorf("%d wide, page %q: what waits in %d lists moves rows or links: %q", look.Width, address, len(moves), moves)
			}
		}
		if err := p.Err(); err != nil {
			t.Error(err)
		}
	}
}

// TestRowsOfOneName points at two runtimes of one name, the first of which has stopped,
// while another one comes: each row goes on to show its own.
func TestRowsOfOneName(t *testing.T) {
	w := newSite(t, Options{})
	w.host(swing)
	if err := w.runtimes[0].attachment.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.runtimes = nil
	w.host(swing)
	p := w.page(Look{})
	p.Open(w.URL + "runtimes")
	p.Wait("#live-state", "Live")
	p.Wait("#runtimes tbody tr:nth-child(2)", "test")
	before := p.Texts("#runtimes tbody th .mono")
	// What the page says above the list while a runtime comes may move it a little.
	p.Point("#runtimes tbody tr:nth-child(2) a", "test")
	w.host(orders)
	p.Wait("#runtimes-waits", "1 more: show")
	if now := p.Texts("#runtimes tbody th .mono"); !slices.Equal(now, before) {
		t.Errorf("the rows are of the runtimes %s, and were of %s", now, before)
	}
	p.Point("h1", "")
	p.Wait("#runtimes tbody tr:nth-child(3)", "test")
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// testCut cuts the connection under a page, and mends it.
func testCut(s *swinger) {
	t := s.t
	p := s.page(Look{})
	p.Open(s.address())
	p.Wait("#live-state", "Live")
	if banner := p.Text("#stopped"); banner != "" {
		t.Errorf("the banner says %q while all is well", banner)
	}
	s.Cut()
	p.Wait("#live-state", "Stopped")
	p.Wait("#stopped", "What you see is as of")
	s.axe(p, "connection lost")
	to := s.move()
	if got := p.Text("#state"); strings.Contains(got, to) {
		t.Errorf("the page shows %s although it is cut off", to)
	}
	s.Mend()
	p.Wait("#live-state", "Live")
	p.Wait("#state", to)
	p.Until("the banner has gone", func() bool { return p.Text("#stopped") == "" })
	p.Wait("#state", s.move())
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// testFormStays moves an instance while somebody fills in its form.
func testFormStays(s *swinger) {
	t := s.t
	p := s.page(Look{})
	p.Open(s.address())
	p.Wait("#live-state", "Live")
	p.Click("summary", "PUSH")
	p.Fill("details[open] textarea", `{"by": "Bo"}`)
	s.move()
	p.Wait("#state", "Right")
	p.Wait("#actions-moved", "It has moved on")
	p.Wait("summary", "PUSH")
	p.Click("button", "Send PUSH")
	p.Wait("#outcome", "PUSH was not sent")
	p.Wait("textarea", "") // PULL's
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// testEveryPost sends events by pages in several windows, without scripts,
// while others keep the runtime busy: after each post the page shows the new
// state.
func testEveryPost(s *swinger) {
	const windows, posts = 2, 100
	t := s.t
	stop := make(chan struct{})
	var running sync.WaitGroup
	busy := s.create("Swing", nil)
	running.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(4 * time.Millisecond):
			}
			// Of two events one is ignored, which is all right.
			_, _ = s.rt.Send(t.Context(), busy.ID(), fsm.Event{Type: []string{"PUSH", "PULL"}[i%2]})
		}
	})
	var shown atomic.Int64
	var windowed sync.WaitGroup
	for i := range windows {
		in, p := s.create("Swing", nil, fsm.WithKey(fmt.Sprintf("swing:%d", i))), s.page(Look{NoScript: true, Width: 600, Height: 600})
		windowed.Go(func() {
			p.Open(s.URL + "instance?id=" + in.ID())
			for k := range posts {
				if post(p, in.Key(), k%2 == 0) {
					shown.Add(1)
				}
			}
			if err := p.Err(); err != nil {
				t.Error(err)
			}
		})
	}
	windowed.Wait()
	close(stop)
	running.Wait()
	if got := shown.Load(); got != windows*posts {
		t.Errorf("after %d of %d posts the page showed the new state", got, windows*posts)
	}
}

// post moves an instance by its page, and reports whether the page that follows
// shows it where it went: at once, not a moment later.
func post(p *Page, key string, push bool) bool {
	event, to := "PULL", "Left"
	if push {
		event, to = "PUSH", "Right"
	}
	loads := p.Loads()
	p.Click("summary .name", event)
	p.Click("button", "Send "+event)
	p.Until("the next page is there", func() bool { return p.Loads() > loads })
	return p.Text("#state") == to && p.Text("#outcome b") == fmt.Sprintf("Swing %s went to %s", key, to) && p.Err() == nil
}

// testKeyboard goes through pages without a mouse.
func testKeyboard(s *swinger) {
	t := s.t
	p := s.page(Look{})
	p.Open(s.URL)
	p.Focus("a.skip")
	p.Press("\r")
	p.Focus(`main a[href^="machine"]`)
	p.Press("\r")
	p.Wait("h1", "Swing")
	p.Focus("#result tbody a")
	p.Press("\r")
	p.Wait("h1", "swing:")
	p.Open(s.address())
	p.Focus("#actions summary")
	if outline := p.Outline(); outline == "none" {
		t.Error("nobody sees where the focus is")
	}
	p.Press("\r")
	p.Focus("#actions details[open] button")
	p.Press("\r")
	p.Wait("#outcome", "went to Right")
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

// testKeys goes through pages by keys of one letter.
func testKeys(s *swinger) {
	t := s.t
	s.move()
	p := s.page(Look{})
	p.Open(s.URL)
	keys := func(letters ...string) {
		p.Wait("#keys-open", "Keys") // the script is there
		for _, l := range letters {
			p.Press(l)
		}
	}
	keys("g", "i")
	p.Wait("h1", "Instances")
	keys("j", "j", "k")
	if outline := p.Outline(); outline == "none" {
		t.Error("nobody sees which row it is")
	}
	keys("\r")
	p.Wait("h1", "swing:")
	p.Open(s.address())
	p.Wait("#live-state", "Live")
	keys("[")
	p.Wait("#at-record", "At record 1")
	keys("]")
	p.Wait("#at-record", "At record 2")
	p.Open(s.address())
	keys("e", "\r")
	p.Wait("#actions details[open] button", "Send PULL")
	keys("p")
	p.Wait("#live-state", "As of")
	keys("g", "r")
	p.Wait("h1", "Runtimes")
	keys("/", "g", "o") // typed, not obeyed
	p.Press(kb.Enter)
	p.Wait("#nothing", "No instance matches")
	keys("?")
	p.Wait("#keys h2", "Keys")
	p.Click("#keys button", "Turn them off")
	p.Wait("#keys button", "Turn them on")
	p.Press(kb.Escape)
	p.Until("the list has gone", func() bool { return p.Text("#keys") == "" })
	keys("g", "o", "g", "r")
	if got := p.Text("h1"); got != "Instances" {
		t.Errorf("keys that are turned off led to %s", got)
	}
	keys("?")
	p.Click("#keys button", "Turn them on")
	p.Click("#keys button", "Close")
	keys("g", "o")
	p.Wait("h1", "Overview")
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}
