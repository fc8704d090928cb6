package browsertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// errCovered says that a click would go to something else.
var errCovered = errors.New("something lies on top of it")

// A spot is where an element can be clicked.
type spot struct {
	Found   bool    `json:"found"`
	X       float64 `json:"x"`
	Y       float64 `json:"y"`
	Covered string  `json:"covered"` // by what else, "" if by nothing
}

// pick finds the first visible element by selector and text, "" being any.
const pick = `(s, text) => [...document.querySelectorAll(s)].find(e => e.checkVisibility({ visibilityProperty: true }) && e.innerText.includes(text))`

// Click moves the mouse over the element that a selector finds and that shows a
// text, "" being any, and clicks where it is. It waits until there is one that
// nothing covers.
func (p *Page) Click(selector, text string) {
	what := fmt.Sprintf("click %s %q", selector, text)
	if at := p.hit(what, selector, text); p.err == nil {
		p.run(what, func(ctx context.Context) error {
			return chromedp.Do(ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y), chromedp.MouseClickXY(at.X, at.Y))
		})
	}
}

// Point moves the mouse over the element that Click would click.
func (p *Page) Point(selector, text string) {
	what := fmt.Sprintf("point at %s %q", selector, text)
	if at := p.hit(what, selector, text); p.err == nil {
		p.run(what, func(ctx context.Context) error {
			return chromedp.Do(ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at.X, at.Y))
		})
	}
}

// hit waits until there is an element that the mouse can be moved to.
func (p *Page) hit(what, selector, text string) (at spot) {
	p.Until(what, func() bool {
		last := at
		if at = p.spot(what, selector, text); at.Found && at.Covered != "" {
			p.reveal(what, selector, text)
			at = p.spot(what, selector, text)
		}
		// Nobody hits what is still moving.
		return at.Found && at.Covered == "" && at == last
	})
	if p.err != nil && at.Covered != "" {
		p.err = errors.Join(p.err, fmt.Errorf("%s: %w: %s", what, errCovered, at.Covered))
	}
	return at
}

// reveal scrolls to an element, as people do before they click.
func (p *Page) reveal(what, selector, text string) {
	p.run(what, func(ctx context.Context) error {
		found, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: fmt.Sprintf("(%s)(%q, %q)", pick, selector, text)})
		if err != nil || found.Result.ObjectID == "" {
			return err
		}
		return errors.Join(
			do(ctx, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{ObjectID: found.Result.ObjectID}),
			do(ctx, runtime.ReleaseObject, runtime.ReleaseObjectParams{ObjectID: found.Result.ObjectID}),
		)
	})
}

func (p *Page) spot(what, selector, text string) (at spot) {
	// What is not there yet, such as a stylesheet, still moves things.
	p.eval(what, &at, `(s, text) => {
		if (document.readyState !== "complete") return { found: false };
		const e = (`+pick+`)(s, text);
		if (!e) return { found: false };
		const r = [...e.getClientRects()].find(r => r.width > 0 && r.height > 0);
		if (!r) return { found: false };
		const x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
		const own = top && (e.contains(top) || top.contains(e) && top.closest("label, summary, a, button") !== null);
		return { found: true, x, y, covered: own ? "" : top ? top.outerHTML.slice(0, 200) : "it is outside of the window" };
	}`, selector, text)
	return at
}

// Type types a text where the focus is, letter by letter.
func (p *Page) Type(text string) {
	p.run(fmt.Sprintf("type %.40q", text), func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.KeyEvent(text)) })
}

// Paste puts in a text at once where the focus is.
func (p *Page) Paste(text string) {
	p.run(fmt.Sprintf("paste %d bytes", len(text)), func(ctx context.Context) error {
		return do(ctx, input.InsertText, input.InsertTextParams{Text: text})
	})
}

// Press presses a key, such as kb.Enter of chromedp.
func (p *Page) Press(key string, with ...chromedp.Modifier) {
	p.run(fmt.Sprintf("press %q", key), func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.KeyEvent(key, chromedp.KeyModifiers(with...)))
	})
}

// Fill replaces what a field has: it clicks into it, selects all and pastes.
func (p *Page) Fill(selector, text string) {
	p.Click(selector, "")
	p.Press("a", chromedp.ModifierCtrl)
	p.Paste(text)
}

// maxTabs bounds how often Focus presses the key.
const maxTabs = 200

// Focus presses the tab key until an element that a selector finds has the
// focus.
func (p *Page) Focus(selector string) {
	for range maxTabs {
		if p.Has(selector) || p.err != nil {
			return
		}
		p.Press(kb.Tab)
	}
	p.err = fmt.Errorf("the tab key does not lead to %s", selector)
}

// Choose chooses an entry of a select by its first letters, with the keyboard.
func (p *Page) Choose(selector, entry string) {
	p.Focus(selector)
	p.Type(entry)
}
