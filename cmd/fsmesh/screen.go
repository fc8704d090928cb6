package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

// A screen is where a console prints. Timers print at any time, also while the
// prompt stands there: it is printed again after them then.
type screen struct {
	mu     sync.Mutex // guards what follows, and keeps lines whole
	w      io.Writer
	id     string // of the instance that is followed
	state  string
	asking bool // the prompt is shown and nothing was entered yet
}

// follow tells which instance the console is about.
func (s *screen) follow(in *fsm.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.state = in.ID(), in.State()
}

func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(text)
}

func (s *screen) print(text string) {
	if s.asking {
		fmt.Fprintf(s.w, "\r%s\n%s> ", text, s.state)
		return
	}
	fmt.Fprintln(s.w, text)
}

// status says where the instance is and what it accepts.
func (s *screen) status(accepts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(accepts) == 0 {
		s.print(s.state + ", accepts nothing")
		return
	}
	s.print(s.state + ", accepts " + strings.Join(accepts, ", "))
}

func (s *screen) prompt(show bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if show {
		fmt.Fprint(s.w, s.state+"> ")
		s.asking = true
	}
}

// leave tells that the prompt has been answered.
func (s *screen) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking = false
}

// trace prints what a transition does.
func (c *console) trace(t fsm.Trace) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	mine := t.Instance == c.out.id || c.out.id == ""
	text := c.describe(t)
	if mine && t.Kind == fsm.TraceStateChange {
		c.out.state = t.State
	}
	if text == "" {
		return
	}
	if !mine && t.Kind != fsm.TraceCreated {
		text = fmt.Sprintf("%s %s: %s", t.Machine, t.Instance, text)
	}
	c.out.print("  " + text)
}

// describe says in words what a trace entry tells; "" for what is not worth a
// line.
func (c *console) describe(t fsm.Trace) string {
	switch t.Kind {
	case fsm.TraceCreated:
		return fmt.Sprintf("%s %s is created in %s", t.Machine, t.Instance, t.State)
	case fsm.TraceExitMethod:
		return fmt.Sprintf("hook %s would run on leaving %s", t.Method, t.State)
	case fsm.TraceTriggered:
		return fmt.Sprintf("hook %s would run for %s", t.Method, t.Event)
	case fsm.TraceEntryMethod:
		return fmt.Sprintf("hook %s would run on entering %s", t.Method, t.State)
	case fsm.TraceStateChange:
		return fmt.Sprintf("%s → %s, by %s", t.From, t.State, t.Event)
	case fsm.TraceContextChange:
		return "its data has changed"
	case fsm.TraceInterMachine:
		return fmt.Sprintf("has created %s %s", t.TargetMachine, t.Target)
	case fsm.TraceCrossComponent:
		return c.describeMessage(t)
	case fsm.TraceCascade, fsm.TraceBroadcast:
		return fmt.Sprintf("sends %s to %s of %s", t.TargetEvent, plural(t.Count, "instance"), t.TargetMachine)
	case fsm.TraceDisposed:
		return "has ended"
	case fsm.TraceIgnored:
		return fmt.Sprintf("ignores %s in %s", t.Event, t.State)
	case fsm.TraceUserCodeError, fsm.TraceCascadeError, fsm.TraceInstanceError, fsm.TraceRestoreError:
		return strings.ReplaceAll(string(t.Kind), "_", " ") + ": " + t.Error
	}
	return ""
}

func (c *console) describeMessage(t fsm.Trace) string {
	what := "tells " + t.TargetComponent
	switch {
	case t.TargetEvent != "":
		what = fmt.Sprintf("sends %s to %s of %s", t.TargetEvent, t.TargetMachine, t.TargetComponent)
	case t.TargetMachine != "":
		what = fmt.Sprintf("creates one %s in %s", t.TargetMachine, t.TargetComponent)
	}
	if t.TargetComponent != c.hosted {
		what += ", which is not here: lost"
	}
	return what
}
