package redis_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/redis"
)

func TestSuite(t *testing.T) {
	bridgetest.Case{
		Server: bridgetest.Redis(t), Recording: "capture-redis.json", Stop: true,
		Open: func(ctx context.Context, url string) (bridge.Broker, error) {
			return redis.Open(ctx, url, redis.Options{Logger: slog.New(slog.DiscardHandler), Silence: 3e9})
		},
	}.Run(t)
}

func BenchmarkBridge(b *testing.B) {
	server := bridgetest.Redis(b)
	bridgetest.Case{
		Server: server, Open: func(ctx context.Context, url string) (bridge.Broker, error) {
			return redis.Open(ctx, url, redis.Options{Logger: slog.New(slog.DiscardHandler), Buffer: 1_000_000})
		},
	}.Bench(b, func(tb testing.TB) bridgetest.Raw {
		client := goredis.NewClient(&goredis.Options{Addr: server.Addr})
		tb.Cleanup(func() { _ = client.Close() })
		return bridgetest.Raw{
			Publish: func(channel string, bodies [][]byte) error {
				_, err := client.Pipelined(context.Background(), func(p goredis.Pipeliner) error {
					for _, body := range bodies {
						p.Publish(context.Background(), channel, body)
					}
					return nil
				})
				return err
			},
			Subscribe: func(channel string, f func([]byte)) error {
				ps := client.Subscribe(context.Background(), channel)
				if _, err := ps.Receive(context.Background()); err != nil {
					return err
				}
				go func() {
					for {
						m, err := ps.ReceiveMessage(context.Background())
						if err != nil {
							return // the client is closed
						}
						f([]byte(m.Payload))
					}
				}()
				return nil
			},
		}
	})
}

// TestLibraryLog takes the server away: what the library says of that is in the log,
// and not on the standard error.
func TestLibraryLog(t *testing.T) {
	server := bridgetest.Redis(t)
	var log bridgetest.Log
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	b, err := redis.Open(t.Context(), server.URL, redis.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	server.Stop()
	for range 2 { // the first may still find a connection
		if _, err := b.Publish(t.Context(), []bridge.Frame{{Channel: "x", Body: []byte("y")}}); err == nil {
			t.Fatal("published to a server that is away")
		}
	}
	if !strings.Contains(log.String(), "go-redis: ") {
		t.Errorf("the log is %q, and has nothing of the library", log.String())
	}
}

// TestClaimOfWrongType claims a key under which somebody else has put a list: it is
// not the bridge's, and is left as it is.
func TestClaimOfWrongType(t *testing.T) {
	server := bridgetest.Redis(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = client.Close() })
	if err := client.LPush(t.Context(), redis.KeyPrefix+"k", "x").Err(); err != nil {
		t.Fatal(err)
	}
	b, err := redis.Open(t.Context(), server.URL, redis.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	if mine, err := b.Claim(t.Context(), "k"); mine || err != nil {
		t.Errorf("claimed %v, %v; want not, and no error", mine, err)
	}
	if n, err := client.LLen(t.Context(), redis.KeyPrefix+"k").Result(); n != 1 || err != nil {
		t.Errorf("the list has %d entries, %v; want 1", n, err)
	}
}
