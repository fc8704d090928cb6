package adapters

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/google/uuid"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/adapters/redis"
	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

// Options say how to connect. The zero value is a good one.
type Options struct {
	// Bus is for the mesh.
	Bus mesh.BusOptions
	// Bridge is for the bridge to a broker: its Bus, Open and URL are set by
	// Connect.
	Bridge bridge.Config
	// Directory says that the application shows what is behind a broker, by a
	// mesh.View for example. Without it, Connect does not listen to what happens
	// to the instances there until the application asks for some: its mesh.Client
	// sends and creates without that. With a Queue it always listens.
	Directory bool
	// Queue is the name of a durable queue, for RabbitMQ. What waited in it comes as
	// soon as it is connected: runtimes that it may be for are best started before, and
	// attached at once.
	Queue string
	// TLS is used for rediss:// and amqps://.
	TLS *tls.Config
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// A Connection is a mesh to which runtimes are attached, and to which the broker
// of the URL belongs.
type Connection struct {
	// Bus is the mesh. It is closed with the connection.
	Bus *mesh.Bus
	// Bridge is nil where the URL is that of a mesh.
	Bridge *bridge.Bridge
}

// ErrURL is returned for a URL that Connect does not take.
var ErrURL = errors.New("not the URL of a mesh or a broker")

// IsBroker reports whether a URL is that of a broker, which takes a bridge.
func IsBroker(url string) bool {
	scheme, _, _ := strings.Cut(url, "://")
	switch scheme {
	case "redis", "rediss", "amqp", "amqps":
		return true
	}
	return false
}

// Connect connects to the mesh, or to the broker, at a URL:
//
//	memory, memory:NAME              a bus inside this process
//	nats://HOST:PORT, tls://…        a node that listens, or any NATS server
//	redis://, rediss://              a mesh inside this process, and a bridge to Redis
//	amqp://, amqps://                the same to RabbitMQ
//
// The context bounds the connecting only; a connection that breaks later comes
// back by itself. Errors hold no password.
func Connect(ctx context.Context, url string, opts ...Options) (*Connection, error) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Logger != nil && o.Bus.Logger == nil {
		o.Bus.Logger = o.Logger
	}
	if !IsBroker(url) {
		bus, err := mesh.Connect(ctx, url, o.Bus)
		if errors.Is(err, mesh.ErrURL) {
			return nil, fmt.Errorf("%w: %s: it begins with memory, nats://, tls://, redis://, rediss://, amqp:// or amqps://", ErrURL, redact.URL(url))
		}
		if err != nil {
			return nil, err
		}
		return &Connection{Bus: bus}, nil
	}
	// A node of its own: others in this process who give the same URL are others
	// to the broker, too.
	bus, err := mesh.Connect(ctx, "memory:"+uuid.NewString(), o.Bus)
	if err != nil {
		return nil, err
	}
	o.Bridge.NoNotices = o.Bridge.NoNotices || !o.Directory && o.Queue == ""
	b, err := Bridge(ctx, bus, url, o)
	if err != nil {
		return nil, errors.Join(err, bus.Close(ctx))
	}
	return &Connection{Bus: bus, Bridge: b}, nil
}

// Bridge joins a mesh and the broker at a URL. It fails with ErrURL if that is of
// no broker, and if it cannot be reached.
func Bridge(ctx context.Context, bus *mesh.Bus, url string, o Options) (*bridge.Bridge, error) {
	if !IsBroker(url) {
		return nil, fmt.Errorf("%w: %s: a bridge leads to redis://, rediss://, amqp:// or amqps://", ErrURL, redact.URL(url))
	}
	c := o.Bridge
	if c.Logger == nil {
		c.Logger = o.Logger
	}
	c.Bus, c.URL = bus, url
	c.Open = func(ctx context.Context) (bridge.Broker, error) { return Open(ctx, url, o) }
	return bridge.Start(ctx, c)
}

// Open connects to the broker at a URL, without a bridge.
func Open(ctx context.Context, url string, o Options) (bridge.Broker, error) {
	switch {
	case !IsBroker(url):
		return nil, fmt.Errorf("%w: %s", ErrURL, redact.URL(url))
	case strings.HasPrefix(url, "redis"):
		b, err := redis.Open(ctx, url, redis.Options{TLS: o.TLS, Logger: o.Logger})
		if err != nil {
			return nil, err // a nil *redis.Broker would be no nil bridge.Broker
		}
		return b, nil
	}
	b, err := rabbitmq.Open(ctx, url, rabbitmq.Options{TLS: o.TLS, Queue: o.Queue, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Close ends the bridge and the mesh. It may be called more than once.
func (c *Connection) Close(ctx context.Context) error {
	var err error
	if c.Bridge != nil {
		err = c.Bridge.Close(ctx)
	}
	return errors.Join(err, c.Bus.Close(ctx))
}
