package bridge

import (
	"context"
	"log/slog"
	"testing"

	"github.com/fsmesh/fsmesh/mesh"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// memoryBus is a mesh of the test's own.
func memoryBus(t *testing.T) *mesh.Bus {
	t.Helper()
	bus, err := mesh.Connect(t.Context(), "memory:"+t.Name(), mesh.BusOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	return bus
}

// sessionOn is a session on a mesh that listens to no broker, with room for so many
// bytes of runtimes. Whoever calls it stops it. Its context is not over when it is
// stopped.
func sessionOn(t *testing.T, bus *mesh.Bus, room int64) *session {
	t.Helper()
	view, err := mesh.Watch(t.Context(), bus, mesh.ViewOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	b := &Bridge{id: "b", c: Config{Bus: bus, Logger: quiet()}, counts: newCounts()}
	return &session{
		b: b, c: &b.c, view: view, ctx: t.Context(), cancel: func() {}, behind: map[string]*behind{}, routes: map[string]heardRoute{},
		held: newBudget(room), broker: away{},
	}
}
