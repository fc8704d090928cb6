package natsserver

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
	o := Base(dir)
	o.JetStreamMaxStore = 100 << 20
	s, err := Run(ctx, o, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer End(s)
	before := *s.JetStreamConfig()
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
	for !s.JetStreamEnabled() && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	// Not what is free when it comes back: that may be little, and more later.
	if now := s.JetStreamConfig(); now == nil || *now != before {
		t.Errorf("it came back with %+v, it had %+v", now, before)
	}
	if !c.IsConnected() {
		t.Error("the connection has ended")
	}
}

// manyStreams is how many streams a server has that takes its time to close them.
const manyStreams = 100

// busyServer runs a server with many streams. publish stores a message in each, and
// wants it to be the one that is asked for; off has the server say that its JetStream is
// off, as it does of its own before it has closed its files, and returns what tells that
// it has.
func busyServer(ctx context.Context, t *testing.T, dir string) (s *server.Server, publish func(want uint64), off func() (closed chan error)) {
	t.Helper()
	o := Base(dir)
	o.SyncAlways = false
	s, err := Run(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { End(s) })
	c, err := nats.Connect("", nats.InProcessServer(s), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range manyStreams {
		name := fmt.Sprint("S", i)
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	publish = func(want uint64) {
		t.Helper()
		for i := range manyStreams {
			a, err := js.Publish(ctx, fmt.Sprint("S", i), []byte("record"))
			if err != nil || a.Sequence != want {
				t.Fatalf("message %d of stream %d: %+v, %v", want, i, a, err)
			}
		}
	}
	return s, publish, func() chan error {
		closed := make(chan error, 1)
		go func() { closed <- s.ShutdownJetStream() }()
		for s.JetStreamEnabled() {
			time.Sleep(10 * time.Microsecond)
		}
		return closed
	}
}

// Nothing is started on the files of a JetStream that is not yet closed: the two would
// write over each other, and the end of the old one takes the new one down.
func TestReviveWaitsForTheOldOne(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	s, publish, off := busyServer(ctx, t, dir)
	publish(1)
	r := &Reviver{server: s, dir: dir, logger: slog.New(slog.DiscardHandler)}
	closed := off()
	for err := r.revive(); err != nil; err = r.revive() {
		if ctx.Err() != nil {
			t.Fatalf("it did not come back: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if !s.JetStreamEnabled() {
		t.Fatal("the one that was started is gone")
	}
	publish(2)
}

// A server that has ended has closed its files, also those that it was about to close
// by itself: the next one begins with them.
func TestEndWaitsForFiles(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	s, publish, off := busyServer(ctx, t, dir)
	publish(1)
	written := func() (files map[string]time.Time) {
		files = map[string]time.Time{}
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			i, err := e.Info()
			if err == nil {
				files[path] = i.ModTime()
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return files
	}
	closed := off()
	End(s)
	at := written()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if later := written(); !maps.Equal(at, later) {
		t.Errorf("files were written after the end: %d before it, %d now", len(at), len(later))
	}
}

// A server in a cluster is left alone from its start on: once its JetStream is off it
// does not say any more that it is in one.
func TestReviveLeavesAClusterAlone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, logger := t.TempDir(), slog.New(slog.DiscardHandler)
	o := Base(dir)
	o.ServerName, o.DontListen, o.Host, o.Port = "a", false, "127.0.0.1", server.RANDOM_PORT
	o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT}
	o.Routes = server.RoutesFromStr("nats://127.0.0.1:1")
	s, err := Run(ctx, o, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer End(s)
	if !s.JetStreamIsClustered() {
		t.Fatal("it is in no cluster")
	}
	r := Revive(s, dir, logger)
	defer r.Stop()
	if err := s.ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		t.Error("a server in a cluster is looked after")
	}
}
