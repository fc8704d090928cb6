package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// claimPatience is how long a claim tries to get in between the frames of who
// writes without a pause before it asks for quiet.
const claimPatience = 500 * time.Millisecond

// Claim stores an empty frame under the next epoch at the end of the log,
// wherever that is by then: the next frame of who wrote before is refused. What
// came in since Restore is read afterwards, when nothing follows any more.
func (l *log) Claim(ctx context.Context, by string) (fsm.Claim, error) {
	return l.claimEnd(ctx, by, func(context.Context, fsm.Claim) error { return nil })
}

// claimEnd tries again as long as frames come in between. hush is called once if
// that takes long.
func (l *log) claimEnd(ctx context.Context, by string, hush func(context.Context, fsm.Claim) error) (fsm.Claim, error) {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(ctx); err != nil {
		return fsm.Claim{}, err
	}
	if err := l.store.room(0); err != nil {
		return fsm.Claim{}, err
	}
	begin, hushed := time.Now(), false
	now := begin.UnixMilli()
	c := fsm.Claim{Epoch: max(l.claim.Epoch+1, uint64(max(now, 0))), By: by, At: now}
	for end := l.at; ; {
		a := &attempt{frameHeader: frameHeader{log: l.id, claim: c, number: end.frame + 1, records: end.records}}
		position, err := l.claimAfter(ctx, a, end.position)
		if err == nil {
			l.takeClaim(ctx, a, position)
			return c, nil
		}
		if !errors.Is(err, errMoved) {
			return fsm.Claim{}, fmt.Errorf("claim the log of %q: %w", l.name, err)
		}
		last, err := l.lastFrame(ctx)
		if err != nil {
			return fsm.Claim{}, err
		}
		if last.claim != l.claim {
			return fsm.Claim{}, &fsm.Error{Code: fsm.CodeConflict, Detail: fmt.Sprintf("the log was claimed by %s meanwhile: read on, then claim again", last.claim.By)}
		}
		end = last.mark()
		if !hushed && time.Since(begin) > claimPatience {
			hushed = true
			if err := hush(ctx, c); err != nil {
				return fsm.Claim{}, err
			}
		}
	}
}

// claimAfter stores the frame of a claim behind a position.
func (l *log) claimAfter(ctx context.Context, a *attempt, after uint64) (position uint64, err error) {
	position, err = l.publishAfter(ctx, a, after)
	switch {
	case err == nil, errors.Is(err, errMoved):
		return position, err
	case errors.Is(err, errUnsent):
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	// It may be stored: then it is the last frame.
	last, lastErr := l.link.last(ctx, logStream, l.subject)
	if sick := l.store.sound(); sick != nil {
		lastErr = sick
	}
	if lastErr != nil || !a.is(last) {
		return 0, errors.Join(err, lastErr)
	}
	return last.position, nil
}

// takeClaim notes a claim that is stored. It is called with l.write held.
func (l *log) takeClaim(ctx context.Context, a *attempt, position uint64) {
	l.mu.Lock()
	if a.number == l.at.frame+1 {
		l.at = mark{position, a.number, a.records}
	}
	l.claim, l.epoch, l.claimed, l.pending = a.claim, a.claim.Epoch, position, nil
	l.mu.Unlock()
	l.checkpoints.acknowledge(ctx)
}

// behind reports whether there is something before the own claim that was not
// read yet. It is called with l.write or l.mu held.
func (l *log) behind() bool { return l.at.position < l.claimed }
