package bridge

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// TestStopUnderWay ends a session while a runtime is at a command without an id: that is
// brought to its end, as it would be done twice if the broker gave it to another. What
// waits behind it is left to the broker, or done where that gives nothing again.
func TestStopUnderWay(t *testing.T) {
	t.Parallel()
	for _, redelivers := range []bool{true, false} {
		bus, err := mesh.Connect(t.Context(), fmt.Sprint("memory:", t.Name(), redelivers), mesh.BusOptions{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bus.Close(context.Background()) })
		begun, goOn := make(chan struct{}, 10), make(chan struct{})
		guest, err := bus.Host(t.Context(), mesh.GuestOptions{
			Identity: mesh.Identity{RuntimeID: "r", Component: "C", Name: "c"}, Announce: mesh.Announce{Definition: text(1)}, Source: newTable(time.Now(), nil), Logger: quiet(),
			Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
				if c.Do == mesh.DoSend {
					begun <- struct{}{}
					<-goOn
				}
				return &mesh.Outcome{OK: true, Instance: c.Instance}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(guest.Close)
		s, _, _ := makersOn(t, bus, bus, 0)
		if !redelivers {
			s.broker = &taking{}
		}
		s.outer["r"] = &outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: "r", Component: "C", Name: "c"}}, shown: true}
		var done, back atomic.Int64
		send := func() {
			s.command(TriggerEvent, &Body{Component: "C", Instance: "i", Event: &Event{Type: "GO"}}, &Message{Done: func(err error) {
				if err == nil {
					done.Add(1)
				} else {
					back.Add(1)
				}
			}})
		}
		send()
		<-begun
		send()
		s.cancel()
		close(goOn)
		s.wg.Wait()
		want := int64(2)
		if redelivers {
			want = 1
		}
		if done.Load() != want || back.Load() != 0 {
			t.Errorf("redelivered %v: %d commands are done and %d given back, want %d and none", redelivers, done.Load(), back.Load(), want)
		}
		send() // what comes now is too late
		if n := s.b.counts.of(countStopped); redelivers != (n == 0) {
			t.Errorf("redelivered %v: %d commands are counted as lost", redelivers, n)
		}
	}
}
