package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/api"
)

// Whatever has a code exits with the status that the table gives it, which is the
// one that docs/api.md shows.
func TestExitStatus(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range api.Meanings() {
		err := fmt.Errorf("send: %w", &fsm.Error{Code: m.Code})
		if got := exitStatus(err); got != m.Exit {
			t.Errorf("%s: exit status %d, the table says %d", m.Code, got, m.Exit)
		}
		if row := fmt.Sprintf("| `%s` | %d | %d |", m.Code, m.Status, exitStatus(err)); !strings.Contains(string(docs), row) {
			t.Errorf("docs/api.md lacks the row %s", row)
		}
	}
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, exitDone},
		{"anything", os.ErrClosed, exitFailed},
		{"no file", fmt.Errorf("read: %w", fs.ErrNotExist), exitNotFound},
		{"usage", usage("no"), exitUsage},
		{"usage, of something with a code", usage("no: %w", fsm.ErrEventIgnored), exitUsage},
		{"some were silent", explained(t, &mesh.MissingError{}), exitNotFound},
		{"the runtime has gone", explained(t, nats.ErrNoResponders), exitNotFound},
		{"no answer", fmt.Errorf("send: %w", mesh.ErrNoAnswer), exitFailed},
		{"no answer to a question", unanswered(mesh.ErrNoAnswer), exitNotFound},
		{"no connection", fmt.Errorf("send: %w", nats.ErrConnectionClosed), exitFailed},
	} {
		if got := exitStatus(tt.err); got != tt.want {
			t.Errorf("%s: exit status %d, want %d", tt.name, got, tt.want)
		}
	}
}

// explained is an error as a command on a mesh where nobody is tells it.
func explained(t *testing.T, err error) error {
	t.Helper()
	bus, e := mesh.Connect(t.Context(), "memory:explained", mesh.BusOptions{})
	if e != nil {
		t.Fatal(e)
	}
	defer bus.Close(context.WithoutCancel(t.Context()))
	s := &session{bus: bus, client: mesh.NewClient(bus, mesh.ClientOptions{})}
	return s.explain(t.Context(), err)
}
