package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// pipelined is how many frames of a history are asked for at a time.
const pipelined = 16

// keptFrames bounds the frames whose records are kept between following a
// history backwards and yielding it forwards; of longer ones they are read
// twice, so that none is held whole.
const keptFrames = 4096

// History follows the records of an instance backwards, from the last one in
// memory or in its checkpoint, and yields them forwards. It begins where the log
// begins.
func (l *log) History(ctx context.Context, instance string, after uint64) iter.Seq2[*fsm.Record, error] {
	return func(yield func(*fsm.Record, error) bool) {
		if err := l.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		version, ok := after, true
		give := func(r *fsm.Record) bool {
			if r.Version <= version {
				return true
			}
			version = r.Version
			ok = yield(r, nil)
			return ok
		}
		err := l.history(ctx, instance, after, give)
		if err != nil && ok {
			yield(nil, fmt.Errorf("history of %q: %w", instance, err))
		}
	}
}

func (l *log) history(ctx context.Context, instance string, after uint64, give func(*fsm.Record) bool) error {
	start, end, err := l.whereabouts(ctx, instance)
	if err != nil {
		return err
	}
	if start.last() > after {
		w := &walk{log: l, instance: instance, after: after, frames: map[uint64]*frame{}}
		if err := w.back(ctx, start.at()); err != nil {
			return err
		}
		if more, err := w.forth(ctx, give); err != nil || !more {
			return err
		}
	}
	return l.scanFor(ctx, instance, end, give)
}

// whereabouts returns where the last known record of an instance is, and the
// position behind which there may be more; that is MaxUint64 for who writes the
// log, as it knows all.
func (l *log) whereabouts(ctx context.Context, instance string) (place, mark, error) {
	l.mu.RLock()
	p, _ := l.index.get(instance)
	at, restored, writes := l.at, l.restored, l.epoch != 0
	l.mu.RUnlock()
	if writes {
		return p, mark{position: all}, nil
	}
	if restored {
		return p, at, nil
	}
	b, err := l.load(ctx, newDecoder(), bucketOf(instance))
	if err != nil || b.blob == nil {
		return place{}, mark{}, err
	}
	for _, list := range [][]savedInstance{b.live, b.ended} {
		for i := range list {
			if string(list[i].id) == instance {
				return list[i].place, b.asOf, nil
			}
		}
	}
	return place{}, b.asOf, nil
}

// all is a position behind which nothing comes.
const all = ^uint64(0)

// scanFor reads the log from a position on for the records of one instance.
func (l *log) scanFor(ctx context.Context, instance string, from mark, give func(*fsm.Record) bool) error {
	if from.position == all {
		return nil
	}
	last, err := l.lastFrame(ctx)
	if err != nil {
		return err
	}
	want := func(_ uint64, h *head) bool { return string(h.instance) == instance }
	for f, err := range l.frames(ctx, scan{after: from, known: from.position > 0, to: last.position, want: want}) {
		if err != nil {
			return err
		}
		for i := range f.entries {
			if r := f.entries[i].rec; r != nil && !give(r) {
				return nil
			}
		}
	}
	return nil
}

// A walk reads the history of one instance.
type walk struct {
	log       *log
	instance  string
	after     uint64
	positions []uint64 // of its frames, newest first
	frames    map[uint64]*frame
}

// back finds the positions of the frames. Where a record carries the positions
// of those before it, the one farthest back is next.
func (w *walk) back(ctx context.Context, position uint64) error {
	for position != 0 {
		f, err := w.get(ctx, position)
		if err != nil || f == nil {
			return err
		}
		w.keep(position, f)
		first := w.first(f)
		if first == nil {
			return &DamageError{Name: w.log.name, First: position, Last: position, FirstFrame: f.number, LastFrame: f.number, Instances: []string{w.instance}, Problem: "a frame does not hold the record that it should"}
		}
		if first.version <= w.after+1 {
			return nil
		}
		position = first.links.previous
		// The one that first leads to is met again when its frame is read.
		if e := first.links.earlier; len(e) > 1 {
			w.positions = append(w.positions, e[:len(e)-1]...)
			position = e[len(e)-1]
		}
	}
	return nil
}

func (w *walk) keep(position uint64, f *frame) {
	w.positions = append(w.positions, position)
	if len(w.frames) < keptFrames {
		w.frames[position] = f
	}
}

// first is the instance's first record in a frame.
func (w *walk) first(f *frame) *entry {
	for i := range f.entries {
		if f.entries[i].rec != nil {
			return &f.entries[i]
		}
	}
	return nil
}

// get reads a frame; nil if it is older than what the log keeps.
func (w *walk) get(ctx context.Context, position uint64) (*frame, error) {
	l := w.log
	select {
	case l.store.cold <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.store.cold }()
	l.store.trim.note()
	start := time.Now()
	f, err := l.frameAt(ctx, position, func(f *frame) error { return f.find(newDecoder(), w.instance) })
	if damage := (*DamageError)(nil); errors.As(err, &damage) && len(damage.Instances) == 0 {
		damage.Instances = []string{w.instance}
	}
	l.store.pace.giveWay(start)
	return f, err
}

// frameWhole reads the frame at a position with all of its records.
func (l *log) frameWhole(ctx context.Context, position uint64) (*frame, error) {
	return l.frameAt(ctx, position, func(f *frame) error { return f.decode(newDecoder(), nil) })
}

// frameAt reads the frame at a position; nil if retention has dropped it.
func (l *log) frameAt(ctx context.Context, position uint64, decode func(f *frame) error) (*frame, error) {
	m, err := get(ctx, l.link.log, position)
	if errors.Is(err, errNoMessage) {
		info, err := l.link.log.Info(ctx)
		if err != nil {
			return nil, err
		}
		if position < info.State.FirstSeq {
			return nil, nil
		}
		return nil, &DamageError{Name: l.name, First: position, Last: position, Problem: "a frame is missing"}
	}
	if err != nil {
		return nil, err
	}
	f, err := l.frame(m)
	if err == nil {
		err = decode(f)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// forth yields the records in their order. more is false if no more is wanted. What
// retention has dropped meanwhile is the beginning; it fails where something from
// before that has been yielded already, as there would be a hole in it.
func (w *walk) forth(ctx context.Context, give func(*fsm.Record) bool) (more bool, err error) {
	slices.Sort(w.positions)
	list := slices.Compact(w.positions)
	for begun := false; len(list) > 0; {
		n := min(len(list), pipelined)
		frames, err := w.getAll(ctx, list[:n])
		if err != nil {
			return false, err
		}
		list = list[n:]
		kept := frames
		for i, f := range frames {
			if f == nil {
				kept = frames[i+1:]
			}
		}
		if begun && len(kept) < len(frames) {
			return false, errDropped
		}
		for _, f := range kept {
			for i := range f.entries {
				if r := f.entries[i].rec; r != nil {
					if begun = true; !give(r) {
						return false, nil
					}
				}
			}
		}
	}
	return true, nil
}

func (w *walk) getAll(ctx context.Context, positions []uint64) ([]*frame, error) {
	out, errs := make([]*frame, len(positions)), make([]error, len(positions))
	var wg sync.WaitGroup
	for i, p := range positions {
		if f := w.frames[p]; f != nil {
			out[i] = f
			delete(w.frames, p)
			continue
		}
		wg.Go(func() { out[i], errs[i] = w.get(ctx, p) })
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// frameOf returns the whole frame that holds a record; nil if it is not there.
func (l *log) frameOf(ctx context.Context, id fsm.RecordID) (*frame, error) {
	start, end, err := l.whereabouts(ctx, id.Instance)
	if err != nil {
		return nil, err
	}
	position := uint64(0)
	if start.last() >= id.Version {
		w := &walk{log: l, instance: id.Instance, after: id.Version - 1, frames: map[uint64]*frame{}}
		if err := w.back(ctx, start.at()); err != nil {
			return nil, err
		}
		for p, f := range w.frames {
			for i := range f.entries {
				if r := f.entries[i].rec; r != nil && r.Version == id.Version {
					position = p
				}
			}
		}
		if position == 0 {
			return l.frameAmong(ctx, w.positions, id)
		}
		return l.frameWhole(ctx, position)
	}
	var found *frame
	if end.position == all {
		return nil, nil
	}
	last, err := l.lastFrame(ctx)
	if err != nil {
		return nil, err
	}
	for f, err := range l.frames(ctx, scan{after: end, known: end.position > 0, to: last.position}) {
		if err != nil {
			return nil, err
		}
		for i := range f.entries {
			if f.entries[i].rec.ID() == id {
				found = f
			}
		}
		if found != nil {
			break
		}
	}
	return found, nil
}

// frameAmong looks for a record in some frames.
func (l *log) frameAmong(ctx context.Context, positions []uint64, id fsm.RecordID) (*frame, error) {
	for _, p := range positions {
		f, err := l.frameWhole(ctx, p)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		for i := range f.entries {
			if f.entries[i].rec.ID() == id {
				return f, nil
			}
		}
	}
	return nil, nil
}
