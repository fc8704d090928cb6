package fsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A full inbox makes callers wait, and no longer than their context. Guards the
// bound and the way out of offer.
func TestFullInboxWaitsForTheContext(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Shards: 1, Inbox: 1})
	id := mustCreate(t, rt, "M", nil)
	sh := rt.shards[0]
	// Somebody owns the shard and does nothing.
	eventually(t, "the shard is free", func() bool { return sh.owned.CompareAndSwap(false, true) })
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := rt.Send(ctx, id, Event{Type: "E"})
			answers <- err
		}()
	}
	eventually(t, "one waits in the inbox", func() bool { return len(sh.inbox) == 1 })
	cancel()
	for range 2 {
		select {
		case err := <-answers:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("a caller goes on waiting")
		}
	}
	if n := len(sh.inbox); n != 1 {
		t.Errorf("%d wait in an inbox for 1", n)
	}
	sh.owned.Store(false)
	sh.wake()
	settle(t, rt)
}

// No more hooks run at a time than there are workers. Guards crew.most.
func TestHookWorkersAreBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var running, most atomic.Int32
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A", calls("wait"))))}, HookWorkers: 3,
		Hooks: Hooks{Methods: map[string]Hook{"wait": func(*Call) error {
			n := running.Add(1)
			defer running.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			<-release
			return nil
		}}},
	})
	var wg sync.WaitGroup
	for range 12 {
		id := mustCreate(t, rt, "M", nil)
		wg.Go(func() { mustSend(t, rt, id, "GO") })
	}
	eventually(t, "all wait for a worker", func() bool { return rt.work.hooks.Load() == 12 && running.Load() >= 3 })
	close(release)
	wg.Wait()
	if most.Load() != 3 {
		t.Errorf("%d hooks ran at a time, want 3", most.Load())
	}
}

// An observer that panics disturbs nobody, and a method without a hook is
// reported once, at the start.
func TestLogOfTheRuntime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A", calls("nobody")), on("A", "TOO", "A", calls("nobody"))))},
		Trace:      func(Trace) { panic("observer") }, Logger: logger,
	})
	id := mustCreate(t, rt, "M", nil)
	if r := mustSend(t, rt, id, "GO"); r.Version != 2 {
		t.Errorf("version %d, want 2", r.Version)
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "method=nobody"); n != 1 {
		t.Errorf("the missing hook is reported %d times, want once:\n%s", n, log.String())
	}
	if !strings.Contains(log.String(), "panic=observer") {
		t.Errorf("the panic is not reported:\n%s", log.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// What is remembered for others is forgotten again: keys with the last instance
// that had them, effects that their sender says are done.
func TestMemoryOfOthersIsBounded(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "STOP", "End"), on("A", "E", "A")))}, Limits: Limits{Ended: 10}})
	for i := range 100 {
		mustSend(t, rt, mustCreate(t, rt, "M", nil, WithKey(fmt.Sprint("k", i))), "STOP")
	}
	if n := len(rt.places.keys); n > 10 {
		t.Errorf("%d keys are remembered with 10 ended instances", n)
	}
	id := mustCreate(t, rt, "M", nil)
	for i := range uint64(100) {
		err := rt.Receive(t.Context(), RemoteEffect{
			From: "other", Log: "l", Epoch: 1, Seq: i + 1, Lowest: i + 1, Record: RecordID{"src", i + 2},
			Effect: Effect{Kind: EffectSend, Targets: []string{id}, Component: "C", Event: "E"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rt.intake.mu.Lock()
	defer rt.intake.mu.Unlock()
	if n := len(rt.intake.sender("other", "l").known); n > 2 {
		t.Errorf("%d effects are remembered, one is open", n)
	}
}

// A timer that fired and was held back is void if its state was left and
// entered again meanwhile. Guards the due time in timerRuns.
func TestHeldTimerOfAnEarlierStay(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	clock := NewManualClock(time.Unix(1000, 0))
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "AGAIN", "A", calls("wait")), on("A", "LATE", "B", timeout(1000)), on("B", "X", "A")))},
		Hooks:      Hooks{Methods: map[string]Hook{"wait": func(*Call) error { <-release; return nil }}},
		Clock:      clock, Shards: 1,
	})
	id := mustCreate(t, rt, "M", nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustSend(t, rt, id, "AGAIN")
	}()
	eventually(t, "the hook runs", func() bool { return rt.work.hooks.Load() == 1 })
	clock.Advance(time.Second, func() { _ = rt.Idle(context.Background(), 1) }) // fires, and is held
	close(release)
	<-done
	settle(t, rt)
	if got := mustGet(t, rt, id).State(); got != "A" {
		t.Errorf("state %s: the timer of the first stay acted on the second", got)
	}
	clock.Advance(time.Second, func() { settle(t, rt) })
	if got := mustGet(t, rt, id).State(); got != "B" {
		t.Errorf("state %s after the second stay's time, want B", got)
	}
}
