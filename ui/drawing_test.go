package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
)

// A slowLayouter lays out when it is let.
type slowLayouter struct {
	layouter
	calls atomic.Int64
	let   chan struct{}
}

func (l *slowLayouter) Layout(ctx context.Context, m *fsm.Machine) (*diagram.Layout, error) {
	l.calls.Add(1)
	select {
	case <-l.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return l.layouter.Layout(ctx, m)
}

// Kept has none before that, also if another test has had the machine laid out.
func (l *slowLayouter) Kept(m *fsm.Machine) *diagram.Layout {
	select {
	case <-l.let:
		return l.layouter.Kept(m)
	default:
		return nil
	}
}

// TestSlowDrawing has pages that do not wait for ever for their diagram, which goes
// on being drawn, once, when they have gone. Pages for streams do not wait at all.
func TestSlowDrawing(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	slow := &slowLayouter{layouter: diagram.New(), let: make(chan struct{})} // that of the other tests may have drawn it
	s.pages.drawings.layouts = slow
	s.pages.drawings.within = 20 * time.Millisecond
	const page = "machine?component=Orders&machine=Order"
	wantPage(t, s.get("/"+page), http.StatusOK, "being drawn and will show here in a moment", "Load the page again", "Pending 0 regular in motion")
	s.pages.drawings.within = time.Hour // of which a stream must wait nothing
	streamed := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		parts, err := s.pages.parts(ctx, page)
		if err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil {
			t.Error("a page for a stream waited for its diagram")
		}
		return fmt.Sprint(parts)
	}
	if got := streamed(); !strings.Contains(got, "being drawn") {
		t.Errorf("the diagram is there before it is drawn: %s", got)
	}
	if n := slow.calls.Load(); n != 1 {
		t.Errorf("it is being drawn %d times, want once", n)
	}
	close(slow.let)
	s.until("the diagram is there", func() bool { return strings.Contains(text(s.get("/"+page)), "State diagram of Order") })
	if got := streamed(); !strings.Contains(got, "State diagram of Order") {
		t.Errorf("the stream has no diagram that is there: %s", got)
	}
}

// A brokenLayouter can't lay out anything.
type brokenLayouter struct{ layouter }

func (brokenLayouter) Layout(context.Context, *fsm.Machine) (*diagram.Layout, error) {
	return nil, errors.New("out of ink")
}

func (brokenLayouter) Kept(*fsm.Machine) *diagram.Layout { return nil }

// TestNoDrawing has streams say why there is no diagram, not that there will be one.
func TestNoDrawing(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	s.pages.drawings.layouts = brokenLayouter{diagram.New()} // that of the other tests may have drawn it
	const page = "machine?component=Orders&machine=Letter"
	s.until("the stream says why", func() bool {
		parts, err := s.pages.parts(t.Context(), page)
		return err == nil && strings.Contains(fmt.Sprint(parts), "be drawn: out of ink")
	})
}
