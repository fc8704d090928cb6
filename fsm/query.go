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
// are remembered for a while; those that are quarantined have that status. It
// does not wait: while the runtime stands by or restores, what is not found
// fails with ErrNotRunning (see Ready), later with ErrUnknownInstance.
func (rt *Runtime) Get(id string) (*Instance, error) {
	if s := rt.slot(id); s != nil {
		return s.cur.Load(), nil
	}
	if rt.starting() {
		return nil, rt.notRunning()
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
			gone := in.status != StatusActive && (!in.origin.entryPoint || in.status == StatusQuarantined)
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

// kept returns the records of an instance that are kept without a store.
func (rt *Runtime) kept(ctx context.Context, id string) []*Record {
	s := rt.slot(id)
	if s == nil {
		return nil
	}
	var out []*Record
	if err := rt.shardOf(id).visit(ctx, func() { out = rt.keptOf(s) }); err != nil {
		return nil
	}
	return out
}

// keptOf is kept for the owner of the instance's shard.
func (rt *Runtime) keptOf(s *slot) []*Record {
	var out []*Record
	if first := s.oldest(); first.version == 1 {
		out = append(out, rt.creationRecord(first, s.order, first.createdEvent()))
	}
	return s.unpack(out)
}
