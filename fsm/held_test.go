package fsm

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// Events of a busy instance wait in its own queue (R4).

// A holder has an instance whose hook runs until it is let go, and notes in
// which order the instance takes events.
type holder struct {
	rt    *Runtime
	id    string
	letGo chan struct{}
	mu    sync.Mutex
	order []float64
}

func newHolder(t *testing.T, c Config) *holder {
	t.Helper()
	h := &holder{letGo: make(chan struct{})}
	c.Components = []*Component{componentOf("C", fsmOf("M", on("A", "HOLD", "A", calls("hold")), on("A", "E", "A", calls("note")), on("A", "TICK", "A")))}
	c.Hooks.Methods = map[string]Hook{
		"hold": func(c *Call) error { <-h.letGo; return nil },
		"note": func(c *Call) error {
			n, _ := c.Event().Payload.Get("n")
			h.mu.Lock()
			h.order = append(h.order, n.(float64))
			h.mu.Unlock()
			return nil
		},
	}
	h.rt = started(t, c)
	h.id = mustCreate(t, h.rt, "M", nil)
	go h.rt.Send(context.Background(), h.id, Event{Type: "HOLD"})
	eventually(t, "the hook runs", func() bool { return h.rt.work.hooks.Load() == 1 })
	return h
}

// send sends the n-th event and returns once it has been taken in.
func (h *holder) send(t *testing.T, n int, wg *sync.WaitGroup, err *error) {
	t.Helper()
	before := h.held()
	wg.Go(func() {
		_, e := h.rt.Send(context.Background(), h.id, Event{Type: "E", Payload: map[string]any{"n": n}})
		if err != nil {
			*err = e
		}
	})
	eventually(t, "the event is held back", func() bool { return h.held() == before+1 })
}

func (h *holder) held() int {
	sh := h.rt.shardOf(h.id)
	n := make(chan int, 1)
	sh.post(item{f: func() {
		held := 0
		if q := sh.tab.get(h.id).held; q != nil {
			held = q.len()
		}
		n <- held
	}})
	return <-n
}

func (h *holder) inOrder(t *testing.T, want int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.order) != want {
		t.Fatalf("%d events taken, want %d", len(h.order), want)
	}
	for i, n := range h.order {
		if n != float64(i) {
			t.Fatalf("event %v was taken as number %d: %v", n, i, h.order)
		}
	}
}

// Guards the queue of the instance: released into the inbox, newer events
// overtake them, since each has a hook of its own to wait for.
func TestHeldEventsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	h := newHolder(t, Config{Shards: 1})
	var wg sync.WaitGroup
	for n := range 40 {
		h.send(t, n, &wg, nil)
	}
	close(h.letGo)
	// Newer ones come while the held ones are taken one by one.
	eventually(t, "the first was taken", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.order) > 0
	})
	for n := 40; n < 60; n++ {
		if _, err := h.rt.Send(t.Context(), h.id, Event{Type: "E", Payload: map[string]any{"n": n}}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	h.inOrder(t, 60)
}

// Guards the bound: the 1,001st is refused, and nothing of those before.
func TestHeldEventsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHolder(t, Config{Shards: 1})
	var refused, taken atomic.Int32
	var wg sync.WaitGroup
	for n := range 1010 {
		wg.Go(func() {
			switch _, err := h.rt.Send(context.Background(), h.id, Event{Type: "TICK", Payload: map[string]any{"n": n}}); ErrorCode(err) {
			case "":
				taken.Add(1)
			case CodeOverloaded:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	eventually(t, "ten are refused", func() bool { return refused.Load() == 10 })
	if _, err := h.rt.Broadcast(t.Context(), "M", Event{Type: "TICK"}); err != nil {
		t.Errorf("Broadcast: %v", err)
	}
	close(h.letGo)
	wg.Wait()
	settle(t, h.rt)
	if taken.Load() != 1000 || refused.Load() != 10 {
		t.Errorf("%d taken and %d refused, want 1,000 and 10", taken.Load(), refused.Load())
	}
	if v := mustGet(t, h.rt, h.id).Version(); v != 1002 {
		t.Errorf("version %d, want 1,002", v)
	}
}

// A caller that stops waiting does not take its event back, and does not hold
// up the others.
func TestHeldEventOfACallerThatLeft(t *testing.T) {
	t.Parallel()
	h := newHolder(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := h.rt.Send(ctx, h.id, Event{Type: "TICK"})
		left <- err
	}()
	eventually(t, "it is held back", func() bool { return h.held() == 1 })
	cancel()
	if err := <-left; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	close(h.letGo)
	settle(t, h.rt)
	if v := mustGet(t, h.rt, h.id).Version(); v != 3 {
		t.Errorf("version %d, want 3", v)
	}
}
