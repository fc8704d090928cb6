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

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
	"github.com/fsmesh/fsmesh/ui/access"
	"github.com/fsmesh/fsmesh/ui/api"
)

// A site is where pages are served, as serve, demo and dashboard do it.
type site struct {
	p          *program
	listen     string
	insecure   bool
	allowHosts []string
}

func (s *site) flags(c *cobra.Command, address string) {
	c.Flags().StringVar(&s.listen, "listen", address, "address to listen on: HOST:PORT or PORT; port 0 takes a free one")
	c.Flags().BoolVar(&s.insecure, "insecure", false, "allow an address that other machines can reach; there are no credentials yet")
	c.Flags().StringSliceVar(&s.allowHosts, "allow-host", nil, "host name under which browsers may reach the pages, besides this machine's own")
}

// resolve settles the address: flag over environment over default.
func (s *site) resolve(c *cobra.Command) error {
	port := s.p.env("PORT")
	switch {
	case c.Flags().Changed("listen"):
		if port != "" {
			s.p.logger().Warn("PORT is not used, --listen has the last word", "port", port, "listen", s.listen)
		}
	case port != "":
		if err := checkPort(port); err != nil {
			return usage("PORT in the environment: %w", err)
		}
		s.listen = net.JoinHostPort("127.0.0.1", port)
	}
	return s.checkAddress()
}

func (s *site) checkAddress() error {
	given := s.listen
	if !strings.Contains(s.listen, ":") {
		s.listen = "127.0.0.1:" + s.listen
	}
	name, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return usage("--listen %q is not an address; give HOST:PORT, such as %s", given, defaultAddress)
	}
	if err := checkPort(port); err != nil {
		return usage("--listen %q: %w", s.listen, err)
	}
	if !isLoopback(name) && !s.insecure {
		return usage("--listen %q can be reached from other machines, and there are no credentials yet: whoever reaches it may do everything; add --insecure if that is meant, or listen on %s", s.listen, net.JoinHostPort("127.0.0.1", port))
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

func (p *program) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, nil))
}

// pages are the pages and the API of a bus, with the view that they show.
type pages struct {
	view *mesh.View
	ui   *ui.Dashboard
	api  *api.API
	http.Handler
}

// open makes pages and API. They know of the mesh what the bus tells, no more.
func (s *site) open(ctx context.Context, m *membership, at net.Addr, log *slog.Logger) (*pages, error) {
	guard, err := access.New(access.Config{Hosts: s.hosts(at), Logger: log})
	if err != nil {
		return nil, err
	}
	p := &pages{}
	if p.view, err = mesh.Watch(ctx, m.bus, mesh.ViewOptions{Logger: log}); err != nil {
		return nil, err
	}
	client, version := mesh.NewClient(m.bus, mesh.ClientOptions{}), readBuild().Version
	health := api.Health{}
	if m.store != nil {
		health.Database = m.store.Kind
	}
	p.ui, err = ui.New(ctx, ui.Config{View: p.view, Client: client, Bus: m.bus, Version: version, Logger: log})
	if err == nil {
		p.api, err = api.New(ctx, api.Config{
			Commands: client, View: p.view, Notices: m.bus, Ready: func() api.Readiness { return m.readiness(p.view) }, Runtimes: m.statuses,
			Health: health, Version: version, Logger: log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	mux := http.NewServeMux()
	for _, path := range []string{"/api/", "/health", "/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, p.api)
	}
	mux.Handle("/", p.ui)
	p.Handler = guard.Wrap(mux)
	return p, nil
}

func (p *pages) close() (err error) {
	if p.api != nil {
		err = p.api.Close()
	}
	if p.ui != nil {
		err = errors.Join(err, p.ui.Close())
	}
	closeView(p.view)
	return err
}

// endStreams lets go of those who listen, so that the server can end.
func (p *pages) endStreams() {
	p.ui.EndStreams()
	if err := p.api.Close(); err != nil {
		slog.Debug("end of the API's streams", "err", err)
	}
}

// announce says where the pages are.
func (s *site) announce(l net.Listener, log *slog.Logger) {
	if s.insecure && !isLoopback(addressHost(l.Addr())) {
		log.Warn("other machines can reach this address, and there are no credentials", "listen", l.Addr().String())
	}
	fmt.Fprintf(s.p.stdout, "%s  (Ctrl-C ends it)\n", url(l.Addr()))
}

// run serves the pages until the context ends, which is no error, or serving
// fails. It returns when all requests have ended.
func (p *pages) run(ctx context.Context, l net.Listener, log *slog.Logger) error {
	server := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(p.endStreams)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var err error
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
	}
	shut, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	if server.Shutdown(shut) != nil {
		// Somebody keeps a connection busy: it is cut.
		err = server.Close()
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
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
func (s *site) hosts(a net.Addr) []string {
	out := append([]string{}, s.allowHosts...)
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
