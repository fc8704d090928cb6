package fsm

import (
	"time"
)

// A Retention says how long a store keeps what no instance needs any more. What
// live instances need, and what has an effect that is still open, stays however
// old it is. A store that keeps records in one log, as the embedded one does, drops
// its beginning only, up to the first record that is kept: one of a live instance
// that is younger than Records, or any of an instance whose end is younger than
// Ended.
type Retention struct {
	// Ended is how long instances stay after their end, with all their records
	// that are still there. 0 is for ever: nothing is lost that nobody asked to
	// lose.
	Ended time.Duration
	// Records is how long the records of live instances stay, as history,
	// after a snapshot or checkpoint has made them unnecessary. 0 is for ever.
	Records time.Duration
}

// retention returns what is configured for a machine.
func (c *Config) retention(component, machine string) Retention {
	if r, ok := c.RetentionOf[component+"/"+machine]; ok {
		return r
	}
	if r, ok := c.RetentionOf[component]; ok {
		return r
	}
	return c.Retention
}

// cut is a retention at a moment.
func (r Retention) cut(now time.Time) (c Cut) {
	if r.Ended > 0 {
		c.Ended = now.Add(-r.Ended)
	}
	if r.Records > 0 {
		c.Records = now.Add(-r.Records)
	}
	return c
}

// retains returns how often the store is asked to drop what is too old: ten
// times in the shortest time that is configured, at most once a minute and at
// least once an hour. It is 0 if everything is kept for ever.
func (c *Config) retains() time.Duration {
	shortest := time.Duration(0)
	take := func(d time.Duration) {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	take(c.Retention.Ended)
	take(c.Retention.Records)
	for _, r := range c.RetentionOf {
		take(r.Ended)
		take(r.Records)
	}
	if shortest == 0 {
		return 0
	}
	return min(max(shortest/10, time.Minute), time.Hour)
}

// retain has the store drop what is too old, for as long as the runtime runs.
func (rt *Runtime) retain() {
	every := rt.cfg.retains()
	if every == 0 {
		return
	}
	rt.spawn(func() {
		for rt.sleep(rt.ctx, every) == nil {
			now := time.Unix(0, rt.clock.now())
			err := rt.log.Retain(rt.ctx, func(component, machine string) Cut {
				return rt.cfg.retention(component, machine).cut(now)
			})
			if err != nil && !rt.halted.Load() {
				rt.cfg.Logger.Warn("the store did not drop what is too old; it is asked again", "runtime", rt.cfg.Name, "in", every, "err", err)
			}
		}
	})
}
