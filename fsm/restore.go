package fsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

// claimAndRestore reads the log, claims it and reads the rest. Who had it goes on
// meanwhile, so it is read twice before the claim: the second time there is
// little left, and the pause for clients is short.
func (rt *Runtime) claimAndRestore(ctx context.Context) (*restoring, error) {
	r := newRestoring(rt)
	for {
		if err := rt.standBy(ctx); err != nil {
			return nil, err
		}
		for range 2 {
			if err := r.readOn(ctx); err != nil {
				return nil, fmt.Errorf("restore: %w", err)
			}
		}
		claim, err := rt.log.Claim(ctx, by())
		if errors.Is(err, ErrConflict) {
			continue // somebody else was quicker
		}
		if err != nil {
			return nil, fmt.Errorf("claim its log: %w", err)
		}
		rt.claim = claim
		if err := r.readOn(ctx); err != nil {
			return nil, fmt.Errorf("restore what came in before the claim: %w", err)
		}
		return r, nil
	}
}

// readOn reads what the log holds beyond what was read before.
func (r *restoring) readOn(ctx context.Context) error {
	finish := r.work()
	var failed error
	for item, err := range r.rt.log.Restore(ctx) {
		if failed = err; failed == nil {
			failed = r.take(item)
		}
		if failed != nil {
			break
		}
	}
	return cmp.Or(finish(), failed)
}

// resume puts what was restored into the tables, fires the timers that came due
// meanwhile, and goes on with open effects. Nothing else is handled before.
func (rt *Runtime) resume(ctx context.Context, r *restoring) error {
	b := r.build()
	rt.order.Store(b.order)
	rt.restored = b.reports
	for _, s := range b.ended {
		rt.places.restore(s.cur.Load(), false)
		rt.ended.add(s)
	}
	slices.SortFunc(b.told, func(a, b toldRestored) int { return cmp.Compare(a.order, b.order) })
	for _, t := range b.told {
		rt.tellRestored(t)
	}
	slices.SortFunc(b.late, func(a, b lateTimer) int {
		return cmp.Or(cmp.Compare(a.t.due, b.t.due), cmp.Compare(a.s.order, b.s.order))
	})
	var open []*root
	for _, l := range b.late {
		root := &root{done: make(chan struct{})}
		root.add(1)
		open = append(open, root)
		d := &delivery{
			target: l.s.id, root: root, at: rt.clock.now(), due: l.t.due,
			given: given{event: l.t.tr.event, payload: expiredPayload, timer: l.t.tr},
		}
		rt.shardOf(l.s.id).post(item{d: d})
	}
	// Only now that all are there may timers fire.
	err := rt.visitAll(ctx, func(sh *shard) {
		for _, s := range sh.tab.all() {
			sh.timers.set(s, s.cur.Load())
		}
		sh.timers.sleep(sh)
	})
	if err != nil {
		return err
	}
	open = append(open, rt.reopen(r, b)...)
	// Not until nothing is handled any more: timers may fire without end.
	for _, root := range open {
		select {
		case <-root.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-rt.dead:
			return rt.notRunning()
		}
	}
	return nil
}

// tellRestored tells of an instance that is back, or why it is not.
func (rt *Runtime) tellRestored(told toldRestored) {
	in := told.in
	t := Trace{Kind: TraceRestored, Instance: in.id, Component: in.Component(), Machine: in.Machine(), State: in.st.name}
	if told.err != nil {
		t.Kind, t.Error = TraceRestoreError, errorText(told.err)
		rt.report(t)
		return
	}
	t.Data = in.data
	rt.trace(&t)
	rt.tell(in, []Trace{t})
}

// reopen goes on with the effects that were not done, in their order. It returns
// what they are roots of.
func (rt *Runtime) reopen(r *restoring, b *built) (roots []*root) {
	open := slices.SortedFunc(maps.Values(r.open), func(a, b openEffect) int { return cmp.Compare(a.seq, b.seq) })
	for _, o := range open {
		if rt.comps[o.e.Component] == nil {
			if o.id.Target == 0 && rt.cfg.Dispatcher != nil {
				rt.outbox.add(o.id.Record, o.e, o.at*1e6)
				rt.outbox.noteReopened()
			}
			continue
		}
		from := &Instance{id: o.id.Record.Instance, origin: noOrigin}
		if snap := b.sources[from.id]; snap != nil {
			if in, err := rt.rebuild(snap); err == nil {
				from = in
			}
		}
		from.version, from.updated = o.id.Record.Version, rt.clock.now()
		root := &root{done: make(chan struct{})}
		if d := rt.delivery(from, o.e, o.id.Target, root); d != nil {
			roots = append(roots, root)
			if d.sender != nil && from.st == nil {
				d.sender = nil // its definition is gone
			}
			rt.shardOf(d.target).post(item{d: d})
		}
	}
	return roots
}
