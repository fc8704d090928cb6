package main

import (
	"fmt"

	"github.com/fsmesh/fsmesh/fsm"
)

// benchRestore measures a start from a log of many instances.
func benchRestore(b *bench) error {
	n := pick(b, 100_000, 1_000)
	for _, sent := range []int{0, 3, 12} {
		m := newMemory(0)
		rt, ids := started(fsm.Config{Store: m}, n)
		for range sent {
			for _, id := range ids {
				must(rt.Send(ctx, id, fsm.Event{Type: "NEXT", Payload: payload()}))
			}
		}
		check(rt.Stop(ctx))
		rt = nil
		var restored, read, made series
		for range max(2, b.rounds/2) {
			restored = append(restored, float64(timed(func(int) {
				rt, _ := started(fsm.Config{Store: m}, 0)
				if r := must(rt.Restored()); r[0].Restored != n {
					panic(fmt.Sprintf("restored %d of %d instances", r[0].Restored, n))
				}
				rt.Stop(ctx)
			}, 1)))
			read = append(read, float64(timed(func(int) {
				last := map[string]uint64{}
				for r, err := range must(m.Open(ctx, "")).Restore(ctx) {
					check(err)
					if r.Snapshot != nil {
						last[r.Snapshot.Instance] = r.Snapshot.Version
					} else {
						last[r.Record.Instance] = r.Record.Version
					}
				}
			}, 1)))
			made = append(made, float64(timed(func(int) {
				rt, _ := started(fsm.Config{}, n)
				rt.Stop(ctx)
			}, 1)))
		}
		name := fmt.Sprintf("%d instances of %d records each", n, sent+1)
		ours := fmt.Sprintf("%s (%s instances)", ns(restored.mid()), perSecond(float64(n)/restored.mid()*1e9))
		b.add(name, ours, "read the log into a Go map "+ns(read.mid()), restored.over(read))
		b.add(name, ours, "create as many anew "+ns(made.mid()), restored.over(made))
	}
	b.note("The store keeps its log in memory: what reading a disk or decoding takes comes on top.")
	return nil
}
