package fsm

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A timer that fires while the store ails is tried until it works. Who asks its
// instance meanwhile is refused as all others are, and does not wait behind it.
func TestRefusedBehindATimerWhileTheStoreAils(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(epoch)
	s := newAilingStore()
	rt := started(t, Config{
		Name: "r", Shards: 2, Store: s, Clock: clock,
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")), fsmOf("Timed", on("A", "T", "B", timeout(1000)), on("A", "GO", "A"), on("B", "GO", "B")))},
	})
	first, timed := mustCreate(t, rt, "M", nil), mustCreate(t, rt, "Timed", nil)
	s.set(true, 0)
	sent := make(chan error, 1)
	go func() { _, err := rt.Send(t.Context(), first, Event{Type: "GO"}); sent <- err }()
	eventually(t, "the store ails", func() bool { return rt.ails.why() != nil })
	clock.Advance(2*time.Second, func() {})
	paused := func() (is bool) {
		sh := rt.shardOf(timed)
		if err := sh.visit(t.Context(), func() { is = sh.tab.get(timed).paused }); err != nil {
			t.Fatal(err)
		}
		return is
	}
	eventually(t, "the timer has fired, and was refused", paused)
	// The timer is tried every second.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 200 {
		_, err := rt.Send(ctx, timed, Event{Type: "GO"})
		if wantCode(t, "who asks the instance of the timer", err, CodeStoreFailed); t.Failed() {
			break
		}
	}
	s.set(false, 0)
	if err := <-sent; err != nil {
		t.Errorf("what was with the store: %v", err)
	}
	eventually(t, "the timer has done its step", func() bool { return mustGet(t, rt, timed).State() == "B" })
	if v := mustGet(t, rt, timed).Version(); v != 2 {
		t.Errorf("version %d, want 2", v)
	}
}

// A shard that may take up nothing until the store answers refuses whoever asks it
// then, one as well as many: nobody is forgotten in the moment in which it falls
// asleep. (Without that this finds it in most runs.)
func TestAFullShardRefusesEverybody(t *testing.T) {
	t.Parallel()
	s := newAilingStore()
	rt := started(t, Config{Name: "r", Shards: 1, Store: s, Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	s.set(true, 0)
	sent := make(chan error, 1)
	go func() { _, err := rt.Send(t.Context(), id, Event{Type: "GO"}); sent <- err }()
	eventually(t, "the store ails", func() bool { return rt.ails.why() != nil })
	sh := rt.shards[0]
	fill := func(n int) {
		if err := sh.visit(t.Context(), func() { sh.inFlight += n }); err != nil {
			t.Fatal(err)
		}
	}
	fill(maxInFlight) // as if as many were in the commit
	for i := range 50_000 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := rt.Send(ctx, id, Event{Type: "GO"})
		cancel()
		if ErrorCode(err) != CodeStoreFailed {
			t.Errorf("caller %d: %v", i, err)
			break
		}
	}
	fill(-maxInFlight)
	s.set(false, 0)
	if err := <-sent; err != nil {
		t.Errorf("what was with the store: %v", err)
	}
}

// Of what could not be stored together, and is tried one by one, the rest does not
// wait for the one of which the store cannot say whether it has it.
func TestRefusedWhenTriedOneByOneWhileTheStoreAils(t *testing.T) {
	t.Parallel()
	mem := NewMemoryStore()
	const forever = 1 << 20
	var works atomic.Int32 // so many times
	works.Store(forever)
	var asked atomic.Bool
	store := &scriptedStore{mem, true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		switch {
		case works.Add(-1) >= 0:
			return write(ctx, b)
		case len(b.Records) > 1:
			return errDiskFull
		}
		asked.Store(true)
		return &Error{Code: CodeUnknownOutcome, Err: errDiskFull}
	}}
	rt := started(t, Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}, Store: store, Shards: 64})
	before := mustCreate(t, rt, "M", nil)
	var calls []func()
	got := make(chan error, 3)
	used := map[*shard]bool{rt.shardOf(before): true}
	created := 1
	for ; len(calls) < cap(got); created++ {
		id := mustCreate(t, rt, "M", nil)
		if sh := rt.shardOf(id); !used[sh] {
			used[sh] = true
			calls = append(calls, func() { _, err := rt.Send(t.Context(), id, Event{Type: "GO"}); got <- err })
		}
	}
	var wg sync.WaitGroup
	works.Store(1)
	oneCommit(t, rt, &wg, func() { mustSend(t, rt, before, "GO") }, calls...)
	var answered []error
	eventually(t, "all but one have been refused", func() bool {
		select {
		case err := <-got:
			answered = append(answered, err)
		default:
		}
		return len(answered) == cap(got)-1
	})
	for _, err := range answered {
		wantCode(t, "who waits", err, CodeStoreFailed)
	}
	if !asked.Load() {
		t.Error("the store was not asked for one by itself")
	}
	works.Store(forever)
	if err := <-got; err != nil {
		t.Errorf("what was with the store: %v", err)
	}
	wg.Wait()
	if n, want := len(mem.Records("r")), created+2; n != want {
		t.Errorf("%d records, want %d: what was refused must not have happened", n, want)
	}
}
