package main

import (
	"fmt"
	"runtime"

	"github.com/fsmesh/fsmesh/fsm"
)

// live is the heap that is left after two collections.
func live() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// held is what the heap grows by where f makes something and keeps it.
func held(f func() any) float64 {
	before := live()
	kept := f()
	after := live()
	runtime.KeepAlive(kept)
	return after - before
}

// benchHeap measures what instances take while they are there.
func benchHeap(b *bench) error {
	n := pick(b, 1_000_000, 20_000)
	var rt *fsm.Runtime
	ours := held(func() any {
		rt, _ = started(fsm.Config{}, 0)
		for i := range n {
			must(rt.Create(ctx, "Order", contextOf(i)))
		}
		return rt
	}) / float64(n)
	check(rt.Stop(ctx))
	rt = nil
	type object struct {
		id, state string
		data      map[string]any
	}
	plain := held(func() any {
		m := map[string]*object{}
		for i := range n {
			o := &object{idOf(i), "A", contextOf(i)}
			m[o.id] = o
		}
		return m
	}) / float64(n)
	bytes := func(v float64) string { return fmt.Sprintf("%.0f bytes", v) }
	b.add(fmt.Sprintf("instance with 3 context fields, %d of them", n), bytes(ours), "Go map of structs with a map "+bytes(plain), single(ours/plain)).
		want("< 1000 bytes", ours < 1000)

	few := pick(b, 100_000, 2_000)
	const records = 16
	for _, c := range carryings() {
		var ids []string
		rt, ids = started(fsm.Config{}, few)
		packed := held(func() any {
			for range records {
				for _, id := range ids {
					must(rt.Send(ctx, id, fsm.Event{Type: "NEXT", Payload: c.payload}))
				}
			}
			return rt
		}) / float64(few)
		some := ids[:pick(b, 10_000, 1_000)]
		whole := held(func() any {
			var out []*fsm.Record
			for _, id := range some {
				for r, err := range rt.History(ctx, id, 0) {
					check(err)
					out = append(out, r)
				}
			}
			return out
		}) / float64(len(some))
		check(rt.Stop(ctx))
		b.add(fmt.Sprintf("%d packed records of an instance, %s", records, c.name), bytes(packed), "the same records whole "+bytes(whole), single(packed/whole))
	}
	b.note("Live heap after two collections. The first line has no history but the creation; the others are what comes on top of it.")
	return nil
}
