package mesh

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// TestNoticesGather: where many things happen one after the other, there is a
// message for each millisecond and not for each of them; all arrive.
func TestNoticesGather(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	attach(t, rt, b)
	in, err := rt.Create(t.Context(), "Order", nil)
	if err != nil {
		t.Fatal(err)
	}
	var messages, notices atomic.Int64
	if _, err := b.nc.Subscribe(b.subjects.notices("Shop"), func(m *nats.Msg) {
		var ns Notices
		if err := Decode(m.Data, &ns); err != nil {
			t.Error(err)
		}
		messages.Add(1)
		notices.Add(int64(len(ns.Notices)))
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	events := []string{"PLACE", "PAY", "RETURN"}
	const n = 3000
	begin := time.Now()
	for i := range n {
		if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: events[i%3]}); err != nil {
			t.Fatal(err)
		}
		for next := time.Now().Add(50 * time.Microsecond); time.Now().Before(next); {
			runtime.Gosched() // long enough for a message of its own
		}
	}
	waitFor(t, func() bool { return notices.Load() >= n })
	// One more for what was on its way at either end.
	if most := int64(time.Since(begin)/gather) + 2; messages.Load() > most {
		t.Errorf("%d notices came in %d messages, want at most %d", n, messages.Load(), most)
	}
}
