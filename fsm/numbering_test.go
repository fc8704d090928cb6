package fsm

import (
	"context"
	"fmt"
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
	last := rt.Seq("C")
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
// Look, which looks as the shards' owner.
func TestLooksAreComplete(t *testing.T) {
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
		last := rt.Seq("C")
		changed, tooOld := rt.Changed("C", []SeqRange{{next, last}}, 1<<20)
		if tooOld || uint64(len(changed)) != last-next+1 {
			t.Fatalf("%d numbers, too old: %v, want %d", len(changed), tooOld, last-next+1)
		}
		var asked []string
		for _, ch := range changed {
			asked = append(asked, ch.ID)
		}
		found, err := rt.Look(t.Context(), "C", asked)
		if err != nil {
			t.Fatal(err)
		}
		for i, ch := range changed {
			if found[i].Instance == nil || found[i].Seq < ch.Seq {
				t.Errorf("number %d was of %s, which shows %d", ch.Seq, ch.ID, found[i].Seq)
			}
		}
		next = last + 1
	}
	cancel()
	wg.Wait()
}

// Whatever is there during a whole reading is in one of its pieces, and what is
// not there has the number of the moment of looking.
func TestPiecesNameEverything(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "STOP", "End"))), componentOf("D", fsmOf("N", on("A", "X", "A")))}, Name: "r", Shards: 3})
	var stay []string
	for i := range 300 {
		id := mustCreate(t, rt, "M", nil)
		mustCreate(t, rt, "N", nil)
		if i%3 == 0 {
			mustSend(t, rt, id, "STOP")
		} else {
			stay = append(stay, id)
		}
	}
	seen := map[string]bool{}
	for shard := range rt.Shards() {
		for from := 0; from >= 0; {
			p, err := rt.Piece(t.Context(), "C", shard, from, 7)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Slots) > 7 || p.AsOf != rt.Seq("C") {
				t.Fatalf("%d slots as of %d", len(p.Slots), p.AsOf)
			}
			for _, s := range p.Slots {
				if s.Instance.Component() != "C" {
					t.Errorf("%s is of %s", s.Instance.ID(), s.Instance.Component())
				}
				seen[s.Instance.ID()] = true
			}
			from = p.Next
		}
	}
	for _, id := range stay {
		if !seen[id] {
			t.Errorf("%s is in no piece", id)
		}
	}
	if len(seen) != len(stay) {
		t.Errorf("%d in the pieces, want %d", len(seen), len(stay))
	}
	found, err := rt.Look(t.Context(), "C", []string{"nobody"})
	if err != nil || found[0].Instance != nil || found[0].Seq != rt.Seq("C") {
		t.Errorf("%+v, %v", found, err)
	}
	_, err = rt.Piece(t.Context(), "C", 99, 0, 1)
	wantCode(t, "Piece of no shard", err, CodeBadValue)
}

// The ring grows with the instances and keeps what it holds.
func TestRingOfNumbers(t *testing.T) {
	t.Parallel()
	n := &numbering{}
	slots := make([]*slot, 1000)
	for i := range slots {
		slots[i] = &slot{id: fmt.Sprint(i)}
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
	owner := func(seq uint64) string { return n.ring[seq%uint64(len(n.ring))] }
	for i := uint64(1); i <= n.last(); {
		k := 1 + i%3
		for j := i; j < i+k; j++ {
			if n.last()-j < uint64(2*minRing) && owner(j) != slots[i%1000].id {
				t.Fatalf("number %d is not of the slot that it was given to", j)
			}
		}
		i += k
	}
	n.count(-minRing * 2)
	n.next(slots[0], 1)
	if len(n.ring) > 2*minRing {
		t.Errorf("the ring holds %d after the instances are gone, want some %d", len(n.ring), minRing)
	}
	if _, old := n.changed([]SeqRange{{1, 2}}, 10); !old {
		t.Error("the first numbers are said to be remembered")
	}
	if got, old := n.changed([]SeqRange{{n.last(), n.last() + 100}}, 10); old || len(got) != 1 {
		t.Errorf("the last number: %d slots, too old: %v", len(got), old)
	}
}
