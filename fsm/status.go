package fsm

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// A Phase is a part of a runtime's life.
type Phase string

// The phases, in their order. A runtime that another process has fenced ends in
// PhaseFenced instead of PhaseStopped.
const (
	PhaseNew        Phase = "new"
	PhaseStandingBy Phase = "standing by" // another process is alive with the log
	PhaseRestoring  Phase = "restoring"
	PhaseRunning    Phase = "running"
	PhaseStopping   Phase = "stopping"
	PhaseStopped    Phase = "stopped"
	PhaseFenced     Phase = "fenced"
)

// The same as a runtime has them.
const (
	phaseNew int32 = iota
	phaseStandingBy
	phaseRestoring
	phaseRunning
	phaseStopping
	phaseStopped
	phaseFenced
)

var phases = [...]Phase{PhaseNew, PhaseStandingBy, PhaseRestoring, PhaseRunning, PhaseStopping, PhaseStopped, PhaseFenced}

// A RuntimeStatus says how a runtime is.
type RuntimeStatus struct {
	Phase Phase
	// Since is when the phase began, by the runtime's clock.
	Since time.Time
	// Why says in words why the runtime is not running: who holds its log, what
	// made its start fail, who has fenced it. Empty where there is nothing to
	// say.
	Why string
	// Instances and Records are how many were read from the log by now: of
	// records and snapshots together. Done and Total are the log's own measure
	// of how far it has got, where it tells; Total is 0 where it does not.
	Instances, Records uint64
	Done, Total        uint64
	// Quarantined is the number of instances that cannot be advanced.
	Quarantined int
}

// A lifePhase is where a runtime is in its life, and since when.
type lifePhase struct {
	now   atomic.Int32
	since atomic.Int64 // ns
}

// restoreProgress is what is read while the log is restored.
type restoreProgress struct{ instances, records atomic.Uint64 }

// enter moves on from one phase to another, if the runtime is in that one.
func (rt *Runtime) enter(from, to int32) bool {
	if !rt.phase.now.CompareAndSwap(from, to) {
		return false
	}
	rt.phase.since.Store(rt.clock.now())
	return true
}

// end enters a last phase, unless the runtime is in one.
func (rt *Runtime) end(to int32) {
	for {
		at := rt.phase.now.Load()
		if at >= phaseStopped || rt.enter(at, to) {
			return
		}
	}
}

// Status returns how the runtime is now. It never waits.
func (rt *Runtime) Status() RuntimeStatus {
	s := RuntimeStatus{
		Phase: phases[rt.phase.now.Load()], Since: time.Unix(0, rt.phase.since.Load()),
		Instances: rt.progress.instances.Load(), Records: rt.progress.records.Load(),
	}
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s.Quarantined = len(rt.quarantined)
	switch {
	case s.Phase == PhaseStandingBy:
		s.Why = rt.heldBy
	case rt.err != nil:
		s.Why = rt.err.Error()
	case rt.failed != nil:
		s.Why = rt.failed.Error()
	}
	if rt.measure != nil {
		s.Done, s.Total = rt.measure()
	}
	return s
}

// Ready waits until the runtime runs: while it stands by or restores, until its
// start has ended. It returns nil once it runs, ErrNotRunning if it does not
// (with what made the start fail), ErrFenced, and the context's error if that
// ends first. Calls that take a context wait like this by themselves.
func (rt *Runtime) Ready(ctx context.Context) error {
	if rt.phase.now.Load() == phaseRunning {
		return nil
	}
	if rt.starting() && rt.busyChain(ctx) == nil {
		select {
		case <-rt.started:
		case <-ctx.Done():
			return fmt.Errorf("runtime %s is %s: %w", rt.cfg.Name, rt.Status().Phase, context.Cause(ctx))
		}
	}
	switch at := rt.phase.now.Load(); {
	case at == phaseRunning:
		return nil
	case at == phaseRestoring:
		return nil // a hook calls, and Start waits for that hook: all is in the tables
	}
	return rt.notRunning()
}

// starting reports whether the runtime is on its way to running.
func (rt *Runtime) starting() bool {
	at := rt.phase.now.Load()
	return at == phaseStandingBy || at == phaseRestoring
}
