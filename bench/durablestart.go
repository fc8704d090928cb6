package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	store "github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
)

// benchDurableStart measures a start after an unclean end, without a checkpoint
// to begin from, what instances take with the store, and histories.
func benchDurableStart(b *bench) error {
	dir := must(os.MkdirTemp("", "fsmesh-bench"))
	defer os.RemoveAll(dir)
	n := pick(b, 1_000_000, 2000)
	plain := heldBy(n)
	folder, killed := filepath.Join(dir, "store"), filepath.Join(dir, "killed")
	// The sync is not what is measured here.
	s := must(store.OpenFolder(ctx, folder, store.Options{Logger: quiet(), Sync: store.SyncNone}))
	long := min(n/20, 2000) // instances with a history of 20
	records := fill(s, n, long)
	// The folder as it is now is what a killed process leaves.
	check(os.CopyFS(killed, os.DirFS(folder)))
	check(s.Close())

	var rt *fsm.Runtime
	var again *store.Store
	var opened, took time.Duration
	ours := held(func() any {
		start := time.Now()
		again = must(store.OpenFolder(ctx, killed, store.Options{Logger: quiet(), CheckpointEvery: time.Hour}))
		opened = time.Since(start)
		rt, _ = started(fsm.Config{Store: again}, 0)
		took = time.Since(start)
		return rt
	}) / float64(n)
	if got := must(rt.Restored())[0].Restored; got != n {
		return fmt.Errorf("%d instances came back, want %d", got, n)
	}
	b.add(fmt.Sprintf("start: %d instances of %d records, no checkpoint", n, records), fmt.Sprintf("%.1f s, the server's part %.1f s", took.Seconds(), opened.Seconds()), "10 s", single(took.Seconds()/10)).
		want("≤ 1", took < 10*time.Second)
	b.add(fmt.Sprintf("heap of an instance with the store, %d of them", n), fmt.Sprintf("%.0f bytes", ours), fmt.Sprintf("without a store %.0f bytes", plain), single(ours/plain)).
		want("≤ 1.20", ours <= 1.2*plain)
	histories := func(i int) {
		for _, err := range rt.History(ctx, idOf((i*37)%long), 0) {
			check(err)
		}
	}
	latencies(1, pick(b, 400, 20), histories) // warm
	_, tail := latencies(1, pick(b, 400, 20), histories)
	b.add("history of 20 records, p99", ns(tail), "50 ms", single(tail/50e6)).want("≤ 1", tail <= 50e6)
	// Nothing is left to write: the folder goes.
	check(again.Close())
	runtime.KeepAlive(rt)
	return nil
}

// fill stores the records of n instances: a creation and two transitions, and
// twenty records for the first of them, spread over the log. It goes past the
// runtime, in frames of 1,000 records, and returns how many there are.
func fill(s *store.Store, n, long int) int {
	log := must(s.Open(ctx, "Bench"))
	for _, err := range log.Restore(ctx) {
		check(err)
	}
	must(log.Claim(ctx, "bench"))
	all, now := 0, time.Now().UnixMilli()
	var batch fsm.Batch
	flush := func() {
		check(log.Append(ctx, batch))
		batch = fsm.Batch{}
	}
	add := func(i int, version uint64) {
		data := must(fsm.NewData(dataOf(i)))
		r := &fsm.Record{
			Kind: fsm.KindTransition, Instance: idOf(i), Version: version, Component: "Bench", Machine: "Order",
			Event:  fsm.RecordEvent{Type: "NEXT", Payload: must(fsm.NewData(payload())), Time: now},
			Before: string("DABC"[version%4]), After: string("ABCD"[(version-1)%4]), Time: now, Data: data,
		}
		if version == 1 {
			r.Kind, r.Before, r.Event = fsm.KindCreated, "", fsm.RecordEvent{Type: "INSTANCE_CREATED", Time: now}
			r.Origin = &fsm.RecordOrigin{Order: uint64(i + 1)}
		}
		batch.Records = append(batch.Records, r)
		if all++; len(batch.Records) == 1000 {
			flush()
		}
	}
	for version := range uint64(3) {
		for i := range n {
			add(i, version+1)
			// The long ones get their further records with the last round.
			if version == 2 && i%(n/17) == n/17-1 && i/(n/17) < 17 {
				flush()
				for k := range long {
					add(k, uint64(4+i/(n/17)))
				}
				flush()
			}
		}
	}
	flush()
	check(log.Close())
	return all
}

// dataOf is what the i-th instance holds after an event with a payload.
func dataOf(i int) map[string]any {
	m := contextOf(i)
	m["note"], m["paid"] = string([]byte("hello")), true
	return m
}

// heldBy is the live heap of an instance without a store, in bytes.
func heldBy(n int) float64 {
	var rt *fsm.Runtime
	v := held(func() any {
		rt, _ = started(fsm.Config{}, 0)
		for i := range n {
			must(rt.Create(ctx, "Order", dataOf(i), fsm.WithID(idOf(i))))
		}
		return rt
	}) / float64(n)
	check(rt.Stop(ctx))
	return v
}
