package natsserver

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestStartAfterKill starts a server on a folder as a process leaves it that was
// killed: what it has to say of that is one line, and no warning.
func TestStartAfterKill(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var log bytes.Buffer
	run := func(dir string) *server.Server {
		t.Helper()
		s, err := Run(ctx, Base(dir), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	publish := func(s *server.Server) {
		t.Helper()
		c, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		js, err := jetstream.New(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"A", "B"} {
			if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(ctx, name, []byte("record")); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir, left := t.TempDir(), t.TempDir()
	s := run(dir)
	publish(s)
	End(s) // which writes the index
	s = run(dir)
	publish(s)
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	End(s)
	if log.Len() > 0 {
		t.Errorf("starts after a stop in order say:\n%s", &log)
	}
	log.Reset()
	End(run(left))
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=INFO") || !strings.Contains(got, "made anew") {
		t.Errorf("the start after a kill says:\n%s", got)
	}
}
