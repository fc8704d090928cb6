package fsm

// deliveries makes what one effect of a step asks for and adds it to what the
// step's group has to do. What is for another runtime goes by the outbox, once
// the step is stored. What cannot be done is marked done with the step.
func (rt *Runtime) deliveries(st *stepping, e *Effect) {
	if rt.comps[e.Component] == nil {
		st.remote = append(st.remote, e)
		return
	}
	root, limit := st.d.root, int64(rt.limits.Events)
	lost := func(i int) {
		if rt.log != nil {
			st.done = append(st.done, EffectID{RecordID{st.out.after.id, st.out.after.version}, e.N, i})
		}
	}
	for i := range e.Targets {
		if n := root.events.Add(1); n > limit {
			if n == limit+1 {
				rt.cutOff(st.out.after, e)
			}
			lost(i)
			continue
		}
		if d := rt.delivery(st.out.after, e, i, root); d != nil {
			st.group.next.push(d)
		} else {
			lost(i)
		}
	}
}

// delivery makes the delivery of an effect of a hosted component to one of its
// targets. It returns nil if there can be none: the message is lost.
func (rt *Runtime) delivery(from *Instance, e *Effect, i int, r *root) *delivery {
	cause := RecordID{from.id, from.version}
	d := &delivery{
		target: e.Targets[i], root: r, at: from.updated, cause: cause,
		effect: EffectID{cause, e.N, i}, isEffect: true,
		given: given{event: e.Event, payload: e.Payload, hops: e.Hops},
	}
	if e.Source != e.Component {
		d.given.source = e.Source
	}
	switch e.Kind {
	case EffectSend:
		d.sender = &undelivered{from, e.Hook, e.Method}
	case EffectCreate:
		d.kind, d.data, d.origin = deliverCreate, e.Payload, noOrigin
		if d.machine = rt.comps[e.Component].machine(e.Machine); d.machine == nil {
			return nil
		}
		d.state = d.machine.initial
	}
	r.add(1)
	return d
}

// cutOff tells that one cause has led to more events than it may.
func (rt *Runtime) cutOff(in *Instance, e *Effect) {
	rt.report(Trace{
		Kind: NoticeDropped, Instance: in.id, Component: in.Component(), Machine: in.Machine(), State: in.st.name,
		Event: e.Event, Error: string(CodeTooMany),
	})
	rt.cfg.Logger.Warn("one event led to too many; the rest is dropped", "component", in.Component(), "instance", in.id, "event", e.Event, "limit", rt.limits.Events)
}
