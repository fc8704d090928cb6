package fsmtest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// RunOptions says on what a scenario is run, and how strictly it is compared.
type RunOptions struct {
	// Shards and Ordered are those of fsm.Config.
	Shards  int
	Ordered bool
	// PerInstance compares events and records for each instance only: with
	// more than one shard there is no order over several.
	PerInstance bool
	// Notices compares what Runtime.Watch tells instead of the trace, for each
	// instance.
	Notices bool
	// Store, if set, is given the memory store of a scenario and returns the
	// one to use. Scenarios without persistence get a store then, too, unless
	// they show what a restart without one is.
	Store func(fsm.Store) fsm.Store
}

// logName is under which name the runtime of a scenario keeps its log.
const logName = "scenario"

// startTime is when every scenario begins.
var startTime = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// Run takes the steps of a scenario on a runtime and fails the test where what
// is observed differs from what is expected.
func Run(t *testing.T, s *Scenario, o RunOptions) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a := newAliases()
	r := &runner{
		t: t, scenario: s, options: o, ctx: ctx,
		aliases: a, observer: newObserver(a), components: s.Components,
		clock: fsm.NewManualClock(startTime), gates: map[string]*gate{}, held: map[string]bool{},
	}
	switch {
	case s.Persistence != nil && !s.Persistence.records():
		only := newSnapshotStore()
		r.latest, r.store = only.snapshots, only
	case s.Persistence != nil || o.Store != nil && !s.restarts():
		r.memory = fsm.NewMemoryStore()
		r.latest = func() []*fsm.Snapshot { return r.memory.Snapshots(logName) }
		r.store = r.memory
	}
	if o.Store != nil && r.store != nil {
		r.store = o.Store(r.store)
	}
	r.run()
}

// A runner is one run of a scenario.
type runner struct {
	t          *testing.T
	scenario   *Scenario
	options    RunOptions
	ctx        context.Context
	aliases    *aliases
	observer   *observer
	components []*fsm.Component
	clock      *fsm.ManualClock
	store      fsm.Store        // nil for none
	memory     *fsm.MemoryStore // what it keeps records in
	latest     func() []*fsm.Snapshot
	cut        *Cuttable // of the runtime that runs; nil without a store
	rt         *fsm.Runtime
	unwatch    func()
	gates      map[string]*gate
	held       map[string]bool // instances that wait at a gate
	outcomes   []entry
}

func (r *runner) run() {
	for _, list := range r.scenario.Methods {
		for _, op := range list {
			if op.name == "wait" {
				r.gates[fmt.Sprint(op.arg)] = newGate()
			}
		}
	}
	err := r.start()
	if want := r.scenario.Expect.LoadError; want != "" || err != nil {
		if !hasCode(err, fsm.Code(want)) {
			r.t.Errorf("loading: %v, want the error %q", err, want)
		}
		if err != nil {
			return
		}
	}
	defer r.end()
	r.settle()
	for i := range r.scenario.Steps {
		step := &r.scenario.Steps[i]
		r.observer.setStep(i + 1)
		out := steps[step.name](r, step)
		for _, e := range out {
			e["step"] = i + 1
			r.outcomes = append(r.outcomes, e)
		}
		r.settle()
		if r.t.Failed() {
			r.t.Fatalf("after step %d, %s", i+1, step.name)
		}
	}
	r.compare()
}

// settle waits until the step is over.
func (r *runner) settle() {
	if err := r.rt.Idle(r.ctx, len(r.held)); err != nil {
		r.t.Errorf("waiting for the runtime to be idle: %v", err)
	}
	if r.options.Notices {
		r.observer.noticed(r.ctx, r.held)
	}
}

// start makes a runtime on the store as it is.
func (r *runner) start() error {
	c := fsm.Config{
		Name: logName, Components: r.components, Hooks: r.hooks(), Clock: r.clock,
		Shards: r.options.Shards, Ordered: r.options.Ordered,
		Trace: r.observer.observe, Logger: slog.New(slog.DiscardHandler),
	}
	if r.store != nil {
		r.cut = CuttableStore(r.store)
		c.Store = r.cut
	}
	if p := r.scenario.Persistence; p != nil {
		c.NoSnapshots, c.SnapshotEvery = !p.snapshots(), p.SnapshotInterval
	}
	rt, err := fsm.NewRuntime(c)
	if err != nil {
		return err
	}
	r.rt, r.unwatch = rt, func() {}
	if r.options.Notices {
		ctx, cancel := context.WithCancel(r.ctx)
		wait := r.observer.watch(ctx, rt, func(err error) { r.t.Errorf("watching: %v", err) })
		r.unwatch = func() { cancel(); wait() }
	}
	if err := rt.Start(r.ctx); err != nil {
		r.end()
		return err
	}
	return nil
}

// kill ends the runtime as a crash would: nothing that it does from now on is
// stored, and it is not waited for.
func (r *runner) kill() {
	if r.cut != nil {
		r.cut.Cut()
	}
	r.unwatch()
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	// It can only say that it was not given the time to stop well.
	_ = r.rt.Stop(ctx)
}

// end stops the runtime.
func (r *runner) end() {
	for _, g := range r.gates {
		g.openUp()
	}
	if err := r.rt.Stop(context.WithoutCancel(r.ctx)); err != nil {
		r.t.Errorf("stop: %v", err)
	}
	r.unwatch()
}

func (r *runner) gate(name string) *gate { return r.gates[name] }

// dropped returns the components without the machines of some names.
func (r *runner) dropped(machines []any) []*fsm.Component {
	if len(machines) == 0 {
		return r.components
	}
	out := make([]*fsm.Component, 0, len(r.components))
	for _, c := range r.components {
		less := *c
		less.StateMachines = slices.DeleteFunc(slices.Clone(c.StateMachines), func(m fsm.Machine) bool {
			return slices.Contains(machines, any(m.Name))
		})
		out = append(out, &less)
	}
	return out
}

// hasCode reports whether an error or one that it joins or wraps has the code.
// No error has the code "".
func hasCode(err error, code fsm.Code) bool {
	switch e := err.(type) {
	case nil:
		return code == ""
	case *fsm.Error:
		if e.Code == code {
			return true
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(err error) bool { return hasCode(err, code) })
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		return inner != nil && hasCode(inner, code)
	}
	return false
}
