package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	store "github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// durableInstances is so many that two callers seldom meet at one, which would
// make one of them wait for the other's commit.
const durableInstances = 20_000

// benchDurable measures sends that return once they are on the disk, of a runtime
// that is on a bus where a directory listens.
func benchDurable(b *bench) error {
	dir := must(os.MkdirTemp("", "fsmesh-bench"))
	defer os.RemoveAll(dir)
	records := storedRecords(filepath.Join(dir, "sample"), b)
	s := must(store.OpenFolder(ctx, filepath.Join(dir, "store"), store.Options{Logger: quiet()}))
	defer s.Close()
	f := newFleetOf(fsm.Config{Store: s}, pick(b, durableInstances, 1000))
	defer f.stop()
	view := f.watch()
	f.exactly(view)

	js, end := newRawServer(filepath.Join(dir, "raw"))
	defer end()
	hand, packed := newRawLog(js, "raw.hand", nil), packedFrame(records)
	defer hand.end()
	stream := newRawLog(js, "raw.stream", packed)
	defer stream.end()
	plain := 0
	for _, r := range records {
		plain += len(r)
	}
	plain /= len(records)
	alone := fsyncs(filepath.Join(dir, "single"), pick(b, 2000, 50), plain)

	ev := fsm.Event{Type: "NEXT", Payload: payload()}
	for _, callers := range []int{8, 64, 512, 4096} {
		ours := sends("Send", f.rt, f.ids, callers, payload())
		// Long enough for each caller to send some ten times: a round begins and ends
		// with fewer at work.
		round := max(400*time.Millisecond, time.Duration(callers)*400*time.Microsecond)
		got := b.compareFor(pick(b, round, 10*time.Millisecond), ours,
			hand.side("by hand", callers, records), stream.side("the stream", callers, [][]byte{nil}))
		mid, tail := latencies(callers, pick(b, max(40_000, 20*callers), 500), func(i int) { must(f.rt.Send(ctx, f.ids[i%len(f.ids)], ev)) })
		goal := 0.45
		if callers <= 64 {
			goal = 0.7
		}
		name, rate := named(callers)+", 3 fields", got[0].rate()
		ratio := got[1].over(got[0])
		b.add(name, fmt.Sprintf("%s, p50 %s, p99 %s", perSecond(rate), ns(mid), ns(tail)), "the layout by hand "+perSecond(got[1].rate()), ratio).
			want(fmt.Sprintf("≥ %.2f", goal), ratio.mid >= goal)
		b.add(name, perSecond(rate), "the stream alone "+perSecond(got[2].rate()), got[2].over(got[0]))
		if callers == 512 {
			b.add(name, perSecond(rate), "a write and fsync for each event "+perSecond(alone), single(rate/alone)).want("≥ 15", rate >= 15*alone)
		}
	}
	f.exactly(view)
	var counts mesh.Counters
	view.Read(func(d *mesh.Directory) { counts = d.Counters() })
	b.note("A broadcaster is attached to the runtime and a directory listens, all in this process; repairs of the directory: %d.", counts.Repairs)
	b.note("By hand: callers hand over a record's bytes as the store has them, %d; one goroutine puts what waits into a frame, packs it with s2,\npublishes it behind the same fence to the same kind of stream with the same sync, one at a time, and answers.\nNo instances, no steps, no versions, no index, nobody told.", plain)
	b.note("The stream alone: the same, but the bodies of the frames are made beforehand, %d packed bytes a record.", len(packed)/frameRecords)
	return nil
}

// latencies returns the median and the 99th percentile of n calls, in ns.
func latencies(callers, n int, f func(i int)) (mid, tail float64) {
	var mu sync.Mutex
	var all []float64
	var next int
	eachCaller(callers, max(n, 2*callers), func(times int) {
		own := make([]float64, 0, times)
		mu.Lock()
		at := next
		next += times
		mu.Unlock()
		for i := range times {
			start := time.Now()
			f(at + i)
			own = append(own, float64(time.Since(start)))
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, own...)
	})
	return quantile(all, 0.5), quantile(all, 0.99)
}

// fsyncs is how often a second a record can be written and synced alone.
func fsyncs(path string, n, size int) float64 {
	f := must(os.Create(path))
	defer f.Close()
	body := make([]byte, size)
	start := time.Now()
	for range n {
		must(f.Write(body))
		check(f.Sync())
	}
	return float64(n) / time.Since(start).Seconds()
}
