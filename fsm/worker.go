package fsm

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A crew runs steps with hooks, a bounded number at a time. Its goroutines live
// as long as there is work.
type crew struct {
	rt   *Runtime
	most int

	mu      sync.Mutex // guards all below
	jobs    queue[func()]
	running int
	// stuck counts, by method, the hooks that ran out of time and never
	// returned.
	stuck map[string]int
}

// maxStuck is how many calls of a hook may be left behind before it is refused.
const maxStuck = 64

func (c *crew) submit(job func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running < c.most {
		c.running++
		if c.rt.spawn(func() { c.loop(job) }) {
			return
		}
		c.running--
	}
	c.jobs.push(job)
}

// lend allows one more while a hook waits for another: its worker does nothing
// meanwhile. What it returns takes that back.
func (c *crew) lend() (back func()) {
	c.mu.Lock()
	c.most++
	waits := c.jobs.len() > 0
	var job func()
	if waits {
		job = c.jobs.pop()
	}
	c.mu.Unlock()
	if waits {
		c.submit(job)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.most--
	}
}

func (c *crew) loop(job func()) {
	for {
		job()
		c.mu.Lock()
		if c.jobs.len() == 0 || c.running > c.most {
			c.running--
			c.mu.Unlock()
			return
		}
		job = c.jobs.pop()
		c.mu.Unlock()
	}
}

func (c *crew) stuckCalls(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stuck[method]
}

func (c *crew) leave(method string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stuck[method] += n
}

// runHook runs user code on a goroutine of its own, so that the step can go on
// if it does not return in time.
func (rt *Runtime) runHook(r *run, at HookPoint, m method, d *delivery) error {
	if n := rt.workers.stuckCalls(m.name); n >= maxStuck {
		return &Error{Code: CodeHookStuck, Instance: r.before.id, Event: m.name, Count: n}
	}
	mark := hookMark{rt, append(slices.Clip(d.chain), r.before.id)}
	ctx, cancel := context.WithCancel(context.WithValue(rt.ctx, hookKey{}, mark))
	defer cancel()
	call := &Call{
		ctx: ctx, at: at, method: m.name, before: r.before, r: r,
		event: RecordEvent{ID: d.eventID, Type: d.given.event, Payload: d.given.payload, Time: d.at / 1e6},
	}
	defer call.end()
	done := make(chan error, 1)
	go func() {
		err := error(textError("the hook ended its goroutine"))
		defer func() { done <- err }()
		err = call.invoke(m.run)
	}()
	timeout := time.NewTimer(rt.cfg.HookTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
	}
	call.end()
	rt.workers.leave(m.name, 1)
	go func() {
		<-done
		rt.workers.leave(m.name, -1)
	}()
	return &Error{Code: CodeHookTimeout, Instance: r.before.id, Event: m.name}
}
