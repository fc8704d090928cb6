package main

import (
	"bytes"
	"fmt"
	"math"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/google/pprof/profile"
)

const ownPackage = "github.com/fsmesh/fsmesh/fsm."

// A part is a share of the work of a send, known by functions of package fsm. A
// sample of the profile counts for the part of the innermost function in it
// that any part names.
type part struct {
	name  string
	funcs []string
}

// sendParts are those of a send in memory. What is in package fsm and named by
// none is "answer and the rest".
var sendParts = []part{
	{"payload: NewData", []string{"newPayload", "NewData"}},
	{"find the shard and own it", []string{"(*Runtime).shardOf", "(*shard).seize", "(*table).get", "(*shard).idle", "(*Runtime).busyChain", "(*slot).blocked", "(*Runtime).tracing"}},
	{"choose and step", []string{"(*state).choose", "(*Instance).plain", "(*Instance).plainStep", "Data.merge", "Data.exceeds", "step", "(*Engine).Step"}},
	{"clock", []string{"(*steadyClock).now"}},
	{"number and index", []string{"(*shard).advance", "indexMoves", "(*numbering).next", "(*table).move"}},
	{"pack the history", []string{"(*slot).keep", "pack"}},
	{"queue, turn and reply", []string{
		"(*Runtime).ask", "(*Runtime).wait", "(*shard).accept", "(*shard).offer", "(*shard).run", "(*shard).turn", "(*shard).wake", "(*shard).post",
		"(*delivery).reply", "(*Runtime).spawn", "(*shard).handle",
	}},
}

// The parts that are known otherwise.
const (
	partRest      = "answer and the rest of Send"
	partCollector = "garbage collector"
	partScheduler = "Go scheduler"
	partCaller    = "caller's loop"
	partOther     = "other"
)

func partNames() []string {
	var out []string
	for _, p := range sendParts {
		out = append(out, p.name)
	}
	return append(out, partRest, partCollector, partScheduler, partCaller, partOther)
}

var partOf = func() map[string]string {
	m := map[string]string{}
	for _, p := range sendParts {
		for _, f := range p.funcs {
			m[ownPackage+f] = p.name
		}
	}
	return m
}()

// classify says which part a sample belongs to.
func classify(s *profile.Sample) string {
	var frames []string // innermost first
	for _, l := range s.Location {
		for _, ln := range l.Line {
			if ln.Function != nil {
				frames = append(frames, ln.Function.Name)
			}
		}
	}
	any := func(prefixes ...string) bool {
		return slices.ContainsFunc(frames, func(f string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f, p) })
		})
	}
	if any("runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.gcStart", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcMarkDone", "runtime.deductSweepCredit", "gcWriteBarrier", "runtime.wbBufFlush") {
		return partCollector
	}
	inside := false
	for _, f := range frames {
		if p, ok := partOf[f]; ok {
			return p
		}
		inside = inside || strings.HasPrefix(f, ownPackage)
	}
	switch {
	case inside:
		return partRest
	case any("runtime.mcall", "runtime.schedule", "runtime.findRunnable", "runtime.mstart", "runtime.sysmon", "runtime.goexit0", "runtime.morestack"):
		return partScheduler
	case any("main.", "github.com/fsmesh/fsmesh/bench."):
		return partCaller
	}
	return partOther
}

// profiled runs f and returns its CPU time in ns by part, and the number of
// samples that this was made from.
func profiled(f func()) (map[string]float64, int, error) {
	var buf bytes.Buffer
	if err := pprof.StartCPUProfile(&buf); err != nil {
		return nil, 0, fmt.Errorf("start the CPU profile: %w", err)
	}
	f()
	pprof.StopCPUProfile()
	p, err := profile.Parse(&buf)
	if err != nil {
		return nil, 0, fmt.Errorf("read the CPU profile: %w", err)
	}
	at, samples := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" }), int64(0)
	byPart := map[string]float64{}
	for _, s := range p.Sample {
		samples += s.Value[0]
		byPart[classify(s)] += float64(s.Value[at])
	}
	return byPart, int(samples), nil
}

// benchParts breaks the CPU time of a send down by a profile.
func benchParts(b *bench) error {
	slice := pick(b, 5*time.Second, 200*time.Millisecond)
	for _, callers := range []int{1, 256} {
		for _, c := range carryings() {
			rt, ids := started(fsm.Config{}, sendInstances)
			send := sends("Send", rt, ids, callers, c.payload)
			step := steps("Engine.Step", 1, c.payload, false)
			s := b.compare(send, step)
			// By CPU time: a busy machine makes it take longer, not less exact.
			n := 0
			byPart, samples, err := profiled(func() {
				for start := cpuTime(); cpuTime()-start < slice; n += 1000 * callers {
					send.run(1000 * callers)
				}
			})
			if err != nil {
				return err
			}
			check(rt.Stop(ctx))
			total := 0.0
			for _, v := range byPart {
				total += v
			}
			for _, name := range partNames() {
				v, each := byPart[name], 0.0
				if v == 0 {
					continue
				}
				each = v / float64(n)
				b.add(fmt.Sprintf("%s, %s: %s", named(callers), c.name, name),
					fmt.Sprintf("%s (%.0f %%)", ns(each), 100*v/total), "Engine.Step "+ns(s[1].mid()), single(each/s[1].mid()))
			}
			each := total / float64(n)
			b.add(fmt.Sprintf("%s, %s: all", named(callers), c.name), ns(each)+" (100 %)", "Engine.Step "+ns(s[1].mid()), single(each/s[1].mid()))
			b.note("%s, %s: %d samples, so a share of 10 %% is uncertain by ±%.1f points", named(callers), c.name, samples, 100*math.Sqrt(0.09/float64(max(1, samples))))
		}
	}
	b.note("CPU time of all processors. What a part allocates counts for it; marking and sweeping, its assists too, for the collector.")
	return nil
}
