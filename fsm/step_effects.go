package fsm

import "cmp"

// What a transition leads to beyond its instance: events for others, and
// creations.

// maxTargets is how many targets one effect names; more make several effects.
const maxTargets = 20_000

// maxEffectBytes bounds the effects of one record, so that a record stays
// below the 7 MB that a store must take.
const maxEffectBytes = 4 << 20

// send adds an effect. It fails with ErrTooMany where the record would become
// too large or the cause has led to too many events.
func (r *run) send(e Effect) error {
	if e.Payload.exceeds(r.limits.DataBytes) {
		return &Error{Code: CodeContextTooLarge, Instance: r.before.id, Machine: r.st.m.name, Event: e.Event, Count: r.limits.DataBytes, Detail: "payload of " + e.Event}
	}
	// All of it or nothing: what is refused must not be half done.
	targets := e.Targets
	bytes := (e.Payload.size() + 64) * (1 + len(targets)/maxTargets)
	for _, id := range targets {
		bytes += len(id) + 3
	}
	if r.bytes+bytes > maxEffectBytes {
		return &Error{Code: CodeTooMany, Instance: r.before.id, Event: e.Event, Count: maxEffectBytes, Detail: "bytes of effects in one record"}
	}
	r.bytes += bytes
	r.events += max(1, len(targets))
	if r.events > r.limits.Events {
		return &Error{Code: CodeTooMany, Instance: r.before.id, Event: e.Event, Count: r.limits.Events}
	}
	e.Hops = r.given.hops + 1
	e.Source = r.st.m.comp.name
	for first := true; first || len(targets) > 0; first = false {
		n := min(len(targets), maxTargets)
		e.Targets, targets = targets[:n:n], targets[n:]
		e.N = len(r.out.effects)
		r.out.effects = append(r.out.effects, e)
	}
	return nil
}

// broadcast selects targets now and sends to them later. It returns how many
// there are, -1 if another runtime will choose them.
func (r *run) broadcast(comp, machineName, stateName, event string, payload Data) (int, error) {
	if stateName == "" {
		stateName = "*"
	}
	e := Effect{Kind: EffectDeliver, Component: cmp.Or(comp, r.st.m.comp.name), Machine: machineName, State: stateName, Event: event, Payload: payload}
	_, m, err := r.hostedMachine(comp, machineName)
	if err != nil {
		return 0, err
	}
	if m == nil {
		return -1, r.send(e)
	}
	q := broadcastQuery(m, event, stateName, payload)
	e.Targets = r.env.find(&q, r)
	r.tell(Trace{Kind: TraceBroadcast, Event: r.given.event, TargetEvent: event, TargetComponent: comp, TargetMachine: machineName, TargetState: stateName, Count: len(e.Targets)})
	if len(e.Targets) == 0 {
		return 0, nil
	}
	if err := r.send(e); err != nil {
		return 0, err
	}
	return len(e.Targets), nil
}

// cascade processes one rule of the entered state.
func (r *run) cascade(k *cascade) {
	err := func() error {
		c, m, err := r.hostedMachine(k.component, k.machine)
		if err != nil {
			return err
		}
		payload := expand(k.payload, r.data)
		e := Effect{Kind: EffectDeliver, Component: k.component, Machine: k.machine, State: k.state, Event: k.event, Payload: payload}
		if m == nil {
			e.Rules = remoteRules(k.rules)
			return r.send(e)
		}
		e.Component = c.name
		if st := m.states[k.state]; st != nil || k.state == "*" || k.state == "" {
			q := query{m: m, payload: payload, alternatives: []alternative{{st, k.rules}}}
			e.Targets = r.env.find(&q, r)
		}
		r.tell(Trace{Kind: TraceCascade, Event: r.given.event, TargetEvent: k.event, TargetComponent: k.component, TargetMachine: k.machine, TargetState: k.state, Count: len(e.Targets)})
		if len(e.Targets) == 0 {
			return nil
		}
		return r.send(e)
	}()
	if err != nil {
		r.tell(Trace{Kind: TraceCascadeError, Error: errorText(err)})
	}
}

// notifyParent tells the parent of the transition, if there is one and the
// definition says so.
func (r *run) notifyParent(tr *transition) {
	parent := r.before.origin.parent
	if parent == "" {
		return
	}
	payload := []field{
		{"childInstanceId", r.before.id}, {"childMachine", r.st.m.name}, {"previousState", tr.from.name},
	}
	event := r.st.m.parentEvent
	withState := true
	if n := tr.notify; n != nil {
		event = n.Event
		withState = n.IncludeState == nil || *n.IncludeState
		if n.IncludeContext {
			payload = append(payload, field{"childContext", r.data.Map()})
		}
	}
	if event == "" {
		return
	}
	if withState {
		payload = append(payload, field{"newState", r.st.name})
	}
	sortFields(payload)
	err := r.send(Effect{Kind: EffectDeliver, Targets: []string{parent}, Component: r.before.origin.parentComp, Machine: r.before.origin.parentMachine, Event: event, Payload: Data{payload}})
	if err != nil {
		r.tell(Trace{Kind: NoticeDropped, Event: event, Error: errorText(err)})
	}
}

// sendOn makes the data that a child or another component gets.
func (r *run) sendOn(tr *transition) Data {
	whole := r.data.merge(r.given.payload)
	if !tr.mapped {
		return whole
	}
	fs := make([]field, 0, len(tr.mapping))
	for _, m := range tr.mapping {
		if v, ok := whole.lookup(m.path); ok {
			fs = append(fs, field{m.key, v})
		}
	}
	return Data{fs}
}

// child creates the child of an inter_machine transition.
func (r *run) child(tr *transition) {
	if tr.targetMachine == "" {
		if tr.targetComponent != "" {
			r.cross(tr)
		}
		return
	}
	m := r.st.m.comp.machines[tr.targetMachine]
	if m == nil {
		r.out.failed = CodeUnknownMachine
		return
	}
	o := &origin{parent: r.before.id, parentMachine: r.st.m.name, parentComp: r.st.m.comp.name}
	id, err := r.create(m, r.sendOn(tr), o)
	if err != nil {
		r.out.failed = ErrorCode(err)
		return
	}
	r.tell(Trace{Kind: TraceInterMachine, Target: id, TargetMachine: m.name})
}

// create makes an instance in its initial state, at once.
func (r *run) create(m *machine, data Data, o *origin) (string, error) {
	if data.exceeds(r.limits.DataBytes) {
		return "", r.sizeError()
	}
	if r.events++; r.events > r.limits.Events || len(r.out.created) >= maxTargets {
		return "", &Error{Code: CodeTooMany, Instance: r.before.id, Machine: m.name, Count: r.limits.Events}
	}
	id := r.env.newID(r, len(r.out.created))
	o.cause = RecordID{r.before.id, r.before.version + 1}
	if err := r.env.reserve(m, id); err != nil {
		return "", err
	}
	in := newInstance(id, m.initial, data, o, r.env.now())
	r.out.created = append(r.out.created, creation{in: in, early: !r.recorded})
	r.tell(createdTrace(in))
	return id, nil
}

// newInstance is a creation: version 1, with the timers of its state.
func newInstance(id string, st *state, data Data, o *origin, now int64) *Instance {
	return &Instance{
		id: id, st: st, origin: o, rare: newRare(Data{}, startTimers(st, now, nil), StatusActive),
		data: data, version: 1, created: now / 1e6 * 1e6, updated: now,
	}
}

func createdTrace(in *Instance) Trace {
	return Trace{
		Kind: TraceCreated, Instance: in.id, Component: in.Component(), Machine: in.Machine(), State: in.st.name,
		Data: in.data, Parent: in.origin.parent,
	}
}

// cross sends the message of a cross_component transition.
func (r *run) cross(tr *transition) {
	data := r.sendOn(tr)
	c, m, err := r.hostedMachine(tr.targetComponent, tr.targetMachine)
	t := Trace{Kind: TraceCrossComponent, TargetComponent: tr.targetComponent, TargetMachine: tr.targetMachine, TargetEvent: tr.targetEvent, Data: data}
	if m != nil {
		t.TargetMachine = m.name
	}
	r.tell(t)
	if err != nil {
		return // the message is lost, the transition stands
	}
	e := Effect{Component: tr.targetComponent, Machine: t.TargetMachine, Payload: data}
	switch {
	case tr.targetEvent == "":
		e.Kind = EffectCreate
		e.Targets = []string{r.env.newID(r, -1-len(r.out.effects))}
	case len(tr.sendRules) == 0:
		return // never to everybody by accident
	default:
		e.Kind, e.Event = EffectDeliver, tr.targetEvent
		if m == nil {
			e.Rules = remoteRules(tr.sendRules)
			break
		}
		q := query{m: m, payload: data, alternatives: []alternative{{nil, tr.sendRules}}}
		if e.Targets = r.env.find(&q, r); len(e.Targets) == 0 {
			return
		}
	}
	if c != nil {
		e.Component = c.name
	}
	if err := r.send(e); err != nil {
		r.tell(Trace{Kind: NoticeDropped, Event: tr.targetEvent, Error: errorText(err)})
	}
}

// update is updateContext: it sets keys in the data and the context.
func (r *run) update(values Data) error {
	if len(values.fields) == 0 {
		return nil
	}
	data, ctx := r.data, r.ctx
	r.data, r.changed, r.updated = r.data.merge(values), true, true
	if r.st.m.public {
		r.ctx = r.ctx.merge(values)
	}
	if r.tooLarge() {
		r.data, r.ctx = data, ctx
		return r.sizeError()
	}
	if r.recorded {
		r.out.late = true
		r.tell(Trace{Kind: TraceContextChange, State: r.st.name, Event: r.given.event, Data: r.data})
	}
	return nil
}

var operatorNames = [...]string{"===", "!==", ">", "<", ">=", "<="}

// remoteRules gives compiled rules the form in which they travel.
func remoteRules(rules []rule) []MatchingRule {
	out := make([]MatchingRule, 0, len(rules))
	for _, r := range rules {
		out = append(out, MatchingRule{joinPath(r.event), joinPath(r.inst), operatorNames[r.op]})
	}
	return out
}
