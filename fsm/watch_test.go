package fsm

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A reader that does not read loses notices and is told how many, and goes on;
// the runtime does not wait for it.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}, Shards: 1})
	id := mustCreate(t, rt, "M", nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	notices := rt.Watch(ctx, WatchOptions{Buffer: 10})
	const n = 1005
	begin := time.Now()
	for range n {
		mustSend(t, rt, id, "GO")
	}
	t.Logf("%d sends beside a watcher that does not read: %v", n, time.Since(begin))
	got, lost := 0, 0
	last := uint64(0)
	for notice, err := range notices {
		var lag *Error
		switch {
		case errors.As(err, &lag) && errors.Is(err, ErrLagged):
			lost += lag.Count
		case err != nil:
			t.Fatal(err)
		default:
			if notice.Seq <= last {
				t.Fatalf("number %d after %d", notice.Seq, last)
			}
			got, last = got+1, notice.Seq
		}
		if got+lost == n {
			// It goes on from here.
			mustSend(t, rt, id, "GO")
		}
		if got+lost == n+1 {
			break
		}
	}
	if lost == 0 || got > 11 || last != n+2 {
		t.Errorf("got %d, lost %d, last number %d", got, lost, last)
	}
}

// Guards that watchers go away: a break, an end of the context, a sequence that
// is never read.
func TestWatchersGoAway(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	ctx, cancel := context.WithCancel(t.Context())
	broken, ended := rt.Watch(ctx, WatchOptions{}), rt.Watch(ctx, WatchOptions{})
	rt.Watch(ctx, WatchOptions{})
	mustSend(t, rt, id, "GO")
	for range broken {
		break
	}
	if n := len(rt.watchers.all()); n != 2 {
		t.Errorf("%d watchers after a break, want 2", n)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range ended {
		}
	}()
	cancel()
	<-done
	eventually(t, "all are gone", func() bool { return len(rt.watchers.all()) == 0 })
	if rt.tracing() {
		t.Error("transitions are traced though nobody watches")
	}
}

// The end of the runtime ends a watch, after what was told before.
func TestWatchEndsWithTheRuntime(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	notices := rt.Watch(t.Context(), WatchOptions{Instance: id})
	for range 100 {
		mustSend(t, rt, id, "GO")
	}
	stopRuntime(t, rt)
	n := 0
	for _, err := range notices {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 100 {
		t.Errorf("%d notices, want 100", n)
	}
}

// Batches say when they have caught up: who keeps some for more to come would keep
// the last ones for ever otherwise.
func TestBatchesEndWithAnEmptyOne(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	batches := rt.WatchBatches(t.Context(), WatchOptions{Buffer: 4 * yieldedOnce})
	const n = 2*yieldedOnce + 3
	for range n {
		mustSend(t, rt, id, "GO")
	}
	got, empty := 0, 0
	for batch, err := range batches {
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) > yieldedOnce {
			t.Errorf("%d notices at once, want at most %d", len(batch), yieldedOnce)
		}
		got += len(batch)
		if len(batch) > 0 {
			continue
		}
		if got != n {
			t.Errorf("an empty batch after %d notices of %d", got, n)
		}
		switch empty++; empty {
		case 1:
			got = n - 1
			mustSend(t, rt, id, "GO")
		case 2:
			return
		}
	}
	t.Errorf("the watch ended after %d empty batches", empty)
}
