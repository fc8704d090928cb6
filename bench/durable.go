package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	store "github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A rawLog is the limit of a durable send: one goroutine that publishes one
// frame for all that wait, to a stream like the store's, and nothing else.
type rawLog struct {
	js       jetstream.JetStream
	record   int // packed bytes of one
	requests chan chan struct{}
	stop     func()
}

func newRawLog(dir string, record int) *rawLog {
	o := natsserver.Base(dir)
	o.MaxPayload = natsserver.StorePayload
	s := must(natsserver.Run(ctx, o, quiet()))
	nc := must(nats.Connect("", nats.InProcessServer(s)))
	r := &rawLog{js: must(jetstream.New(nc)), record: record, requests: make(chan chan struct{}, 1<<13)}
	must(r.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "RAW", Subjects: []string{"raw.*"}, Storage: jetstream.FileStorage, Duplicates: 100 * time.Millisecond, AllowDirect: true,
	}))
	var done sync.WaitGroup
	done.Go(r.commit)
	r.stop = func() {
		close(r.requests)
		done.Wait()
		nc.Close()
		natsserver.End(s)
	}
	return r
}

// commit groups as the runtime does: all that waits, up to 1,000 records.
func (r *rawLog) commit() {
	body := make([]byte, 1000*r.record)
	for i := range body {
		body[i] = byte(i * 7)
	}
	last := uint64(0)
	var batch []chan struct{}
	for first := range r.requests {
		batch = append(batch[:0], first)
		for len(batch) < 1000 && len(r.requests) > 0 {
			batch = append(batch, <-r.requests)
		}
		m := &nats.Msg{Subject: "raw.x", Data: body[:len(batch)*r.record], Header: nats.Header{}}
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(last))
		m.Header.Set("Fsm-Frame", strings.Repeat("x", 90))
		last = must(r.js.PublishMsg(ctx, m)).Sequence
		for _, answer := range batch {
			answer <- struct{}{}
		}
	}
}

func (r *rawLog) side(callers int) side {
	return side{"frames by hand", func(n int) {
		eachCaller(callers, n, func(times int) {
			answer := make(chan struct{}, 1)
			for range times {
				r.requests <- answer
				<-answer
			}
		})
	}}
}

// benchDurable measures sends that return once they are on the disk.
func benchDurable(b *bench) error {
	dir := must(os.MkdirTemp("", "fsmesh-bench"))
	defer os.RemoveAll(dir)
	s := must(store.OpenFolder(ctx, filepath.Join(dir, "store"), store.Options{Logger: quiet()}))
	defer s.Close()
	rt, ids := started(fsm.Config{Store: s}, pick(b, 20_000, 1000))
	before := must(store.Info(ctx, s))
	sends("", rt, ids, 64, payload()).run(pick(b, 50_000, 1000))
	after := must(store.Info(ctx, s))
	record := int((after.Bytes - before.Bytes) / (after.Logs[0].Records - before.Logs[0].Records))
	raw := newRawLog(filepath.Join(dir, "raw"), record)
	defer raw.stop()
	var at512 float64
	for _, callers := range []int{8, 64, 512, 4096} {
		got := b.compareFor(pick(b, 400*time.Millisecond, 10*time.Millisecond), sends("Send", rt, ids, callers, payload()), raw.side(callers))
		mid, tail := latencies(callers, pick(b, 40_000, 500), func(i int) { must(rt.Send(ctx, ids[i%len(ids)], fsm.Event{Type: "NEXT", Payload: payload()})) })
		goal := 0.45
		if callers <= 64 {
			goal = 0.7
		}
		ratio := got[1].over(got[0])
		b.add(named(callers)+", 3 fields", fmt.Sprintf("%s, p50 %s, p99 %s", perSecond(got[0].rate()), ns(mid), ns(tail)), "one frame a commit by hand "+perSecond(got[1].rate()), ratio).
			want(fmt.Sprintf("≥ %.2f", goal), ratio.mid >= goal)
		if callers == 512 {
			at512 = got[0].rate()
		}
	}
	check(rt.Stop(ctx))
	alone := fsyncs(filepath.Join(dir, "single"), pick(b, 2000, 50), record)
	b.add("512 callers, 3 fields", perSecond(at512), "one write and fsync for each event "+perSecond(alone), single(at512/alone)).want("≥ 15", at512 >= 15*alone)
	b.note("Frames by hand: %d bytes a record, as much as the store writes for one; same server, same stream, same fence, same sync.", record)
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
