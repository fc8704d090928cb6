package diagram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A fake is a Graphviz that knows one machine, door with any names, and counts.
type fake struct {
	t    *testing.T
	err  error         // of Render
	hold chan struct{} // if set, Render waits until it is closed or the context ends

	mu                      sync.Mutex // guards the rest
	starts, closes, renders int
	open                    bool
}

func (f *fake) start(context.Context) (engine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open {
		f.t.Error("started while it runs")
	}
	f.starts++
	f.open = true
	return f, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.open {
		f.t.Error("closed while it does not run")
	}
	f.closes++
	f.open = false
	return nil
}

func (f *fake) Render(ctx context.Context, _, format string) ([]byte, error) {
	f.mu.Lock()
	if !f.open || format != "json0" {
		f.t.Errorf("render %s, open: %v", format, f.open)
	}
	f.renders++
	f.mu.Unlock()
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, errors.New("module closed")
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	const line = "e,10,10 1,2 3,4 5,6 7,8"
	return json.Marshal(gvGraph{
		BB:      "0,0,100,100",
		Objects: []gvObject{{"start", "0,0"}, {"n0", "1,1"}, {"n1", "2,2"}},
		Edges:   []gvEdge{{"start", line, ""}, {"0", line, "1,1"}, {"1", line, "2,2"}, {"2", line, "3,3"}},
	})
}

func named(name string) *fsm.Machine {
	m := door()
	m.Name = name
	return m
}

func (f *fake) want(starts, closes int) {
	f.t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.starts != starts || f.closes != closes {
		f.t.Errorf("%d starts and %d ends, want %d and %d", f.starts, f.closes, starts, closes)
	}
}

func TestLayouterFreesGraphvizAfterAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		l := newLayouter(f.start)
		f.want(0, 0)

		layout(t, l, named("A"))
		f.want(1, 0)
		<-time.After(idleTime - 1)
		layout(t, l, named("B")) // a new minute begins
		<-time.After(idleTime - 1)
		layout(t, l, named("A")) // from the cache: Graphviz is not used
		f.want(1, 0)
		<-time.After(1)
		f.want(1, 1)

		layout(t, l, named("B"))
		f.want(1, 1)
		layout(t, l, named("C"))
		f.want(2, 1)
		close2(t, l)
		f.want(2, 2)
	})
}

// A timer that has fired, but gets its turn only after another layout, must
// not end Graphviz.
func TestLayouterIgnoresALateTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		l := newLayouter(f.start)
		defer close2(t, l)
		layout(t, l, named("A"))

		<-l.turn
		<-time.After(idleTime)
		synctest.Wait() // the timer waits for the turn
		if _, err := l.make(t.Context(), named("B")); err != nil {
			t.Error(err)
		}
		l.turn <- struct{}{}
		f.want(1, 0)
		<-time.After(idleTime)
		f.want(1, 1)
	})
}

func TestLayouterCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		l := newLayouter(f.start)
		close2(t, l) // before its first use
		f.want(0, 0)
		if _, err := l.Layout(t.Context(), door()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}

		// While a timer waits for its turn, Close must neither hang nor leave it.
		l = newLayouter(f.start)
		layout(t, l, door())
		<-l.turn
		<-time.After(idleTime)
		synctest.Wait()
		go func() { l.turn <- struct{}{} }()
		close2(t, l)
		f.want(1, 1)
	})
}

func TestLayouterMakesALayoutOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, hold: make(chan struct{})}
		l := newLayouter(f.start)
		defer close2(t, l)
		got := make([]*Layout, 20)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i] = layout(t, l, door()) })
		}
		synctest.Wait()
		close(f.hold)
		wg.Wait()
		for _, one := range got {
			if one != got[0] {
				t.Error("the same machine has several layouts")
			}
		}
		if f.renders != 2 { // one per direction
			t.Errorf("rendered %d times, want 2", f.renders)
		}
	})
}

func TestLayouterCacheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		l := newLayouter(f.start)
		defer close2(t, l)
		first := layout(t, l, door())
		for _, tc := range []struct {
			name   string
			change func(*fsm.Machine)
			same   bool
		}{
			{"nothing", func(*fsm.Machine) {}, true},
			{"what is not drawn", func(m *fsm.Machine) { m.Metadata = "x"; m.States[0].OnEntry = "x" }, true},
			{"the name", func(m *fsm.Machine) { m.Name = "x" }, false},
			{"a state's name, by bytes that are not UTF-8", func(m *fsm.Machine) { m.States[1].Name = "\xff"; m.Transitions = m.Transitions[:0] }, false},
			{"a state's name, by others", func(m *fsm.Machine) { m.States[1].Name = "\xfe"; m.Transitions = m.Transitions[:0] }, false},
			{"a state's type", func(m *fsm.Machine) { m.States[1].Type = "final" }, false},
			{"an event", func(m *fsm.Machine) { m.Transitions[0].Event = "x" }, false},
			{"a delay", func(m *fsm.Machine) { m.Transitions[2].TimeoutMs++ }, false},
			{"a target", func(m *fsm.Machine) { m.Transitions[0].TargetMachine = "x" }, false},
		} {
			m := door()
			tc.change(m)
			before := f.renders
			got := layout(t, l, m)
			if (got == first) != tc.same || (f.renders == before) != tc.same {
				t.Errorf("changed %s: same layout: %v, want %v", tc.name, got == first, tc.same)
			}
		}
	})
}

func TestLayouterCacheIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		l := newLayouter(f.start)
		defer close2(t, l)
		used, unused := layout(t, l, named("used")), layout(t, l, named("unused"))
		for i := range maxLayouts {
			layout(t, l, named("used"))
			layout(t, l, named(fmt.Sprint(i)))
		}
		if len(l.layouts) != maxLayouts {
			t.Errorf("%d layouts in the cache, want %d", len(l.layouts), maxLayouts)
		}
		if layout(t, l, named("used")) != used || layout(t, l, named("unused")) == unused {
			t.Error("the cache dropped what was used, or kept what was not")
		}
	})
}

func TestLayouterErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t}
		l := newLayouter(f.start)
		defer close2(t, l)
		fails := func(ctx context.Context, want error) {
			t.Helper()
			if _, err := l.Layout(ctx, door()); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}

		// Graphviz breaks, and is started anew.
		f.err = errors.New("broken")
		fails(t.Context(), f.err)
		f.want(1, 1)
		fails(t.Context(), f.err)
		f.want(2, 2)

		// The caller gives up while it is made, and while it waits.
		f.err, f.hold = nil, make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { fails(ctx, context.Canceled) })
		wg.Go(func() { fails(ctx, context.Canceled) })
		synctest.Wait()
		cancel()
		wg.Wait()

		// Nobody gives up, but it takes too long.
		fails(t.Context(), context.DeadlineExceeded)

		f.hold = nil
		layout(t, l, door())
	})
}

func TestLayouterRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	l := newLayouter(f.start)
	defer close2(t, l)
	for _, m := range []*fsm.Machine{
		{Name: "Huge", States: make([]fsm.State, maxStates+1)},
		{Name: "Huge", Transitions: make([]fsm.Transition, maxTransitions+1)},
	} {
		_, err := l.Layout(t.Context(), m)
		var large *TooLargeError
		if !errors.As(err, &large) || large.States != len(m.States) || large.Transitions != len(m.Transitions) {
			t.Fatalf("got %v, want a TooLargeError", err)
		}
		if want := `machine "Huge" is too large to draw`; !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to have %q", err, want)
		}
	}
	if f.starts != 0 {
		t.Error("Graphviz was started for them")
	}
}

// TestLayouterStress uses it from many sides, and closes it in the middle.
func TestLayouterStress(t *testing.T) {
	t.Parallel()
	l := newLayouter((&fake{t: t}).start)
	var wg sync.WaitGroup
	first := make(chan struct{}, 8)
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				_, err := l.Layout(t.Context(), named(fmt.Sprint(i%2, j)))
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				if j == 2 {
					first <- struct{}{}
				}
			}
		})
	}
	<-first
	close2(t, l)
	wg.Wait()
	close2(t, l)
}
