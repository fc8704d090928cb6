package fsm

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// How what a log gave back gets into the tables.

// A built is what comes of it beside the tables.
type built struct {
	order   uint64 // the highest
	reports []RestoreReport
	late    []lateTimer
	ended   []*slot // the last that ended
	told    []toldRestored
	// sources are the instances that open effects came from.
	sources map[string]*Snapshot
}

// A lateTimer is a timeout that ran out while nobody watched.
type lateTimer struct {
	s *slot
	t timer
}

// A toldRestored is an instance that somebody is to be told of; err says why it
// is quarantined.
type toldRestored struct {
	order uint64
	in    *Instance
	err   error
}

// build fills the tables, shard by shard on all processors, and frees what was
// gathered for each as it goes.
func (r *restoring) build() *built {
	rt := r.rt
	b := &built{sources: map[string]*Snapshot{}, reports: make([]RestoreReport, len(rt.list))}
	for i, c := range rt.list {
		b.reports[i].Component = c.name
	}
	wanted := map[string]bool{}
	for id := range r.open {
		wanted[id.Record.Instance] = true
	}
	var next atomic.Int32
	var wg sync.WaitGroup
	var mu sync.Mutex // guards b
	for range min(runtime.GOMAXPROCS(0), len(r.parts)) {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(r.parts) {
					return
				}
				part := rt.shards[n].build(r.parts[n].instances, wanted)
				r.parts[n].instances = nil
				mu.Lock()
				b.add(part, rt.limits.Ended)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return b
}

// add joins what came of one shard.
func (b *built) add(part *built, mostEnded int) {
	b.order = max(b.order, part.order)
	b.late = append(b.late, part.late...)
	b.told = append(b.told, part.told...)
	b.ended = lastEnded(append(b.ended, part.ended...), mostEnded)
	for id, s := range part.sources {
		b.sources[id] = s
	}
	for _, p := range part.reports {
		i := slices.IndexFunc(b.reports, func(o RestoreReport) bool { return o.Component == p.Component })
		if i < 0 {
			i = len(b.reports)
			b.reports = append(b.reports, RestoreReport{Component: p.Component})
		}
		b.reports[i].Restored += p.Restored
		b.reports[i].Failed += p.Failed
	}
}

// lastEnded returns the slots of those that ended last, the oldest first.
func lastEnded(slots []*slot, most int) []*slot {
	slices.SortFunc(slots, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(a.cur.Load().updated, b.cur.Load().updated), cmp.Compare(a.order, b.order))
	})
	return slices.Clone(slots[max(0, len(slots)-most):])
}

// build enters a shard's instances. wanted are the ids whose snapshots are asked
// for beside that.
func (sh *shard) build(instances map[string]restored, wanted map[string]bool) *built {
	rt := sh.rt
	p := &built{sources: map[string]*Snapshot{}}
	reports := map[string]*RestoreReport{}
	report := func(component string) *RestoreReport {
		if reports[component] == nil {
			reports[component] = &RestoreReport{Component: component}
		}
		return reports[component]
	}
	tracing, now := rt.tracing(), rt.clock.now()/1e6
	live := make([]int, len(rt.list))
	sh.tab.mu.Lock()
	defer sh.tab.mu.Unlock()
	sh.tab.expect(len(instances))
	for id, ri := range instances {
		snap := ri.snap
		p.order = max(p.order, snap.Origin.Order)
		if wanted[id] {
			p.sources[id] = snap
		}
		in, err := rt.rebuild(snap)
		ended := snap.Status != StatusActive
		s := &slot{id: id, order: snap.Origin.Order, heapAt: -1}
		s.rememberAll(snap.EventIDs)
		switch {
		case err != nil && ended && !snap.Origin.EntryPoint:
			continue // nothing can be done with it but read its history
		case err != nil:
			report(snap.Component).Failed++
			in = rt.undefined(snap)
			rt.places.restore(in, true)
			sh.tab.enter(s, in)
			rt.addQuarantined(&quarantined{s, snap, err.Error(), true})
			p.told = append(p.told, toldRestored{s.order, in, err})
			rt.cfg.Logger.Error("instance not restored: it is quarantined", "component", snap.Component, "machine", snap.Machine, "instance", id, "err", err)
			continue
		case ended && !in.origin.entryPoint:
			s.cur.Store(in)
			p.ended = append(p.ended, s)
			continue
		}
		rt.places.restore(in, true)
		t, due := expire(in, now)
		s.firing = due // it is about to be handled
		sh.tab.enter(s, in)
		live[in.st.m.comp.index]++
		report(snap.Component).Restored++
		if tracing {
			p.told = append(p.told, toldRestored{order: s.order, in: in})
		}
		if due {
			p.late = append(p.late, lateTimer{s, t})
		}
	}
	for i, n := range live {
		rt.numbers[i].count(n)
	}
	for _, r := range reports {
		p.reports = append(p.reports, *r)
	}
	p.ended = lastEnded(p.ended, rt.limits.Ended)
	return p
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
	return s.instance(st, s.Status), nil
}

// instance is the instance of a snapshot in a state. Only an active one has
// timers.
func (s *Snapshot) instance(st *state, status Status) *Instance {
	in := &Instance{
		id: s.Instance, st: st, origin: noOrigin, data: s.Data, version: s.Version,
		created: s.CreatedAt * 1e6, updated: s.UpdatedAt * 1e6,
	}
	var ctx Data
	if s.Context != nil {
		ctx = *s.Context
	}
	var timers []timer
	if status == StatusActive {
		timers = st.restoreTimers(s.Timers)
	}
	in.rare = newRare(ctx, timers, status)
	o := s.Origin
	o.Order = 0
	if o != (RecordOrigin{}) {
		in.origin = &origin{
			parent: o.Parent, parentMachine: o.ParentMachine, parentComp: o.ParentComponent,
			key: o.Key, generation: o.Generation, entryPoint: o.EntryPoint, createID: o.CreateID, cause: o.Cause,
		}
	}
	return in
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
