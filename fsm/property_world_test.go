package fsm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
	"pgregory.net/rapid"
)

// A world is one case of the property test: a plan, the runtime that runs it,
// and all that it has told.
type world struct {
	hookWorld
	t     *rapid.T
	outer *testing.T
	// explained is set once a case has been explained: the first one, since
	// what other goroutines did may not happen again.
	explained *atomic.Bool
	plan      *plan
	clock     *fsm.ManualClock
	memory    *fsm.MemoryStore
	store     fsm.Store
	cut       *fsmtest.Cuttable
	rt        *fsm.Runtime
	old       []*fsm.Runtime
	told      *told
	unsee     func() // ends the watching of rt
	lossy     bool   // a runtime was killed before it could tell all
	sends     sync.WaitGroup

	logged sync.Mutex // guards lines
	lines  []string
}

const propertyLog = "property"

func newWorld(t *rapid.T, outer *testing.T, explained *atomic.Bool) *world {
	w := &world{t: t, outer: outer, explained: explained, plan: drawPlan(t), memory: fsm.NewMemoryStore(), told: newTold()}
	w.clock = fsm.NewManualClock(time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC))
	w.hookWorld = hookWorld{report: w.errorf, budget: 200}
	switch w.store = w.memory; w.plan.store {
	case "slow":
		w.store = fsmtest.SlowStore(w.memory, 200*time.Microsecond)
	case "flaky":
		w.store = fsmtest.FlakyStore(w.memory, 5)
	}
	coverage.count("store " + w.plan.store)
	coverage.count(fmt.Sprintf("shards %d", w.plan.shards))
	return w
}

// start makes a runtime on the store as it is.
func (w *world) start() {
	w.cut = fsmtest.CuttableStore(w.store)
	rt, err := fsm.NewRuntime(fsm.Config{
		Name: propertyLog, Components: w.plan.components, Hooks: w.hooks(w.plan), Store: w.cut, Clock: w.clock,
		NoSnapshots: w.plan.interval == 0, SnapshotEvery: w.plan.interval, Shards: w.plan.shards,
		Limits: fsm.Limits{Hops: 6, Events: 60}, Logger: slog.New(slog.DiscardHandler),
		Trace: func(e fsm.Trace) {
			if e.Kind == fsm.TraceCreated {
				w.learn(e.Instance, false)
			}
			w.log("    %s %s", e.Kind, compact(e))
		},
	})
	if err != nil {
		w.fatalf("NewRuntime: %v", err)
	}
	w.rt = rt
	w.unsee = w.told.watch(rt, w.errorf)
	if err := rt.Start(context.Background()); err != nil {
		w.fatalf("Start: %v", err)
	}
	w.idle()
}

// log notes what is done, for the report of a failure.
func (w *world) log(format string, args ...any) {
	w.logged.Lock()
	defer w.logged.Unlock()
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// errorf fails the case.
func (w *world) errorf(format string, args ...any) {
	w.log("FAILED: "+format, args...)
	w.t.Errorf(format, args...)
}

// fatalf fails the case and ends it.
func (w *world) fatalf(format string, args ...any) {
	w.log("FAILED: "+format, args...)
	w.t.Fatalf(format, args...)
}

// explain prints the plan and what was done, for the first case that fails.
func (w *world) explain() {
	if !w.t.Failed() || w.explained.Swap(true) {
		return
	}
	w.outer.Logf("%d shards, %s store, snapshot interval %d", w.plan.shards, w.plan.store, w.plan.interval)
	for _, c := range w.plan.components {
		w.outer.Logf("component %s", compact(c))
	}
	for _, name := range methodNames {
		w.outer.Logf("method %s: %+v", name, w.plan.methods[name])
	}
	w.logged.Lock()
	defer w.logged.Unlock()
	w.outer.Logf("what was done:\n%s", strings.Join(w.lines, "\n"))
	for _, r := range w.memory.Records(propertyLog) {
		w.outer.Logf("record %s", compact(r))
	}
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// stop ends all runtimes, so that no goroutine is left.
func (w *world) stop() {
	if w.rt == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, rt := range append(w.old, w.rt) {
		if err := rt.Stop(ctx); ctx.Err() != nil {
			w.errorf("Stop does not end: %v", err)
		}
	}
	w.unsee()
	w.sends.Wait()
}

// idle waits until everything has been handled.
func (w *world) idle() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := w.rt.Idle(ctx, 0); err != nil {
		w.fatalf("the runtime does not come to rest: %v", err)
	}
}

// restart ends the runtime as a crash would and starts another one, after some
// time. A runtime at rest has told everything.
func (w *world) restart(down time.Duration) {
	w.cut.Cut()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// It can only say that it was not given the time to stop well.
	_ = w.rt.Stop(ctx)
	w.sends.Wait()
	w.unsee()
	w.old = append(w.old, w.rt)
	w.clock = fsm.NewManualClock(w.clock.Now().Add(down))
	w.start()
}

// expected fails the test for an error that nothing in the plan explains.
func (w *world) expected(what string, err error) {
	allowed := []error{
		fsm.ErrEventIgnored, fsm.ErrUnknownInstance, fsm.ErrInstanceEnded, fsm.ErrSingletonExists, fsm.ErrStateFinal, fsm.ErrKeyExists,
	}
	if w.plan.store == "flaky" {
		allowed = append(allowed, fsm.ErrStoreFailed, fsmtest.ErrFlaky)
	}
	if err == nil {
		return
	}
	for _, target := range allowed {
		if errors.Is(err, target) {
			return
		}
	}
	w.errorf("%s: %v", what, err)
}

// actions are the steps of a case.
func (w *world) actions() map[string]func() {
	return map[string]func(){
		"create": w.create, "send": w.send, "send more": w.send, "burst": w.burst, "broadcast": w.broadcast,
		"advance": w.advance, "restart": w.restartAtRest, "crash": w.crash,
	}
}

func (w *world) create() {
	m := sample(w.t, "machine", w.plan.machines...)
	options := []fsm.CreateOption{fsm.WithComponent(w.plan.component[m.Name].Name)}
	if oneIn(w.t, 4, "in a state") {
		options = append(options, fsm.InState(sample(w.t, "state", "s1", "s0", "done")))
	}
	if oneIn(w.t, 4, "with a key") {
		options = append(options, fsm.WithKey(sample(w.t, "key", "order:1", "order:2")))
	}
	_, err := w.rt.Create(context.Background(), m.Name, drawData(w.t), options...)
	w.expected("create", err)
}

// drawSend draws an instance, one of the table if there is any and rarely
// another, and an event, one that the instance accepts more often than not.
func (w *world) drawSend() (string, fsm.Event) {
	to := w.target(rapid.IntRange(-1, 9).Draw(w.t, "to"))
	events := eventNames
	if ids := w.tableIDs(); len(ids) > 0 && !oneIn(w.t, 12, "to another") {
		to = ids[rapid.IntRange(0, 1<<16).Draw(w.t, "to one of the table")%len(ids)]
		if in, err := w.rt.Get(to); err == nil && len(in.Accepts()) > 0 && !oneIn(w.t, 6, "any event") {
			events = in.Accepts()
		}
	}
	return to, fsm.Event{Type: sample(w.t, "event", events...), Payload: drawData(w.t)}
}

func (w *world) send() {
	id, ev := w.drawSend()
	result, err := w.rt.Send(context.Background(), id, ev, fsm.Settled())
	w.expected("send", err)
	if err != nil {
		return
	}
	f, _ := fold(w.memory.Records(propertyLog))
	in := f[id]
	if in == nil || result.Record.Instance != id || int(result.Record.Version) > len(in.records) {
		w.errorf("send to %s: its result %+v is of no record that is stored", id, result)
		return
	}
	r := in.records[result.Record.Version-1]
	if r.After != result.State || r.Version != result.Version || r.Event.Type != ev.Type {
		w.errorf("send of %s to %s: result %+v, but stored is %s to %s", ev.Type, id, result, r.Event.Type, r.After)
	}
}

// background sends several events at once, without waiting for what they lead
// to. Errors are those that are expected, or come from a crash.
func (w *world) background(crashing bool) {
	for range rapid.IntRange(3, 12).Draw(w.t, "burst") {
		id, ev := w.drawSend()
		w.sends.Go(func() {
			_, err := w.rt.Send(context.Background(), id, ev)
			if crashing && (errors.Is(err, fsm.ErrNotRunning) || errors.Is(err, fsmtest.ErrCut) || errors.Is(err, fsm.ErrStoreFailed)) {
				return
			}
			w.expected("send in a burst", err)
		})
	}
}

func (w *world) burst() {
	w.background(false)
	w.sends.Wait()
}

func (w *world) broadcast() {
	m := sample(w.t, "machine", w.plan.machines...)
	count, err := w.rt.Broadcast(context.Background(), m.Name, fsm.Event{Type: sample(w.t, "event", eventNames...), Payload: drawData(w.t)},
		fsm.ToComponent(w.plan.component[m.Name].Name), fsm.OnlyInState(sample(w.t, "state", "", "s0", "s1")), fsm.SettledOneByOne())
	w.expected("broadcast", err)
	if n := len(w.memory.Records(propertyLog)); err == nil && count > n {
		w.errorf("broadcast to %d instances, with %d records", count, n)
	}
}

func (w *world) advance() {
	d := time.Duration(rapid.IntRange(1, 20).Draw(w.t, "tens of ms")) * 10 * time.Millisecond
	w.clock.Advance(d, w.idle)
	w.idle()
	// A timer may be 10 ms late, and no more.
	late := w.clock.Now().Add(-10 * time.Millisecond)
	for in := range w.rt.Instances(fsm.Filter{}) {
		for _, timer := range in.Timers() {
			if timer.Due.Before(late) && w.plan.store != "flaky" {
				w.errorf("%s %s in %s: the timer %s was due at %v, now it is %v", in.Machine(), in.ID(), in.State(), timer.Event, timer.Due, w.clock.Now())
			}
		}
	}
}

func (w *world) restartAtRest() {
	before, table := w.tableIDs(), w.table()
	w.checkAtRest()
	down := time.Duration(sample(w.t, "down", 0, 1, 150)) * time.Millisecond
	w.restart(down)
	if after := w.tableIDs(); down == 0 && w.plan.shards == 1 && fmt.Sprint(after) != fmt.Sprint(before) {
		w.errorf("table after a restart: %v, before it %v", after, before)
	}
	if after := w.table(); down == 0 {
		for id, was := range table {
			if is, ok := after[id]; ok && is != was {
				w.errorf("%s after a restart:\n%s\nbefore it:\n%s", id, is, was)
			}
		}
		if len(after) != len(table) {
			w.errorf("%d instances after a restart, %d before it", len(after), len(table))
		}
		coverage.count("restart without a pause")
	}
	coverage.count("restart")
}

// table is all that instances are, with the Go types of their values.
func (w *world) table() map[string]string {
	out := map[string]string{}
	for in := range w.rt.Instances(fsm.Filter{}) {
		public, is := in.PublicMember()
		out[in.ID()] = fmt.Sprintf("%s %s %v v%d %q %q %v %#v %v %#v %v %v",
			in.Machine(), in.State(), in.Status(), in.Version(), in.Key(), in.Parent(), in.EntryPoint(),
			in.Context().Map(), is, public.Map(), in.Timers(), in.CreatedAt())
	}
	return out
}

func (w *world) tableIDs() []string {
	var ids []string
	for in := range w.rt.Instances(fsm.Filter{}) {
		ids = append(ids, in.ID())
	}
	return ids
}

// crash ends the runtime in the middle of what it does.
func (w *world) crash() {
	w.background(true)
	w.lossy = true
	w.restart(0)
	byID, _ := fold(w.memory.Records(propertyLog))
	w.told.giveUp(w.telling(byID))
	coverage.count("crash")
}
