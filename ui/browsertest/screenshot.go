package browsertest

import (
	"context"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Screenshot is a picture of the window as a PNG; whole is of all of the page,
// also what has to be scrolled to.
func (p *Page) Screenshot(whole bool) (png []byte) {
	var size struct{ W, H float64 }
	p.eval("measure", &size, `() => ({ W: innerWidth, H: document.documentElement.scrollHeight })`)
	p.run("take a picture", func(ctx context.Context) error {
		params := page.CaptureScreenshotParams{}
		if whole {
			params.CaptureBeyondViewport = &whole
			params.Clip = &page.Viewport{Width: size.W, Height: size.H, Scale: 1}
		}
		got, err := chromedp.Call(ctx, page.CaptureScreenshot, params)
		png = got.Data
		return err
	})
	return png
}
