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
	// passwordFile and tokenFile hold what is asked of whoever uses the pages.
	passwordFile string
	tokenFile    *string
	secrets      access.Config
	// alive, if set, is what /healthz says.
	alive func(*mesh.View) bool
}

func (s *site) flags(c *cobra.Command, address string) {
	c.Flags().StringVar(&s.listen, "listen", address, "address to listen on: HOST:PORT or PORT; port 0 takes a free one")
	c.Flags().BoolVar(&s.insecure, "insecure", false, "allow an address that other machines can reach without a password and a token")
	c.Flags().StringVar(&s.passwordFile, "password-file", "", "file that holds the password asked of people (default: FSMESH_PASSWORD or FSMESH_PASSWORD_FILE in the environment, else none)")
	c.Flags().StringSliceVar(&s.allowHosts, "allow-host", nil, "host name under which browsers may reach the pages, besides this machine's own")
}

// resolve settles the credentials and the address: flag over environment over
// default.
func (s *site) resolve(c *cobra.Command) error {
	var err error
	if s.secrets.Password, err = s.p.secret("FSMESH_PASSWORD", "password-file", s.passwordFile); err != nil {
		return err
	}
	if s.secrets.Token, err = s.p.token(*s.tokenFile); err != nil {
		return err
	}
	if _, err := access.New(s.secrets); err != nil {
		return &exitError{exitUsage, err}
	}
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
	if !strings.ContainsAny(s.listen, ":.") { // a port, not a host
		s.listen = "127.0.0.1:" + s.listen
	}
	_, port, err := net.SplitHostPort(s.listen)
	if err != nil {
		return usage("--listen %q is not an address; give HOST:PORT, such as %s", given, defaultAddress)
	}
	if err := checkPort(port); err != nil {
		return usage("--listen %q: %w", s.listen, err)
	}
	if err := access.CheckListen(s.listen, s.guarded(), s.insecure); err != nil {
		return usage("--listen: %w: FSMESH_PASSWORD or --password-file, FSMESH_TOKEN or --token-file; or say --insecure if that is meant", err)
	}
	return nil
}

// guarded reports whether something is asked of whoever uses the pages.
func (s *site) guarded() bool { return s.secrets.Password != "" || s.secrets.Token != "" }

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
func (s *site) open(ctx context.Context, m *membership, broker string, at net.Addr, log *slog.Logger) (*pages, error) {
	metrics, version := api.NewMetrics(), readBuild().Version
	guard, err := s.guard(at, metrics, log)
	if err != nil {
		return nil, err
	}
	p := &pages{}
	if p.view, err = mesh.Watch(ctx, m.bus, mesh.ViewOptions{Logger: log}); err != nil {
		return nil, err
	}
	client := mesh.NewClient(m.bus, mesh.ClientOptions{Observe: metrics.Called})
	health := api.Health{Broker: broker}
	if m.store != nil {
		health.Database = m.store.Kind
	}
	p.ui, err = ui.New(ctx, ui.Config{View: p.view, Client: client, Bus: m.bus, LogOut: guard.LogOut(), Metrics: metrics, Version: version, Logger: log})
	if err == nil {
		p.api, err = api.New(ctx, api.Config{
			Commands: client, View: p.view, Notices: m.bus, Runtimes: m.statuses, Health: health, Metrics: metrics, Version: version, Logger: log,
			Ready: func() api.Readiness { return m.readiness(p.view) }, Alive: func() bool { return s.isAlive(p.view) },
		})
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	mux := http.NewServeMux()
	for _, path := range api.Paths() {
		mux.Handle(path, p.api)
	}
	mux.Handle("/", p.ui)
	p.Handler = guard.Wrap(mux)
	if s.p.answers != nil {
		p.Handler = s.p.answers(p.Handler)
	}
	return p, nil
}

func (s *site) isAlive(view *mesh.View) bool { return s.alive == nil || s.alive(view) }

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

// announce says where the pages are.
func (s *site) announce(l net.Listener) {
	fmt.Fprintf(s.p.stdout, "%s  (Ctrl-C ends it)\n", url(l.Addr()))
}

// run serves the pages until the context ends, which is no error, or serving
// fails. It returns when all requests have ended.
func (p *pages) run(ctx context.Context, l net.Listener) error {
	return ui.Serve(ctx, l, p, p.ui.EndStreams, p.api.EndStreams)
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

// guard is what stands before all that is served. It says so where that lets
// everybody in.
func (s *site) guard(at net.Addr, metrics *api.Metrics, log *slog.Logger) (*access.Guard, error) {
	if !s.guarded() && !access.IsLoopback(at.String()) {
		log.Warn("insecure: other machines can reach this address and may do everything; no password and no token is asked for", "listen", at.String())
	}
	c := s.secrets
	c.Hosts, c.AllowWith, c.Refused, c.Logger = s.hosts(at), "--allow-host", metrics.Refused, log
	return access.New(c)
}

// hosts are the names that a browser may use for this server: the loopback
// ones always, what the operator allows, and the listener's own addresses where
// it is open to others. With credentials and nothing allowed by name there are
// none, and all may be used: a foreign name has no session there.
func (s *site) hosts(a net.Addr) []string {
	if s.guarded() && len(s.allowHosts) == 0 {
		return nil
	}
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
