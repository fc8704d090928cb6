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

// TestStoppedCounts has commands come once the session is over, over a broker that gives
// nothing again: those are counted as lost that were for a runtime here, and none else.
func TestStoppedCounts(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, _, _ := makersOn(t, bus, bus, 0)
	s.broker, s.b.id = &taking{}, "b"
	s.outer["r"] = &outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: "r", Component: "C", Name: "c"}}, shown: true}
	s.cancel()
	for _, tt := range []struct {
		what, channel, body string
		lost                int
	}{
		{"a command for a runtime here", "xcomponent:trigger_event", `{"componentName":"C","instanceId":"i","event":{"type":"GO"}}`, 1},
		{"one for any", "xcomponent:trigger_event", `{"instanceId":"i","event":{"type":"GO"}}`, 1},
		{"a creation", "xcomponent:create_instance", `{"componentName":"C","machineName":"M","context":{}}`, 1},
		{"an event for matching instances", "xcomponent:cross_component_event", `{"targetComponent":"C","targetMachine":"M","event":{"type":"GO"},"matchingRules":[{"eventProperty":"k","instanceProperty":"k"}]}`, 1},
		{"one for a component elsewhere", "xcomponent:trigger_event", `{"componentName":"D","instanceId":"i","event":{"type":"GO"}}`, 0},
		{"one of this bridge itself", "xcomponent:trigger_event", `{"componentName":"C","instanceId":"i","event":{"type":"GO"},"origin":"b"}`, 0},
		{"the copy of one", "fsm:commands:trigger_event", `{"componentName":"C","instanceId":"i","event":{"type":"GO"},"id":"x","copy":true}`, 0},
		{"what is no command", "xcomponent:trigger_event", `{"componentName":"C"`, 0},
		{"news", "xcomponent:heartbeat", `{"runtimeId":"x","componentName":"C"}`, 0},
	} {
		before := s.b.counts.of(countStopped)
		s.receive(&Message{Frame: Frame{tt.channel, []byte(tt.body)}, Done: func(error) {}})
		if n := int(s.b.counts.of(countStopped) - before); n != tt.lost {
			t.Errorf("%s that comes too late: %d are counted as lost, want %d", tt.what, n, tt.lost)
		}
	}
}

// TestStopAnswers has a command come to its end while the bridge stops: who asked for an
// answer gets it.
func TestStopAnswers(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	begun := make(chan struct{})
	goOn := make(chan struct{})
	slow, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "slow", Component: "Slow", Name: "slow"}, Announce: mesh.Announce{Definition: text(1), Protocol: 1},
		Source: newTable(time.Now(), nil), Logger: quiet(),
		Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
			close(begun)
			<-goOn
			return &mesh.Outcome{OK: true, Instance: c.Instance}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	r := &reading{on: map[string]chan Frame{}}
	br, err := Start(t.Context(), Config{Bus: bus, URL: "reading://", Logger: quiet(), NoNotices: true, Open: func(context.Context) (Broker, error) { return r, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = br.Close(context.Background()) })
	soon(t, func() string {
		if st := br.Status(); len(st.Mirrored) != 1 {
			return fmt.Sprintf("%d runtimes are mirrored, want 1", len(st.Mirrored))
		}
		return ""
	})
	br.mu.Lock()
	s := br.session
	br.mu.Unlock()
	context.AfterFunc(s.ctx, func() {
		time.Sleep(50 * time.Millisecond) // all else of the session ends meanwhile
		close(goOn)
	})
	r.come("xcomponent:create_instance", `{"componentName":"Slow","machineName":"M","context":{},"id":"m","correlationId":"asked"}`)
	<-begun
	if err := br.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Whether it is done or, on a loaded machine, broken off: it is told.
	if a := r.published("xcomponent:command_response"); a == nil || a.CorrelationID != "asked" || a.OK == nil {
		t.Errorf("the answer is %+v, want one for who asked", a)
	}
}
