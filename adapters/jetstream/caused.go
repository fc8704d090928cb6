package jetstream

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// Caused yields the records of the frame of id, and those that its effects led
// to, which are in the histories of the effects' targets. For a record of
// another log there is nothing to go by: the log is read from the beginning, some
// millions of records a second.
func (l *log) Caused(ctx context.Context, id fsm.RecordID) iter.Seq2[*fsm.Record, error] {
	return func(yield func(*fsm.Record, error) bool) {
		err := l.usable(ctx)
		var f *frame
		if err == nil {
			f, err = l.frameOf(ctx, id)
		}
		var list []*fsm.Record
		switch {
		case err != nil:
		case f == nil:
			list, err = l.causedFromAfar(ctx, id)
		default:
			list, err = l.causedBy(ctx, f, id)
		}
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, fmt.Errorf("what %s caused: %w", id, err))
		}
	}
}

// causedBy returns what a record of a frame led to. A record can only come
// behind those of the frame if one of the effects led to it.
func (l *log) causedBy(ctx context.Context, f *frame, id fsm.RecordID) (out []*fsm.Record, err error) {
	targets := map[string]bool{}
	for i := range f.entries {
		r := f.entries[i].rec
		if r.CausedBy == id {
			out = append(out, r)
		}
		if r.ID() != id {
			continue
		}
		for k := range r.Effects {
			for _, t := range r.Effects[k].Targets {
				targets[t] = true
			}
		}
	}
	var later []located
	for t := range targets {
		found, err := l.outcomes(ctx, t, id, f.position)
		if err != nil {
			return out, err
		}
		later = append(later, found...)
	}
	return append(out, inOrder(later)...), nil
}

// causedFromAfar reads the whole log, but decodes only what mentions the record's
// instance. One or two such readings go on at a time, as with histories; nothing
// is held while somebody looks at the records.
func (l *log) causedFromAfar(ctx context.Context, id fsm.RecordID) (out []*fsm.Record, err error) {
	select {
	case l.store.cold <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.store.cold }()
	last, err := l.lastFrame(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for f, err := range l.frames(ctx, scan{to: last.position, mentions: id.Instance}) {
		if err != nil {
			return out, err
		}
		l.store.pace.giveWay(start)
		start = time.Now()
		for i := range f.entries {
			if r := f.entries[i].rec; r.CausedBy == id {
				out = append(out, r)
			}
		}
	}
	return out, nil
}
