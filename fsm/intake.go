package fsm

import (
	"context"
	"math"
	"sync"
)

// A RemoteID names an effect that came from another runtime, for good.
type RemoteID struct {
	From string `json:"from"`
	Log  string `json:"log"`
	// Record and N name the effect within that log.
	Record RecordID `json:"record"`
	N      int      `json:"n"`
}

// An intake remembers the effects of other runtimes that this one took over.
// What led to a record is found again after a restart.
type intake struct {
	mu    sync.Mutex // guards known and what it holds
	known map[RemoteID]*takenEffect
}

// A takenEffect is one effect: who it is for is chosen once.
type takenEffect struct {
	epoch, seq uint64 // as of its last coming
	chosen     bool
	targets    []string
	next       int             // of targets
	applied    map[string]bool // before a restart
	running    chan struct{}   // closed at the end of what is under way
	err        error           // of the last try
}

// Receive applies an effect that another runtime sends, once however often it
// comes. It returns nil once all its targets have it, or there is nobody to
// take it; an error means that the sender is to send it again. The context
// bounds the waiting only. It fails with ErrUnknownComponent if this runtime
// does not host the component.
func (rt *Runtime) Receive(ctx context.Context, e RemoteEffect) error {
	if err := rt.running(); err != nil {
		return err
	}
	if rt.comps[e.Effect.Component] == nil {
		return &Error{Code: CodeUnknownComponent, Component: e.Effect.Component}
	}
	if e.Effect.Payload.exceeds(rt.limits.DataBytes) {
		return &Error{Code: CodeContextTooLarge, Component: e.Effect.Component, Event: e.Effect.Event, Count: rt.limits.DataBytes}
	}
	t, running := rt.intake.take(rt, e)
	if t == nil {
		return rt.notRunning()
	}
	select {
	case <-running:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-rt.dead:
		return rt.notRunning()
	}
	rt.intake.mu.Lock()
	defer rt.intake.mu.Unlock()
	return t.err
}

// take finds what is known of an effect and goes on with it, unless that is
// under way already. It returns nil if the runtime has ended.
func (in *intake) take(rt *Runtime, e RemoteEffect) (*takenEffect, chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.forget(e)
	id := RemoteID{e.From, e.Log, e.Record, e.Effect.N}
	t := in.known[id]
	if t == nil {
		t = &takenEffect{}
		in.known[id] = t
	}
	t.epoch, t.seq = e.Epoch, e.Seq
	if t.running == nil {
		running := make(chan struct{})
		t.running = running
		started := rt.spawn(func() {
			err := rt.apply(t, id, e)
			in.mu.Lock()
			defer in.mu.Unlock()
			t.err, t.running = err, nil
			close(running)
		})
		if !started {
			return nil, nil
		}
		return t, running
	}
	return t, t.running
}

// forget drops what the sender says is done: it will not come again. A sender
// that has restarted has numbered anew; what it sent before is done once all
// that it had left open then is.
func (in *intake) forget(e RemoteEffect) {
	for id, t := range in.known {
		if id.From != e.From || id.Log != e.Log || t.running != nil {
			continue
		}
		if t.epoch == e.Epoch && t.seq < e.Lowest || t.epoch < e.Epoch && e.Lowest > e.Reopened {
			delete(in.known, id)
		}
	}
}

// restore notes that a record was the outcome of a remote effect.
func (in *intake) restore(id RemoteID, instance string) {
	t := in.known[id]
	if t == nil {
		// Its number in the sender's last run is not known: only a later run can
		// say that it is done.
		t = &takenEffect{seq: math.MaxUint64, applied: map[string]bool{}}
		in.known[id] = t
	}
	t.applied[instance] = true
}

// apply takes the effect to those of its targets that do not have it yet.
func (rt *Runtime) apply(t *takenEffect, id RemoteID, e RemoteEffect) error {
	if !t.chosen {
		targets, err := rt.chooseTargets(&e.Effect)
		if err != nil {
			return err
		}
		t.targets, t.chosen = targets, true
	}
	for ; t.next < len(t.targets); t.next++ {
		if target := t.targets[t.next]; !t.applied[target] {
			if err := rt.applyTo(target, id, e.Effect); err != nil {
				return err
			}
		}
	}
	return nil
}

func (rt *Runtime) chooseTargets(e *Effect) ([]string, error) {
	if e.Kind != EffectDeliver || len(e.Targets) > 0 {
		return e.Targets, nil
	}
	c := rt.comps[e.Component]
	m := c.machine(e.Machine)
	if m == nil {
		return nil, nil
	}
	q := broadcastQuery(m, e.Event, e.State, e.Payload)
	if len(e.Rules) > 0 {
		rules, err := compileRules(e.Rules)
		if err != nil {
			return nil, &Error{Code: CodeBadValue, Component: c.name, Machine: m.name, Err: err}
		}
		q.alternatives = []alternative{{m.states[e.State], rules}}
	}
	return rt.find(&q, nil, nil), nil
}

func (rt *Runtime) applyTo(target string, id RemoteID, e Effect) error {
	e.Targets = []string{target}
	from := &Instance{id: id.Record.Instance, version: id.Record.Version, updated: rt.clock.now()}
	d := rt.delivery(from, &e, 0, &root{})
	if d == nil {
		return nil
	}
	d.remote = &id
	d.sender, d.isEffect = nil, false // both are the sending runtime's
	d.root.pending.Store(0)           // ask counts it
	_, err := rt.ask(rt.ctx, d, false)
	switch ErrorCode(err) {
	case CodeUnknownInstance, CodeInstanceEnded, CodeInstanceInactive, CodeQuarantined, CodeEventIgnored,
		CodeSingletonExists, CodeIDExists, CodeTooDeep, CodeContextTooLarge:
		return nil // taken over, and led to nothing
	}
	return err
}
