package jetstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
)

// A day is one of a runtime with some instances that live all day and many that
// end, on a clock that is moved by hand.
type day struct {
	t     *testing.T
	dir   string
	keep  fsm.Retention
	clock *fsm.ManualClock
	store *jetstream.Store
	rt    *fsm.Runtime
	lives []string // instances that do not end
	made  int      // those that have ended
}

const buckets = 1024

// dayRemembered is how many ended instances are remembered in memory, fewer than
// end in an hour.
const dayRemembered = 50

// lateAfter is when an order that is not done is late: longer than any day here.
const lateAfter = 100 * time.Hour

// newDay begins a day with so many instances that live all day.
func newDay(t *testing.T, keep fsm.Retention, lives int) *day {
	t.Helper()
	d := &day{t: t, dir: t.TempDir(), keep: keep, clock: fsm.NewManualClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))}
	d.start()
	t.Cleanup(d.stop)
	for i := range lives {
		d.lives = append(d.lives, d.create(fmt.Sprintf("long-%d", i)))
	}
	return d
}

// start opens the store and starts a runtime.
func (d *day) start() {
	d.t.Helper()
	o := fast
	o.CheckpointEvery, o.CheckpointRate = time.Millisecond, 1000
	d.store = openFolder(d.t, d.dir, o)
	var err error
	d.rt, err = fsm.NewRuntime(fsm.Config{
		Name: "day", Store: d.store, Clock: d.clock, Retention: d.keep, Limits: fsm.Limits{Ended: dayRemembered},
		Logger: slog.New(slog.DiscardHandler),
		Components: []*fsm.Component{{Name: "Shop", StateMachines: []fsm.Machine{{
			Name: "Order", InitialState: "Open",
			States: []fsm.State{{Name: "Open", Type: "entry"}, {Name: "Done", Type: "final"}, {Name: "Late"}},
			Transitions: []fsm.Transition{
				{From: "Open", To: "Open", Event: "TOUCH"},
				{From: "Open", To: "Done", Event: "END"},
				{From: "Open", To: "Late", Event: "LATE", Type: "timeout", TimeoutMs: lateAfter.Milliseconds()},
			},
		}}}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.rt.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *day) stop() {
	d.t.Helper()
	if err := d.rt.Stop(context.WithoutCancel(d.t.Context())); err != nil {
		d.t.Error(err)
	}
}

// create makes an instance under a key, and returns its id.
func (d *day) create(key string) string {
	in, err := d.rt.Create(d.t.Context(), "Order", map[string]any{"note": key}, fsm.WithKey(key))
	if err != nil {
		d.t.Error(err)
		return ""
	}
	return in.ID()
}

func (d *day) send(id, event string) {
	if _, err := d.rt.Send(d.t.Context(), id, fsm.Event{Type: event}); err != nil {
		d.t.Error(err)
	}
}

// pass is a quarter of an hour of load, spread over callers.
func (d *day) pass() {
	const callers, each = 10, 3
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				d.send(d.create(fmt.Sprintf("order-%d", d.made+c*each+i)), "END")
			}
			if c < len(d.lives) {
				d.send(d.lives[c], "TOUCH")
			}
		})
	}
	wg.Wait()
	d.made += callers * each
	d.clock.Advance(15*time.Minute, nil)
}

// A held is what a store holds.
type held struct {
	log    uint64 // bytes
	saved  uint64 // bytes of checkpoints
	ended  int    // instances
	places int    // instances that the open log has in memory
}

func (d *day) held() held {
	d.t.Helper()
	i, err := jetstream.Info(d.t.Context(), d.store)
	if err != nil {
		d.t.Fatal(err)
	}
	return held{i.Bytes, i.CheckpointBytes, i.Logs[0].Ended, jetstream.Places(d.store)}
}

// heap is what the process holds in memory.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// within reports whether it is not much more than another one: what is dropped
// is dropped a little after its time, and each of 1,024 buckets has a checkpoint
// once something was in it.
func (h held) within(o held) bool {
	return h.log <= o.log*3/2 && h.saved <= o.saved+buckets*200 && h.ended <= o.ended*3/2 && h.places <= o.places*3/2
}

// After the first hour of a day with a retention of one hour neither disk nor
// memory grow. It is not parallel: it looks at the heap of the process.
func TestRetentionKeepsADayFlat(t *testing.T) {
	d := newDay(t, fsm.Retention{Ended: time.Hour, Records: time.Hour}, 20)
	var first held
	var memory uint64
	for hour := 1; hour <= 24; hour++ {
		for range 4 {
			d.pass()
		}
		if hour == 1 {
			first, memory = d.held(), heap()
		}
		if hour%8 != 0 {
			continue
		}
		d.flat(hour, first)
	}
	// The server has blocks of 8 MB in its hands for 10 s after their last use.
	most := memory + 64<<20
	for end := time.Now().Add(60 * time.Second); heap() > most; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes in memory after the day, %d after its first hour", heap(), memory)
		}
	}
}

// The disk comes back with a time for ended instances alone, as far as no record of
// a live one is in the way.
func TestDiskComesBackWithEndedAlone(t *testing.T) {
	t.Parallel()
	d := newDay(t, fsm.Retention{Ended: time.Hour}, 0)
	var first held
	for hour := 1; hour <= 8; hour++ {
		for range 4 {
			d.pass()
		}
		if hour == 1 {
			first = d.held()
		}
	}
	d.flat(8, first)
	// The history of what lives is kept for ever.
	d.lives = []string{d.create("long")}
	const passes = 12
	for range passes {
		d.pass()
	}
	d.still(d.lives[0], 1+passes)
}

// Retention takes nothing that a live instance needs: after a restart each is where
// it was, under its key and with its timer, though its records have been dropped.
func TestRetentionLeavesWhatLives(t *testing.T) {
	t.Parallel()
	d := newDay(t, fsm.Retention{Ended: time.Hour, Records: time.Hour}, 20)
	const passes = 12
	for range passes {
		d.pass()
	}
	d.drop()
	if n := len(d.history(d.lives[0])); n >= passes {
		t.Fatalf("%d records of one that lives are kept: those of three hours", n)
	}
	type kept struct {
		id, state string
		version   uint64
		data      string
	}
	look := func() (all []kept) {
		t.Helper()
		for i := range d.lives {
			in, err := d.rt.GetByKey("Shop", fmt.Sprintf("long-%d", i))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, kept{in.ID(), in.State(), in.Version(), fmt.Sprintf("%#v %v", in.Data().Map(), in.Timers())})
		}
		return all
	}
	before := look()
	for range 2 {
		d.stop()
		if err := d.store.Close(); err != nil {
			t.Fatal(err)
		}
		d.start()
		if now := look(); !slices.Equal(now, before) {
			t.Errorf("after a restart:\n%v\nbefore:\n%v", now, before)
		}
		// Those that were not touched since they were made are in checkpoints only.
		d.clock.Advance(2*time.Hour, nil)
	}
	d.clock.Advance(lateAfter, nil)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		late := 0
		for _, in := range look() {
			if in.state == "Late" {
				late++
			}
		}
		if late == len(d.lives) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the timers of %d of %d instances fired", late, len(d.lives))
		}
	}
}

// history are the records of an instance that are kept.
func (d *day) history(id string) (all []*fsm.Record) {
	d.t.Helper()
	for r, err := range d.rt.History(d.t.Context(), id, 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// drop has what is too old dropped, as the runtime does in the background, and returns
// once it is: on a busy machine that in the background may take any time.
func (d *day) drop() {
	d.t.Helper()
	now, cut := d.clock.Now(), fsm.Cut{}
	if d.keep.Ended > 0 {
		cut.Ended = now.Add(-d.keep.Ended)
	}
	if d.keep.Records > 0 {
		cut.Records = now.Add(-d.keep.Records)
	}
	if err := jetstream.Drop(d.t.Context(), d.store, cut); err != nil {
		d.t.Fatal(err)
	}
}

// flat wants no more to be held than after the first hour.
func (d *day) flat(hour int, first held) {
	d.t.Helper()
	d.drop()
	if now := d.held(); !now.within(first) {
		d.t.Fatalf("after %d hours: %+v, after the first %+v", hour, now, first)
	}
}

// What ended is kept with its records, also if those of live instances go sooner.
func TestEndedInstancesKeepTheirHistory(t *testing.T) {
	t.Parallel()
	for _, keep := range []fsm.Retention{{Ended: 24 * time.Hour, Records: time.Hour}, {Records: time.Hour}} {
		d := newDay(t, keep, 20)
		id := d.create("early")
		d.send(id, "END")
		for range 16 {
			d.pass()
		}
		d.still(id, 2)
	}
}

// still has what is too old dropped, and wants so many records of an instance to be
// there all the same.
func (d *day) still(id string, records int) {
	d.t.Helper()
	d.clock.Advance(30*time.Minute, nil)
	d.drop()
	if n := len(d.history(id)); n != records {
		d.t.Fatalf("%d records of an instance whose history is kept, want %d", n, records)
	}
}

// Without retention the same day grows: the test above would see it.
func TestWithoutRetentionADayGrows(t *testing.T) {
	d := newDay(t, fsm.Retention{}, 20)
	var first held
	for hour := range 3 {
		for range 4 {
			d.pass()
		}
		if hour == 0 {
			first = d.held()
		}
	}
	if now := d.held(); now.within(first) || now.ended != d.made {
		t.Errorf("after 3 hours %+v with %d ended, after the first %+v", now, d.made, first)
	}
}
