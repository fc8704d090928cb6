package fsm

import (
	"context"
	"math"
	"slices"
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

// An intake remembers the effects of other runtimes that this one took over, so
// that a copy is not applied again. What led to a record, and who was chosen, is
// found again after a restart.
type intake struct {
	mu      sync.Mutex // guards all below
	senders map[senderID]*sender
	heard   uint64 // counts what came, see sender.heard
}

// maxSenders bounds the logs that are remembered: a runtime without a store has
// a new one with each start. Beyond it the one that was not heard of for longest
// is forgotten; a copy that came from there after that would be applied again.
const maxSenders = 4096

// A senderID names one log of a runtime.
type senderID struct{ from, log string }

// A sender is what is known of one. It sends the effects for one component one
// after the other, so when one comes those before it for that component are
// done: of a run of the sender little more than one effect for each component is
// remembered. What is known of its earlier runs, before or after a restart of
// our own, stays until the sender says that all which they had left open is done.
type sender struct {
	heard   uint64 // the intake's count as of the last that came
	known   map[RemoteID]*takenEffect
	lanes   map[string]*senderLane // by component
	earlier []RemoteID
}

// A senderLane is the last that came for one component.
type senderLane struct {
	epoch, seq uint64
	ids        []RemoteID // in the order of coming; those before the last still run
}

// A takenEffect is one effect: who it is for is chosen once.
type takenEffect struct {
	epoch, seq uint64 // as of its last coming; 0 for what a log gave back
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
	if err := rt.Ready(ctx); err != nil {
		return err
	}
	if rt.comps[e.Effect.Component] == nil {
		return &Error{Code: CodeUnknownComponent, Component: e.Effect.Component}
	}
	if e.Effect.Payload.exceeds(rt.limits.DataBytes) {
		return &Error{Code: CodeContextTooLarge, Component: e.Effect.Component, Event: e.Effect.Event, Count: rt.limits.DataBytes}
	}
	t, running, done := rt.intake.take(rt, e)
	switch {
	case done:
		return nil
	case t == nil:
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
// under way already. done is true for a late copy: the sender has gone on. It
// returns nil if the runtime has ended.
func (in *intake) take(rt *Runtime, e RemoteEffect) (t *takenEffect, running chan struct{}, done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sender(e.From, e.Log)
	id := RemoteID{e.From, e.Log, e.Record, e.Effect.N}
	if done := s.come(e, id); done {
		return nil, nil, true
	}
	if t = s.known[id]; t == nil {
		t = &takenEffect{}
		s.known[id] = t
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
			return nil, nil, false
		}
	}
	return t, t.running, false
}

func (in *intake) sender(from, log string) *sender {
	id := senderID{from, log}
	s := in.senders[id]
	if s == nil {
		if len(in.senders) >= maxSenders {
			in.forgetOne()
		}
		s = &sender{known: map[RemoteID]*takenEffect{}, lanes: map[string]*senderLane{}}
		in.senders[id] = s
	}
	in.heard++
	s.heard = in.heard
	return s
}

// forgetOne forgets the sender that was not heard of for longest and of which
// nothing is under way.
func (in *intake) forgetOne() {
	var oldest senderID
	least := uint64(math.MaxUint64)
	for id, s := range in.senders {
		if s.heard < least && !s.busy() {
			oldest, least = id, s.heard
		}
	}
	delete(in.senders, oldest)
}

// busy reports whether an effect is under way.
func (s *sender) busy() bool {
	for _, t := range s.known {
		if t.running != nil {
			return true
		}
	}
	return false
}

// come forgets what the sender has gone on from. It reports whether the effect
// itself is such a one.
func (s *sender) come(e RemoteEffect, id RemoteID) (late bool) {
	l := s.lanes[e.Effect.Component]
	if l == nil {
		l = &senderLane{epoch: e.Epoch}
		s.lanes[e.Effect.Component] = l
	}
	switch {
	case e.Epoch == l.epoch && e.Seq < l.seq:
		return true
	case e.Epoch > l.epoch:
		// It has restarted and numbered anew.
		s.earlier = append(s.earlier, l.ids...)
		*l = senderLane{epoch: e.Epoch}
	case e.Epoch < l.epoch:
		// On its way since before that: it may not have come before.
		if s.known[id] == nil {
			s.earlier = append(s.earlier, id)
		}
		return false
	}
	if e.Seq > l.seq || len(l.ids) == 0 {
		l.seq = e.Seq
		l.ids = slices.DeleteFunc(l.ids, s.forget)
		l.ids = append(l.ids, id)
	}
	if len(s.earlier) > 0 && e.Lowest > e.Reopened {
		s.earlier = slices.DeleteFunc(s.earlier, func(old RemoteID) bool {
			t := s.known[old]
			return old == id || t == nil || t.epoch == e.Epoch || t.epoch < e.Epoch && s.forget(old)
		})
	}
	return false
}

// forget drops an effect, unless it is still under way.
func (s *sender) forget(id RemoteID) bool {
	if t := s.known[id]; t != nil && t.running != nil {
		return false
	}
	delete(s.known, id)
	return true
}

// restore notes that a record was the outcome of a remote effect.
func (in *intake) restore(id RemoteID, instance string) {
	t := in.known(id)
	if t.applied == nil {
		t.applied = map[string]bool{}
	}
	t.applied[instance] = true
}

// restoreChosen notes who an effect is for.
func (in *intake) restoreChosen(c ChosenTargets) {
	t := in.known(c.Effect)
	t.targets, t.chosen = c.Targets, true
}

// known returns what a log has given back of an effect. Its number in the
// sender's last run is not known: only a later run can say that it is done.
func (in *intake) known(id RemoteID) *takenEffect {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.sender(id.From, id.Log)
	t := s.known[id]
	if t == nil {
		t = &takenEffect{}
		s.known[id] = t
		s.earlier = append(s.earlier, id)
	}
	return t
}

// remembers reports whether an effect may come again.
func (in *intake) remembers(id RemoteID) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.senders[senderID{id.From, id.Log}]
	return s != nil && s.known[id] != nil
}

// apply takes the effect to those of its targets that do not have it yet.
func (rt *Runtime) apply(t *takenEffect, id RemoteID, e RemoteEffect) error {
	if !t.chosen {
		targets, err := rt.chooseTargets(id, &e.Effect)
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

// chooseTargets decides who an effect is for. Where that is decided here, it is
// stored before the first of them gets the event: after a restart other
// instances may match.
func (rt *Runtime) chooseTargets(id RemoteID, e *Effect) ([]string, error) {
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
	targets := rt.find(&q, nil, nil)
	if rt.log == nil || len(targets) == 0 {
		return targets, nil
	}
	return targets, rt.storeChoice(ChosenTargets{id, targets})
}

// storeChoice returns once the choice is stored.
func (rt *Runtime) storeChoice(c ChosenTargets) error {
	p := &pendingChoice{c, make(chan error, 1)}
	sh := rt.shardOf(c.Targets[0])
	sh.post(item{f: func() {
		b := sh.openBatch()
		b.chosen = append(b.chosen, p)
		if !rt.waits {
			sh.seal()
		}
	}})
	select {
	case err := <-p.stored:
		return err
	case <-rt.dead:
		return rt.notRunning()
	}
}

// A pendingChoice is on its way to the store.
type pendingChoice struct {
	ChosenTargets
	stored chan error // room for one
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
