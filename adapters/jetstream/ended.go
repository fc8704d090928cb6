package jetstream

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/fsmesh/fsmesh/fsm"
)

// Ended goes through the checkpoints of all buckets, and adds those that have
// ended since. Who does not write the log, and has not read it, reads what the
// checkpoints do not cover.
func (l *log) Ended(ctx context.Context) iter.Seq2[*fsm.Snapshot, error] {
	return func(yield func(*fsm.Snapshot, error) bool) {
		err := l.usable(ctx)
		l.mu.RLock()
		known := l.restored
		l.mu.RUnlock()
		if err == nil {
			if known {
				err = l.endedKnown(ctx, yield)
			} else {
				err = l.endedRead(ctx, yield)
			}
		}
		if err != nil && !errors.Is(err, errLeft) {
			yield(nil, fmt.Errorf("ended instances: %w", err))
		}
	}
}

// errLeft: who was yielded to wants no more.
var errLeft = errors.New("left")

func (l *log) endedKnown(ctx context.Context, yield func(*fsm.Snapshot, error) bool) error {
	d := newDecoder()
	for i := range buckets {
		var since []*fsm.Snapshot
		l.mu.RLock()
		b := &l.index.parts[i]
		empty := b.places.n == 0
		for _, s := range b.ended {
			since = append(since, s)
		}
		for id, s := range b.saving { // in neither checkpoint for sure
			if p, kept := l.index.get(id); kept && p.ended() && b.ended[id] == nil {
				since = append(since, s)
			}
		}
		l.mu.RUnlock()
		if empty {
			continue
		}
		given := map[string]bool{}
		for _, s := range since {
			given[s.Instance] = true
			if !yield(s, nil) {
				return errLeft
			}
		}
		old, err := l.load(ctx, d, i)
		if err != nil {
			return err
		}
		if old.blob == nil {
			continue
		}
		for k := range old.ended {
			if err := l.giveEnded(d, &old.ended[k], given, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveEnded yields one of a checkpoint unless it was yielded already or is not
// kept any more.
func (l *log) giveEnded(d *decoder, saved *savedInstance, given map[string]bool, yield func(*fsm.Snapshot, error) bool) error {
	id := string(saved.id)
	l.mu.RLock()
	_, kept := l.index.get(id)
	l.mu.RUnlock()
	if !kept || given[id] {
		return nil
	}
	s, err := d.snapshot(saved.snap)
	if err != nil {
		return err
	}
	if !yield(s, nil) {
		return errLeft
	}
	return nil
}

// endedRead restores the log on the side, without moving this opener.
func (l *log) endedRead(ctx context.Context, yield func(*fsm.Snapshot, error) bool) error {
	other, err := openLog(ctx, l.store, l.name)
	if err != nil {
		return err
	}
	defer other.end()
	for _, err := range other.Restore(ctx) {
		if err != nil {
			return err
		}
	}
	return other.endedKnown(ctx, yield)
}
