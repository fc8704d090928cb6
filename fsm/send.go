package fsm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/fsmesh/fsmesh/internal/nearest"
)

// Send takes an event to an instance and returns when its transition is
// stored, with what it led to. Events of one instance are handled one at a
// time, in the order in which they were accepted.
//
// It fails with ErrUnknownInstance, ErrInstanceEnded, ErrEventIgnored (no
// transition takes the event; nothing changed), ErrVersionMoved,
// ErrContextTooLarge, ErrBadValue, ErrOverloaded, ErrReentrant, ErrStoreFailed,
// ErrFenced or ErrNotRunning, and with the context's error. When the context
// ends while the event is on its way, the event may still be handled; send it
// with WithEventID to be able to repeat it.
func (rt *Runtime) Send(ctx context.Context, id string, ev Event, opts ...SendOption) (Result, error) {
	var payload Data
	if len(ev.Payload) > 0 {
		var err error
		if payload, err = newPayload(ev); err != nil {
			return Result{}, err
		}
	}
	if len(opts) == 0 {
		if r, err, ok := rt.sendFast(ctx, id, ev.Type, payload); ok {
			return r, err
		}
		return rt.send(ctx, id, ev.Type, payload, sendOptions{})
	}
	var o sendOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return rt.send(ctx, id, ev.Type, payload, o)
}

func (rt *Runtime) send(ctx context.Context, id, event string, payload Data, o sendOptions) (Result, error) {
	if err := cmp.Or(context.Cause(ctx), rt.Ready(ctx)); err != nil {
		return Result{}, err
	}
	if payload.exceeds(rt.limits.DataBytes) {
		return Result{}, &Error{Code: CodeContextTooLarge, Instance: id, Count: rt.limits.DataBytes, Detail: "payload of " + event}
	}
	chain := rt.busyChain(ctx)
	if slices.Contains(chain, id) || chain != nil && o.settled {
		return Result{}, &Error{Code: CodeReentrant, Instance: id, Event: event}
	}
	f := rt.flights.Get().(*flight)
	d := &f.delivery
	d.target, d.given.event, d.given.payload, d.at = id, event, payload, rt.clock.now()
	d.eventID, d.version, d.versioned, d.chain = o.eventID, o.version, o.versioned, chain
	d.root = &f.root
	if !o.settled {
		d.flight = f
	}
	r, err := rt.ask(ctx, d, o.settled)
	if o.eventID != "" && ErrorCode(err) == CodeUnknownInstance {
		// It may have ended long ago, with this event.
		first, ok, serr := rt.repeatedEvent(ctx, id, o.eventID)
		if ok || serr != nil {
			return first, serr
		}
	}
	return r, err
}

// ask has a delivery from outside handled and waits for its answer, and with
// settled for all that it leads to.
func (rt *Runtime) ask(ctx context.Context, d *delivery, settled bool) (Result, error) {
	if d.chain != nil {
		defer rt.workers.lend()()
	}
	w := rt.waiters.Get().(*waiter)
	d.waiter = w
	d.root.add(1)
	var done chan struct{}
	if settled {
		done = make(chan struct{})
		d.root.done = done
	}
	if err := rt.shardOf(d.target).accept(ctx, d); err != nil {
		if d.keyed {
			rt.places.drop(&Instance{id: d.target, st: d.state, origin: d.origin})
		}
		return Result{}, err
	}
	res, err := rt.wait(ctx, w)
	if settled && ctx.Err() == nil {
		select {
		case <-done:
		case <-ctx.Done():
			return res, context.Cause(ctx)
		case <-rt.dead:
			if err == nil {
				err = rt.notRunning()
			}
		}
	}
	return res, err
}

// accept takes an outside delivery in. If the shard is idle the caller runs it:
// that saves two switches between goroutines. Where commits take time there is
// nothing to save, and one turn for what many callers left costs less than one for
// each.
func (sh *shard) accept(ctx context.Context, d *delivery) error {
	if err := sh.offer(ctx, d); err != nil {
		return err
	}
	if sh.rt.waits {
		sh.wake()
		return nil
	}
	if !sh.owned.Load() && sh.owned.CompareAndSwap(false, true) {
		sh.run(foreignSteps)
	}
	return nil
}

// sendFast takes the common event the short way: its shard is idle, its
// instance free, and its transition leads to nothing beyond the instance. It
// does what the long way does in that case, without making anything for the
// cases that cannot occur.
func (rt *Runtime) sendFast(ctx context.Context, id, event string, payload Data) (Result, error, bool) {
	if rt.cfg.Store != nil || rt.cfg.Trace != nil {
		return Result{}, nil, false
	}
	sh := rt.shardOf(id)
	if !sh.seize() {
		return Result{}, nil, false
	}
	r, err, ok := sh.sendFast(ctx, id, event, payload)
	sh.owned.Store(false)
	if sh.inSize.Load() > 0 || len(sh.inbox) > 0 {
		sh.wake()
	}
	return r, err, ok
}

// seize takes the ownership if the shard is free, or is so within the time that
// a short step takes: that is less than two switches between goroutines.
func (sh *shard) seize() bool {
	for range 64 {
		if !sh.owned.Load() && sh.owned.CompareAndSwap(false, true) {
			return true
		}
	}
	return false
}

func (sh *shard) sendFast(ctx context.Context, id, event string, payload Data) (Result, error, bool) {
	rt := sh.rt
	if rt.phase.now.Load() != phaseRunning || ctx.Err() != nil || !sh.idle() || rt.busyChain(ctx) != nil {
		return Result{}, nil, false
	}
	s := sh.tab.get(id)
	if s == nil || s.blocked() {
		return Result{}, nil, false
	}
	in := s.cur.Load()
	if in.status != StatusActive {
		return Result{}, nil, false
	}
	tr := in.st.choose(event, payload, in.data)
	if tr == nil || !in.plain(tr) {
		return Result{}, nil, false
	}
	after, ok := in.plainStep(tr, payload, rt.clock.now(), rt.limits.DataBytes)
	if !ok {
		return Result{}, nil, false
	}
	sh.advance(s, in, after, 1)
	sh.tallyOf(in).applied.Add(1)
	d := delivery{given: given{payload: payload}}
	merged := tr.merges(payload)
	s.keep(in, &d, &outcome{tr: tr, after: after, data: after.data, merged: merged, same: !merged})
	if ws := rt.watchers.all(); len(ws) > 0 {
		tellPlain(ws, in.st, after, event, payload)
	}
	return Result{Record: RecordID{after.id, after.version}, State: tr.to.name, Version: after.version, Seq: after.seq, Instance: after}, nil, true
}

// SendByKey is Send to the instance that has a business key, or else to the last
// one that had it: an event that it accepted gives its first outcome. InComponent says
// in which component, where several are hosted. The error for a key that
// nobody has reads "no instance for order:abc123".
func (rt *Runtime) SendByKey(ctx context.Context, key string, ev Event, opts ...SendOption) (Result, error) {
	var o sendOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	payload, err := newPayload(ev)
	if err != nil {
		return Result{}, err
	}
	id, err := rt.idByKey(o.component, key)
	if o.eventID != "" && ErrorCode(err) == CodeUnknownInstance {
		// Who had it last may have ended long ago, with this event.
		var in *Instance
		if in, err = rt.FindByKey(ctx, o.component, key); err == nil {
			id = in.id
		}
	}
	if err != nil {
		return Result{}, err
	}
	return rt.send(ctx, id, ev.Type, payload, o)
}

// idByKey finds the instance that has the key, or the last one that had it.
func (rt *Runtime) idByKey(comp, key string) (string, error) {
	found := ""
	for _, c := range rt.list {
		if comp != "" && c.name != comp {
			continue
		}
		id, generation := rt.places.find(c, key)
		if id == "" && generation > 0 {
			id = keyedID(c.name, key, generation)
		}
		if id == "" {
			continue
		}
		if found != "" {
			return "", &Error{Code: CodeAmbiguous, Key: key}
		}
		found = id
	}
	if found == "" {
		return "", &Error{Code: CodeUnknownInstance, Key: key}
	}
	return found, nil
}

// Broadcast sends an event to the instances of a machine, as they are now. If
// transitions for the event have matching rules, only instances whose rules
// pass get it; else all active ones do. It returns how many were chosen (with
// SettledOneByOne: how many took delivery); each has been given the event when
// it returns, in the order of creation. It fails with ErrUnknownMachine, ErrUnknownComponent,
// ErrAmbiguous, ErrBadValue, ErrReentrant, ErrNotRunning.
func (rt *Runtime) Broadcast(ctx context.Context, machine string, ev Event, opts ...BroadcastOption) (int, error) {
	var o broadcastOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	if err := cmp.Or(context.Cause(ctx), rt.Ready(ctx)); err != nil {
		return 0, err
	}
	payload, err := newPayload(ev)
	if err != nil {
		return 0, err
	}
	if payload.exceeds(rt.limits.DataBytes) {
		return 0, &Error{Code: CodeContextTooLarge, Machine: machine, Count: rt.limits.DataBytes, Detail: "payload of " + ev.Type}
	}
	m, err := rt.machine(o.component, machine)
	if err != nil {
		return 0, err
	}
	chain := rt.busyChain(ctx)
	if chain != nil && o.settled {
		return 0, &Error{Code: CodeReentrant, Instance: chain[0], Event: ev.Type}
	}
	q := broadcastQuery(m, ev.Type, o.state, payload)
	ids := rt.find(&q, nil, nil)
	shared := &root{}
	n := 0
	for _, id := range ids {
		d := &delivery{target: id, given: given{event: ev.Type, payload: payload}, root: shared, at: rt.clock.now(), chain: chain}
		if o.eventID != "" {
			d.eventID = hashID(o.eventID + "\x00" + id)
		}
		if o.settled {
			d.root = &root{}
			_, err := rt.ask(ctx, d, true)
			switch ErrorCode(err) {
			case CodeUnknownInstance, CodeInstanceEnded, CodeInstanceInactive:
				continue // it ended before its turn came
			case "", CodeEventIgnored:
				if err != nil && ErrorCode(err) == "" {
					return n, err
				}
			default:
				return n, err
			}
		} else {
			shared.add(1)
			if err := rt.shardOf(id).accept(ctx, d); err != nil {
				return n, err
			}
		}
		n++
	}
	return n, nil
}

// machine finds a hosted machine by name.
func (rt *Runtime) machine(comp, name string) (*machine, error) {
	if comp != "" {
		c := rt.comps[comp]
		if c == nil {
			return nil, &Error{Code: CodeUnknownComponent, Component: comp}
		}
		if m := c.machine(name); m != nil {
			return m, nil
		}
		return nil, &Error{Code: CodeUnknownMachine, Component: comp, Machine: name, Detail: didYouMean(name, c.machines)}
	}
	var found *machine
	for _, c := range rt.list {
		if m := c.machines[name]; m != nil {
			if found != nil {
				return nil, &Error{Code: CodeAmbiguous, Machine: name}
			}
			found = m
		}
	}
	if found == nil {
		all := map[string]*machine{}
		for _, c := range rt.list {
			maps.Copy(all, c.machines)
		}
		return nil, &Error{Code: CodeUnknownMachine, Component: rt.cfg.Name, Machine: name, Detail: didYouMean(name, all)}
	}
	return found, nil
}

// didYouMean names the nearest of the names that there are, in words, or
// nothing.
func didYouMean[V any](name string, there map[string]V) string {
	names := slices.Sorted(maps.Keys(there))
	if near, ok := nearest.Match(name, names); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
