package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
)

// drawWithin is how long a page waits for its diagram. What lays it out may have to
// be started, which takes minutes where the machine is very busy: the rest of the
// page is worth having meanwhile. A page that is made for its stream does not wait:
// it is made again soon, and what has changed shows until then.
const drawWithin = 3 * time.Second

// maxFailed bounds the failures that are kept; then all are forgotten.
const maxFailed = 1000

// errDrawing says that a diagram is not there yet.
var errDrawing = errors.New("it is being drawn")

// streamKey marks the context of a page that is made for its stream.
type streamKey struct{}

// A layouter lays out machines. *diagram.Layouter is one.
type layouter interface {
	Layout(ctx context.Context, m *fsm.Machine) (*diagram.Layout, error)
	Kept(m *fsm.Machine) *diagram.Layout
	Close() error
}

// drawings has machines laid out, each by one goroutine however many pages wait for
// it; none of them ends it by going away.
type drawings struct {
	layouts layouter
	within  time.Duration   // how long a page waits
	ctx     context.Context // of what is laid out
	end     context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	going  map[*fsm.Machine]*laidOut
	failed map[*fsm.Machine]error // why the last try failed
}

// laidOut is what comes of it, once done is closed.
type laidOut struct {
	done   chan struct{}
	layout *diagram.Layout
	err    error
}

func newDrawings(l layouter) *drawings {
	ctx, end := context.WithCancel(context.Background())
	return &drawings{layouts: l, within: drawWithin, ctx: ctx, end: end, going: map[*fsm.Machine]*laidOut{}, failed: map[*fsm.Machine]error{}}
}

// layout waits for the layout of a machine, for a while.
func (d *drawings) layout(ctx context.Context, m *fsm.Machine) (*diagram.Layout, error) {
	if kept := d.layouts.Kept(m); kept != nil {
		return kept, nil
	}
	l := d.begin(m)
	if ctx.Value(streamKey{}) != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.failed[m]; err != nil {
			return nil, err
		}
		return nil, errDrawing
	}
	late := time.NewTimer(d.within)
	defer late.Stop()
	select {
	case <-l.done:
		return l.layout, l.err
	case <-late.C:
	case <-ctx.Done():
	}
	return nil, errDrawing
}

func (d *drawings) begin(m *fsm.Machine) *laidOut {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.going[m]
	if l == nil {
		l = &laidOut{done: make(chan struct{})}
		d.going[m] = l
		d.running.Go(func() {
			l.layout, l.err = d.layouts.Layout(d.ctx, m)
			d.mu.Lock()
			delete(d.going, m)
			if delete(d.failed, m); l.err != nil {
				if len(d.failed) >= maxFailed {
					clear(d.failed)
				}
				d.failed[m] = l.err
			}
			d.mu.Unlock()
			close(l.done)
		})
	}
	return l
}

// closeWithin is how long a close waits for what is being laid out: the start of what
// does that cannot be broken off, and a program that is told to end has to end.
const closeWithin = 500 * time.Millisecond

// close ends what is going on, and what lays out. What cannot be ended in time is
// closed once it has.
func (d *drawings) close() error {
	d.end()
	closed := make(chan error, 1)
	go func() {
		d.running.Wait()
		closed <- d.layouts.Close()
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(closeWithin):
		return nil
	}
}

// drawing is the state diagram as part of a page. One that can't be drawn is
// replaced by the reason: the rest of the page is worth having.
func (d *Dashboard) drawing(ctx context.Context, m *fsm.Machine, o diagram.SVGOptions) templ.Component {
	if m == nil {
		return noDrawing("no runtime tells its definition")
	}
	layout, err := d.drawings.layout(ctx, m)
	if errors.Is(err, errDrawing) {
		return drawingLater()
	}
	if err != nil {
		return noDrawing(err.Error())
	}
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		// The outer element gives it its natural size, which it may shrink
		// from but not grow beyond. The writer escapes all names itself.
		fit := min(max(int(layout.Width)/100, 1), 30)
		if _, err := fmt.Fprintf(w, `<svg class="fit fit-%d" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">`, fit, layout.Width, layout.Height, layout.Width, layout.Height); err != nil {
			return err
		}
		if err := layout.SVG(w, o); err != nil {
			return err
		}
		_, err := io.WriteString(w, "</svg>")
		return err
	})
}
