package fsm

// How steps become records and snapshots, and records instances again.

const createdEvent = "INSTANCE_CREATED"

// creationRecord is the record of a creation. Its event's payload names the
// parent, what triggered it and the initial data, as the ancestor's does.
func (rt *Runtime) creationRecord(in *Instance, order uint64, d *delivery) *Record {
	payload := []field{{"initialContext", in.data.Map()}, {"triggerEvent", d.given.event}}
	if in.origin.parent != "" {
		payload = append(payload, field{"parentInstanceId", in.origin.parent}, field{"parentMachineName", in.origin.parentMachine})
	}
	sortFields(payload)
	rec := &Record{
		Kind: KindCreated, Instance: in.id, Version: 1, Component: in.Component(), Machine: in.Machine(),
		Event: RecordEvent{ID: d.eventID, Type: createdEvent, Payload: Data{payload}, Time: d.at / 1e6},
		After: in.st.name, Time: in.created / 1e6, Of: in,
		Origin: in.recordOrigin(order),
	}
	rec.fill(in, in.data, in.ctx)
	rec.CausedBy = in.origin.cause
	if d.kind == deliverCreate {
		rec.Source = d.given.source
		rec.Remote = d.remote
		if d.isEffect {
			rec.Effect = &d.effect
		}
	}
	return rec
}

// createdEvent is the delivery that created an instance, as far as it is known.
func (in *Instance) createdEvent() *delivery {
	return &delivery{at: in.created, eventID: in.origin.createID}
}

func (in *Instance) recordOrigin(order uint64) *RecordOrigin {
	o := in.origin
	return &RecordOrigin{
		Parent: o.parent, ParentMachine: o.parentMachine, ParentComponent: o.parentComp, Key: o.key, Generation: o.generation,
		EntryPoint: o.entryPoint, CreateID: o.createID, Cause: o.cause, Order: order,
	}
}

func (r *Record) fill(in *Instance, data, ctx Data) {
	r.Data, r.Timers = data, recordTimers(in.timers)
	if in.st.m.public {
		own := ctx // only here on the heap
		r.Context = &own
	}
}

func recordTimers(timers []timer) []RecordTimer {
	var out []RecordTimer
	for _, t := range timers {
		out = append(out, RecordTimer{t.tr.index, t.tr.event, t.tr.to.name, t.due})
	}
	return out
}

// transitionRecord makes the record of a transition.
func (rt *Runtime) transitionRecord(rec *Record, st *stepping) {
	in, out, d := st.out.after, st.out, st.d
	*rec = Record{
		Kind: KindTransition, Instance: in.id, Version: in.version, Component: in.Component(), Machine: in.Machine(),
		Event:  RecordEvent{ID: d.eventID, Type: d.given.event, Payload: d.given.payload, Time: d.at / 1e6},
		Before: st.before.st.name, After: in.st.name, Status: in.status, Time: in.updated / 1e6,
		CausedBy: d.cause, Source: d.given.source, Error: string(out.failed), Effects: out.effects, Remote: d.remote, Of: in,
	}
	rec.fill(in, out.data, out.ctx)
	if out.late {
		rec.EndData = &in.data
		if in.st.m.public {
			rec.EndContext = &in.ctx
		}
	}
	if d.isEffect {
		rec.Effect = &d.effect
	}
	if !rt.cfg.NoSnapshots && (in.status != StatusActive || (in.version-1)%uint64(rt.cfg.SnapshotEvery) == 0) {
		rec.Snapshot = rt.snapshot(st.s, in, st.s.seenList(true))
	}
}

// snapshot holds the whole instance as it is after a step, with the events that
// it has seen by then.
func (rt *Runtime) snapshot(s *slot, in *Instance, seen []SeenEvent) *Snapshot {
	snap := &Snapshot{
		Instance: in.id, Version: in.version, Component: in.Component(), Machine: in.Machine(), State: in.st.name,
		Status: in.status, Data: in.data, Timers: recordTimers(in.timers), CreatedAt: in.created / 1e6, UpdatedAt: in.updated / 1e6,
		EventIDs: seen,
		Origin:   *in.recordOrigin(s.order),
	}
	if in.st.m.public {
		snap.Context = &in.ctx
	}
	return snap
}

// size is about what the record takes, in bytes.
func (r *Record) size() int {
	if r.Encoded != nil {
		return len(r.Encoded)
	}
	n := 300 + r.Data.size() + r.Event.Payload.size()
	if r.EndData != nil {
		n += r.EndData.size()
	}
	if r.Snapshot != nil {
		n += 200 + r.Snapshot.Data.size()
	}
	for i := range r.Effects {
		n += 100 + r.Effects[i].Payload.size() + 40*len(r.Effects[i].Targets)
	}
	return n
}
