package bridge

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// TestHostedAtTheEnd has a runtime of the broker put onto the mesh just when the
// session ends: it is not left there.
func TestHostedAtTheEnd(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	// The context is not over yet: the guest is on its way when the session ends.
	s := sessionOn(t, bus, heldBytes)
	s.stop()
	s.host(&Body{RuntimeID: "r", Component: "C", Definition: json.RawMessage(`{"name":"C"}`)}, time.Now())
	if n := len(s.behind); n != 0 {
		t.Errorf("%d runtimes are behind a session that has ended, want none", n)
	}
	client := mesh.NewClient(bus, mesh.ClientOptions{})
	if there, err := client.Runtimes(t.Context()); err != nil || len(there) != 0 {
		t.Errorf("on the mesh: %v, %v; want nobody", there, err)
	}
}
