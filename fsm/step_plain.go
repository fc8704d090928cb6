package fsm

// The common step, the short way: it runs no hook, leads to nothing beyond the
// instance, sets and stops no timer, and does not end the instance. It gives
// what step gives in that case; a test compares the two.

// plain reports whether the transition from the instance is such a step.
func (in *Instance) plain(tr *transition) bool {
	return tr.plain && !in.st.m.public && !tr.to.ends() && len(in.timers) == 0 && len(tr.to.timed) == 0
}

// shortStep takes a plain step as step would, but without the traces: what is told
// outside, one change of state, follows from the instances. It sets what out has
// to have for that. The transition is a plain one that no timer fired. ok is false
// where step has to be asked.
func shortStep(out *outcome, in *Instance, tr *transition, g *given, now int64, limits *Limits) (ok bool) {
	after, ok := in.plainStep(tr, g.payload, now, limits.DataBytes)
	if !ok {
		return false
	}
	out.merged = tr.merges(g.payload)
	out.same, out.plain, out.numbered = !out.merged, true, 1
	out.tr, out.after, out.data, out.ctx = tr, after, after.data, after.ctx
	return true
}

// stateChange is the trace of a plain step.
func stateChange(from *state, after *Instance, event string) Trace {
	return Trace{
		Kind: TraceStateChange, Instance: after.id, Component: after.Component(), Machine: after.Machine(),
		From: from.name, State: after.st.name, Event: event, Data: after.data,
	}
}

// merges reports whether the transition puts the payload into the data.
func (t *transition) merges(payload Data) bool {
	return len(payload.fields) > 0 && len(t.rules) == 0
}

// plainStep takes it. ok is false if the data would become too large.
func (in *Instance) plainStep(tr *transition, payload Data, now int64, limit int) (after *Instance, ok bool) {
	data := in.data
	if tr.merges(payload) {
		data = data.merge(payload)
		if data.exceeds(limit) {
			return nil, false
		}
	} else if payload.exceeds(limit) {
		return nil, false
	}
	return &Instance{
		id: in.id, st: tr.to, origin: in.origin, rare: in.rare, data: data, version: in.version + 1,
		created: in.created, updated: now,
	}, true
}
