package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
	"github.com/fsmesh/fsmesh/ui/access"
	"github.com/fsmesh/fsmesh/ui/api"
)

func (p *program) dashboardCommand() *cobra.Command {
	b := &broker{}
	s := &site{p: p, tokenFile: &b.tokenFile}
	var urls []string
	var outside brokers
	c := &cobra.Command{
		Use:   "dashboard",
		Short: "Serve pages that show all that runs on a mesh",
		Long: `Serves pages that show the runtimes of a mesh, whichever process they are in, with
their instances, and that create instances and send events. It hosts nothing
itself: it can be started and stopped at any time, and several can run. With
--broker redis:// or amqp:// it shows and steers what runs on that broker, with a
mesh of its own unless a nats:// URL is given, too.

It listens on 127.0.0.1:4000. PORT sets another port, --listen has the last word.
` + whoMay,
		Example: `  fsmesh dashboard
  fsmesh dashboard --broker nats://127.0.0.1:4222 --listen 4001
  fsmesh dashboard --broker redis://127.0.0.1:6379 --broker amqp://127.0.0.1
  PORT=8080 fsmesh dashboard --broker nats://127.0.0.1:4222 --token-file token`,
		Args: args(0, 0),
	}
	s.flags(c, "127.0.0.1:4000")
	brokerFlag(c, &urls, "nats://"+defaultNode)
	b.flags(c)
	c.Flags().Lookup("token-file").Usage = tokenOfBoth
	outside.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if b.url, outside.urls, err = split(p.brokerURLs(urls)); err != nil {
			return err
		}
		if _, err := outside.config(); err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(b.url, "memory") && len(outside.urls) == 0:
			return usage("a mesh at %q is inside one process, nobody else reaches it; give the nats:// URL of a node, or that of a broker", "memory")
		case b.url == "" && len(outside.urls) == 0:
			b.url = "nats://" + defaultNode
		}
		if err := s.resolve(c); err != nil {
			return err
		}
		return s.dashboard(c.Context(), *b, &outside)
	}
	return c
}

// dashboard runs until the context ends, which is no error.
func (s *site) dashboard(ctx context.Context, b broker, outside *brokers) error {
	log := s.p.logger()
	l, err := listen(ctx, s.listen)
	if err != nil {
		return err
	}
	m, err := s.p.join(ctx, b, outside, "fsmesh dashboard", log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	metrics := api.NewMetrics()
	guard, err := s.guard(l.Addr(), metrics, log)
	if err != nil {
		return errors.Join(err, l.Close(), m.leave())
	}
	log.Info("serving", "url", url(l.Addr()), "mesh", m.bus.Mesh())
	s.announce(l)
	err = serveDashboard(ctx, m.bus, l, guard, metrics, api.Health{Broker: b.names(outside)}, readBuild().Version, log)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // it was ended before it had begun
	}
	log.Info("stopping")
	return errors.Join(err, m.leave())
}

// serveDashboard serves the pages and the API of a mesh until the context ends.
// It is all that a dashboard is.
func serveDashboard(ctx context.Context, bus *mesh.Bus, l net.Listener, guard *access.Guard, metrics *api.Metrics, health api.Health, version string, log *slog.Logger) error {
	defer l.Close()
	view, err := mesh.Watch(ctx, bus, mesh.ViewOptions{Logger: log})
	if err != nil {
		return err
	}
	defer view.Close(context.WithoutCancel(ctx))
	client := mesh.NewClient(bus, mesh.ClientOptions{Observe: metrics.Called})
	pages, err := ui.New(ctx, ui.Config{View: view, Client: client, Bus: bus, LogOut: guard.LogOut(), Metrics: metrics, Version: version, Logger: log})
	if err != nil {
		return err
	}
	defer pages.Close()
	rest, err := api.New(ctx, api.Config{Commands: client, View: view, Notices: bus, Health: health, Metrics: metrics, Version: version, Logger: log})
	if err != nil {
		return err
	}
	defer rest.Close()
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	for _, path := range api.Paths() {
		mux.Handle(path, rest)
	}
	return ui.Serve(ctx, l, guard.Wrap(mux), pages.EndStreams, rest.EndStreams)
}
