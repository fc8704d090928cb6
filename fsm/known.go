package fsm

import (
	"context"
	"fmt"
)

// What only the store knows: instances that ended long ago are not in memory any
// more, but their ids must not come back, and a repeated event still gets its
// first outcome.

// storedAny reports whether the store has records of an id.
func (rt *Runtime) storedAny(ctx context.Context, id string) (bool, error) {
	if rt.log == nil {
		return false, nil
	}
	for _, err := range rt.log.History(ctx, id, 0) {
		if err != nil {
			return false, fmt.Errorf("look for id %q in the history: %w", id, err)
		}
		return true, nil
	}
	return false, nil
}

// idFree fails if an id is in use or still in the history.
func (rt *Runtime) idFree(ctx context.Context, id string) error {
	taken := rt.slot(id) != nil
	if !taken {
		var err error
		if taken, err = rt.storedAny(ctx, id); err != nil {
			return err
		}
	}
	if taken {
		return &Error{Code: CodeIDExists, Instance: id}
	}
	return nil
}

// madeBefore returns the instance that an earlier try of a creation made under an
// id, nil if nobody has that id yet. It fails with ErrIDExists if somebody else
// has it. createID is "" for a creation that has no earlier tries.
func (rt *Runtime) madeBefore(ctx context.Context, id, createID string) (*Instance, error) {
	if createID == "" {
		return nil, rt.idFree(ctx, id)
	}
	in, err := rt.Get(id)
	if ErrorCode(err) == CodeUnknownInstance {
		in, err = rt.stored(ctx, id)
	}
	switch {
	case ErrorCode(err) == CodeUnknownInstance:
		return nil, nil
	case err == nil && in.origin.createID != createID:
		return nil, &Error{Code: CodeIDExists, Instance: id}
	}
	return in, err
}

// madeUnderKey returns the instance that an earlier try of a creation made under
// a key, nil if it made none of the last 64 up to a generation. createID is "" for
// a creation that has no earlier tries.
func (rt *Runtime) madeUnderKey(ctx context.Context, c *component, key string, last uint64, createID string) (*Instance, error) {
	if createID == "" {
		return nil, nil
	}
	for n := last; n > 0 && last-n < maxSeen; n-- {
		in, err := rt.Find(ctx, keyedID(c.name, key, n))
		switch {
		case ErrorCode(err) == CodeUnknownInstance: // not kept any more
		case err != nil:
			return nil, err
		case in.origin.createID == createID:
			return in, nil
		}
	}
	return nil, nil
}

// FindByKey returns an instance as GetByKey does, and looks into the store for one
// that ended long ago.
func (rt *Runtime) FindByKey(ctx context.Context, component, key string) (*Instance, error) {
	in, err := rt.GetByKey(component, key)
	if ErrorCode(err) != CodeUnknownInstance || rt.log == nil {
		return in, err
	}
	for _, c := range rt.list {
		if component != "" && c.name != component {
			continue
		}
		n, err := rt.freeGeneration(ctx, c, key, 1)
		if err != nil {
			return nil, err
		}
		if n == 1 {
			continue
		}
		if in != nil {
			return nil, &Error{Code: CodeAmbiguous, Key: key}
		}
		if in, err = rt.Find(ctx, keyedID(c.name, key, n-1)); err != nil {
			return nil, err
		}
	}
	if in == nil {
		return nil, err
	}
	return in, nil
}

// stored returns an instance as the store has it. It fails with
// ErrUnknownInstance if it has none.
func (rt *Runtime) stored(ctx context.Context, id string) (*Instance, error) {
	instances := map[string]restored{}
	var last *Record
	if rt.log != nil {
		for r, err := range rt.log.History(ctx, id, 0) {
			if err == nil {
				last = r
				if instances[id].snap == nil && r.Version > 1 {
					// What was before it is not kept.
					if r.Snapshot == nil {
						continue
					}
					instances[id] = restored{snap: r.Snapshot}
				}
				err = applyRestored(instances, restoringItem{rec: r})
			}
			if err != nil {
				return nil, fmt.Errorf("read the history of %q: %w", id, err)
			}
		}
	}
	snap := instances[id].snap
	switch {
	case last == nil:
		return nil, &Error{Code: CodeUnknownInstance, Instance: id}
	case snap == nil:
		snap = lastState(last)
	}
	in, err := rt.rebuild(snap)
	if err != nil {
		in = rt.undefined(snap)
	}
	return in, nil
}

// repeatedEvent returns the first outcome of an event that a forgotten instance
// accepted, by its id. ok is false if it did not accept one among its last 64
// with an id.
func (rt *Runtime) repeatedEvent(ctx context.Context, id, eventID string) (r Result, ok bool, err error) {
	if rt.log == nil {
		return Result{}, false, nil
	}
	var seen []*Record
	var last *Record
	for r, err := range rt.log.History(ctx, id, 0) {
		if err != nil {
			return Result{}, false, fmt.Errorf("look for event %q in the history of %q: %w", eventID, id, err)
		}
		last = r
		if r.Event.ID == "" || r.Version == 1 {
			continue
		}
		if seen = append(seen, r); len(seen) > maxSeen {
			seen = seen[1:]
		}
	}
	for _, r := range seen {
		if r.Event.ID != eventID {
			continue
		}
		out := Result{Repeated: true, Record: r.ID(), Version: r.Version, State: r.After}
		if r == last {
			out.Instance, err = rt.stored(ctx, id)
		}
		return out, true, err
	}
	if last == nil || last.Snapshot == nil {
		return Result{}, false, nil
	}
	// The records of some may not be kept any more.
	for _, e := range last.Snapshot.EventIDs {
		if e.Hash == eventHash(eventID) {
			return Result{Repeated: true, Record: RecordID{id, e.Version}, Version: e.Version, State: e.State}, true, nil
		}
	}
	return Result{}, false, nil
}

// freeGeneration returns the first generation of a key, from the given one on,
// that the store has no instance of. Generations are stored and dropped in their
// order, so it looks in ever longer strides and then between the last two.
func (rt *Runtime) freeGeneration(ctx context.Context, c *component, key string, from uint64) (uint64, error) {
	taken := func(n uint64) (bool, error) {
		id := keyedID(c.name, key, n)
		if rt.slot(id) != nil {
			return true, nil
		}
		return rt.storedAny(ctx, id)
	}
	last, free := from-1, from // last is taken, or the one before
	for stride := uint64(1); ; stride *= 2 {
		is, err := taken(free)
		if err != nil {
			return 0, err
		}
		if !is {
			break
		}
		last, free = free, free+stride
	}
	for last+1 < free {
		middle := last + (free-last)/2
		is, err := taken(middle)
		if err != nil {
			return 0, err
		}
		if is {
			last = middle
		} else {
			free = middle
		}
	}
	return free, nil
}
