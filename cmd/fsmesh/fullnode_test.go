package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A node whose disk was full takes writes again once there is room, without a restart,
// and has all that it acknowledged; who is connected to it stays so.
func TestNodeComesBackFromAFullDisk(t *testing.T) {
	disk := smallDisk(t)
	config := mesh.Config{Data: filepath.Join(disk, "node"), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	node, err := mesh.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		t.Helper()
		if err := node.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	defer func() { stop() }()
	open := func() (*jetstream.Store, *nats.Conn, fsm.Log) {
		t.Helper()
		nc, err := nats.Connect(node.URL(), nats.ReconnectBufSize(-1), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		js, err := natsjs.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		s, err := jetstream.New(t.Context(), js, jetstream.Options{Timeout: time.Second, Logger: config.Logger})
		if err != nil {
			t.Fatal(err)
		}
		log, err := s.Open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		return s, nc, log
	}
	store, nc, log := open()
	if _, err := log.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	data, err := fsm.NewData(map[string]any{"filling": string(make([]byte, 3000))})
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := uint64(0)
	next := func() error {
		r := &fsm.Record{Kind: fsm.KindTransition, Instance: "a", Version: acknowledged + 1, Component: "C", Machine: "M", Before: "A", After: "A", Data: data}
		if r.Version == 1 {
			r.Kind, r.Before, r.Origin = fsm.KindCreated, "", &fsm.RecordOrigin{Order: 1}
		}
		err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{r}})
		if err == nil {
			acknowledged++
		}
		return err
	}
	until := func(what string, reached func(error) bool) {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); ; {
			err := next()
			if reached(err) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: not within 60 s: %v", what, err)
			}
		}
	}
	for range 20 {
		if err := next(); err != nil {
			t.Fatal(err)
		}
	}
	room := crowd(t, disk, 0)
	until("an append fails for want of room", func(err error) bool { return err != nil })
	if !nc.IsConnected() {
		t.Error("a full disk has ended a connection")
	}
	room()
	until("an append with room again", func(err error) bool { return err == nil })
	for range 20 {
		if err := next(); err != nil {
			t.Fatal(err)
		}
	}
	if !nc.IsConnected() {
		t.Error("coming back has ended a connection")
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	nc.Close()
	stop()
	if _, err := os.Stat(filepath.Join(config.Data, "probe")); err == nil {
		t.Error("something is left in the folder")
	}
	if node, err = mesh.Start(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	store, nc, log = open()
	defer nc.Close()
	defer store.Close()
	last := uint64(0)
	for r, err := range log.Restore(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Record != nil {
			last = r.Record.Version
		}
	}
	if last != acknowledged {
		t.Errorf("after a restart version %d is there, %d was acknowledged", last, acknowledged)
	}
}
