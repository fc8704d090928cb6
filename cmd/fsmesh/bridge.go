package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/internal/redact"
)

// A bridging is what fsmesh bridge was asked for.
type bridging struct {
	p       *program
	given   []string // by --broker
	mesh    broker
	outside brokers
	dry     bool
}

func (p *program) bridgeCommand() *cobra.Command {
	g := &bridging{p: p}
	c := &cobra.Command{
		Use:   "bridge [URL…]",
		Short: "Join a mesh with Redis and RabbitMQ",
		Long: `Mirrors the channels of brokers to a mesh and back, until it is told to end: what
runs there is shown on the mesh and takes its commands, and the other way round.
With several brokers those meet as well. One bridge of a mesh to a broker is
active; others of the same stand by, and take over when it ends.

URLs are redis://[USER:PASSWORD@]HOST[:PORT][/DB], amqp://[USER:PASSWORD@]HOST[:PORT][/VHOST],
and with TLS rediss:// and amqps://. The environment keeps passwords out of the list
of processes: without arguments they come from BROKER_URL. The mesh is that of
--mesh, else a nats:// URL among the others, else the local one; "memory" is a mesh
inside this process, which joins brokers with each other. Contexts (fsmesh context)
and FSMESH_URL are for commands against a running mesh: a bridge goes on for long, and
does not follow what is selected.

--dry-run mirrors nothing, and prints what would be: "to" or "from" the broker, its
channel and the body. It does not see creations on RabbitMQ, as it would take them
from others.`,
		Example: `  fsmesh bridge redis://127.0.0.1:6379
  fsmesh bridge amqp://127.0.0.1 --queue fsmesh --mesh nats://mesh.example:4222
  fsmesh bridge redis://127.0.0.1:6379 amqp://127.0.0.1 --mesh memory
  fsmesh bridge redis://127.0.0.1:6379 --dialect package --only state_change --dry-run
  fsmesh bridge dlq ls --broker amqp://127.0.0.1`,
		Args: func(c *cobra.Command, words []string) error {
			if len(words) > 0 && !strings.Contains(words[0], ":") {
				return p.knownCommand(c, words)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&g.mesh.url, "mesh", "", "URL of the mesh, and not its name as elsewhere (default: that among the URLs, else nats://"+defaultNode+")")
	f.StringVar(&g.mesh.mesh, "mesh-name", "", "name of the mesh: only what has the same one meets")
	f.StringVar(&g.mesh.tokenFile, "token-file", "", "file that holds the token the node asks for (default: FSMESH_TOKEN in the environment)")
	brokerFlag(c, &g.given, "none")
	g.outside.flags(c)
	f.BoolVar(&g.dry, "dry-run", false, "mirror nothing, and print what would be mirrored")
	c.RunE = func(c *cobra.Command, words []string) error {
		if err := g.resolve(words); err != nil {
			return err
		}
		if g.dry {
			return g.dryRun(c.Context())
		}
		return g.run(c.Context())
	}
	c.AddCommand(p.dlqCommand())
	return c
}

// resolve settles what is to be joined: arguments and flags over environment.
func (g *bridging) resolve(words []string) error {
	if u := g.mesh.url; u != "" && !strings.Contains(u, "://") && !strings.HasPrefix(u, "memory") {
		return usage("--mesh of fsmesh bridge is the URL of a mesh, nats://HOST:PORT, or memory; the name of a mesh is given with --mesh-name")
	}
	mesh, outside, err := split(append(words, g.given...))
	if err != nil {
		return err
	}
	meshEnv, outsideEnv, err := split(g.p.brokerURLs(nil))
	if err != nil && len(outside) == 0 {
		return err
	}
	if g.mesh.url != "" && mesh != "" && mesh != g.mesh.url {
		return usage("%s and %s are two meshes; a bridge is on one", shown(g.mesh.url), shown(mesh))
	}
	g.mesh.url = cmp.Or(g.mesh.url, mesh, meshEnv, "nats://"+defaultNode)
	if g.outside.urls = outside; len(outside) == 0 {
		g.outside.urls = outsideEnv
	}
	if len(g.outside.urls) == 0 {
		return usage("fsmesh bridge needs the URL of a broker, as an argument, with --broker or in BROKER_URL: redis://, rediss://, amqp:// or amqps://")
	}
	if adapters.IsBroker(g.mesh.url) {
		return usage("--mesh %s is a broker; a mesh is nats://HOST:PORT, or memory", redact.URL(g.mesh.url))
	}
	if g.dry && g.outside.queue != "" {
		return usage("--dry-run and --queue contradict each other: it would take from the queue what is for the bridge")
	}
	_, err = g.outside.config()
	return err
}

// run bridges until the context ends.
func (g *bridging) run(ctx context.Context) error {
	log := g.p.logger()
	m, err := g.p.join(ctx, g.mesh, &g.outside, "fsmesh bridge", log)
	if err != nil {
		return err
	}
	fmt.Fprintf(g.p.stdout, "%s  (Ctrl-C ends it)\n", g.mesh.names(&g.outside))
	<-ctx.Done()
	log.Info("stopping")
	return m.leave()
}

// dryRun prints what a bridge would mirror until the context ends.
func (g *bridging) dryRun(ctx context.Context) error {
	log := g.p.logger()
	m, err := g.p.joinMesh(ctx, g.mesh, "fsmesh bridge --dry-run", log)
	if err != nil {
		return err
	}
	config, err := g.outside.config()
	if err != nil {
		return errors.Join(err, m.leave())
	}
	var printing sync.Mutex
	show := func(way, broker string, f bridge.Frame) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Fprintf(g.p.stdout, "%s %s %s %s\n", way, broker, oneLine(f.Channel), oneLine(string(f.Body)))
	}
	for _, u := range g.outside.urls {
		c := config
		c.Bus, c.URL, c.Logger = m.bus, u, log
		c.DryRun = func(f bridge.Frame) { show("to", redact.URL(u), f) }
		c.Open = func(ctx context.Context) (bridge.Broker, error) {
			b, err := adapters.Open(ctx, u, adapters.Options{Logger: log})
			return overheard{b, func(f bridge.Frame) { show("from", redact.URL(u), f) }}, err
		}
		start, cancel := context.WithTimeout(ctx, joinTime)
		b, err := bridge.Start(start, c)
		cancel()
		if err != nil {
			return errors.Join(err, m.leave())
		}
		m.bridges = append(m.bridges, b)
	}
	<-ctx.Done()
	return m.leave()
}

// An overheard broker shows what comes from it.
type overheard struct {
	bridge.Broker
	show func(bridge.Frame)
}

func (o overheard) Subscribe(ctx context.Context, s bridge.Subscription, f func(*bridge.Message)) error {
	return o.Broker.Subscribe(ctx, s, func(m *bridge.Message) {
		o.show(m.Frame)
		f(m)
	})
}
