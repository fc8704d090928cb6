package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	store "github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
)

// storeEnv makes the program a child that works with a store as it is asked on
// its input. A child has a heap of its own, and it can be killed.
const storeEnv = "FSMESH_BENCH_STORE"

// serveStore is what such a child does: for each line "what args" it answers
// with a line of numbers.
func serveStore() bool {
	if os.Getenv(storeEnv) == "" {
		return false
	}
	var c storeChild
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := strings.Fields(in.Text())
		n := 0
		if len(f) > 2 {
			must(fmt.Sscan(f[2], &n))
		}
		out := c.do(f[0], f[1], n)
		fmt.Println(strings.Trim(fmt.Sprint(out), "[]"))
	}
	c.close()
	return true
}

// A storeChild has a runtime with n instances.
type storeChild struct {
	dir   string
	n     int
	store *store.Store
	rt    *fsm.Runtime
}

func (c *storeChild) do(what, arg string, n int) []float64 {
	switch what {
	case "fill":
		// The sync is not what is measured here.
		s := must(store.OpenFolder(ctx, arg, store.Options{Logger: quiet(), Sync: store.SyncNone}))
		return []float64{float64(fill(s, n))}
	case "plain":
		return []float64{heldBy(n)}
	case "open":
		c.dir, c.n = arg, n
		return c.open()
	case "empty":
		c.dir = arg
		return c.open()
	case "warm":
		return c.histories(n, func() {})
	case "cold":
		return c.histories(n, c.drop)
	case "random":
		return c.random(n, must(time.ParseDuration(arg)))
	case "commits":
		return c.commits(n)
	}
	panic("asked for " + what)
}

func (c *storeChild) close() {
	if c.rt != nil {
		check(c.rt.Stop(ctx))
		check(c.store.Close())
	}
}

// open starts a runtime on the store of a folder: the time until the server is
// there and until the runtime is, what the heap holds then, how many instances
// there are, what memory the process has, and the CPU time.
func (c *storeChild) open() []float64 {
	var opened, took, cpu time.Duration
	heap := held(func() any {
		start := time.Now()
		cpu = cpuTime()
		c.store = must(store.OpenFolder(ctx, c.dir, store.Options{Logger: quiet()}))
		opened = time.Since(start)
		c.rt, _ = started(fsm.Config{Store: c.store}, 0)
		took, cpu = time.Since(start), cpuTime()-cpu
		return c.rt
	})
	back := must(c.rt.Restored())[0].Restored
	return []float64{opened.Seconds(), took.Seconds(), heap, float64(back), float64(resident()), cpu.Seconds()}
}

// drop has the page cache forget the store, and the server what it has read:
// it keeps that only for as long as nothing is collected.
func (c *storeChild) drop() {
	runtime.GC()
	check(filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = forget(path)
		}
		return err
	}))
}

// histories reads those of instances that have 20 records, each after prepare,
// and returns the median and the 99th percentile in ns.
func (c *storeChild) histories(n int, prepare func()) []float64 {
	var all []float64
	for i := range n {
		prepare()
		start := time.Now()
		if got := c.history(idOf((i * 37) % long(c.n))); got != longRecords {
			panic(fmt.Sprintf("a history of %d records, want %d", got, longRecords))
		}
		all = append(all, float64(time.Since(start)))
	}
	return []float64{quantile(all, 0.5), quantile(all, 0.99)}
}

// inUse is the live heap as of the last collection: it makes none.
func inUse() float64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64())
}

func (c *storeChild) history(id string) (records int) {
	for _, err := range c.rt.History(ctx, id, 0) {
		check(err)
		records++
	}
	return records
}

// random reads n histories of any instances: the time for one in ns, the memory
// before, the most meanwhile, after how many seconds it was back, and what it was
// then, and the live heap before and after, all in bytes.
func (c *storeChild) random(n int, wait time.Duration) []float64 {
	heap := inUse()
	before := resident()
	most := before
	start := time.Now()
	for i := range n {
		c.history(idOf(int(drawn(c.n)[i%c.n])))
		if i%100 == 0 {
			most = max(most, resident())
		}
	}
	each := float64(time.Since(start)) / float64(n)
	done := time.Now()
	for resident() > before+before/10 && time.Since(done) < wait {
		time.Sleep(100 * time.Millisecond)
	}
	back, after := time.Since(done).Seconds(), resident()
	return []float64{each, float64(before), float64(most), back, float64(after), heap, live()}
}

// commits sends by 64 callers, alone and while histories are read, in turns: the
// 99th percentiles in ns, the medians of those of the turns, and the ratios of the
// turns.
func (c *storeChild) commits(n int) []float64 {
	ev := fsm.Event{Type: "NEXT", Payload: payload()}
	send := func() float64 {
		_, tail := latencies(64, n, func(i int) { must(c.rt.Send(ctx, idOf(int(drawn(c.n)[i%c.n])), ev)) })
		return tail
	}
	send()
	read := 0
	var alone, meanwhile, ratios []float64
	for range 5 {
		alone = append(alone, send())
		var done sync.WaitGroup
		var stop atomic.Bool
		done.Go(func() {
			for ; !stop.Load(); read++ {
				c.history(idOf((read * 37) % long(c.n)))
			}
		})
		meanwhile = append(meanwhile, send())
		stop.Store(true)
		done.Wait()
		ratios = append(ratios, meanwhile[len(meanwhile)-1]/alone[len(alone)-1])
	}
	return append([]float64{quantile(alone, 0.5), quantile(meanwhile, 0.5)}, ratios...)
}
