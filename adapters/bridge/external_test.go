package bridge

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// TestBroadcastAgain has a broadcast for several instances of which one does not take
// it at once: it is to be tried again, for each with the same event, and is done when
// all have taken or refused it.
func TestBroadcastAgain(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	instances := newTable(time.Now(), nil)
	for _, id := range []string{"busy", "refuses", "takes"} {
		instances.set(mesh.Row{ID: id, Machine: "M", State: "S"}, 0)
	}
	var mu sync.Mutex
	got := map[string][]string{} // ids of events, by instance
	id := mesh.Identity{RuntimeID: "r", Component: "C", Name: "c"}
	guest, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: id, Announce: mesh.Announce{Definition: text(1)}, Source: instances, Logger: quiet(),
		Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
			mu.Lock()
			defer mu.Unlock()
			got[c.Instance] = append(got[c.Instance], c.Event.ID)
			switch {
			case c.Instance == "refuses":
				return &mesh.Outcome{Code: fsm.CodeEventIgnored}
			case c.Instance == "busy" && len(got["busy"]) == 1:
				return &mesh.Outcome{Code: fsm.CodeOverloaded}
			}
			return &mesh.Outcome{OK: true, Instance: c.Instance}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	s := sessionOn(t, bus, heldBytes)
	t.Cleanup(s.stop)
	s.b.client, s.work = mesh.NewClient(bus, mesh.ClientOptions{Timeout: 60 * time.Second}), t.Context()
	s.outer = map[string]*outer{"r": {info: mesh.RuntimeInfo{Identity: id}, shown: true}}
	for i, want := range []fsm.Code{fsm.CodeOverloaded, ""} {
		out, err := s.broadcast(&Body{Component: "C", Machine: "M", State: "S", Event: &Event{Type: "E", ID: "e"}}, nil)
		if fsm.ErrorCode(err) != want || (want == "") != (err == nil) || err == nil && out.Count != 2 {
			t.Errorf("try %d: %+v, %v; want %q", i+1, out, err, want)
		}
	}
	for _, id := range []string{"busy", "refuses", "takes"} {
		if !slices.Equal(got[id], []string{"e/" + id, "e/" + id}) {
			t.Errorf("%s got the events %q", id, got[id])
		}
	}
}
