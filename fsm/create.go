package fsm

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"
)

// newID returns an id for an instance that has no key.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// keyedID is the id of the n-th instance that has a key.
func keyedID(component, key string, generation uint64) string {
	return hashID(fmt.Sprintf("key/%d/%s/%d/%s", len(component), component, generation, key))
}

// CreatedID is the id of the instance that a creation with an id of its own
// (WithCreateID) makes, where it is given neither a key nor an id.
func CreatedID(component, createID string) string {
	return hashID(fmt.Sprintf("created/%d/%s/%s", len(component), component, createID))
}

// Create makes an instance of a machine in its initial state and returns it
// once its creation is stored. Neither entry methods nor cascades are run.
//
// It fails with ErrUnknownMachine, ErrUnknownComponent, ErrAmbiguous,
// ErrUnknownState, ErrStateFinal, ErrSingletonExists, ErrKeyExists,
// ErrIDExists, ErrContextTooLarge, ErrBadValue, ErrStoreFailed, ErrFenced,
// ErrNotRunning, and with the context's error.
func (rt *Runtime) Create(ctx context.Context, machine string, data map[string]any, opts ...CreateOption) (*Instance, error) {
	in, _, err := rt.createOrGet(ctx, machine, data, false, opts)
	return in, err
}

// GetOrCreate returns the active instance that has the key, or creates it. Any
// number of callers at a time get the same one, and created is true for one of
// them. It fails as Create does.
func (rt *Runtime) GetOrCreate(ctx context.Context, machine, key string, data map[string]any, opts ...CreateOption) (in *Instance, created bool, err error) {
	return rt.createOrGet(ctx, machine, data, true, append(opts[:len(opts):len(opts)], WithKey(key)))
}

func (rt *Runtime) createOrGet(ctx context.Context, name string, data map[string]any, orGet bool, opts []CreateOption) (*Instance, bool, error) {
	var o createOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	in, created, err := rt.createWith(ctx, name, data, orGet, &o)
	if o.created != nil {
		*o.created = created
	}
	return in, created, err
}

func (rt *Runtime) createWith(ctx context.Context, name string, data map[string]any, orGet bool, o *createOptions) (*Instance, bool, error) {
	if err := cmp.Or(context.Cause(ctx), rt.Ready(ctx)); err != nil {
		return nil, false, err
	}
	switch {
	case orGet && o.key == "":
		return nil, false, &Error{Code: CodeBadValue, Detail: "GetOrCreate needs a key"}
	case o.key != "" && o.id != "":
		return nil, false, &Error{Code: CodeBadValue, Key: o.key, Instance: o.id, Detail: "an instance has a key or an id of its own, not both: the id of a key is derived from it"}
	}
	for what, given := range map[string]string{"key": o.key, "id": o.id} {
		if bad := badName(given); bad != "" {
			return nil, false, &Error{Code: CodeBadValue, Detail: fmt.Sprintf("the %s %q cannot be used: %s", what, cut(given), bad)}
		}
	}
	d, err := rt.creation(name, data, *o)
	if err != nil {
		return nil, false, err
	}
	switch {
	case o.key != "":
		for {
			id, generation, taken, wait := rt.places.takeKey(d.machine.comp, o.key)
			if !taken {
				d.target, d.origin, d.keyed = id, &origin{key: o.key, generation: generation}, true
				in, err := rt.renewKey(ctx, d)
				if in != nil || err != nil {
					return in, false, err
				}
				break
			}
			if wait != nil {
				// Somebody is creating it: it is known soon whether there is one.
				if rt.busyChain(ctx) != nil {
					return nil, false, &Error{Code: CodeReentrant, Instance: id, Key: o.key}
				}
				select {
				case <-wait:
					continue
				case <-rt.ails.begins():
					// It may have been settled all the same.
					select {
					case <-wait:
						continue
					default:
					}
					why := rt.ails.why()
					if why == nil {
						continue
					}
					return nil, false, &Error{Code: CodeStoreFailed, Instance: id, Key: o.key, Err: why}
				case <-ctx.Done():
					return nil, false, context.Cause(ctx)
				case <-rt.dead:
					return nil, false, rt.notRunning()
				}
			}
			in, err := rt.Get(id)
			if err == nil && in.status == StatusQuarantined {
				return nil, false, rt.noInstance(id)
			}
			if err != nil || in.status != StatusActive {
				if ctx.Err() != nil {
					return nil, false, context.Cause(ctx)
				}
				continue // it ended just now, and its key is free
			}
			if made, err := rt.madeUnderKey(ctx, d.machine.comp, o.key, generation, o.eventID); made != nil || err != nil {
				return made, false, err
			}
			if orGet {
				return in, false, nil
			}
			return nil, false, &Error{Code: CodeKeyExists, Component: in.Component(), Machine: in.Machine(), Instance: id, Key: o.key, State: in.State(), Version: in.Version()}
		}
	case o.id != "" || o.eventID != "":
		if d.target = o.id; o.id == "" {
			d.target = CreatedID(d.machine.comp.name, o.eventID)
		}
		if in, err := rt.madeBefore(ctx, d.target, o.eventID); in != nil || err != nil {
			return in, false, err
		}
	default:
		d.target = newID()
	}
	r, err := rt.create(ctx, d, o.settled)
	if ErrorCode(err) == CodeIDExists && o.eventID != "" {
		// Somebody was quicker: perhaps an earlier try of this very creation.
		if in, _ := rt.madeBefore(ctx, d.target, o.eventID); in != nil {
			return in, false, nil
		}
	}
	return r.Instance, err == nil && !r.Repeated, err
}

// renewKey sees that a reserved key gets an id that the store does not have: the
// instances that had the key before may be forgotten here. Where an earlier try of
// the creation made one of them, it gives the key up and returns that.
func (rt *Runtime) renewKey(ctx context.Context, d *delivery) (*Instance, error) {
	c, o := d.machine.comp, d.origin
	n := o.generation
	var made *Instance
	var err error
	if rt.log != nil {
		n, err = rt.freeGeneration(ctx, c, o.key, n)
	}
	if err == nil {
		made, err = rt.madeUnderKey(ctx, c, o.key, n-1, d.eventID)
	}
	if made != nil || err != nil {
		rt.places.drop(&Instance{id: d.target, st: d.state, origin: o})
		return made, err
	}
	if n != o.generation {
		o.generation, d.target = n, rt.places.renumber(c, o.key, n)
	}
	return nil, nil
}

// creation checks what is asked for and makes the delivery for it, but for its
// id.
func (rt *Runtime) creation(name string, data map[string]any, o createOptions) (*delivery, error) {
	m, err := rt.machine(o.component, name)
	if err != nil {
		return nil, err
	}
	st := m.initial
	if o.hasState {
		if st = m.states[o.state]; st == nil {
			return nil, &Error{Code: CodeUnknownState, Component: m.comp.name, Machine: m.name, State: o.state, Detail: didYouMean(o.state, m.states)}
		}
		if st.ends() {
			return nil, &Error{Code: CodeStateFinal, Component: m.comp.name, Machine: m.name, State: o.state}
		}
	}
	values, err := NewData(data)
	if err != nil {
		return nil, err
	}
	if values.exceeds(rt.limits.DataBytes) {
		return nil, &Error{Code: CodeContextTooLarge, Component: m.comp.name, Machine: m.name, Key: o.key, Count: rt.limits.DataBytes}
	}
	return &delivery{kind: deliverCreate, machine: m, state: st, data: values, origin: noOrigin, eventID: o.eventID}, nil
}

// create has an instance created.
func (rt *Runtime) create(ctx context.Context, d *delivery, settled bool) (Result, error) {
	d.root, d.at = &root{}, rt.clock.now()
	return rt.ask(ctx, d, settled)
}

// A creating is a creation on its way to the store.
type creating struct {
	createID string
	// repeats are later tries of it, which wait for what becomes of it. There are
	// at most Limits.Held of them.
	repeats []*delivery
}

// create takes a creation up.
func (sh *shard) create(d *delivery) {
	first, onItsWay := sh.creating[d.target]
	if onItsWay && d.eventID != "" && d.eventID == first.createID {
		if why := sh.rt.ails.why(); why != nil {
			sh.refuse(d, &Error{Code: CodeStoreFailed, Instance: d.target, Err: why})
			return
		}
		if len(first.repeats) >= sh.rt.limits.Held {
			sh.refuse(d, &Error{Code: CodeOverloaded, Instance: d.target})
			return
		}
		first.repeats = append(first.repeats, d)
		sh.creating[d.target] = first
		return
	}
	if onItsWay || sh.tab.get(d.target) != nil || sh.rt.ended.get(d.target) != nil {
		// For an effect that was done before, this is as it should be.
		if d.keyed {
			sh.rt.places.drop(&Instance{id: d.target, st: d.state, origin: d.origin})
		}
		sh.doneWithout(d)
		sh.refuse(d, &Error{Code: CodeIDExists, Instance: d.target})
		return
	}
	if d.cause != (RecordID{}) || d.eventID != "" {
		o := *d.origin
		o.cause, o.createID = d.cause, d.eventID
		d.origin = &o
	}
	in := newInstance(d.target, d.state, d.data, d.origin, sh.rt.clock.now())
	if err := sh.rt.places.takeSingleton(d.machine, in.id); err != nil {
		if d.keyed {
			sh.rt.places.drop(in)
		}
		sh.doneWithout(d)
		sh.refuse(d, err)
		return
	}
	out := &outcome{after: in, data: in.data, ctx: in.ctx, numbered: 1}
	if sh.rt.tracing() {
		t := createdTrace(in)
		sh.rt.trace(&t)
		out.traces, out.traced = []Trace{t}, true
	}
	sh.creating[in.id] = creating{createID: d.eventID}
	sh.add(&stepping{d: d, out: out})
}

// created answers those who asked for a creation again while it was on its way.
func (sh *shard) created(in *Instance) {
	repeats := sh.creating[in.id].repeats
	delete(sh.creating, in.id)
	for _, d := range repeats {
		sh.answer(d, Result{Repeated: true, Record: RecordID{in.id, in.version}, State: in.st.name, Version: in.version, Seq: in.seq, Instance: in})
	}
}
