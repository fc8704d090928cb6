package bridge

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A redelivering broker gives again what was not done.
type redelivering struct{ taking }

func (*redelivering) Guarantees() Guarantees { return Guarantees{Redelivered: true, Shared: true} }

// TestCreationOfUnknownOutcome has a runtime make an instance and not say so, and
// vanish for a while, in which the creation is delivered again: no other is asked to
// make it, and the same once it is back, also when it is delivered once more.
func TestCreationOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	b := &Bridge{c: Config{Bus: bus, Logger: quiet()}, client: mesh.NewClient(bus, mesh.ClientOptions{Timeout: 60 * time.Second}), counts: newCounts()}
	ctx, cancel := context.WithCancel(t.Context())
	view, err := mesh.Watch(t.Context(), bus, mesh.ViewOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{b: b, c: &b.c, ctx: ctx, view: view, broker: &redelivering{}, guard: newGuard("b", b.counts), outer: map[string]*outer{}}
	t.Cleanup(func() { cancel(); s.wg.Wait(); _ = view.Close(context.Background()) })
	s.startLanes()
	var mu sync.Mutex
	asked := map[string][]string{} // ids of events, by runtime
	var chosen *outer
	for _, id := range []string{"r1", "r2", "r3"} {
		who := mesh.Identity{RuntimeID: id, Component: "C", Name: "name-" + id}
		o := &outer{info: mesh.RuntimeInfo{Identity: who}, shown: true}
		guest, err := bus.Host(t.Context(), mesh.GuestOptions{
			Identity: who, Announce: mesh.Announce{Definition: text(1)}, Source: newTable(time.Now(), nil), Logger: quiet(),
			Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
				mu.Lock()
				defer mu.Unlock()
				asked[id] = append(asked[id], c.EventID)
				if chosen != nil {
					return &mesh.Outcome{OK: true, Instance: "made"}
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				chosen = o
				delete(s.outer, id)
				return &mesh.Outcome{Code: fsm.CodeUnknownOutcome}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(guest.Close)
		s.outer[id] = o
	}
	done := make(chan error, 1)
	s.do(CreateInstance, &Body{Component: "C", ID: "c-1"}, &Message{Done: func(err error) { done <- err }})
	soon(t, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := s.attempts.of("c-1"); n < 2 && len(done) == 0 {
			return fmt.Sprintf("it was tried %d times, want a second one while the runtime is away", n)
		}
		return ""
	})
	again := make(chan error, 1)
	deliver := func() {
		s.do(CreateInstance, &Body{Component: "C", ID: "c-1"}, &Message{Redelivered: true, Done: func(err error) { again <- err }})
	}
	deliver()
	soon(t, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := s.attempts.of("c-1"); n < 4 && len(again) == 0 {
			return fmt.Sprintf("it was tried %d times, want 4 while the runtime is away", n)
		}
		return ""
	})
	mu.Lock()
	back := chosen
	mu.Unlock()
	s.mu.Lock()
	s.outer["back"] = back
	s.mu.Unlock()
	ends := func(done chan error) {
		t.Helper()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("it is given back with %v; another bridge could make it once more", err)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("it is not done once the runtime is back")
		}
	}
	ends(done)
	ends(again)
	deliver() // as the ack may have been lost
	ends(again)
	mu.Lock()
	defer mu.Unlock()
	if got := asked[back.info.RuntimeID]; len(asked) != 1 || !slices.Equal(got, []string{"c-1", "c-1", "c-1", "c-1"}) {
		t.Errorf("the runtimes were asked %v; want one of them, four times for the same", asked)
	}
}
