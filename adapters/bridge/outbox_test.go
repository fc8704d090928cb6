package bridge

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestOutboxFull has more to be published than may wait: what had no room is counted,
// and told anew once there is room again.
func TestOutboxFull(t *testing.T) {
	t.Parallel()
	b := &Bridge{counts: newCounts()}
	told := make(chan struct{}, 10)
	o := newOutbox(b, &taking{}, func() { told <- struct{}{} })
	body := make([]byte, 1<<20)
	o.most = 8 << 20
	for range o.most/len(body) + 10 {
		o.push(Frame{"c", body})
	}
	if n := b.counts.n[countFull].Load(); n < 10 {
		t.Fatalf("%d frames had no room, want 10 or more", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { o.run(ctx) })
	select {
	case <-told:
	case <-time.After(60 * time.Second):
		t.Error("what had no room is not told anew")
	}
	if o.push(Frame{"c", body}); b.counts.n[countFull].Load() > 11 {
		t.Error("there is no room when all is published")
	}
	// Where all that is told anew has no room itself, it is not told without end.
	for range o.most/len(body) + 10 {
		o.push(Frame{"c", body})
	}
	cancel()
	running.Wait()
	if len(told) > 0 {
		t.Error("it is told more than once")
	}
}
