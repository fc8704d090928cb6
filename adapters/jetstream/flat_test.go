package jetstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
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

func newDay(t *testing.T, keep fsm.Retention) *day {
	t.Helper()
	o := fast
	o.CheckpointEvery, o.CheckpointRate = time.Millisecond, 1000
	d := &day{t: t, clock: fsm.NewManualClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)), store: openFolder(t, t.TempDir(), o)}
	var err error
	d.rt, err = fsm.NewRuntime(fsm.Config{
		Name: "day", Store: d.store, Clock: d.clock, Retention: keep, Limits: fsm.Limits{Ended: dayRemembered},
		Logger: slog.New(slog.DiscardHandler),
		Components: []*fsm.Component{{Name: "Shop", StateMachines: []fsm.Machine{{
			Name: "Order", InitialState: "Open",
			States: []fsm.State{{Name: "Open", Type: "entry"}, {Name: "Done", Type: "final"}},
			Transitions: []fsm.Transition{
				{From: "Open", To: "Open", Event: "TOUCH"},
				{From: "Open", To: "Done", Event: "END"},
			},
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.rt.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for i := range 20 {
		d.lives = append(d.lives, d.create(fmt.Sprintf("long-%d", i)))
	}
	return d
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
			d.send(d.lives[c], "TOUCH")
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
	d := newDay(t, fsm.Retention{Ended: time.Hour, Records: time.Hour})
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
		d.settle(hour, first)
	}
	// The server has blocks of 8 MB in its hands for 10 s after their last use.
	most := memory + 64<<20
	for end := time.Now().Add(60 * time.Second); heap() > most; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes in memory after the day, %d after its first hour", heap(), memory)
		}
	}
}

// settle waits until no more is held than after the first hour. What is too old
// is dropped in the background, each time that its time has come: where the
// machine is slow, later than by the clock.
func (d *day) settle(hour int, first held) {
	d.t.Helper()
	now := d.held()
	for range 8 {
		for range 10 {
			if now.within(first) {
				return
			}
			time.Sleep(100 * time.Millisecond)
			now = d.held()
		}
		d.clock.Advance(6*time.Minute, nil)
	}
	d.t.Fatalf("after %d hours: %+v, after the first %+v", hour, now, first)
}

// What ended is kept with its records, also if those of live instances go sooner.
func TestEndedInstancesKeepTheirHistory(t *testing.T) {
	t.Parallel()
	for _, keep := range []fsm.Retention{{Ended: 24 * time.Hour, Records: time.Hour}, {Records: time.Hour}} {
		d := newDay(t, keep)
		id := d.create("early")
		d.send(id, "END")
		for range 16 {
			d.pass()
		}
		d.still(id)
	}
}

// still has the store asked several times to drop what is too old, and wants the
// records of an instance to be there all the same.
func (d *day) still(id string) {
	d.t.Helper()
	for range 30 {
		d.clock.Advance(time.Minute, nil)
		time.Sleep(20 * time.Millisecond) // it drops in the background: there is nothing to wait for
		n := 0
		for _, err := range d.rt.History(d.t.Context(), id, 0) {
			if err != nil {
				d.t.Fatal(err)
			}
			n++
		}
		if n != 2 {
			d.t.Fatalf("%d records of an ended instance that is kept, want 2", n)
		}
	}
}

// Without retention the same day grows: the test above would see it.
func TestWithoutRetentionADayGrows(t *testing.T) {
	d := newDay(t, fsm.Retention{})
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
