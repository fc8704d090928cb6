package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
	"github.com/spf13/cobra"
)

// defaultAddress is where serve and demo listen unless told otherwise.
const defaultAddress = "127.0.0.1:3000"

// stopTime bounds each step of stopping but those of leaving the mesh, see
// leaveTime. Two of each may take it, so that a program that is told to end has
// done so within 5 s.
const stopTime = 1500 * time.Millisecond

func (p *program) serveCommand() *cobra.Command {
	h := &host{p: p}
	c := &cobra.Command{
		Use:   "serve FILE…",
		Short: "Host components, with their pages",
		Long: `Hosts the components of the files and serves pages that show them. Hooks are not
part of a file: they do nothing here; an application that has some embeds package
fsm. Instances are kept in memory and end with the program.

With --broker the runtime joins the mesh there: the commands against a running
mesh (ls, send, …) reach its instances. The pages show this runtime only.

It listens on 127.0.0.1:3000. PORT sets another port, --listen has the last word.`,
		Example: `  fsmesh serve order.yaml
  fsmesh serve shop.yaml fulfilment.yaml --name shop
  PORT=8080 fsmesh serve order.yaml
  fsmesh serve order.yaml --broker nats://127.0.0.1:4222
  fsmesh serve order.yaml --listen 0.0.0.0:3000 --insecure --allow-host shop.example`,
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
			h.components = append(h.components, comp)
		}
		return h.serve(c.Context())
	}
	return c
}

// A host is a runtime with its pages, as serve and demo run it.
type host struct {
	p          *program
	listen     string
	insecure   bool
	allowHosts []string
	broker     broker

	// All components are in one runtime: effects do not go over the mesh yet,
	// so those of different runtimes can't reach each other. When they do, each
	// gets a runtime of its own.
	name       string
	components []*fsm.Component
	hooks      fsm.Hooks
	// beside, if set, runs beside the server until its context ends.
	beside func(context.Context, *fsm.Runtime, *slog.Logger) error
}

func (h *host) flags(c *cobra.Command) {
	c.Flags().StringVar(&h.listen, "listen", defaultAddress, "address to listen on: HOST:PORT or PORT; port 0 takes a free one")
	c.Flags().BoolVar(&h.insecure, "insecure", false, "allow an address that other machines can reach; there are no credentials yet")
	c.Flags().StringSliceVar(&h.allowHosts, "allow-host", nil, "host name under which browsers may reach the pages, besides this machine's own")
	c.Flags().StringVar(&h.name, "name", h.name, "name of the runtime (default: the components' names, joined by +)")
	c.Flags().StringVar(&h.broker.url, "broker", "", "URL of the mesh to join, nats://HOST:PORT (default: BROKER_URL in the environment, else none)")
	h.broker.flags(c)
}

// resolve settles the addresses: flag over environment over default.
func (h *host) resolve(c *cobra.Command) error {
	if !c.Flags().Changed("broker") {
		h.broker.url = h.p.env("BROKER_URL")
	}
	port := h.p.env("PORT")
	switch {
	case c.Flags().Changed("listen"):
		if port != "" {
			h.logger().Warn("PORT is not used, --listen has the last word", "port", port, "listen", h.listen)
		}
	case port != "":
		if err := checkPort(port); err != nil {
			return usage("PORT in the environment: %w", err)
		}
		h.listen = net.JoinHostPort("127.0.0.1", port)
	}
	return h.checkAddress()
}

func (h *host) checkAddress() error {
	if !strings.Contains(h.listen, ":") {
		h.listen = "127.0.0.1:" + h.listen
	}
	name, port, err := net.SplitHostPort(h.listen)
	if err != nil {
		return usage("--listen %q is not an address; give HOST:PORT, such as %s", h.listen, defaultAddress)
	}
	if err := checkPort(port); err != nil {
		return usage("--listen %q: %w", h.listen, err)
	}
	if !isLoopback(name) && !h.insecure {
		return usage("--listen %q can be reached from other machines, and there are no credentials yet: whoever reaches it may do everything; add --insecure if that is meant, or listen on %s", h.listen, net.JoinHostPort("127.0.0.1", port))
	}
	return nil
}

func checkPort(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("port %q is not a number", port)
	}
	if n < 0 || n > 65535 {
		return fmt.Errorf("port %d is out of range; 0 (any free one) to 65535 are allowed", n)
	}
	return nil
}

func isLoopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

func (h *host) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(h.p.stderr, nil))
}

// serve runs until the context ends, which is no error, or something fails.
// It stops from the outside in: HTTP, the load, the pages, the attachment to the
// mesh, the runtime, the connection to the mesh.
func (h *host) serve(ctx context.Context) error {
	log := h.logger()
	l, err := listen(ctx, h.listen)
	if err != nil {
		return err
	}
	m, err := h.join(ctx, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	rt, err := h.startRuntime(ctx, m, log)
	if err != nil {
		return errors.Join(err, l.Close(), m.leave())
	}
	if err := m.attach(ctx, rt, addressHost(l.Addr()), addressPort(l.Addr())); err != nil {
		return errors.Join(err, l.Close(), stopRuntime(rt), m.leave())
	}
	pages, err := ui.New(ui.Config{Runtime: rt, Version: readBuild().Version, Hosts: h.hosts(l.Addr()), CheckHost: true, Logger: log})
	if err != nil {
		return errors.Join(err, l.Close(), m.detach(), stopRuntime(rt), m.leave())
	}
	log.Info("serving", "url", url(l.Addr()), "runtime", rt.Name(), "components", len(rt.Components()), "mesh", m.bus.Mesh(), "shared", m.node == nil)
	if h.insecure && !isLoopback(addressHost(l.Addr())) {
		log.Warn("other machines can reach this address, and there are no credentials", "listen", l.Addr().String())
	}
	fmt.Fprintf(h.p.stdout, "%s  (Ctrl-C ends it)\n", url(l.Addr()))

	err = h.work(ctx, l, rt, pages, log)
	log.Info("stopping")
	return errors.Join(err, pages.Close(), m.detach(), stopRuntime(rt), m.leave())
}

func (h *host) startRuntime(ctx context.Context, m *membership, log *slog.Logger) (*fsm.Runtime, error) {
	c := fsm.Config{Name: h.runtimeName(), Components: h.components, Hooks: h.hooks, Logger: log}
	if m.node == nil {
		// Others may host what these components send to. On a mesh of its own
		// there is nobody to wait for.
		c.Dispatcher = mesh.NewDispatcher(m.bus)
	}
	rt, err := fsm.NewRuntime(c)
	if err != nil {
		return nil, err
	}
	return rt, rt.Start(ctx)
}

func (h *host) runtimeName() string {
	if h.name != "" {
		return h.name
	}
	var names []string
	for _, c := range h.components {
		names = append(names, c.Name)
	}
	return strings.Join(names, "+")
}

func stopRuntime(rt *fsm.Runtime) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := rt.Stop(ctx); err != nil {
		return fmt.Errorf("stop the runtime: %w", err)
	}
	return nil
}

// work serves, with what runs beside, until the context ends or one of them
// fails. It returns when both have ended.
func (h *host) work(ctx context.Context, l net.Listener, rt *fsm.Runtime, pages http.Handler, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:           pages,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served, beside := make(chan error, 1), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	go func() { beside <- h.runBeside(ctx, rt, log) }()

	var err error
	serving, besides := true, true
	select {
	case <-ctx.Done():
	case <-rt.Done():
		err = fmt.Errorf("the runtime has stopped by itself: %w", rt.Err())
	case err = <-beside:
		besides = false
	case err = <-served:
		serving = false
	}
	shut, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	if server.Shutdown(shut) != nil {
		// Somebody keeps a connection busy: it is cut.
		err = errors.Join(err, server.Close())
	}
	cancel()
	if serving {
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	if besides {
		err = errors.Join(err, <-beside)
	}
	return err
}

// runBeside returns only when the context ends or something fails.
func (h *host) runBeside(ctx context.Context, rt *fsm.Runtime, log *slog.Logger) error {
	if h.beside != nil {
		return h.beside(ctx, rt, log)
	}
	<-ctx.Done()
	return nil
}

// listen opens the address and says in words why it could not.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; give another with --listen, port 0 takes a free one", address, opError(err))
	}
	return l, nil
}

// opError drops the address from an error that is about to be wrapped with it.
func opError(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err
	}
	return err
}

func addressHost(a net.Addr) string {
	name, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return ""
	}
	return name
}

func addressPort(a net.Addr) int {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}

// url is where a browser on this machine finds the pages.
func url(a net.Addr) string {
	name, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(name); err != nil || ip != nil && ip.IsUnspecified() {
		name = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(name, port) + "/"
}

// hosts are the names that a browser may use for this server: the loopback
// ones always, the listener's own addresses where it is open to others, and
// what the operator allows.
func (h *host) hosts(a net.Addr) []string {
	out := append([]string{}, h.allowHosts...)
	ip := net.ParseIP(addressHost(a))
	if ip == nil || ip.IsLoopback() {
		return out
	}
	if !ip.IsUnspecified() {
		return append(out, ip.String())
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return out
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			out = append(out, n.IP.String())
		}
	}
	return out
}
