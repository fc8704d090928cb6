package fsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// A RestoreReport says how many instances of a component a start brought back,
// and how many it could not.
type RestoreReport struct {
	Component        string
	Restored, Failed int
}

// Restored returns what Start brought back, a report for each component. It
// fails with ErrPersistenceDisabled if there is no store to restore from.
func (rt *Runtime) Restored() ([]RestoreReport, error) {
	if rt.cfg.Store == nil {
		return nil, &Error{Code: CodePersistence}
	}
	return rt.restored, nil
}

// A restoring gathers what a log gives back.
type restoring struct {
	rt        *Runtime
	instances map[string]*restoredInstance
	open      map[EffectID]openEffect
	seq       int
}

type restoredInstance struct {
	snap Snapshot
}

type openEffect struct {
	seq int
	id  EffectID
	e   *Effect
}

// claimAndRestore reads the log and claims it where it ends.
func (rt *Runtime) claimAndRestore(ctx context.Context) (*restoring, error) {
	r := &restoring{rt: rt, instances: map[string]*restoredInstance{}, open: map[EffectID]openEffect{}}
	for {
		for item, err := range rt.log.Restore(ctx) {
			if err == nil {
				err = r.take(item)
			}
			if err != nil {
				return nil, fmt.Errorf("restore: %w", err)
			}
		}
		claim, err := rt.log.Claim(ctx, by())
		if errors.Is(err, ErrConflict) {
			continue // it has moved on
		}
		if err != nil {
			return nil, fmt.Errorf("claim its log: %w", err)
		}
		rt.claim = claim
		return r, nil
	}
}

func (r *restoring) take(item Restored) error {
	switch {
	case item.Snapshot != nil:
		if old := r.instances[item.Snapshot.Instance]; old == nil || old.snap.Version < item.Snapshot.Version {
			r.instances[item.Snapshot.Instance] = &restoredInstance{snap: *item.Snapshot}
		}
	case item.Record != nil:
		return r.apply(item.Record)
	case item.Done != nil:
		delete(r.open, *item.Done)
	}
	return nil
}

func (r *restoring) apply(rec *Record) error {
	if rec.Effect != nil {
		delete(r.open, *rec.Effect)
	}
	if rec.Remote != nil {
		r.rt.intake.restore(*rec.Remote, rec.Instance)
	}
	for i := range rec.Effects {
		for t := range max(1, len(rec.Effects[i].Targets)) {
			id := EffectID{rec.ID(), rec.Effects[i].N, t}
			r.seq++
			r.open[id] = openEffect{r.seq, id, &rec.Effects[i]}
		}
	}
	in := r.instances[rec.Instance]
	switch {
	case in == nil && rec.Version == 1:
		in = &restoredInstance{}
		r.instances[rec.Instance] = in
		in.snap.Instance, in.snap.Component, in.snap.Machine = rec.Instance, rec.Component, rec.Machine
		in.snap.CreatedAt = rec.Time
		if rec.Origin != nil {
			in.snap.Origin = *rec.Origin
		}
	case in == nil:
		return fmt.Errorf("instance %q begins with version %d: its earlier records are missing", rec.Instance, rec.Version)
	case rec.Version <= in.snap.Version:
		return nil
	case rec.Version != in.snap.Version+1:
		return fmt.Errorf("instance %q has no record between versions %d and %d", rec.Instance, in.snap.Version, rec.Version)
	}
	s := &in.snap
	s.Version, s.State, s.Status, s.Timers, s.UpdatedAt = rec.Version, rec.After, rec.Status, rec.Timers, rec.Time
	s.Data, s.Context = rec.Data, rec.Context
	if rec.EndData != nil {
		s.Data, s.Context = *rec.EndData, rec.EndContext
	}
	if rec.Event.ID != "" && rec.Version > 1 {
		if len(s.EventIDs) >= maxSeen {
			s.EventIDs = s.EventIDs[1:]
		}
		s.EventIDs = append(slices.Clip(s.EventIDs), SeenEvent{eventHash(rec.Event.ID), rec.Version, rec.After})
	}
	return nil
}

// resume puts what was restored into the tables, fires the timers that came due
// meanwhile, and goes on with open effects. Nothing else is handled before.
func (rt *Runtime) resume(ctx context.Context, r *restoring) error {
	reports := make([]RestoreReport, len(rt.list))
	for i, c := range rt.list {
		reports[i].Component = c.name
	}
	all := make([]*restoredInstance, 0, len(r.instances))
	for _, in := range r.instances {
		all = append(all, in)
	}
	slices.SortFunc(all, func(a, b *restoredInstance) int { return cmp.Compare(a.snap.Origin.Order, b.snap.Origin.Order) })
	type late struct {
		s *slot
		t timer
	}
	var expired []late
	for _, ri := range all {
		in, err := rt.rebuild(&ri.snap)
		ended := ri.snap.Status != StatusActive
		if err != nil {
			if !ended {
				rt.failRestore(&ri.snap, err, reports)
			}
			continue
		}
		rt.order.Store(max(rt.order.Load(), ri.snap.Origin.Order))
		rt.places.restore(in, !ended || in.origin.entryPoint)
		if ended && !in.origin.entryPoint {
			continue
		}
		t, due := expire(in, rt.clock.now()/1e6)
		s := rt.enterRestored(in, &ri.snap, due)
		reports[in.st.m.comp.index].Restored++
		tr := Trace{Kind: TraceRestored, Instance: in.id, Component: in.Component(), Machine: in.Machine(), State: in.st.name, Data: in.data}
		rt.trace(&tr)
		rt.tell(in, []Trace{tr})
		if due {
			expired = append(expired, late{s, t})
		}
	}
	rt.restored = reports
	slices.SortStableFunc(expired, func(a, b late) int { return cmp.Compare(a.t.due, b.t.due) })
	for _, l := range expired {
		root := &root{}
		root.add(1)
		d := &delivery{
			target: l.s.id, root: root, at: rt.clock.now(), due: l.t.due,
			given: given{event: l.t.tr.event, payload: expiredPayload, timer: l.t.tr},
		}
		rt.shardOf(l.s.id).post(item{d: d})
	}
	// Only now that all are there may timers fire.
	for _, sh := range rt.shards {
		sh.post(item{f: func() {
			for _, s := range sh.tab.all() {
				sh.arm(s, s.cur.Load())
			}
		}})
	}
	rt.reopen(r)
	return rt.Idle(ctx, 0)
}

// reopen goes on with the effects that were not done, in their order.
func (rt *Runtime) reopen(r *restoring) {
	open := make([]openEffect, 0, len(r.open))
	for _, o := range r.open {
		open = append(open, o)
	}
	slices.SortFunc(open, func(a, b openEffect) int { return cmp.Compare(a.seq, b.seq) })
	for _, o := range open {
		if rt.comps[o.e.Component] == nil {
			if o.id.Target == 0 && rt.cfg.Dispatcher != nil {
				rt.outbox.add(o.id.Record, o.e, rt.clock.now())
				rt.outbox.noteReopened()
			}
			continue
		}
		from := &Instance{id: o.id.Record.Instance, version: o.id.Record.Version, updated: rt.clock.now(), origin: noOrigin}
		if ri := r.instances[from.id]; ri != nil {
			if in, err := rt.rebuild(&ri.snap); err == nil {
				in.version, in.updated = from.version, from.updated
				from = in
			}
		}
		if d := rt.delivery(from, o.e, o.id.Target, &root{}); d != nil {
			if d.sender != nil && from.st == nil {
				d.sender = nil // its definition is gone
			}
			rt.shardOf(d.target).post(item{d: d})
		}
	}
}

// rebuild makes an instance from a snapshot. It fails if its machine or state
// is not defined any more.
func (rt *Runtime) rebuild(s *Snapshot) (*Instance, error) {
	c := rt.comps[s.Component]
	if c == nil {
		return nil, &Error{Code: CodeUnknownComponent, Component: s.Component}
	}
	m := c.machines[s.Machine]
	if m == nil {
		return nil, &Error{Code: CodeUnknownMachine, Component: s.Component, Machine: s.Machine}
	}
	st := m.states[s.State]
	if st == nil {
		return nil, &Error{Code: CodeUnknownState, Component: s.Component, Machine: s.Machine, State: s.State}
	}
	in := &Instance{
		id: s.Instance, st: st, origin: noOrigin, data: s.Data, version: s.Version,
		created: s.CreatedAt * 1e6, updated: s.UpdatedAt * 1e6,
	}
	var ctx Data
	if s.Context != nil {
		ctx = *s.Context
	}
	var timers []timer
	if s.Status == StatusActive {
		timers = st.restoreTimers(s.Timers)
	}
	in.rare = newRare(ctx, timers, s.Status)
	o := s.Origin
	o.Order = 0
	if o != (RecordOrigin{}) {
		in.origin = &origin{
			parent: o.Parent, parentMachine: o.ParentMachine, parentComp: o.ParentComponent,
			key: o.Key, generation: o.Generation, entryPoint: o.EntryPoint, createID: o.CreateID, cause: o.Cause,
		}
	}
	return in, nil
}

// restoreTimers finds the transitions of stored timers. Where the definition
// has changed, names decide; a timer whose transition is gone is dropped.
func (s *state) restoreTimers(stored []RecordTimer) []timer {
	var out []timer
	for _, t := range s.timed {
		for _, r := range stored {
			if r.Transition == t.index && r.Event == t.event && r.To == t.to.name {
				out = append(out, timer{t, r.Due})
			}
		}
	}
	if len(out) == len(stored) {
		return out
	}
	out = out[:0]
	used := make([]bool, len(stored))
	for _, t := range s.timed {
		for i, r := range stored {
			if !used[i] && r.Event == t.event && r.To == t.to.name {
				used[i] = true
				out = append(out, timer{t, r.Due})
				break
			}
		}
	}
	return out
}

// expire returns the timeout of the instance that ran out first while nobody
// watched, and voids the others that ran out, too.
func expire(in *Instance, now int64) (first timer, found bool) {
	for _, t := range in.timers {
		if t.tr.kind == trTimeout && t.due <= now && (!found || t.due < first.due) {
			first, found = t, true
		}
	}
	if found {
		left := slices.DeleteFunc(slices.Clone(in.timers), func(t timer) bool {
			return t.tr.kind == trTimeout && t.due <= now && t != first
		})
		in.rare = newRare(in.ctx, left, in.status)
	}
	return first, found
}

// enterRestored puts an instance into its table. firing says that a timer of it
// is about to be handled.
func (rt *Runtime) enterRestored(in *Instance, snap *Snapshot, firing bool) *slot {
	sh := rt.shardOf(in.id)
	s := &slot{id: in.id, order: snap.Origin.Order, heapAt: -1, firing: firing}
	sh.tab.mu.Lock()
	sh.tab.enter(s, in)
	sh.tab.mu.Unlock()
	rt.numbers[in.st.m.comp.index].count(1)
	ids := snap.EventIDs
	for _, e := range ids[max(0, len(ids)-maxSeen):] {
		s.remember(e)
	}
	return s
}

// failRestore tells of an instance that cannot be brought back. Its records
// stay in the log.
func (rt *Runtime) failRestore(s *Snapshot, err error, reports []RestoreReport) {
	for i := range reports {
		if reports[i].Component == s.Component {
			reports[i].Failed++
		}
	}
	rt.report(Trace{Kind: TraceRestoreError, Instance: s.Instance, Component: s.Component, Machine: s.Machine, State: s.State, Error: errorText(err)})
	rt.cfg.Logger.Error("instance not restored", "component", s.Component, "machine", s.Machine, "instance", s.Instance, "err", err)
}
