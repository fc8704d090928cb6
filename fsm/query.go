package fsm

import (
	"cmp"
	"context"
	"iter"
	"slices"
)

// slot finds an instance in the table, or among the ended ones that are
// remembered.
func (rt *Runtime) slot(id string) *slot {
	if s := rt.shardOf(id).tab.get(id); s != nil {
		return s
	}
	return rt.ended.get(id)
}

// Get returns an instance as of its last stored transition. Those that ended
// are remembered for a while. It fails with ErrUnknownInstance or
// ErrQuarantined.
func (rt *Runtime) Get(id string) (*Instance, error) {
	if s := rt.slot(id); s != nil {
		return s.cur.Load(), nil
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if in := rt.quarantined[id]; in != nil {
		return nil, &Error{Code: CodeQuarantined, Component: in.Component(), Machine: in.Machine(), Instance: id, Key: in.Key(), State: in.State()}
	}
	return nil, &Error{Code: CodeUnknownInstance, Instance: id}
}

// GetByKey returns the instance that has a business key, or else the last one
// that had it. component may be "" where only one hosted component has the
// key.
func (rt *Runtime) GetByKey(component, key string) (*Instance, error) {
	id, err := rt.idByKey(component, key)
	if err != nil {
		return nil, err
	}
	in, err := rt.Get(id)
	if err != nil {
		return nil, &Error{Code: CodeUnknownInstance, Component: component, Key: key}
	}
	return in, nil
}

// A Filter says which instances are meant. Empty fields are any.
type Filter struct{ Component, Machine, State string }

func (f *Filter) wants(in *Instance) bool {
	return (f.Component == "" || f.Component == in.Component()) && (f.Machine == "" || f.Machine == in.Machine()) &&
		(f.State == "" || f.State == in.State())
}

// Instances yields the table: active instances, and entry points whatever their
// status, in the order of creation. Each is as it is when it is yielded.
func (rt *Runtime) Instances(f Filter) iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		var slots []*slot
		for _, sh := range rt.shards {
			slots = append(slots, sh.tab.all()...)
		}
		slices.SortFunc(slots, func(a, b *slot) int { return cmp.Compare(a.order, b.order) })
		for _, s := range slots {
			in := s.cur.Load()
			gone := in.status != StatusActive && !in.origin.entryPoint
			if !gone && f.wants(in) && !yield(in) {
				return
			}
		}
	}
}

// Population counts the active instances of a machine by state; every state of
// the machine has an entry. It fails with ErrUnknownComponent, ErrUnknownMachine
// or ErrAmbiguous.
func (rt *Runtime) Population(component, machine string) (map[string]int, error) {
	m, err := rt.machine(component, machine)
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(m.list))
	for _, st := range m.list {
		out[st.name] = 0
		for _, sh := range rt.shards {
			out[st.name] += sh.tab.population(m, st)
		}
	}
	return out, nil
}

// History yields the records of an instance, live or ended, oldest first. With
// a store it is all that the store retains; without, it is the last 16 at
// least. It yields nothing for an id that is not known.
func (rt *Runtime) History(ctx context.Context, id string) iter.Seq2[*Record, error] {
	if rt.log != nil {
		return rt.log.History(ctx, id, 0)
	}
	return func(yield func(*Record, error) bool) {
		for _, r := range rt.kept(ctx, id) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// kept returns the records of an instance that are kept without a store.
func (rt *Runtime) kept(ctx context.Context, id string) []*Record {
	s := rt.slot(id)
	if s == nil {
		return nil
	}
	var out []*Record
	err := rt.shardOf(id).visit(ctx, func() {
		first := s.oldest()
		if first.version == 1 {
			out = append(out, rt.creationRecord(first, s.order, first.createdEvent()))
		}
		out = s.unpack(out)
	})
	if err != nil {
		return nil
	}
	return out
}
