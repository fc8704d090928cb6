package fsm

// A step takes one event to one instance: a pure function of the instance, the
// event and what the env answers. It holds no lock, starts nothing, reads no
// clock, and changes nothing but the outcome that it returns, so the runtime
// may run it anywhere, drop its outcome, and run it again.

// An env is all that a step may ask of the world.
type env interface {
	// now is the time in ns. It is asked again when timers are set: hooks
	// take time.
	now() int64
	// trace tells what is happening, as it happens.
	trace(*Trace)
	// local returns a hosted component, or nil.
	local(name string) *component
	// remote reports whether components that are not hosted may exist
	// elsewhere.
	remote() bool
	// find returns the ids of the instances that a query finds, in the order
	// of their creation. The step's own instance is as the run has it, and
	// what the run created is there.
	find(q *query, r *run) []string
	// reserve takes the one place of a singleton entry machine for an
	// instance that the run creates, or says who has it.
	reserve(m *machine, id string) error
	// newID returns the id for the n-th creation of the run.
	newID(r *run, n int) string
	// hook runs user code.
	hook(r *run, at HookPoint, m method) error
}

// A given is the event that a step is about.
type given struct {
	event   string
	payload Data
	// timer is the transition whose timer fired, nil for all other events.
	timer  *transition
	source string // the component that the event came from, if another one
	hops   int
}

// An outcome is what a step leads to, once it is stored.
type outcome struct {
	tr    *transition // nil: the event was ignored
	after *Instance
	// data and ctx are as of the record: after the merge, before the entry
	// method. late is true if the entry method changed them.
	data, ctx Data
	late      bool
	// merged is true if data is the instance's with the payload and nothing
	// else set; same, if nothing was.
	merged, same bool
	created      []creation
	effects      []Effect
	// failed is why the engine could not complete the transition, which ended
	// the instance; "" otherwise.
	failed Code
	traces []Trace
	traced bool // traces were kept
	plain  bool // it is a plain step, and has no traces
	// numbered counts the traces of this instance that become numbered
	// notices, whether they were kept or not.
	numbered int
	// err refuses the whole step: nothing of it is to be stored.
	err error
}

// A creation is an instance that a transition made.
type creation struct {
	in *Instance
	// early is true if it was made before the transition's own record.
	early bool
	// order is the position among all creations; the runtime sets it.
	order uint64
}

// A run is a step under way. Hooks act on it through their Call.
type run struct {
	env     env
	before  *Instance
	given   given
	limits  *Limits
	tracing bool // someone wants the traces
	// st, data and ctx are the instance as it stands.
	st        *state
	data, ctx Data
	timers    []timer
	changed   bool // keys were set, if only to the values that they had
	updated   bool // by a hook
	recorded  bool // step 7 has passed
	at        HookPoint
	bytes     int // of effects so far
	events    int // that the run gave rise to
	out       *outcome
}

// transition returns the one that takes the event, nil if it is ignored. A
// timer does not choose: it takes the transition that owns it.
func (g *given) transition(in *Instance) *transition {
	if g.timer != nil {
		return g.timer
	}
	return in.st.choose(g.event, g.payload, in.data)
}

// step takes the event to the instance by the transition that given.transition
// chose (2). The numbers are those of the specification's list of what handling
// an event does.
func step(e env, in *Instance, tr *transition, g given, limits *Limits, tracing bool) *outcome {
	r := &run{env: e, before: in, given: g, limits: limits, tracing: tracing, st: in.st, data: in.data, ctx: in.ctx, out: &outcome{}}
	if tr == nil {
		r.tell(Trace{Kind: TraceIgnored, State: in.st.name, Event: g.event})
		r.out.after = in
		return r.out
	}
	r.out.tr, r.out.traced = tr, tracing
	if tr.kind == trInternal {
		r.internal(tr)
	} else {
		r.take(tr)
	}
	return r.out
}

func (r *run) take(tr *transition) {
	r.runHook(HookExit, tr.from.onExit) // 3
	r.runHook(HookTriggered, tr.method) // 4
	if !r.merge(tr) {                   // 5
		return
	}
	r.st = tr.to                                                                                                     // 6
	r.record()                                                                                                       // 7
	r.stopTimers(tr)                                                                                                 // 8
	r.tell(Trace{Kind: TraceStateChange, From: tr.from.name, State: tr.to.name, Event: r.given.event, Data: r.data}) // 9
	for _, k := range tr.to.cascades {                                                                               // 10
		r.cascade(k)
	}
	r.runHook(HookEntry, tr.to.onEntry) // 11
	r.notifyParent(tr)                  // 12
	switch tr.kind {                    // 13
	case trInterMachine:
		r.child(tr)
	case trCrossComponent:
		r.cross(tr)
	}
	r.finish(tr) // 14, 15
}

// internal is a transition that neither leaves nor enters its state.
func (r *run) internal(tr *transition) {
	r.runHook(HookTriggered, tr.method)
	if !r.merge(tr) {
		return
	}
	r.record()
	if r.changed {
		r.tell(Trace{Kind: TraceContextChange, State: r.st.name, Event: r.given.event, Data: r.data})
	}
	r.timers = r.before.timers
	if tr.notify != nil {
		r.notifyParent(tr)
	}
	r.out.after = r.instance(StatusActive)
}

// merge puts the payload into the data unless rules routed the event. It
// returns false if the data would become too large.
func (r *run) merge(tr *transition) bool {
	if tr.merges(r.given.payload) {
		r.data, r.changed = r.data.merge(r.given.payload), true
		if r.st.m.public {
			r.ctx = r.ctx.merge(r.given.payload)
		}
		// A timer has nobody to refuse it for, and its few bytes are ours.
		if r.given.timer == nil && r.tooLarge() {
			r.out.err = r.sizeError()
			return false
		}
	}
	return true
}

func (r *run) tooLarge() bool {
	return r.data.exceeds(r.limits.DataBytes) || r.st.m.public && r.ctx.exceeds(r.limits.DataBytes)
}

func (r *run) sizeError() error {
	return &Error{Code: CodeContextTooLarge, Instance: r.before.id, Machine: r.st.m.name, Count: r.limits.DataBytes}
}

// record notes the data that the record shows.
func (r *run) record() {
	r.recorded = true
	r.out.data, r.out.ctx = r.data, r.ctx
	r.out.same = !r.changed
	r.out.merged = r.changed && !r.updated
}

func (r *run) finish(tr *transition) {
	switch {
	case r.out.failed != "":
		r.timers = nil
		r.out.after = r.instance(StatusError)
		r.tell(Trace{Kind: TraceInstanceError, State: r.st.name, Error: string(r.out.failed)})
	case tr.to.ends():
		r.timers = nil
		r.out.after = r.instance(tr.to.status())
		if r.before.origin.entryPoint {
			r.tell(Trace{Kind: NoticeEntryPointEnded, State: tr.to.name, Status: tr.to.status()})
		} else {
			r.tell(Trace{Kind: TraceDisposed, State: tr.to.name, Status: tr.to.status()})
		}
	default:
		r.startTimers(tr)
		r.out.after = r.instance(StatusActive)
	}
}

// instance builds the value that follows the one before.
func (r *run) instance(status Status) *Instance {
	b := r.before
	return &Instance{
		id: b.id, st: r.st, origin: b.origin, rare: newRare(r.ctx, r.timers, status), data: r.data, version: b.version + 1,
		created: b.created, updated: r.env.now(),
	}
}

// stopTimers drops the timers that the transition ends: all of them if the
// state is left, on a self-loop those that restart. The one that fired is gone
// in any case.
func (r *run) stopTimers(tr *transition) {
	r.timers = nil
	if !tr.loop() {
		return
	}
	for _, t := range r.before.timers {
		if t.tr.keeps && t.tr != r.given.timer {
			r.timers = append(r.timers, t)
		}
	}
}

// startTimers starts those of the entered state; on a self-loop those that
// stopTimers dropped because they restart.
func (r *run) startTimers(tr *transition) {
	if len(tr.to.timed) == 0 {
		return
	}
	kept := r.timers
	r.timers = startTimers(tr.to, r.env.now(), func(t *transition) (timer, bool) {
		for _, k := range kept {
			if k.tr == t {
				return k, true
			}
		}
		return timer{}, tr.loop() && t.keeps
	})
}

// startTimers returns the timers of a stay in a state, in the order of
// definition. For each, held may say that it is not to be started anew; it
// returns what it is instead, the zero timer for none.
func startTimers(s *state, now int64, held func(*transition) (timer, bool)) []timer {
	if len(s.timed) == 0 {
		return nil
	}
	out := make([]timer, 0, len(s.timed))
	for _, t := range s.timed {
		if held != nil {
			if k, ok := held(t); ok {
				if k.tr != nil {
					out = append(out, k)
				}
				continue
			}
		}
		// Rounded up: a timer never fires early.
		out = append(out, timer{t, (now+999_999)/1e6 + t.delay})
	}
	return out
}

func (r *run) tell(t Trace) {
	if t.Instance == "" && t.Kind.numbered() {
		r.out.numbered++
	}
	if r.tracing {
		r.trace(t)
	}
}

// trace is apart from tell so that a trace that nobody wants stays off the heap.
func (r *run) trace(t Trace) {
	if t.Instance == "" {
		t.Instance = r.before.id
		t.Component, t.Machine = r.st.m.comp.name, r.st.m.name
	}
	r.env.trace(&t)
	r.out.traces = append(r.out.traces, t)
}

var hookTraces = map[HookPoint]Kind{HookExit: TraceExitMethod, HookTriggered: TraceTriggered, HookEntry: TraceEntryMethod}

func (r *run) runHook(at HookPoint, m method) {
	if m.name == "" {
		return
	}
	t := Trace{Kind: hookTraces[at], Method: m.name, Event: r.given.event, Data: r.data}
	if at != HookTriggered {
		t.State = r.st.name
	}
	r.tell(t)
	if m.run == nil {
		return
	}
	r.at = at
	if err := r.env.hook(r, at, m); err != nil {
		r.tell(Trace{Kind: TraceUserCodeError, Hook: at, Method: m.name, Error: errorText(err)})
	}
	r.at = ""
}

// errorText is what a report says of an error: the code of ours, the text of
// others.
func errorText(err error) string {
	if c := ErrorCode(err); c != "" {
		return string(c)
	}
	return err.Error()
}

// hostedMachine resolves a machine by names; component "" is the run's own.
// Both results are nil where the component is not hosted but may be elsewhere.
func (r *run) hostedMachine(comp, name string) (*component, *machine, error) {
	c := r.st.m.comp
	if comp != "" {
		if c = r.env.local(comp); c == nil {
			if r.env.remote() {
				return nil, nil, nil
			}
			return nil, nil, &Error{Code: CodeUnknownComponent, Component: comp}
		}
	}
	m := c.machine(name)
	if m == nil {
		return c, nil, &Error{Code: CodeUnknownMachine, Component: c.name, Machine: name}
	}
	return c, m, nil
}
