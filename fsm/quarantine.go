package fsm

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// An instance is quarantined when it cannot be advanced: its machine or state is
// not defined (any more), or the store holds another version of it. It stays in
// its shard's table with StatusQuarantined, in no index, so that it is shown and
// nothing takes its id; what it really is stays in a snapshot beside it, which
// goes into checkpoints, so that a later start that has the definition again
// picks it up.

// A quarantined is what is kept beside the table.
type quarantined struct {
	s    *slot
	snap *Snapshot
	why  string
	// undefined: nothing is defined that it could be an instance of.
	undefined bool
}

func (rt *Runtime) addQuarantined(q *quarantined) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.quarantined[q.s.id] = q
}

func (rt *Runtime) quarantinedOf(id string) *quarantined {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.quarantined[id]
}

// quarantineError says why an event does not get to a quarantined instance. Where
// its machine or state is not defined there is, to those who send, no instance.
func (rt *Runtime) quarantineError(in *Instance) error {
	err := &Error{
		Code: CodeQuarantined, Component: in.Component(), Machine: in.Machine(), Instance: in.id, Key: in.Key(),
		State: in.State(), Version: in.version,
	}
	q := rt.quarantinedOf(in.id)
	if q == nil {
		return err
	}
	if err.Detail = q.why; q.undefined {
		return &Error{Code: CodeUnknownInstance, Instance: in.id, Err: err}
	}
	return err
}

// Quarantined yields the instances that cannot be advanced, in the order of
// creation, each with the reason in words: those whose machine or state is not
// defined any more, also of components that this runtime does not host, and
// those of which the store holds another version.
func (rt *Runtime) Quarantined() iter.Seq2[*Instance, string] {
	rt.mu.Lock()
	all := slices.Collect(maps.Values(rt.quarantined))
	rt.mu.Unlock()
	slices.SortFunc(all, func(a, b *quarantined) int { return cmp.Compare(a.s.order, b.s.order) })
	return func(yield func(*Instance, string) bool) {
		for _, q := range all {
			if !yield(q.s.cur.Load(), q.why) {
				return
			}
		}
	}
}

// undefined makes an instance whose machine or state is not defined: it has the
// names and the data, and can do nothing.
func (rt *Runtime) undefined(s *Snapshot) *Instance {
	c := rt.comps[s.Component]
	if c == nil {
		c = &component{name: s.Component, index: unhosted}
	}
	m := c.machines[s.Machine]
	if m == nil {
		m = &machine{comp: c, name: s.Machine, public: s.Context != nil}
	}
	return s.instance(&state{m: m, name: s.State}, StatusQuarantined)
}

// unhosted is the index of a component that the runtime does not host.
const unhosted = -1

// quarantine takes an instance out of what can be advanced: the store holds
// another version of it.
func (sh *shard) quarantine(s *slot) {
	in := s.cur.Load()
	why := "the store holds another version of it"
	sh.rt.addQuarantined(&quarantined{s, sh.rt.snapshot(s, in, s.seenList(false)), why, false})
	q := *in
	q.rare = newRare(in.ctx, nil, StatusQuarantined)
	sh.tab.mu.Lock()
	q.seq = sh.rt.numbers[in.st.m.comp.index].next(s, 1)
	sh.tab.move(s, in, &q)
	sh.tab.mu.Unlock()
	sh.arm(s, &q)
	t := Trace{Kind: NoticeQuarantined, Instance: q.id, Component: q.Component(), Machine: q.Machine(), State: q.st.name, Status: q.status}
	sh.rt.tellNumbered(&q, t)
	sh.rt.cfg.Logger.Error("instance quarantined: "+why, "component", q.Component(), "machine", q.Machine(), "instance", q.id)
}
