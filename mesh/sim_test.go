package mesh

import (
	"flag"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	simRuns = flag.Uint64("sim.runs", defaultRuns, "how many random runs the simulation of the healing protocol makes")
	simSeed = flag.Uint64("sim.seed", 0, "the seed of the first run")
)

// TestSimulation plays random runs in which the bus loses, doubles, delays and
// reorders, and runtimes restart and are taken over, and checks after every
// message what has to hold.
func TestSimulation(t *testing.T) {
	t.Parallel()
	start := time.Now()
	r, ok, sum := playAll(*simSeed, *simRuns, rules{}, simBad{})
	if ok {
		t.Fatal(report(r))
	}
	d := time.Since(start)
	t.Logf("%d runs in %v, %.0f a second", *simRuns, d.Round(time.Millisecond), float64(*simRuns)/d.Seconds())
	// The runs must not become harmless unnoticed.
	for name, n := range map[string]uint64{
		"notices": sum.Notices, "old": sum.Old, "unknown": sum.Unknown, "superseded": sum.Superseded, "late": sum.Late,
		"repairs": sum.Repairs, "readings": sum.Readings, "repeats": sum.Repeats, "rows of repairs": sum.RepairRows,
	} {
		if t.Logf("%s: %d", name, n); n < *simRuns/20 {
			t.Errorf("only %d %s in %d runs", n, name, *simRuns)
		}
	}
	if sum.Invalid+sum.Ahead+sum.Refused > 0 {
		t.Errorf("messages of the runtimes themselves were refused: %+v", sum)
	}
}

// pureOnly leaves a long test of pure code out where the race detector slows it
// down, which has nothing to find in it. make test runs it without, too.
func pureOnly(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("pure code: it is tested without the race detector")
	}
}

// firstBroken plays runs until one breaks something.
func firstBroken(first, n uint64, off rules, bad simBad) (run, bool) {
	r, ok, _ := playAll(first, n, off, bad)
	return r, ok
}

// playAll does so on all processors, and adds up the counters.
func playAll(first, n uint64, off rules, bad simBad) (r run, broken bool, sum Counters) {
	var mu sync.Mutex // guards sum
	var next atomic.Uint64
	var lowest atomic.Uint64
	lowest.Store(1 << 63)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var own Counters
			defer func() {
				mu.Lock()
				add(&sum, own)
				mu.Unlock()
			}()
			for {
				i := next.Add(1) - 1
				if i >= n || first+i > lowest.Load() {
					return
				}
				broken, counts := newRun(first+i, off, bad).played(nil)
				add(&own, counts)
				if broken != "" {
					for {
						l := lowest.Load()
						if first+i >= l || lowest.CompareAndSwap(l, first+i) {
							break
						}
					}
				}
			}
		})
	}
	wg.Wait()
	if l := lowest.Load(); l < 1<<63 {
		return newRun(l, off, bad), true, sum
	}
	return run{}, false, sum
}

// add adds counters up.
func add(sum *Counters, c Counters) {
	s, v := reflect.ValueOf(sum).Elem(), reflect.ValueOf(c)
	for i := range v.NumField() {
		s.Field(i).SetUint(s.Field(i).Uint() + v.Field(i).Uint())
	}
}

// report shrinks a run that breaks something and tells it step by step.
func report(r run) string {
	r = shrink(r)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d steps: %s\nconfiguration %+v\n", r.seed, len(r.steps), r.play(nil), r.cfg)
	r.play(func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) })
	return b.String()
}

// shrink leaves out steps as long as something is still broken, and makes
// numbers smaller.
func shrink(r run) run {
	for size := len(r.steps); size > 0; size /= 2 {
		for at := 0; at+size <= len(r.steps); {
			fewer := r
			fewer.steps = append(append([]step(nil), r.steps[:at]...), r.steps[at+size:]...)
			if fewer.play(nil) != "" {
				r = fewer
			} else {
				at++
			}
		}
	}
	r.steps = append([]step(nil), r.steps...)
	for i := range r.steps {
		for _, f := range []*uint8{&r.steps[i].a, &r.steps[i].b, &r.steps[i].c} {
			for _, small := range []uint8{0, 1, 2, 3, *f / 2} {
				was := *f
				if small >= was {
					continue
				}
				if *f = small; r.play(nil) != "" {
					break
				}
				*f = was
			}
		}
	}
	return r
}
