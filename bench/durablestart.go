package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	store "github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
)

// memoryLimit is what GOMEMLIMIT is to be set to for so many instances, in bytes;
// GOGC is to be 200 then (docs/stores.md).
func memoryLimit(n int) float64 { return 500e6 + 1500*float64(n) }

// spawnStore starts a child that works with a store of n instances.
func spawnStore(n int) (*child, error) {
	return spawn(storeEnv+"=1", "GOGC=200", fmt.Sprintf("GOMEMLIMIT=%.0f", memoryLimit(n)))
}

// benchDurableStart measures a start after a kill and one from checkpoints, what
// instances take with the store, histories, and a start with nothing. Whoever
// works with a store is a process of its own.
func benchDurableStart(b *bench) error {
	dir := must(os.MkdirTemp("", "fsmesh-bench"))
	defer os.RemoveAll(dir)
	n := pick(b, 1_000_000, 2000)
	folder := filepath.Join(dir, "store")
	plain, records, err := b.filled(folder, n)
	if err != nil {
		return err
	}
	if err := b.startKilled(folder, n, records, plain); err != nil {
		return err
	}
	if err := b.startChecked(folder, n, plain); err != nil {
		return err
	}
	return b.startEmpty(filepath.Join(dir, "empty"))
}

// filled has a child fill a store, and kills it. It returns the heap of an
// instance without a store, and how many records there are.
func (b *bench) filled(folder string, n int) (plain, records float64, err error) {
	c, err := spawn(storeEnv + "=1")
	if err != nil {
		return 0, 0, err
	}
	defer c.kill()
	p, err := c.ask("plain - %d", n)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	r, err := c.ask("fill %s %d", folder, n)
	if err != nil {
		return 0, 0, err
	}
	b.note("The store was filled within %.1f s by a process that was killed then.", time.Since(start).Seconds())
	return p[0], r[0], nil
}

// startKilled starts where a process was killed, without any checkpoint.
func (b *bench) startKilled(folder string, n int, records, plain float64) error {
	c, err := spawnStore(n)
	if err != nil {
		return err
	}
	defer c.kill()
	o, err := c.ask("open %s %d", folder, n)
	if err != nil {
		return err
	}
	b.started(fmt.Sprintf("start after a kill: %d instances of %.0f records", n, records), o, n, 10)
	b.heapOf("heap of an instance after it", o[2]/float64(n), plain)
	return c.end() // a clean stop, which writes checkpoints
}

func (b *bench) started(name string, o []float64, n int, want float64) {
	if int(o[3]) != n {
		panic(fmt.Sprintf("%.0f instances came back, want %d", o[3], n))
	}
	b.add(name, fmt.Sprintf("%.1f s, %.1f s of CPU time", o[1], o[5]), fmt.Sprintf("%.0f s", want), single(o[1]/want)).
		want("≤ 1", o[1] <= want)
}

func (b *bench) heapOf(name string, ours, plain float64) {
	b.add(name, fmt.Sprintf("%.0f bytes", ours), fmt.Sprintf("without a store %.0f bytes", plain), single(ours/plain)).
		want("≤ 1.20", ours <= 1.2*plain)
}

// startChecked starts from the checkpoints of a clean stop, and reads histories.
func (b *bench) startChecked(folder string, n int, plain float64) error {
	c, err := spawnStore(n)
	if err != nil {
		return err
	}
	defer c.kill()
	o, err := c.ask("open %s %d", folder, n)
	if err != nil {
		return err
	}
	b.started(fmt.Sprintf("start from checkpoints: %d instances", n), o, n, 10)
	b.heapOf("heap of an instance after it", o[2]/float64(n), plain)
	for _, h := range []struct {
		name   string
		n      int
		within float64
	}{{"warm", pick(b, 500, 20), 50e6}, {"cold", pick(b, 30, 2), 300e6}} {
		if _, err := c.ask("warm - %d", 2); err != nil {
			return err
		}
		o, err := c.ask("%s - %d", h.name, h.n)
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("history of %d records, %s", longRecords, h.name), fmt.Sprintf("p50 %s, p99 %s", ns(o[0]), ns(o[1])), ns(h.within), single(o[1]/h.within)).
			want("≤ 1", o[1] <= h.within)
	}
	o, err = c.ask("commits - %d", pick(b, 100_000, 1000))
	if err != nil {
		return err
	}
	slower := newStat(o[2:])
	b.add("commits of 64 callers while histories are read, p99", ns(o[1]), "alone "+ns(o[0]), slower).want("≤ 3", slower.mid <= 3)
	o, err = c.ask("random %s %d", pick(b, time.Minute, time.Second), pick(b, 10_000, 100))
	if err != nil {
		return err
	}
	mb := func(v float64) string { return fmt.Sprintf("%.0f MB", v/1e6) }
	allowed := memoryLimit(n)
	b.add("most memory while 10,000 random histories are read", mb(o[2]), "GOMEMLIMIT "+mb(allowed), single(o[2]/allowed)).want("≤ 1", o[2] <= allowed)
	b.add("memory after them", fmt.Sprintf("%s after %.1f s", mb(o[4]), o[3]), "before "+mb(o[1]), single(o[4]/o[1])).
		want("≤ 1.10 within a minute", o[4] <= 1.1*o[1])
	b.add("live heap after them", mb(o[6]), "before "+mb(o[5]), single(o[6]/o[5])).want("≤ 1.05", o[6] <= 1.05*o[5])
	b.note("A random history took %s. Memory before them is that of a process that has just committed.", ns(o[0]))
	return nil
}

// startEmpty starts with nothing.
func (b *bench) startEmpty(folder string) error {
	var took, memory series
	for i := range b.rounds {
		c, err := spawn(storeEnv + "=1")
		if err != nil {
			return err
		}
		o, err := c.ask("empty %s/%d", folder, i)
		c.kill()
		if err != nil {
			return err
		}
		took, memory = append(took, o[1]*1e9), append(memory, o[4])
	}
	b.add("start with an empty store", ns(took.mid()), "300 ms", single(took.mid()/300e6)).want("≤ 1", took.mid() <= 300e6)
	b.add("memory with an empty store", fmt.Sprintf("%.0f MB", memory.mid()/1e6), "60 MB", single(memory.mid()/60e6)).want("≤ 1", memory.mid() <= 60e6)
	return nil
}

// longRecords is how many records some instances have; the others have three.
const longRecords = 20

// long is how many of n instances have longRecords records.
func long(n int) int { return min(n/20, 2000) }

// fill stores the records of n instances: a creation and two transitions, and
// twenty records for the first of them, spread evenly over the log. It goes past
// the runtime, in frames of 1,000 records, and returns how many there are.
func fill(s *store.Store, n int) int {
	log := must(s.Open(ctx, "Bench"))
	for _, err := range log.Restore(ctx) {
		check(err)
	}
	must(log.Claim(ctx, "bench"))
	all, now := 0, time.Now().UnixMilli()
	var batch fsm.Batch
	add := func(i int, version uint64) {
		batch.Records = append(batch.Records, filledRecord(i, version, now))
		if all++; len(batch.Records) == 1000 {
			check(log.Append(ctx, batch))
			batch = fsm.Batch{}
		}
	}
	few := long(n)
	others, spread := 3*(n-few), longRecords*few
	done := 0
	for k := range others {
		for done*others < k*spread {
			add(done%few, uint64(1+done/few))
			done++
		}
		add(few+k%(n-few), uint64(1+k/(n-few)))
	}
	for ; done < spread; done++ {
		add(done%few, uint64(1+done/few))
	}
	check(log.Append(ctx, batch))
	return all
}

func filledRecord(i int, version uint64, now int64) *fsm.Record {
	r := &fsm.Record{
		Kind: fsm.KindTransition, Instance: idOf(i), Version: version, Component: "Bench", Machine: "Order",
		Event:  fsm.RecordEvent{Type: "NEXT", Payload: must(fsm.NewData(payload())), Time: now},
		Before: string("DABC"[version%4]), After: string("ABCD"[(version-1)%4]), Time: now, Data: must(fsm.NewData(dataOf(i))),
	}
	if version == 1 {
		r.Kind, r.Before, r.Event = fsm.KindCreated, "", fsm.RecordEvent{Type: "INSTANCE_CREATED", Time: now}
		r.Origin = &fsm.RecordOrigin{Order: uint64(i + 1)}
	}
	return r
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
