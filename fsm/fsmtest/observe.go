package fsmtest

import (
	"context"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// An observation is a trace entry and the step during which it was made.
type observation struct {
	step  int
	trace fsm.Trace
}

// An observer collects what a runtime tells: its trace, and its notices.
type observer struct {
	aliases *aliases

	mu      sync.Mutex // guards all below
	step    int
	trace   []observation
	notices []observation
	told    chan struct{} // gets something whenever a notice has come
}

func newObserver(a *aliases) *observer {
	return &observer{aliases: a, told: make(chan struct{}, 1)}
}

// observe is Config.Trace.
func (o *observer) observe(t fsm.Trace) {
	if t.Kind == fsm.TraceCreated {
		o.aliases.created(t.Instance)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trace = append(o.trace, observation{o.step, t})
}

// watch collects notices until its context ends. It returns a function that
// waits for that end.
func (o *observer) watch(ctx context.Context, rt *fsm.Runtime, report func(error)) (wait func()) {
	sequence := rt.Watch(ctx, fsm.WatchOptions{Buffer: 1 << 16})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n, err := range sequence {
			if err != nil {
				if ctx.Err() == nil {
					report(err)
				}
				continue
			}
			o.mu.Lock()
			o.notices = append(o.notices, observation{o.step, n.Trace})
			o.mu.Unlock()
			select {
			case o.told <- struct{}{}:
			default:
			}
		}
	})
	return wg.Wait
}

func (o *observer) setStep(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.step = n
}

// noticed waits until there is a notice for each trace entry that calls for
// one, but for those of instances that are held up; or until it takes too
// long, which the comparison will show.
func (o *observer) noticed(ctx context.Context, held map[string]bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for !o.complete(held) {
		select {
		case <-o.told:
		case <-ctx.Done():
			return
		}
	}
}

func (o *observer) complete(held map[string]bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	missing := map[string]int{}
	for _, e := range o.trace {
		if isEvent(e.trace.Kind) && !isMethod(e.trace.Kind) {
			missing[e.trace.Instance]++
		}
	}
	for _, e := range o.notices {
		if isEvent(e.trace.Kind) {
			missing[e.trace.Instance]--
		}
	}
	for id, n := range missing {
		if n > 0 && !held[id] {
			return false
		}
	}
	return true
}

func isMethod(k fsm.Kind) bool {
	return k == fsm.TraceExitMethod || k == fsm.TraceTriggered || k == fsm.TraceEntryMethod
}

// isEvent reports whether scenarios list the kind among their events.
func isEvent(k fsm.Kind) bool {
	switch k {
	case fsm.TraceCreated, fsm.TraceExitMethod, fsm.TraceEntryMethod, fsm.TraceTriggered, fsm.TraceStateChange,
		fsm.TraceContextChange, fsm.TraceIgnored, fsm.TraceUserCodeError, fsm.TraceInterMachine, fsm.TraceCrossComponent,
		fsm.TraceCascadeError, fsm.TraceDisposed, fsm.TraceInstanceError, fsm.TraceRestored, fsm.TraceRestoreError:
		return true
	}
	return false
}

// events returns the entries of the list `events`.
func (o *observer) events(list []observation, components int) []entry {
	var out []entry
	for _, e := range list {
		if isEvent(e.trace.Kind) {
			out = append(out, o.event(e, components))
		}
	}
	return out
}

// event has the fields that scenarios give the kind.
func (o *observer) event(e observation, components int) entry {
	t := e.trace
	out := entry{"step": e.step, "kind": string(t.Kind), "inst": o.aliases.name(t.Instance)}
	set := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	data := func() { out["context"] = o.aliases.out(t.Data.Map()) }
	switch t.Kind {
	case fsm.TraceCreated:
		out["machine"], out["state"] = t.Machine, t.State
		set("parent", o.aliases.name(t.Parent))
		if components > 1 {
			out["component"] = t.Component
		}
		data()
	case fsm.TraceExitMethod, fsm.TraceEntryMethod:
		out["method"], out["state"], out["event"] = t.Method, t.State, t.Event
		data()
	case fsm.TraceTriggered:
		out["method"], out["event"] = t.Method, t.Event
		data()
	case fsm.TraceStateChange:
		out["from"], out["to"], out["event"] = t.From, t.State, t.Event
		data()
	case fsm.TraceContextChange:
		out["state"], out["event"] = t.State, t.Event
		data()
	case fsm.TraceIgnored:
		out["state"], out["event"] = t.State, t.Event
	case fsm.TraceUserCodeError:
		out["hook"], out["method"], out["error"] = string(t.Hook), t.Method, scenarioCode(t.Error)
	case fsm.TraceInterMachine:
		out["target"], out["machine"] = o.aliases.name(t.Target), t.TargetMachine
	case fsm.TraceCrossComponent:
		out["component"], out["machine"] = t.TargetComponent, t.TargetMachine
		set("targetEvent", t.TargetEvent)
		data()
	case fsm.TraceCascadeError, fsm.TraceRestoreError:
		out["error"] = t.Error
	case fsm.TraceDisposed:
		out["state"], out["status"] = t.State, t.Status.String()
	case fsm.TraceInstanceError:
		out["state"], out["error"] = t.State, t.Error
	case fsm.TraceRestored:
		out["machine"], out["state"] = t.Machine, t.State
	}
	return out
}

// counted returns the entries of the list `broadcasts` or `cascades`.
func (o *observer) counted(kind fsm.Kind) []entry {
	var out []entry
	for _, e := range o.trace {
		if e.trace.Kind != kind {
			continue
		}
		t := e.trace
		c := entry{"step": e.step, "machine": t.TargetMachine, "state": t.TargetState, "event": t.TargetEvent, "count": t.Count}
		if kind == fsm.TraceCascade {
			c["inst"] = o.aliases.name(t.Instance)
		} else if t.TargetState == "" {
			c["state"] = "*"
		}
		if t.TargetComponent != "" {
			c["component"] = t.TargetComponent
		}
		out = append(out, c)
	}
	return out
}

// scenarioCode is what scenarios call a code: there, an instance that has ended
// and was removed does not exist.
func scenarioCode(code string) string {
	if fsm.Code(code) == fsm.CodeInstanceEnded {
		return string(fsm.CodeUnknownInstance)
	}
	return code
}
