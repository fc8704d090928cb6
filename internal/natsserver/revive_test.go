package natsserver

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A JetStream that was switched off, as the server does it on a full disk, comes back
// with what it held, and connections last.
func TestRevive(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, logger := t.TempDir(), slog.New(slog.DiscardHandler)
	s, err := Run(ctx, Base(dir), logger)
	if err != nil {
		t.Fatal(err)
	}
	defer End(s)
	r := Revive(s, dir, logger)
	defer r.Stop()
	c, err := nats.Connect("", nats.InProcessServer(s), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "A", Subjects: []string{"A"}}); err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 3; n++ {
		var a *jetstream.PubAck
		for a, err = js.Publish(ctx, "A", []byte("record")); err != nil; a, err = js.Publish(ctx, "A", []byte("record")) {
			if ctx.Err() != nil {
				t.Fatalf("it did not come back: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if a.Sequence != n {
			t.Fatalf("message %d is at %d", n, a.Sequence)
		}
		if err := s.ShutdownJetStream(); err != nil {
			t.Fatal(err)
		}
	}
	if !c.IsConnected() {
		t.Error("the connection has ended")
	}
}
