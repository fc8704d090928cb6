package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/fsmesh/fsmesh/internal/redact"
)

// brokers are the outside brokers that a process bridges its mesh to, and how.
type brokers struct {
	urls     []string
	queue    string
	dialect  *oneOf
	only     []string
	external bool
}

// flags adds what says how to bridge.
func (b *brokers) flags(c *cobra.Command) {
	f := c.Flags()
	b.dialect = &oneOf{"both", []string{"both", "documented", "package"}}
	f.Var(b.dialect, "dialect", "channel names to use on brokers: both, documented (xcomponent:…), package (fsm:…)")
	f.StringVar(&b.queue, "queue", "", "durable queue to consume from on RabbitMQ, so that what is published while the bridge is away comes later")
	f.BoolVar(&b.external, "external", false, "take commands of other programs on the external API channels of brokers, and publish events on theirs")
	f.StringSliceVar(&b.only, "only", nil, "channel to mirror, in either dialect, or its kind, such as state_change; repeat it for more (default: all)")
}

// config is what a bridge is started with.
func (b *brokers) config() (bridge.Config, error) {
	c := bridge.Config{External: b.external}
	c.Host, _ = os.Hostname() // it is shown, no more
	c.Off[bridge.Documented] = b.dialect.value == "package"
	c.Off[bridge.Package] = b.dialect.value == "documented"
	for _, name := range b.only {
		k, err := kindOf(name)
		if err != nil {
			return c, err
		}
		c.Only = append(c.Only, k)
	}
	return c, nil
}

// kindOf finds the kind of a channel that is named in either dialect, or by the
// kind itself.
func kindOf(name string) (bridge.Kind, error) {
	if k, ok := bridge.KindOf(name); ok {
		return k, nil
	}
	var kinds []string
	for _, c := range bridge.Channels {
		kinds = append(kinds, string(c.Kind))
	}
	if near, ok := nearest.Match(name, kinds); ok {
		return "", usage("--only %q is no channel; did you mean %q?", name, near)
	}
	return "", usage("--only %q is no channel; there are %s", name, strings.Join(kinds, ", "))
}

// split takes the brokers out of a list of URLs. What is left is the mesh, ""
// if none of them is one.
func split(urls []string) (meshURL string, outside []string, err error) {
	for _, u := range urls {
		switch {
		case adapters.IsBroker(u):
			if !slices.Contains(outside, u) {
				outside = append(outside, u)
			}
		case meshURL == "" || meshURL == u:
			meshURL = u
		default:
			return "", nil, usage("%s and %s are two meshes; one process is on one (the nodes of one cluster are one URL, with commas)", shown(meshURL), shown(u))
		}
	}
	return meshURL, outside, nil
}

// shown is the URL of a mesh without user and password.
func shown(u string) string {
	if strings.HasPrefix(u, "memory") {
		return "memory"
	}
	return redact.URLs(u)
}

// brokerFlag adds --broker.
func brokerFlag(c *cobra.Command, urls *[]string, none string) {
	// An array, not a slice: a password may hold a comma.
	c.Flags().StringArrayVar(urls, "broker", nil, "URL of the mesh to join, nats://HOST:PORT, or of a broker to bridge it to: redis://, rediss://, amqp://, amqps://; repeat it for more (default: BROKER_URL in the environment, several with spaces, else "+none+")")
}

// brokerURLs settles which: flags over environment.
func (p *program) brokerURLs(given []string) []string {
	if len(given) > 0 {
		return given
	}
	return strings.Fields(p.env("BROKER_URL"))
}

// askWhether is what to look at where a broker cannot be reached.
const askWhether = "is the broker there, and are user and password right?"

// reach sees that all brokers can be reached: a start may take long, and is not to find
// that out at its end.
func (m *membership) reach(ctx context.Context, b *brokers) error {
	for _, u := range b.urls {
		connect, cancel := context.WithTimeout(ctx, joinTime)
		broker, err := adapters.Open(connect, u, adapters.Options{Logger: m.log})
		if err == nil {
			err = broker.Close(connect)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("bridge to %s: %w; %s", redact.URL(u), err, askWhether)
		}
	}
	return nil
}

// bridge joins the mesh with all brokers.
func (m *membership) bridge(ctx context.Context, b *brokers) error {
	config, err := b.config()
	if err != nil {
		return err
	}
	for _, u := range b.urls {
		if b.queue != "" && !strings.HasPrefix(u, "amqp") {
			m.log.Warn("--queue is for RabbitMQ; what is published on Redis while nobody is connected is lost", "broker", redact.URL(u))
		}
		connect, cancel := context.WithTimeout(ctx, joinTime)
		br, err := adapters.Bridge(connect, m.bus, u, adapters.Options{Bridge: config, Queue: b.queue, Logger: m.log})
		cancel()
		if err != nil {
			return fmt.Errorf("%w; %s", err, askWhether)
		}
		m.bridges = append(m.bridges, br)
		m.log.Info("bridging", "broker", redact.URL(u))
	}
	return nil
}

// bridgeTime bounds the closing of the bridges.
const bridgeTime = time.Second

// leaveBridges closes the bridges, once they have said goodbye for the runtimes
// that are gone.
func (m *membership) leaveBridges(gone []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), bridgeTime)
	defer cancel()
	var err error
	for _, b := range m.bridges {
		still := func(id string) bool { return slices.Contains(gone, id) }
		for ctx.Err() == nil && slices.ContainsFunc(b.Status().Mirrored, still) {
			time.Sleep(10 * time.Millisecond) // it looks every 100 ms
		}
		e := b.Close(ctx)
		if errors.Is(e, context.DeadlineExceeded) {
			m.log.Warn("the broker is slow or away: what waited for it may be lost", "broker", b.Status().Broker)
			continue
		}
		err = errors.Join(err, e)
	}
	return err
}

// names are what the mesh and the brokers are shown as.
func (b *broker) names(outside *brokers) string {
	all := []string{shown(cmp.Or(b.url, "memory"))}
	for _, u := range outside.urls {
		all = append(all, redact.URL(u))
	}
	return strings.Join(all, " ")
}

// quietly is a logger for what is asked once.
func (p *program) quietly() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
