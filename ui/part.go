package ui

import (
	"bytes"
	"context"
	"io"

	"github.com/a-h/templ"
)

// A part is one element of a page that is kept fresh, by the id that it has
// there.
type part struct{ id, html string }

type partsKey struct{}

// live is what a template puts around an element that is kept fresh. It has
// that id, and data-live.
func live(id string) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		children := templ.GetChildren(ctx)
		ctx = templ.ClearChildren(ctx)
		parts, ok := ctx.Value(partsKey{}).(*[]part)
		if !ok {
			return children.Render(ctx, w)
		}
		var b bytes.Buffer
		if err := children.Render(ctx, &b); err != nil {
			return err
		}
		*parts = append(*parts, part{id, showMarks(b.String())})
		return nil
	})
}

// collect renders a page for its parts alone.
func collect(ctx context.Context, page templ.Component) ([]part, error) {
	var parts []part
	err := page.Render(context.WithValue(ctx, partsKey{}, &parts), io.Discard)
	return parts, err
}
