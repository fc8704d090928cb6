package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (p *program) dashboardCommand() *cobra.Command {
	s, b := &site{p: p}, &broker{}
	c := &cobra.Command{
		Use:   "dashboard",
		Short: "Serve pages that show all that runs on a mesh",
		Long: `Serves pages that show the runtimes of a mesh, whichever process they are in, with
their instances, and that create instances and send events. It hosts nothing
itself: it can be started and stopped at any time, and several can run.

It listens on 127.0.0.1:4000. PORT sets another port, --listen has the last word.`,
		Example: `  fsmesh dashboard
  fsmesh dashboard --broker nats://127.0.0.1:4222 --listen 4001
  PORT=8080 fsmesh dashboard --broker nats://127.0.0.1:4222 --token-file token`,
		Args: args(0, 0),
	}
	s.flags(c, "127.0.0.1:4000")
	c.Flags().StringVar(&b.url, "broker", "", "URL of the mesh (default: BROKER_URL in the environment, else nats://"+defaultNode+")")
	b.flags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		b.url = cmp.Or(b.url, p.env("BROKER_URL"), "nats://"+defaultNode)
		if err := s.resolve(c); err != nil {
			return err
		}
		return s.dashboard(c.Context(), *b)
	}
	return c
}

// dashboard runs until the context ends, which is no error.
func (s *site) dashboard(ctx context.Context, b broker) error {
	log := s.p.logger()
	l, err := listen(ctx, s.listen)
	if err != nil {
		return err
	}
	m, err := s.p.joinShared(ctx, b, "fsmesh dashboard", log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	m.ready.Store(true)
	pages, err := s.open(ctx, m, l.Addr(), log)
	if err != nil {
		return errors.Join(err, l.Close(), m.leave())
	}
	log.Info("serving", "url", url(l.Addr()), "mesh", m.bus.Mesh())
	s.announce(l, log)
	err = pages.run(ctx, l, log)
	log.Info("stopping")
	return errors.Join(err, pages.close(), m.leave())
}
