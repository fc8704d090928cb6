package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/headroom"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

// defaultAddress is where serve and demo listen unless told otherwise.
const defaultAddress = "127.0.0.1:3000"

// stopTime bounds each step of stopping but those of leaving the mesh, see
// leaveTime. Two of each may take it, so that a program that is told to end has
// done so within 5 s.
const stopTime = 1500 * time.Millisecond

func (p *program) serveCommand() *cobra.Command {
	h := newHost(p)
	c := &cobra.Command{
		Use:   "serve FILE…",
		Short: "Host components, with their pages",
		Long: `Hosts the components of the files, each in a runtime of its own that has the
component's name, and serves pages that show them. Hooks are not part of a file:
they do nothing here; an application that has some embeds package fsm.

What is acknowledged is on disk (--data, --sync): when the program is started again
it goes on where it was, also after a crash or a power cut. With --store its
instances are kept elsewhere: in memory, or in the JetStream of a node, where a
second program of the same --name stands by until this one is gone.

With --broker the runtimes join the mesh there: commands (ls, send, …) and other
dashboards reach their instances, and these pages show all that is on the mesh.
Without, they have a mesh of their own that nobody else reaches. With --broker
redis:// or amqp:// that mesh is bridged to the broker: runtimes there are shown
here and take commands, and these are shown there.

It listens on 127.0.0.1:3000. PORT sets another port, --listen has the last word.
` + whoMay,
		Example: `  fsmesh serve order.yaml
  fsmesh serve shop.yaml fulfilment.yaml --name north
  PORT=8080 fsmesh serve order.yaml
  fsmesh serve order.yaml --broker nats://127.0.0.1:4222
  BROKER_URL=redis://:PASSWORD@127.0.0.1:6379 fsmesh serve order.yaml
  fsmesh serve order.yaml --listen 0.0.0.0:3000 --password-file password --token-file token`,
		Args: args(1, -1),
	}
	h.flags(c)
	c.RunE = func(c *cobra.Command, files []string) error {
		if err := h.resolve(c); err != nil {
			return err
		}
		for _, f := range files {
			comp, err := p.load(f)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(h.components, func(o *fsm.Component) bool { return o.Name == comp.Name }) {
				return usage("%s has the component %q, which another file has, too; serve them by two programs, with a --name each", f, comp.Name)
			}
			h.components = append(h.components, comp)
		}
		if err := h.storage.checkMachines(h.components...); err != nil {
			return err
		}
		return h.serve(c.Context())
	}
	return c
}

// A host is runtimes with pages, as serve and demo run them.
type host struct {
	site
	p       *program
	broker  broker
	urls    []string
	outside brokers
	storage storage

	// name is what the runtimes are called, in place of their components; ""
	// is nothing.
	name       string
	components []*fsm.Component
	hooks      fsm.Hooks
	// beside, if set, runs beside the server until its context ends.
	beside func(context.Context, *membership, map[string]*fsm.Runtime, *slog.Logger) error
}

func newHost(p *program) *host {
	h := &host{p: p, site: site{p: p}}
	h.tokenFile = &h.broker.tokenFile
	return h
}

func (h *host) flags(c *cobra.Command) {
	h.site.flags(c, defaultAddress)
	c.Flags().StringVar(&h.name, "name", h.name, "name of the runtime (default: the component's name); with several components NAME-COMPONENT")
	brokerFlag(c, &h.urls, "none")
	h.broker.flags(c)
	c.Flags().Lookup("token-file").Usage = tokenOfBoth
	h.outside.flags(c)
	h.storage.flags(c)
}

// resolve settles the addresses: flag over environment over default.
func (h *host) resolve(c *cobra.Command) error {
	var err error
	if h.broker.url, h.outside.urls, err = split(h.p.brokerURLs(h.urls)); err != nil {
		return err
	}
	if _, err := h.outside.config(); err != nil {
		return err
	}
	if err := h.storage.resolve(c, h.p); err != nil {
		return err
	}
	return h.site.resolve(c)
}

// runtimeName is the Name of the runtime of a component. It has to be the same
// after a restart.
func (h *host) runtimeName(component string) string {
	switch {
	case h.name == "":
		return component
	case len(h.components) == 1:
		return h.name
	}
	return h.name + "-" + component
}

// serve runs until the context ends, which is no error, or something fails.
// Pages are there before the runtimes are: a start may have to wait for another
// process, or read much. It stops from the outside in: HTTP and the load, the
// pages, the attachments to the mesh, the runtimes, the store, the connection to
// the mesh.
func (h *host) serve(ctx context.Context) error {
	headroom.Keep()
	log := h.p.logger()
	l, err := listen(ctx, h.listen)
	if err != nil {
		return err
	}
	// The brokers are joined once the runtimes are there: what waits on one for them
	// would be taken for somebody else's.
	m, err := h.p.joinMesh(ctx, h.broker, "fsmesh serve", log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if err := m.reach(ctx, &h.outside); err != nil {
		return errors.Join(err, l.Close(), m.leave())
	}
	if err := h.prepare(ctx, m, log); err != nil {
		return errors.Join(err, l.Close(), m.leave())
	}
	pages, err := h.open(ctx, m, h.broker.names(&h.outside), l.Addr(), log)
	if err != nil {
		return errors.Join(err, l.Close(), m.leave())
	}
	log.Info("serving", "url", url(l.Addr()), "store", m.store.Kind, "durability", m.store.Durability)
	err = together(ctx,
		func(ctx context.Context) error { return pages.run(ctx, l) },
		func(ctx context.Context) error { return h.host(ctx, m, pages.view, l, log) },
		m.watch)
	log.Info("stopping")
	return errors.Join(err, pages.close(), m.leave())
}

// prepare opens the store and makes the runtimes. They do nothing yet.
func (h *host) prepare(ctx context.Context, m *membership, log *slog.Logger) error {
	token, err := h.p.token(h.broker.tokenFile)
	if err != nil {
		return err
	}
	if m.store, err = h.storage.open(ctx, h.p, h.runtimeName(h.components[0].Name), token, log); err != nil {
		return err
	}
	for _, c := range h.components {
		rt, err := h.newRuntime(m, c, log)
		if err != nil {
			return err
		}
		m.runtimes = append(m.runtimes, rt)
	}
	return nil
}

// newRuntime makes the runtime of a component.
func (h *host) newRuntime(m *membership, c *fsm.Component, log *slog.Logger) (*fsm.Runtime, error) {
	var store fsm.Store = m.store
	if h.p.store != nil {
		store = h.p.store(store)
	}
	return fsm.NewRuntime(fsm.Config{
		Name: h.runtimeName(c.Name), Components: []*fsm.Component{c}, Hooks: h.hooks, Logger: log,
		Store: store, Takeover: h.storage.takeover, Retention: h.storage.retention(), RetentionOf: h.storage.retentionOf(c),
		Dispatcher: mesh.NewDispatcher(m.bus),
	})
}

// host starts the runtimes side by side, makes them part of the mesh, joins that with
// the brokers, says where the pages are once these show them, and runs what runs beside
// them until the context ends.
func (h *host) host(ctx context.Context, m *membership, view *mesh.View, l net.Listener, log *slog.Logger) error {
	at := l.Addr()
	errs := make(chan error, len(m.runtimes))
	for _, rt := range m.runtimes {
		go func() {
			err := rt.Start(ctx)
			if err == nil {
				err = m.attach(ctx, rt, addressHost(at), addressPort(at))
			}
			errs <- err
		}()
	}
	var err error
	for range m.runtimes {
		err = errors.Join(err, <-errs)
	}
	switch {
	case ctx.Err() != nil:
		return nil // it was ended before it had begun
	case err != nil:
		return err
	}
	if err := m.bridge(ctx, &h.outside); err != nil {
		if ctx.Err() != nil {
			return nil // it was ended before it had begun
		}
		return err
	}
	m.joined.Store(true)
	for _, rt := range m.runtimes {
		log.Info("hosting", "runtime", rt.Name(), "mesh", m.bus.Mesh(), "shared", m.node == nil)
	}
	return together(ctx,
		func(ctx context.Context) error { return h.runBeside(ctx, m, log) },
		func(ctx context.Context) error {
			for !m.readiness(view).Ready || !h.isAlive(view) {
				select {
				case <-view.Changed():
				case <-time.After(100 * time.Millisecond): // it may have become exact without news
				case <-ctx.Done():
					return nil
				}
			}
			h.announce(l)
			<-ctx.Done()
			return nil
		})
}

// runBeside returns only when the context ends or something fails.
func (h *host) runBeside(ctx context.Context, m *membership, log *slog.Logger) error {
	if h.beside == nil {
		<-ctx.Done()
		return nil
	}
	byComponent := map[string]*fsm.Runtime{}
	for i, c := range h.components {
		byComponent[c.Name] = m.runtimes[i]
	}
	return h.beside(ctx, m, byComponent, log)
}

// together runs all until the context ends or the first of them does, then ends
// the others and waits for them.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part(ctx) }()
	}
	var err error
	for range parts {
		err = errors.Join(err, <-ended)
		cancel()
	}
	return err
}

// stopAll stops runtimes side by side, as each has the same time for it.
func stopAll(runtimes []*fsm.Runtime) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	errs := make(chan error, len(runtimes))
	for _, rt := range runtimes {
		go func() {
			if err := rt.Stop(ctx); err != nil {
				errs <- fmt.Errorf("stop runtime %s: %w", rt.Name(), err)
				return
			}
			errs <- nil
		}()
	}
	var err error
	for range runtimes {
		err = errors.Join(err, <-errs)
	}
	return err
}
