package jetstream

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What may have been stored is not called unsent: callers would be told that it is not.
func TestWhatIsSentMayBeStored(t *testing.T) {
	t.Parallel()
	server, err := natsserver.Run(t.Context(), natsserver.Base(""), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { natsserver.End(server) })
	connect := func() *nats.Conn {
		t.Helper()
		c, err := nats.Connect("", nats.InProcessServer(server), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	js, err := jetstream.New(connect())
	if err != nil {
		t.Fatal(err)
	}
	l := &link{commits: js}
	put := func() error {
		_, err := l.put(t.Context(), &nats.Msg{Subject: "log"}, anyLast)
		return err
	}
	if err := put(); !errors.Is(err, errUnsent) {
		t.Errorf("nobody takes it: %v", err)
	}
	answer := func(*nats.Msg) {}
	other := connect()
	if _, err := other.Subscribe("log", func(m *nats.Msg) { answer(m) }); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	answer = func(m *nats.Msg) {
		if err := m.Respond([]byte(`{"error":{"code":503,"err_code":10023,"description":"insufficient resources"}}`)); err != nil {
			t.Error(err)
		}
	}
	if err := put(); !errors.Is(err, errUnsent) {
		t.Errorf("the only server refuses it for its limit: %v", err)
	}
	l.replicated = true
	if err := put(); err == nil || errors.Is(err, errUnsent) {
		t.Errorf("one of several servers refuses it for its limit: %v", err)
	}
	answer = func(*nats.Msg) { js.Conn().Close() }
	if err := put(); err == nil || errors.Is(err, errUnsent) {
		t.Errorf("the connection is closed once somebody has it: %v", err)
	}
	if err := put(); !errors.Is(err, errUnsent) {
		t.Errorf("the connection was closed before: %v", err)
	}
}
