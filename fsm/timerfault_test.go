package fsm

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// P6, F10: a timer fires once, not before its time, whatever is done to the
// wall clock.

var epoch = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

// advance lets time pass, with all that it leads to.
func advance(t *testing.T, rt *Runtime, c *ManualClock, d time.Duration) {
	t.Helper()
	c.Advance(d, func() { settle(t, rt) })
	settle(t, rt)
}

func TestTimersAreExact(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(epoch)
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "B", timeout(1500)), on("B", "T", "A", timeout(700))))}, Clock: clock})
	id := mustCreate(t, rt, "M", nil)
	for i, step := range []struct {
		d       time.Duration
		version uint64
	}{
		{1499 * time.Millisecond, 1}, {time.Millisecond, 2}, {699 * time.Millisecond, 2}, {time.Millisecond, 3}, {2200 * time.Millisecond, 5}, {time.Hour, 5 + 2*1636},
	} {
		advance(t, rt, clock, step.d)
		if v := mustGet(t, rt, id).Version(); v != step.version {
			t.Fatalf("step %d: version %d, want %d", i, v, step.version)
		}
	}
}

// A delay keeps its length when the clock is set back; a jump ahead fires what
// came due, once.
func TestTimersWhileTheClockIsSet(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(epoch)
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "A", timeout(10_000))), fsmOf("Once", on("A", "T", "End", timeout(3_000))))}, Clock: clock, Shards: 2})
	id := mustCreate(t, rt, "M", nil)
	want := uint64(1)
	check := func(what string) {
		t.Helper()
		if v := mustGet(t, rt, id).Version(); v != want {
			t.Fatalf("%s: version %d, want %d", what, v, want)
		}
	}
	for round := range 5 {
		clock.SetWall(clock.Now().Add(-time.Hour))
		advance(t, rt, clock, 9900*time.Millisecond)
		check("set back, before the time")
		mustCreate(t, rt, "Once", nil)
		advance(t, rt, clock, 100*time.Millisecond)
		want++
		check("set back, at the time")
		clock.SetWall(clock.Now().Add(time.Hour))
		advance(t, rt, clock, 10*time.Second)
		want++
		check("back to where it was: no jump, as time never went back")
		clock.SetWall(clock.Now().Add(time.Hour))
		advance(t, rt, clock, maxSleep)
		want++
		check("an hour ahead fires it within a second")
		left := mustGet(t, rt, id).Timers()[0].Due.Sub(time.Unix(0, rt.clock.now()))
		advance(t, rt, clock, left-time.Millisecond)
		check("and not again before its time")
		advance(t, rt, clock, time.Millisecond)
		want++
		check("the next one")
		if p, _ := rt.Population("C", "Once"); p["A"] != 0 {
			t.Fatalf("round %d: %d timers were lost", round, p["A"])
		}
	}
}

// 100,000 timers (fewer under the race detector) are places in heaps: no goroutine, and no clock of their own.
func TestHundredThousandTimers(t *testing.T) {
	t.Parallel()
	const n = manyTimers
	clock := NewManualClock(epoch)
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "B", timeout(60_000))))}, Clock: clock, Shards: 4})
	for range n {
		mustCreate(t, rt, "M", nil)
	}
	settle(t, rt)
	clock.mu.Lock()
	waiting := len(clock.waiting)
	clock.mu.Unlock()
	if waiting > 4 {
		t.Errorf("the clock has %d timers, want one for each of 4 shards", waiting)
	}
	rt.mu.Lock()
	goroutines := rt.goroutines
	rt.mu.Unlock()
	if goroutines > 0 {
		t.Errorf("%d goroutines of the runtime (%d in all)", goroutines, runtime.NumGoroutine())
	}
	begin := time.Now()
	advance(t, rt, clock, time.Minute)
	if p, _ := rt.Population("C", "M"); p["B"] != n {
		t.Errorf("%d of %d fired", p["B"], n)
	}
	t.Logf("all fired within %v", time.Since(begin))
}

// With the system's clock: not early, and not much late.
func TestTimerByTheSystemsClock(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "B", timeout(20))))}})
	late := newLatencies()
	for range 20 {
		begin := time.Now()
		id := mustCreate(t, rt, "M", nil)
		eventually(t, "it fires", func() bool { return mustGet(t, rt, id).State() == "B" })
		in := mustGet(t, rt, id)
		d := in.UpdatedAt().Sub(begin)
		if d < 20*time.Millisecond {
			t.Errorf("fired after %v", d)
		}
		late.all = append(late.all, d-20*time.Millisecond)
	}
	t.Logf("late by %v", late)
	if late.p99() > time.Second {
		t.Error("a timer of 20 ms was late by more than a second")
	}
}

// Deadlines are kept over a restart; what came due meanwhile fires once, with
// its reason.
func TestTimersOverARestart(t *testing.T) {
	t.Parallel()
	for _, down := range []time.Duration{0, 30 * time.Second, 2 * time.Minute} {
		t.Run(fmt.Sprint("down ", down), func(t *testing.T) {
			t.Parallel()
			clock := NewManualClock(epoch)
			cfg := Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "B", timeout(60_000)), on("A", "U", "X", timeout(61_000))))}, Clock: clock, Store: NewMemoryStore()}
			rt := started(t, cfg)
			id := mustCreate(t, rt, "M", nil)
			advance(t, rt, clock, 10*time.Second)
			stopRuntime(t, rt)
			clock.Advance(down, nil)
			rt = started(t, cfg)
			settle(t, rt)
			reason := "timeout"
			if down < 50*time.Second {
				advance(t, rt, clock, 50*time.Second-down-time.Millisecond)
				if v := mustGet(t, rt, id).Version(); v != 1 {
					t.Fatal("it fired early")
				}
				advance(t, rt, clock, time.Millisecond)
			} else {
				reason = "timeout_expired_during_restart"
			}
			advance(t, rt, clock, time.Minute)
			in := mustGet(t, rt, id)
			if got, _ := in.Data().Get("reason"); in.Version() != 2 || in.State() != "B" || got != reason {
				t.Errorf("version %d, state %s, reason %v", in.Version(), in.State(), got)
			}
		})
	}
}
