package fsm

import (
	"context"
	"slices"
	"sync"
	"testing"
)

// Guards the numbers of notices: 1, 2, 3 … over all shards, none missing and
// none twice, and each instance shows the number of its last.
func TestNoticesAreNumbered(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C",
		cascading(fsmOf("M", on("A", "GO", "B"), on("B", "GO", "A"), on("A", "IN", "A", internal), on("B", "IN", "B", internal), on("A", "STOP", "End"), on("B", "STOP", "End")), "B",
			CascadingRule{TargetMachine: "N", TargetState: "A", Event: "E"}),
		fsmOf("N", on("A", "E", "A")))}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	notices := rt.Watch(ctx, WatchOptions{Buffer: 1 << 20})
	var ids []string
	for range 3 {
		mustCreate(t, rt, "N", nil)
	}
	for range 64 {
		ids = append(ids, mustCreate(t, rt, "M", nil))
	}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for n := range 200 {
				id := ids[(c*8+n)%len(ids)]
				event := Event{Type: "GO"}
				if n%3 == 0 {
					event = Event{Type: "IN", Payload: map[string]any{"n": n}}
				}
				if _, err := rt.Send(ctx, id, event); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids[:32] {
		mustSend(t, rt, id, "STOP")
	}
	settle(t, rt)
	last, err := rt.Seq("C")
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	of := map[string]uint64{}
	for n, err := range notices {
		if err != nil {
			t.Fatal(err)
		}
		if n.Seq == 0 {
			continue
		}
		seqs = append(seqs, n.Seq)
		if of[n.Instance] >= n.Seq {
			t.Fatalf("instance %s: number %d comes after %d", n.Instance, n.Seq, of[n.Instance])
		}
		of[n.Instance] = n.Seq
		if len(seqs) == int(last) {
			break
		}
	}
	slices.Sort(seqs)
	for i, n := range seqs {
		if n != uint64(i+1) {
			t.Fatalf("number %d is at place %d", n, i+1)
		}
	}
	for id, seq := range of {
		if got := mustGet(t, rt, id).Seq(); got != seq {
			t.Errorf("instance %s has number %d, its last notice %d", id, got, seq)
		}
	}
	if testing.Verbose() {
		t.Logf("%d numbers", last)
	}
}

// Whoever reads that n is the last number finds every change up to n. Guards
// Changes, which looks as the shards' owner.
func TestChangesAreComplete(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}, Shards: 4})
	var ids []string
	for range 16 {
		ids = append(ids, mustCreate(t, rt, "M", nil))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				rt.Send(context.Background(), ids[(c*4+n)%16], Event{Type: "GO"})
			}
		})
	}
	next := uint64(1)
	for range 50 {
		last, _ := rt.Seq("C")
		changes, tooOld, err := rt.Changes(t.Context(), "C", []SeqRange{{next, last}})
		if err != nil || tooOld {
			t.Fatalf("%v, too old: %v", err, tooOld)
		}
		seen := map[string]uint64{}
		for _, ch := range changes {
			seen[ch.ID] = ch.Seq
		}
		// Each number of the range belongs to one of them, whose number is at
		// least that.
		num := rt.numbers[0]
		num.mu.Lock()
		for n := next; n <= last; n++ {
			if s := num.ring[n%uint64(len(num.ring))]; seen[s.id] < n {
				t.Errorf("number %d was of %s, which shows %d", n, s.id, seen[s.id])
			}
		}
		num.mu.Unlock()
		next = last + 1
	}
	cancel()
	wg.Wait()
}

// The ring grows with the instances and keeps what it holds.
func TestRingOfNumbers(t *testing.T) {
	t.Parallel()
	n := &numbering{}
	slots := make([]*slot, 1000)
	for i := range slots {
		slots[i] = &slot{number: int32(i)}
	}
	n.count(minRing * 2)
	const all = minRing * 5
	for i := uint64(1); i <= all; {
		k := 1 + int(i%3)
		if first := n.next(slots[i%1000], k); first != i {
			t.Fatalf("first number %d, want %d", first, i)
		}
		i += uint64(k)
	}
	if len(n.ring) < 2*minRing {
		t.Errorf("the ring holds %d, want at least %d: as many as there are instances", len(n.ring), 2*minRing)
	}
	owner := func(seq uint64) *slot { return n.ring[seq%uint64(len(n.ring))] }
	for i := uint64(1); i <= n.last(); {
		k := 1 + i%3
		for j := i; j < i+k; j++ {
			if n.last()-j < uint64(2*minRing) && owner(j) != slots[i%1000] {
				t.Fatalf("number %d is not of the slot that it was given to", j)
			}
		}
		i += k
	}
	if _, old := n.slots([]SeqRange{{1, 2}}); !old {
		t.Error("the first numbers are said to be remembered")
	}
	if got, old := n.slots([]SeqRange{{n.last(), n.last() + 100}}); old || len(got) != 1 {
		t.Errorf("the last number: %d slots, too old: %v", len(got), old)
	}
}
