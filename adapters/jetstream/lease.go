package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A leasedLog is the log of a JetStream that several processes reach. The lease
// is told by the server's clock. A folder's lock says the same, so its logs have
// none.
type leasedLog struct {
	*log
}

var _ fsm.Leaser = (*leasedLog)(nil)

// A lease is what is stored of one.
type lease struct {
	fsm.Claim
	Released bool `json:"released,omitempty"`
}

// Lease returns who was last seen alive with the claim, and when.
func (l *leasedLog) Lease(ctx context.Context) (fsm.Lease, error) {
	held, seen, _, err := l.readLease(ctx)
	if err != nil {
		return fsm.Lease{}, err
	}
	out := fsm.Lease{Claim: held.Claim}
	if !held.Released {
		out.Seen = seen
	}
	return out, nil
}

func (l *leasedLog) readLease(ctx context.Context) (held lease, seen time.Time, position uint64, err error) {
	if err := l.usable(ctx); err != nil {
		return held, seen, 0, err
	}
	m, err := l.link.last(ctx, snapStream, subject(leaseSubjects, l.name))
	if errors.Is(err, errNoMessage) {
		return lease{Released: true}, time.Time{}, 0, nil
	}
	if err == nil {
		if err = checkFormat(m, l.name); err == nil {
			err = json.Unmarshal(m.data, &held)
		}
	}
	if err != nil {
		return lease{}, time.Time{}, 0, fmt.Errorf("lease of %q: %w", l.name, err)
	}
	return held, m.time, m.position, nil
}

// Claim takes the lease before the claim if frames come in between for long: who
// writes finds out when it renews its lease, and stops. So a claim from far away
// does not wait for a pause of who writes from nearby.
func (l *leasedLog) Claim(ctx context.Context, by string) (fsm.Claim, error) {
	return l.claimEnd(ctx, by, func(ctx context.Context, c fsm.Claim) error { return l.writeLease(ctx, lease{Claim: c}) })
}

// Renew says that this opener is alive. A lease of a later claim is not taken:
// ErrFenced.
func (l *leasedLog) Renew(ctx context.Context) error { return l.ownLease(ctx, false) }

// Release gives the lease up. One that is somebody else's is left alone.
func (l *leasedLog) Release(ctx context.Context) error {
	err := l.ownLease(ctx, true)
	if errors.Is(err, fsm.ErrFenced) {
		return nil
	}
	return err
}

func (l *leasedLog) ownLease(ctx context.Context, release bool) error {
	l.mu.RLock()
	claim, epoch := l.claim, l.epoch
	l.mu.RUnlock()
	if epoch == 0 {
		return l.fenced(claim)
	}
	return l.writeLease(ctx, lease{claim, release})
}

// writeLease stores a lease unless there is one of a later claim.
func (l *leasedLog) writeLease(ctx context.Context, own lease) error {
	body, err := json.Marshal(own)
	if err != nil {
		return err
	}
	for range 5 {
		held, _, position, err := l.readLease(ctx)
		if err != nil {
			return err
		}
		if held.Epoch > own.Epoch {
			return l.fenced(held.Claim)
		}
		_, err = l.link.put(ctx, formatted(subject(leaseSubjects, l.name), body), position)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
	return fmt.Errorf("lease of %q: %w", l.name, errMoved)
}
