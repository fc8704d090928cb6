package fsm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Two processes of one Name on a store that both can reach are an active one and
// a spare. The active one renews a lease; the spare watches it and takes over
// when the active one gives it up or has not renewed it for long. What keeps
// both from advancing an instance is the claim, not the lease: a spare that is
// wrong about the other's death fences it.

const (
	// leaseRenewal is how often the lease is renewed.
	leaseRenewal = 3 * time.Second
	// leaseTerm is how long after its last renewal a lease counts.
	leaseTerm = 10 * time.Second
	// leaseWatch is how often a spare looks.
	leaseWatch = 500 * time.Millisecond
)

// standBy waits until nobody is alive with the log. It returns at once for a log
// without leases, and with Config.Takeover.
func (rt *Runtime) standBy(ctx context.Context) error {
	log, ok := rt.log.(Leaser)
	if !ok || rt.cfg.Takeover {
		return nil
	}
	defer rt.enter(phaseStandingBy, phaseRestoring)
	var watch leaseWatcher
	for looked := false; ; looked = true {
		lease, err := log.Lease(ctx)
		switch {
		case err != nil && (!looked || ctx.Err() != nil):
			return fmt.Errorf("read the lease of its log: %w", err)
		case err != nil:
			rt.cfg.Logger.Warn("the lease cannot be read; standing by", "runtime", rt.cfg.Name, "err", err)
		case !watch.alive(lease, rt.cfg.Clock):
			return nil
		}
		rt.standingBy(lease, err)
		if err := rt.sleep(ctx, leaseWatch); err != nil {
			return err
		}
	}
}

func (rt *Runtime) standingBy(l Lease, err error) {
	rt.mu.Lock()
	if err == nil {
		rt.heldBy = "the log is held by " + l.By
	}
	why := rt.heldBy
	rt.mu.Unlock()
	if rt.enter(phaseRestoring, phaseStandingBy) {
		rt.cfg.Logger.Info("standing by", "runtime", rt.cfg.Name, "why", why)
	}
}

// A leaseWatcher says whether the holder of a lease is alive. Clocks of two
// machines differ: what is old by our clock at the first look counts as ended,
// and from then on only our own time between two renewals counts.
type leaseWatcher struct {
	last Lease
	seen time.Duration // by Clock.Elapsed
}

func (w *leaseWatcher) alive(l Lease, c Clock) bool {
	switch {
	case l.Seen.IsZero():
		return false
	case w.last.Seen.IsZero():
		age := max(0, c.Now().Sub(l.Seen)) // negative: its clock is ahead
		w.last, w.seen = l, c.Elapsed()-age
	case w.last != l:
		w.last, w.seen = l, c.Elapsed()
	}
	return c.Elapsed()-w.seen < leaseTerm
}

// sleep waits on the runtime's clock. It returns an error if the context or the
// runtime ends first.
func (rt *Runtime) sleep(ctx context.Context, d time.Duration) error {
	woken := make(chan struct{})
	stop := rt.cfg.Clock.AfterFunc(d, func() { close(woken) })
	defer stop()
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-rt.dead:
		return rt.notRunning()
	}
}

// holdLease renews the lease for as long as the runtime runs.
func (rt *Runtime) holdLease(ctx context.Context) error {
	log, ok := rt.log.(Leaser)
	if !ok {
		return nil
	}
	if err := log.Renew(ctx); err != nil {
		return fmt.Errorf("renew the lease of its log: %w", err)
	}
	rt.spawn(func() {
		for rt.sleep(rt.ctx, leaseRenewal) == nil {
			err := log.Renew(rt.ctx)
			switch {
			case err == nil || rt.halted.Load():
			case errors.Is(err, ErrFenced):
				if l, lerr := log.Lease(rt.ctx); lerr == nil && l.By != "" {
					err = &Error{Code: CodeFenced, Detail: "claimed by " + l.By, Err: err}
				}
				rt.fenced(err)
				return
			default:
				// The claim still holds; a spare may take over.
				rt.cfg.Logger.Warn("the lease was not renewed", "runtime", rt.cfg.Name, "err", err)
			}
		}
	})
	return nil
}

// releaseLease gives the lease up at the end, unless somebody else has it.
func (rt *Runtime) releaseLease(ctx context.Context) {
	log, ok := rt.log.(Leaser)
	if !ok || rt.Err() != nil || rt.claim.Epoch == 0 {
		return
	}
	if err := log.Release(ctx); err != nil {
		rt.cfg.Logger.Warn("the lease was not released: a spare waits for its end", "runtime", rt.cfg.Name, "err", err)
	}
}
