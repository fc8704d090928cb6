package jetstream

import (
	"cmp"
	"context"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// A located record is one with its place in the order of appending.
type located struct {
	position uint64
	n        int // within the frame
	rec      *fsm.Record
}

func inOrder(list []located) []*fsm.Record {
	slices.SortFunc(list, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.position, b.position), cmp.Compare(a.n, b.n))
	})
	out := make([]*fsm.Record, len(list))
	for i := range list {
		out[i] = list[i].rec
	}
	return out
}

// outcomes returns the records of an instance that a record led to, behind the
// position of that record.
func (l *log) outcomes(ctx context.Context, instance string, cause fsm.RecordID, behind uint64) ([]located, error) {
	var out []located
	add := func(f *frame) {
		for n := range f.entries {
			if r := f.entries[n].rec; r != nil && r.Instance == instance && r.CausedBy == cause {
				out = append(out, located{f.position, n, r})
			}
		}
	}
	start, end, err := l.whereabouts(ctx, instance)
	if err != nil {
		return nil, err
	}
	for position := start.at(); position > behind; {
		w := &walk{log: l, instance: instance}
		f, err := w.get(ctx, position)
		if err != nil || f == nil {
			return out, err
		}
		add(f)
		first := w.first(f)
		if first == nil {
			break
		}
		position = first.links.previous
	}
	if end.position == all {
		return out, nil
	}
	last, err := l.lastFrame(ctx)
	if err != nil {
		return out, err
	}
	want := func(_ uint64, h *head) bool { return string(h.instance) == instance }
	after, known := end, end.position > 0
	for f, err := range l.frames(ctx, scan{after: after, known: known, to: last.position, want: want}) {
		if err != nil {
			return out, err
		}
		if f.position > behind {
			add(f)
		}
	}
	return out, nil
}
