package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Look is how a window looks at pages.
type Look struct {
	// Width and Height are in CSS pixels; 1440 by 900 by default. Below 500 it
	// is a telephone's.
	Width, Height int
	// Dark is what the system prefers.
	Dark bool
	// NoScript switches scripts off.
	NoScript bool
	// Touch is for a screen that is touched.
	Touch bool
}

// patience is how long is waited for what should come about.
const patience = 10 * time.Second

// A Page is a window. It is used by one goroutine.
type Page struct {
	// Patience is how long Wait and Click wait; 10 seconds by default.
	Patience time.Duration

	ctx   context.Context // of the window: chromedp keeps it there
	close context.CancelFunc
	err   error

	mu       sync.Mutex // guards what follows, which the browser tells
	requests []string
	faults   []string
	loads    int
}

// Page opens a window with an empty page and no cookies. Close closes it.
func (b *Browser) Page(look Look) *Page {
	if look.Width == 0 {
		look.Width = 1440
	}
	if look.Height == 0 {
		look.Height = 900
	}
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &Page{Patience: patience, ctx: ctx, close: end}
	scheme := "light"
	if look.Dark {
		scheme = "dark"
	}
	p.run("open a window", func(context.Context) error {
		// The first call makes the window: for as long as the page lives.
		return errors.Join(
			chromedp.Listen(ctx, p.hear),
			// A window can't be narrower than 500 pixels, so that a telephone's
			// width has to be set here.
			do(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(look.Width), Height: int64(look.Height), DeviceScaleFactor: 1, Mobile: look.Width < 500}),
			do(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}),
			do(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: look.NoScript}),
			do(ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: look.Touch}),
			do(ctx, network.Enable, network.EnableParams{}), do(ctx, log.Enable, cdp.Empty{}),
			do(ctx, runtime.Enable, cdp.Empty{}), do(ctx, page.Enable, page.EnableParams{}),
		)
	})
	return p
}

// hear keeps what the browser tells of the page. It must not block.
func (p *Page) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, "exception: "+thrown(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			p.faults = append(p.faults, "console: "+string(e.Type))
		}
	case *page.EventLoadEventFired:
		p.loads++
	}
}

// Close closes the window.
func (p *Page) Close() { p.close() }

// Err is the first error of what was done, nil if there was none.
func (p *Page) Err() error { return p.err }

// Forgive forgets the error: what failed was meant to.
func (p *Page) Forgive() { p.err = nil }

// Fresh makes the window as good as a new one, which costs a process: it forgets
// the error and the cookies, and is patient again.
func (p *Page) Fresh() {
	p.err, p.Patience = nil, patience
	p.run("forget the cookies", func(ctx context.Context) error {
		return do(ctx, network.ClearBrowserCookies, cdp.Empty{})
	})
}

// Requests are the addresses that were asked for so far.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// Faults are the errors and warnings of the console so far, with exceptions,
// requests that failed and what the content security policy refused.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.faults...)
}

// Loads counts the pages that were loaded: what a script patches is none.
func (p *Page) Loads() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loads
}

// Open goes to an address, as typed into the bar, and waits until it is loaded.
func (p *Page) Open(url string) {
	p.run("open "+url, func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.Navigate(url)) })
}

// Text is the text of the first element that a selector finds, as rendered;
// "" where there is none, or where nobody sees it.
func (p *Page) Text(selector string) string {
	if texts := p.Texts(selector); len(texts) > 0 {
		return texts[0]
	}
	return ""
}

// Texts are the texts of all elements that a selector finds, as rendered.
func (p *Page) Texts(selector string) (texts []string) {
	// The innerText of an element that is not rendered is all of its text.
	p.eval("read "+selector, &texts, `s => [...document.querySelectorAll(s)].map(e => e.checkVisibility({ visibilityProperty: true }) ? e.innerText.trim() : "")`, selector)
	return texts
}

// Wait waits until an element that a selector finds shows a text, and returns
// how long that took.
func (p *Page) Wait(selector, text string) time.Duration {
	return p.Until(fmt.Sprintf("%s shows %q", selector, text), func() bool {
		for _, t := range p.Texts(selector) {
			if strings.Contains(t, text) {
				return true
			}
		}
		return false
	})
}

// Until waits for a condition, and returns how long that took. While a page
// gives way to the next, what it reads may fail: that is asked again.
func (p *Page) Until(what string, ok func() bool) time.Duration {
	begin := time.Now()
	for p.err == nil {
		met := ok()
		last := p.err
		if p.err = nil; met && last == nil {
			break
		}
		if time.Since(begin) > p.Patience {
			p.err = errors.Join(fmt.Errorf("it did not come about within %s that %s; the page says:\n%s", p.Patience, what, p.Text("main")), last)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// run does something by the protocol, within a bound.
func (p *Page) run(what string, f func(context.Context) error) {
	if p.err != nil {
		return
	}
	ctx, done := context.WithTimeout(p.ctx, 3*patience)
	defer done()
	if err := f(ctx); err != nil {
		p.err = fmt.Errorf("%s: %w", what, err)
	}
}

// do calls a command of the protocol for its effect.
func do[P, R any](ctx context.Context, command cdp.Command[P, R], params P) error {
	_, err := chromedp.Call(ctx, command, params)
	return err
}

// eval asks the page about itself: a function of JSON values that changes
// nothing. It works with scripts switched off.
func (p *Page) eval(what string, into any, function string, args ...any) {
	p.run(what, func(ctx context.Context) error {
		list, err := json.Marshal(append([]any{}, args...))
		if err != nil {
			return err
		}
		raw, err := evaluate(ctx, "("+function+")(..."+string(list)+")")
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, into)
	})
}

// evaluate is what an expression comes to, as JSON; a promise is awaited.
func evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	yes := true
	got, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: &yes, AwaitPromise: &yes})
	if err != nil {
		return nil, err
	}
	if got.ExceptionDetails != nil {
		return nil, errors.New(thrown(got.ExceptionDetails))
	}
	return json.RawMessage(got.Result.Value), nil
}

// thrown is an exception in words.
func thrown(e *runtime.ExceptionDetails) string {
	if e.Exception != nil {
		return e.Exception.Description
	}
	return e.Text
}

// Address is where the first link leads that a selector finds, as its page has
// it; "" where there is none.
func (p *Page) Address(selector string) (address string) {
	p.eval("read the address of "+selector, &address, `s => { const e = document.querySelector(s); return e ? e.getAttribute("href") : "" }`, selector)
	return address
}

// Size is the width of the window and that of what is in it: where the second is
// larger the page scrolls sideways.
func (p *Page) Size() (window, content int) {
	var size [2]int
	p.eval("measure", &size, `() => [document.documentElement.clientWidth, Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)]`)
	return size[0], size[1]
}

// Background is the colour of the page, as CSS has it.
func (p *Page) Background() (colour string) {
	p.eval("look at the colour", &colour, `() => getComputedStyle(document.body).backgroundColor`)
	return colour
}

// Has reports whether what a selector finds has the focus.
func (p *Page) Has(selector string) (has bool) {
	p.eval("look for the focus", &has, `s => document.activeElement !== null && document.activeElement.matches(s)`, selector)
	return has
}

// Outline is the style of the line around what has the focus.
func (p *Page) Outline() (style string) {
	p.eval("look at the focus", &style, `() => getComputedStyle(document.activeElement).outlineStyle`)
	return style
}

// Title is the title of the window.
func (p *Page) Title() (title string) {
	p.eval("read the title", &title, `() => document.title`)
	return title
}
