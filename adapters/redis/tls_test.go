package redis_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/redis"
)

// TestTLS connects over TLS, as a user with no more rights than it takes.
func TestTLS(t *testing.T) {
	server := bridgetest.Redis(t, "--user", "bridge", "on", ">pass-word", "resetchannels", "&*", "~fsmesh:claim:*", "+publish", "+subscribe", "+unsubscribe", "+ping", "+info", "+set", "+hello", "+client")
	addr, roots := bridgetest.TLS(t, server.Addr)
	url := "rediss://bridge:pass-word@" + addr
	if _, err := redis.Open(t.Context(), url, redis.Options{}); err == nil || strings.Contains(err.Error(), "pass-word") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	b, err := redis.Open(t.Context(), url, redis.Options{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	came := make(chan string, 1)
	if err := b.Subscribe(t.Context(), bridge.Subscription{Channels: []string{"x"}}, func(m *bridge.Message) { came <- string(m.Body) }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), []bridge.Frame{{Channel: "x", Body: []byte("hello")}}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-came:
		if got != "hello" {
			t.Errorf("got %q", got)
		}
	case <-time.After(60 * time.Second):
		t.Error("nothing comes")
	}
	if first, err := b.Claim(t.Context(), "k"); !first || err != nil {
		t.Errorf("claim: %v, %v", first, err)
	}
}

// TestOverflow publishes faster than messages are taken: what is dropped is counted,
// and a loss is told, at once and again when there is room.
func TestOverflow(t *testing.T) {
	server := bridgetest.Redis(t)
	open := func(buffer int) *redis.Broker {
		b, err := redis.Open(t.Context(), server.URL, redis.Options{Logger: slog.New(slog.DiscardHandler), Buffer: buffer})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close(context.Background()) })
		return b
	}
	slow, p := open(10), open(0)
	took, more := make(chan string, 1000), make(chan struct{})
	err := slow.Subscribe(t.Context(), bridge.Subscription{Channels: []string{"x"}}, func(m *bridge.Message) {
		<-more
		took <- string(m.Body)
	})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(n int, body string) {
		t.Helper()
		for range n {
			if _, err := p.Publish(t.Context(), []bridge.Frame{{Channel: "x", Body: []byte(body)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(100, "many")
	lost := func(when string) {
		t.Helper()
		select {
		case <-slow.Lost():
		case <-time.After(60 * time.Second):
			t.Fatalf("no loss is told %s", when)
		}
	}
	lost("when messages are dropped")
	close(more)
	deadline := time.Now().Add(60 * time.Second)
	for n := 0; ; {
		publish(1, "last")
		if <-took == "last" {
			break
		}
		if n++; time.Now().After(deadline) {
			t.Fatal("nothing is taken again")
		}
	}
	lost("when there is room again")
	if n := slow.Counters()["overflows"]; n < 50 || n > 100 {
		t.Errorf("%d messages are counted as dropped, want most of 100", n)
	}
}
