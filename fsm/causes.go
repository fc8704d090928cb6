package fsm

import (
	"context"
	"errors"
	"iter"
)

// What led to what. A record names the one that led to it (CausedBy); the other
// direction is looked up.

// Causes returns the chain that led to a record: the record itself first, then
// the one that led to it, and so on up to what came from outside or from a
// timer. It ends early, without an error, at a record that is not kept any more
// or is in another runtime's log: the last one's CausedBy is not zero then. It
// fails with ErrUnknownRecord if the record itself is not known.
func (rt *Runtime) Causes(ctx context.Context, id RecordID) ([]*Record, error) {
	var chain []*Record
	for id != (RecordID{}) && len(chain) <= rt.limits.Hops {
		r, err := rt.record(ctx, id)
		if errors.Is(err, ErrUnknownRecord) && len(chain) > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		chain = append(chain, r)
		id = r.CausedBy
	}
	return chain, nil
}

// CausedOptions bounds what Caused looks up. Zero fields have defaults.
type CausedOptions struct {
	// Depth is how many steps down it goes. Defaults to 100.
	Depth int
	// Count is how many records it returns. Defaults to 1,000.
	Count int
}

// A CausedNode is a record with those that it led to.
type CausedNode struct {
	Record *Record       `json:"record"`
	Caused []*CausedNode `json:"caused,omitempty"`
	// Cut is true where there is more below than the bounds let in.
	Cut bool `json:"cut,omitempty"`
}

// Caused returns what a record led to, across instances: records by the events
// that its transition sent, and by the creations, and what they led to. It goes
// level by level, so that what is cut off by Count is what lies deepest. With a
// store it is what that retains; without, what is kept in memory, and looking
// for it takes a walk through all instances. What was led to in other runtimes
// is not in it. It fails with ErrUnknownRecord.
func (rt *Runtime) Caused(ctx context.Context, id RecordID, o CausedOptions) (*CausedNode, error) {
	setDefault(&o.Depth, 100)
	setDefault(&o.Count, 1000)
	r, err := rt.record(ctx, id)
	if err != nil {
		return nil, err
	}
	caused, err := rt.causedBy(ctx)
	if err != nil {
		return nil, err
	}
	top := &CausedNode{Record: r}
	level, count := []*CausedNode{top}, 1
	for depth := 0; len(level) > 0; depth++ {
		var below []*CausedNode
		for _, n := range level {
			for r, err := range caused(n.Record.ID()) {
				if err != nil {
					return nil, err
				}
				if depth >= o.Depth || count >= o.Count {
					n.Cut = true
					break
				}
				count++
				child := &CausedNode{Record: r}
				n.Caused = append(n.Caused, child)
				below = append(below, child)
			}
		}
		level = below
	}
	return top, nil
}

// CausedBy yields the records that the given ones led to in one step: of any
// instance of this runtime, also where the record itself is another runtime's,
// and is not known here. Those of one record come together, in the order in which
// they were stored.
func (rt *Runtime) CausedBy(ctx context.Context, ids ...RecordID) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		err := rt.Ready(ctx)
		var caused func(RecordID) iter.Seq2[*Record, error]
		if err == nil {
			caused, err = rt.causedBy(ctx)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, id := range ids {
			for r, err := range caused(id) {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// causedBy returns how to look up what a record led to.
func (rt *Runtime) causedBy(ctx context.Context) (func(RecordID) iter.Seq2[*Record, error], error) {
	if rt.log != nil {
		return func(id RecordID) iter.Seq2[*Record, error] { return rt.log.Caused(ctx, id) }, nil
	}
	index := map[RecordID][]*Record{}
	for _, sh := range rt.shards {
		if err := sh.indexCauses(ctx, index); err != nil {
			return nil, err
		}
	}
	return func(id RecordID) iter.Seq2[*Record, error] {
		return func(yield func(*Record, error) bool) {
			for _, r := range index[id] {
				if !yield(r, nil) {
					return
				}
			}
		}
	}, nil
}

// causeSlots is how many instances a visit of a shard looks through.
const causeSlots = 200

// indexCauses adds the kept records of a shard that have a cause.
func (sh *shard) indexCauses(ctx context.Context, index map[RecordID][]*Record) error {
	slots := append(sh.tab.all(), sh.rt.ended.of(sh)...)
	for len(slots) > 0 {
		n := min(causeSlots, len(slots))
		var found []*Record
		err := sh.visit(ctx, func() {
			for _, s := range slots[:n] {
				for _, r := range sh.rt.keptOf(s) {
					if r.CausedBy != (RecordID{}) {
						found = append(found, r)
					}
				}
			}
		})
		if err != nil {
			return err // found may still be written to
		}
		for _, r := range found {
			index[r.CausedBy] = append(index[r.CausedBy], r)
		}
		slots = slots[n:]
	}
	return nil
}
