package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// rowsOf are rows of instances from the i-th on, with three context fields.
func rowsOf(i, n int) []mesh.Row {
	rows := make([]mesh.Row, n)
	for k := range rows {
		j := i + k
		rows[k] = mesh.Row{
			ID: fmt.Sprintf("0192f7c0-0000-7000-8000-%012d", j), Machine: "Order", State: string(rune('A' + j%6)), Status: mesh.Active,
			Context: fmt.Appendf(nil, `{"amount":%d.5,"customer":"customer-%07d","paid":false}`, j%1000, j),
			Version: 3, Seq: uint64(j + 1), CreatedAt: 1795442574738, UpdatedAt: 1795442574738,
		}
	}
	return rows
}

// filled is a directory that has read n instances page by page, from messages
// as they come over the bus.
func filled(n int) *mesh.Directory {
	d := mesh.NewDirectory(mesh.DirectoryConfig{})
	now := time.Now()
	id := mesh.Identity{RuntimeID: "0192f7c0-0000-7000-8000-ffffffffffff", Component: "Bench", Name: "Bench", Epoch: 1, Log: "log"}
	seq := uint64(n)
	d.Apply(&mesh.Announce{Identity: id, Protocol: 1, Seq: &seq, Timestamp: now.UnixMilli()}, now)
	const rows = 2000
	for at := 0; at < n; at += rows {
		var asked *mesh.PageRequest
		for _, a := range d.Tick(now) {
			if q, ok := a.Message.(*mesh.PageRequest); ok {
				asked = q
			}
		}
		p := &mesh.PageReply{Identity: id, Cursor: asked.Cursor, Rows: rowsOf(at, min(rows, n-at)), AsOf: seq, Seq: seq}
		if at+rows < n {
			p.Next = fmt.Sprintf("0.%d", at+rows)
		}
		var got mesh.PageReply
		check(mesh.Decode(must(mesh.Encode(p)), &got))
		d.Apply(&got, now)
	}
	if c := d.Count(mesh.Filter{}); c.Active != n {
		panic(fmt.Sprintf("the directory has %+v, want %d", c, n))
	}
	return d
}

// directoryHeap measures what an instance takes in a directory.
func directoryHeap(b *bench, n int) {
	ours := held(func() any { return filled(n) }) / float64(n)
	plain := held(func() any {
		m := map[string]*mesh.Row{}
		for i := range n {
			r := rowsOf(i, 1)[0]
			m[r.ID] = &r
		}
		return m
	}) / float64(n)
	bytes := func(v float64) string { return fmt.Sprintf("%.0f bytes", v) }
	b.add(fmt.Sprintf("heap of an instance with 3 context fields, %d of them", n), bytes(ours), "Go map of rows "+bytes(plain), single(ours/plain)).
		want("< 700 bytes", ours < 700)
}

// load has 1,000 events sent a second until the context ends.
func (f *fleet) load(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		order := drawn(len(f.ids))
		for i := 0; ; i += 10 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			for k := range 10 {
				must(f.rt.Send(context.Background(), f.ids[order[(i+k)%len(order)]], fsm.Event{Type: "NEXT"}))
			}
		}
	}()
	return func() { cancel(); <-done }
}

// reads is how long a directory that starts now needs to be exact.
func (f *fleet) reads() (time.Duration, *mesh.View) {
	start := time.Now()
	v := must(mesh.Watch(ctx, f.connect(), mesh.ViewOptions{}))
	f.closers = append(f.closers, func() { check(v.Close(ctx)) })
	f.exactly(v)
	took := time.Since(start)
	v.Read(func(d *mesh.Directory) {
		if c := d.Count(mesh.Filter{}); c.Active != len(f.ids) {
			panic(fmt.Sprintf("the directory shows %+v, want %d", c, len(f.ids)))
		}
	})
	return took, v
}

// benchDirectory measures a directory of many instances: its memory, how soon
// it is exact, and how fast it answers.
func benchDirectory(b *bench) error {
	n := pick(b, 1_000_000, 20_000)
	directoryHeap(b, n)
	f := newFleet(n)
	defer f.stop()
	raw := newRawBus()
	defer raw.stop()
	size := len(must(mesh.Encode(&mesh.PageReply{Rows: rowsOf(0, 1000)}))) / 1000
	pages := max(1, n*size/mesh.MaxReply)
	pull := raw.requests("raw", 1, 60, mesh.MaxReply)
	transfer := timed(pull.run, pages)

	promised := time.Duration(n/100_000)*time.Second + 2500*time.Millisecond
	reference := fmt.Sprintf("raw requests for as many bytes %s", ns(float64(transfer)))
	target := fmt.Sprintf("<= %.1f s", promised.Seconds())
	took, quiet := f.reads()
	check(quiet.Close(ctx))
	b.add(fmt.Sprintf("exact about %d instances", n), ns(float64(took)), reference, single(float64(took)/float64(transfer))).
		want(target, took <= promised)
	stop := f.load(ctx)
	defer stop()
	took, v := f.reads()
	b.add("– at 1,000 notices/s", ns(float64(took)), reference, single(float64(took)/float64(transfer))).
		want(target, took <= promised)
	queries(b, f, v)
	b.note("A directory that starts beside a runtime of %d instances, over the bus, in one process. The raw side asks for %d pages\nof %d bytes, one after the other. What is promised is 1 s for each 100,000 instances and 2.5 s.", n, pages, mesh.MaxReply)
	return nil
}

// queries measures lists of 50 rows, as pages show them.
func queries(b *bench, f *fleet, v *mesh.View) {
	times := pick(b, 2000, 20)
	rows := rowsOf(0, len(f.ids))
	r := rand.New(rand.NewPCG(3, 4))
	var copied []time.Duration
	for range times {
		start := time.Now()
		page := make([]mesh.Row, 0, 50)
		for range 50 {
			page = append(page, rows[r.IntN(len(rows))])
		}
		copied = append(copied, time.Since(start)+time.Duration(len(page)-50))
	}
	customer := func(int) mesh.Filter {
		return mesh.Filter{Machine: "Order", Properties: []mesh.Property{{Path: "customer", Value: json.RawMessage(fmt.Sprintf(`"customer-%07d"`, r.IntN(len(f.ids))))}}}
	}
	for _, q := range []struct {
		name   string
		filter func(i int) mesh.Filter
		deep   bool
	}{
		{"all, newest first", func(int) mesh.Filter { return mesh.Filter{} }, false},
		{"of a machine and state", func(i int) mesh.Filter { return mesh.Filter{Machine: "Order", State: string(rune('A' + i%2))} }, false},
		{"of a machine and state, from anywhere", func(i int) mesh.Filter { return mesh.Filter{Machine: "Order", State: string(rune('A' + i%2))} }, true},
		{"by a property that one has", customer, false},
	} {
		var took []time.Duration
		n := times
		if q.name == "by a property that one has" {
			n = max(20, times/20)
		}
		for i := range n {
			filter, cursor := q.filter(i), ""
			if q.deep {
				cursor = strconv.FormatInt(int64(r.IntN(len(f.ids))+1), 36)
			}
			start := time.Now()
			v.Read(func(d *mesh.Directory) { must(d.List(filter, true, cursor, 50)) })
			took = append(took, time.Since(start))
		}
		p50, p99, raw := quantile(took, 0.5), quantile(took, 0.99), quantile(copied, 0.5)
		b.add("50 rows "+q.name, fmt.Sprintf("p50 %s, p99 %s", ns(float64(p50)), ns(float64(p99))), "copying 50 rows of a slice "+ns(float64(raw)),
			single(float64(p50)/float64(raw))).want("p99 < 20 ms", p99 < 20*time.Millisecond)
	}
	b.note("Lists are asked of the view while 1,000 notices/s come in, %d times each; what is asked by a property looks at 100,000\nrows and leaves the rest to the next call.", times)
}
