package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/redis"
	"github.com/fsmesh/fsmesh/mesh"
)

func bus(t *testing.T) *mesh.Bus {
	t.Helper()
	b, err := mesh.Connect(t.Context(), "memory:"+t.Name(), mesh.BusOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

func startBridge(t *testing.T, bus *mesh.Bus, url string) *bridge.Bridge {
	t.Helper()
	b, err := bridge.Start(t.Context(), bridge.Config{
		Bus: bus, URL: url, Logger: slog.New(slog.DiscardHandler), Open: func(ctx context.Context) (bridge.Broker, error) {
			return redis.Open(ctx, url, redis.Options{Logger: slog.New(slog.DiscardHandler)})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

// eventually waits until f returns "", for a while after which it must.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		wrong := f()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestServerStartedAnew has bridges of one mesh to a server that is started anew,
// with another run_id: one that stands by then, and one that comes later, are known
// to lead to the same server, and one is active.
func TestServerStartedAnew(t *testing.T) {
	server := bridgetest.Redis(t)
	if !server.Own {
		t.Skip("the server is not the test's own and is not restarted")
	}
	a := bus(t)
	first := startBridge(t, a, server.URL)
	eventually(t, func() string {
		if !first.Status().Active {
			return "the bridge is not active"
		}
		return ""
	})
	all := []*bridge.Bridge{first, startBridge(t, a, server.URL)}
	server.Stop()
	server.Start(t)
	eventually(t, func() string {
		if first.Status().Counters["broker_reconnects"] == 0 {
			return "the bridge has not reconnected"
		}
		return ""
	})
	all = append(all, startBridge(t, a, server.URL))
	// The seat is found within seconds; from then on one holds it.
	var since time.Time
	eventually(t, func() string {
		n := 0
		for _, b := range all {
			if b.Status().Active {
				n++
			}
		}
		if n != 1 {
			since = time.Time{}
			return fmt.Sprintf("%d of three bridges to one server are active, want 1", n)
		}
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(since) < 5*time.Second {
			return "not for long enough"
		}
		return ""
	})
	// The seat of the new server is the first one's to go on with, or that of the
	// one that came meanwhile: in either case it moves once at most.
	var active *bridge.Bridge
	var left []*bridge.Bridge
	takeovers := uint64(0)
	for _, b := range all {
		takeovers += b.Status().Counters["takeovers"]
		if b.Status().Active {
			active = b
		} else {
			left = append(left, b)
		}
	}
	if takeovers > 2 || active == nil {
		t.Fatalf("the seat was taken %d times, want once or twice, and to be held", takeovers)
	}
	if err := active.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if left[0].Status().Active == left[1].Status().Active {
			return "not exactly one of those that are left is active"
		}
		return ""
	})
}

// TestClaimTwice claims a key twice: it stays whose it is.
func TestClaimTwice(t *testing.T) {
	server := bridgetest.Redis(t)
	var brokers []*redis.Broker
	for range 2 {
		b, err := redis.Open(t.Context(), server.URL, redis.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close(context.Background()) })
		brokers = append(brokers, b)
	}
	for range 2 {
		for i, b := range brokers {
			if mine, err := b.Claim(t.Context(), "k-"+t.Name()); mine != (i == 0) || err != nil {
				t.Errorf("broker %d claims: %v, %v", i, mine, err)
			}
		}
	}
}

// TestToldAnew has the server refuse what is published for a while, though the
// connections stay: afterwards all is told again.
func TestToldAnew(t *testing.T) {
	server := bridgetest.Redis(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	acl := func(args ...any) {
		t.Helper()
		if err := client.Do(t.Context(), append([]any{"ACL", "SETUSER"}, args...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("bridge", "reset", "on", ">secret", "+@all", "allkeys", "allchannels")
	a := bus(t)
	b := startBridge(t, a, "redis://bridge:secret@"+server.Addr)
	guest, err := a.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "r1", Component: "Orders", Name: "orders"}, Source: one{}, Logger: slog.New(slog.DiscardHandler),
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Orders"}`)}, Command: func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	seq := uint64(7)
	tell := func() {
		seq++
		guest.Tell([]mesh.Notice{{Kind: mesh.KindStateChange, Instance: "i1", Machine: "Order", State: "Paid", Seq: seq, Timestamp: 1}})
	}
	eventually(t, func() string {
		if b.Status().Counters["answers_sent"] == 0 {
			return "nothing is told at the start"
		}
		return ""
	})
	acl("bridge", "-publish")
	eventually(t, func() string {
		tell()
		if b.Status().Counters["dropped_broker_away"] == 0 {
			return "nothing is refused"
		}
		return ""
	})
	before := b.Status().Counters["answers_sent"]
	acl("bridge", "+publish")
	eventually(t, func() string {
		tell()
		if b.Status().Counters["answers_sent"] == before {
			return "what was refused is not told anew"
		}
		return ""
	})
}

// TestDryRunEvents prints the events for other programs, too, of the kinds that are
// asked for.
func TestDryRunEvents(t *testing.T) {
	server := bridgetest.Redis(t)
	a := bus(t)
	guest, err := a.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "r1", Component: "Orders", Name: "orders"}, Source: one{}, Logger: slog.New(slog.DiscardHandler),
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Orders"}`)}, Command: func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	frames := make(chan string, 1000)
	b, err := bridge.Start(t.Context(), bridge.Config{
		Bus: a, URL: server.URL, Logger: slog.New(slog.DiscardHandler), External: true, Only: []bridge.Kind{bridge.StateChange},
		DryRun: func(f bridge.Frame) { frames <- f.Channel },
		Open: func(ctx context.Context) (bridge.Broker, error) {
			return redis.Open(ctx, server.URL, redis.Options{Logger: slog.New(slog.DiscardHandler)})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	seen := map[string]bool{}
	eventually(t, func() string {
		guest.Tell([]mesh.Notice{
			{Kind: mesh.KindCreated, Instance: "i2", Machine: "Order", State: "Paid", Timestamp: 1},
			{Kind: mesh.KindStateChange, Instance: "i1", Machine: "Order", State: "Paid", Timestamp: 1},
		})
		for len(frames) > 0 {
			seen[<-frames] = true
		}
		if !seen["xcomponent:events:state_change"] {
			return fmt.Sprintf("told %v, and no event", seen)
		}
		return ""
	})
	if len(seen) != 3 {
		t.Errorf("told %v, want state_change only, in both dialects and as an event", seen)
	}
}
