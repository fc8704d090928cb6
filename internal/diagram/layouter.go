package diagram

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram/graphviz"
)

// ErrClosed is returned by [Layouter.Layout] after Close.
var ErrClosed = errors.New("the layouter is closed")

// A TooLargeError is returned by [Layouter.Layout] for a machine that it does
// not draw, because nobody could read the diagram and Graphviz could take
// minutes for it. DOT and Mermaid have no bounds.
type TooLargeError struct {
	Machine             string
	States, Transitions int
}

// Error says how large the machine is and what the bounds are.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("machine %q is too large to draw: %d states, %d transitions; at most %d and %d",
		e.Machine, e.States, e.Transitions, maxStates, maxTransitions)
}

// Bounds.
const (
	maxStates      = 150
	maxTransitions = 400
	maxLayouts     = 256              // in the cache; beyond it the longest unused one is dropped
	maxTime        = 15 * time.Second // for one layout
	maxStart       = 2 * time.Minute  // for the start of Graphviz: half a second, but for busy machines and the race detector
	idleTime       = time.Minute      // without a new layout, until Graphviz is freed
)

// An engine is a running Graphviz.
type engine interface {
	Render(ctx context.Context, dot, format string) ([]byte, error)
	Close() error
}

// A Layouter lays out machines. It starts Graphviz with the first machine that
// it has no layout for, and frees it when it was not needed for a minute.
// Layouts are kept by the content of the definition. A Layouter may be used by
// many goroutines; one layout is made at a time, the others wait. It must be
// closed.
type Layouter struct {
	start func(ctx context.Context) (engine, error)

	// turn holds one token. Who takes it owns the fields below, until it puts
	// the token back. A channel, because waiting for it ends with a context.
	turn   chan struct{}
	closed bool
	engine engine         // nil while Graphviz does not run
	idle   *time.Timer    // set while Graphviz runs and nobody uses it
	frees  int            // counts the timers, so that a late one knows that it is late
	timers sync.WaitGroup // the callbacks of timers

	mu      sync.Mutex // guards layouts and clock
	layouts map[digest]*cached
	clock   int64 // counts uses of layouts
}

type digest [sha256.Size]byte

type cached struct {
	layout *Layout
	used   int64
}

// New returns a Layouter. Nothing runs until it is used.
func New() *Layouter {
	return newLayouter(func(ctx context.Context) (engine, error) { return graphviz.Start(ctx) })
}

func newLayouter(start func(context.Context) (engine, error)) *Layouter {
	l := &Layouter{start: start, turn: make(chan struct{}, 1), layouts: make(map[digest]*cached)}
	l.turn <- struct{}{}
	return l
}

// Layout returns the layout of a machine, from the cache if it has it: some
// microseconds; a new layout takes tens of milliseconds, and half a second more where
// Graphviz has to be started. The context bounds the call.
func (l *Layouter) Layout(ctx context.Context, m *fsm.Machine) (*Layout, error) {
	if len(m.States) > maxStates || len(m.Transitions) > maxTransitions {
		return nil, &TooLargeError{Machine: m.Name, States: len(m.States), Transitions: len(m.Transitions)}
	}
	key := contentOf(m)
	if layout := l.get(key); layout != nil {
		return layout, nil
	}
	select {
	case <-l.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("lay out machine %q: %w", m.Name, context.Cause(ctx))
	}
	defer func() { l.turn <- struct{}{} }()
	if l.closed {
		return nil, ErrClosed
	}
	if layout := l.get(key); layout != nil { // made while this call waited
		return layout, nil
	}
	layout, err := l.make(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("lay out machine %q: %w", m.Name, err)
	}
	l.put(key, layout)
	return layout, nil
}

// make lays out a machine in the directions that are worth a try and takes the
// best layout. The caller has the turn.
func (l *Layouter) make(ctx context.Context, m *fsm.Machine) (*Layout, error) {
	l.stopIdle()
	if l.engine == nil {
		if err := l.startEngine(ctx); err != nil {
			return nil, err
		}
	}
	defer l.startIdle()
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()

	g := newGraph(m)
	edges := g.merge()
	var best *Layout
	for _, dir := range directions(edges) {
		out, err := l.engine.Render(ctx, graphvizSource(g, edges, dir), "json0")
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, errors.Join(err, l.free()) // its state is not known
		}
		layout, err := readLayout(g, edges, out)
		if err != nil {
			return nil, err
		}
		if best == nil {
			best = layout
		} else {
			best = better(best, layout)
		}
	}
	return best, nil
}

// startEngine starts Graphviz. What it takes is the same for all machines, so
// it does not count as time of the layout. The caller has the turn.
func (l *Layouter) startEngine(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxStart)
	defer cancel()
	e, err := l.start(ctx)
	if err != nil {
		return err
	}
	l.engine = e
	return nil
}

// startIdle makes Graphviz end in a minute. The caller has the turn.
func (l *Layouter) startIdle() {
	if l.engine == nil {
		return
	}
	l.frees++
	this := l.frees
	l.timers.Add(1)
	l.idle = time.AfterFunc(idleTime, func() {
		defer l.timers.Done()
		<-l.turn
		defer func() { l.turn <- struct{}{} }()
		if l.frees == this && l.idle != nil {
			l.idle = nil
			_ = l.free() // nobody is left to tell, and the next start is a new instance
		}
	})
}

// stopIdle keeps Graphviz running. A timer that has fired already waits for
// the turn and finds out that it is late. The caller has the turn.
func (l *Layouter) stopIdle() {
	if l.idle != nil && l.idle.Stop() {
		l.timers.Done()
	}
	l.idle = nil
}

// free ends Graphviz. The caller has the turn.
func (l *Layouter) free() error {
	if l.engine == nil {
		return nil
	}
	e := l.engine
	l.engine = nil
	return e.Close()
}

// Close ends Graphviz and waits for a layout that is being made. It may be
// called twice.
func (l *Layouter) Close() error {
	<-l.turn
	l.closed = true
	l.stopIdle()
	err := l.free()
	l.turn <- struct{}{}
	l.timers.Wait()

	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.layouts)
	return err
}

// Kept returns the layout of a machine if the cache has it, else nil. It does not
// wait.
func (l *Layouter) Kept(m *fsm.Machine) *Layout { return l.get(contentOf(m)) }

func (l *Layouter) get(key digest) *Layout {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.layouts[key]
	if c == nil {
		return nil
	}
	l.clock++
	c.used = l.clock
	return c.layout
}

func (l *Layouter) put(key digest, layout *Layout) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.layouts) >= maxLayouts {
		var oldest digest
		used := l.clock + 1
		for k, c := range l.layouts {
			if c.used < used {
				oldest, used = k, c.used
			}
		}
		delete(l.layouts, oldest)
	}
	l.clock++
	l.layouts[key] = &cached{layout: layout, used: l.clock}
}

// contentOf is a hash of what a diagram shows of a machine. Quoting keeps
// apart what differs, in bytes that are not UTF-8 too.
func contentOf(m *fsm.Machine) digest {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", m.Name, m.InitialState)
	for i := range m.States {
		s := &m.States[i]
		fmt.Fprintf(h, "s %q %q\n", s.Name, s.Type)
	}
	for i := range m.Transitions {
		t := &m.Transitions[i]
		fmt.Fprintf(h, "t %q %q %q %q %d %q %q\n", t.From, t.To, t.Event, t.Type, t.TimeoutMs, t.TargetMachine, t.TargetComponent)
	}
	return digest(h.Sum(nil))
}
