package browsertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
	"github.com/fsmesh/fsmesh/ui/access"
)

// stopTime bounds the end of each part of a site.
const stopTime = 10 * time.Second

// A Site is the pages of a mesh of its own, on an address of this machine, over
// a connection that can be cut. Host is called by one goroutine.
type Site struct {
	// URL is where the pages are, with a slash at the end.
	URL string
	// View is the mesh, as the pages show it unless the options say otherwise.
	View *mesh.View

	node     *mesh.Node
	bus      *mesh.Bus
	prefix   string
	pages    *ui.Dashboard
	server   *http.Server
	listener *line
	off      atomic.Pointer[string]
	guard    http.Handler // with the pages behind it
	closers  []func(context.Context) error
	runtimes []hosted
}

type hosted struct {
	*fsm.Runtime
	attachment *mesh.Attachment
}

// Options are how a site differs from others.
type Options struct {
	// Prefix is the path below which the pages are mounted, such as "/x/y".
	// Defaults to none.
	Prefix string
	// Access has the credentials that are asked for. Defaults to none.
	Access access.Config
	// Shows is what the pages show instead of the mesh. Defaults to the mesh.
	Shows ui.View
	// Now tells the pages the time. Defaults to time.Now.
	Now func() time.Time
}

// OpenSite starts a mesh without runtimes, and its pages. Close ends it.
func OpenSite(ctx context.Context, o Options) (_ *Site, err error) {
	s := &Site{prefix: o.Prefix}
	o.Access.Logger = slog.New(slog.DiscardHandler)
	guard, err := access.New(o.Access)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	log := slog.New(slog.DiscardHandler)
	if s.node, err = mesh.Start(ctx, mesh.Config{Logger: log}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.node.Stop)
	if s.bus, err = s.node.Connect(mesh.BusOptions{Logger: log}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.bus.Close)
	if s.View, err = mesh.Watch(ctx, s.bus, mesh.ViewOptions{}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.View.Close)
	if o.Shows == nil {
		o.Shows = s.View
	}
	if s.pages, err = ui.New(ctx, ui.Config{View: o.Shows, Client: mesh.NewClient(s.bus, mesh.ClientOptions{}), Bus: s.bus, LogOut: guard.LogOut(), Now: o.Now, Version: "1.0.0", Logger: log}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func(context.Context) error { return s.pages.Close() })
	s.guard = http.StripPrefix(o.Prefix, guard.Wrap(s.pages))
	return s, s.serve()
}

func (s *Site) serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listener = &line{Listener: l, conns: map[net.Conn]bool{}}
	s.URL = "http://" + l.Addr().String() + s.prefix + "/"
	s.server = &http.Server{Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: stopTime}
	s.server.RegisterOnShutdown(s.pages.EndStreams)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	s.closers = append(s.closers, func(ctx context.Context) error {
		s.listener.end()
		err := s.server.Shutdown(ctx)
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	})
	return nil
}

// answer answers a request, but not one that is switched off.
func (s *Site) answer(w http.ResponseWriter, r *http.Request) {
	if off := s.off.Load(); off != nil && *off == r.Method+" "+strings.TrimPrefix(r.URL.Path, s.prefix) {
		http.Error(w, "switched off", http.StatusNotFound)
		return
	}
	s.guard.ServeHTTP(w, r)
}

// SwitchOff lets nothing answer a route any more, such as "POST /create"; ""
// switches all of them on.
func (s *Site) SwitchOff(route string) {
	if route == "" {
		s.off.Store(nil)
		return
	}
	s.off.Store(&route)
}

// Cut cuts all connections to browsers, and takes no new ones until Mend.
func (s *Site) Cut() { s.listener.cut(true) }

// Mend takes connections again.
func (s *Site) Mend() { s.listener.cut(false) }

// StopMesh ends the mesh under the pages, for good.
func (s *Site) StopMesh(ctx context.Context) error { return s.node.Stop(ctx) }

// Host runs a runtime with components on the mesh. Hooks may be zero.
func (s *Site) Host(ctx context.Context, name string, hooks fsm.Hooks, components ...*fsm.Component) (*fsm.Runtime, error) {
	log := slog.New(slog.DiscardHandler)
	rt, err := fsm.NewRuntime(fsm.Config{Name: name, Components: components, Hooks: hooks, Store: fsm.NewMemoryStore(), Dispatcher: mesh.NewDispatcher(s.bus), Logger: log})
	if err != nil {
		return nil, err
	}
	if err := rt.Start(ctx); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, rt.Stop)
	att, err := mesh.Attach(ctx, rt, s.bus, mesh.AttachOptions{Host: "host-of-" + name, Port: 4000})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, att.Close)
	s.runtimes = append(s.runtimes, hosted{rt, att})
	return rt, s.Settle(ctx)
}

// Parse reads a component.
func Parse(definition string) (*fsm.Component, error) {
	c, _, err := fsm.ParseComponent([]byte(definition))
	return c, err
}

// Settle waits until the view is exact about all that the runtimes have done.
func (s *Site) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*stopTime)
	defer cancel()
	for _, rt := range s.runtimes {
		for component, id := range rt.attachment.RuntimeIDs() {
			seq := rt.Seq(component)
			for !s.exact(id, seq) {
				select {
				case <-s.View.Changed():
				case <-time.After(10 * time.Millisecond): // it may have been before
				case <-ctx.Done():
					return fmt.Errorf("the view never was exact about %s: %w", rt.Name(), ctx.Err())
				}
			}
		}
	}
	return nil
}

func (s *Site) exact(id string, seq uint64) (ok bool) {
	s.View.Read(func(d *mesh.Directory) {
		exact, _ := d.Exact(id, time.Now())
		r, known := d.Runtime(id, time.Now())
		ok = exact && d.Floor(id) >= int64(seq) && known && r.Definition != nil
	})
	return ok
}

// Close ends all that the site has running.
func (s *Site) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		errs = append(errs, s.closers[i](ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// A line is a listener whose connections can be cut.
type line struct {
	net.Listener

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	down  bool
}

// Accept takes a connection; one that comes while the line is cut is closed.
func (l *line) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		down := l.down
		if !down {
			l.conns[c] = true
		}
		l.mu.Unlock()
		if !down {
			return &conn{c, l}, nil
		}
		_ = c.Close() // nobody is there to be told
	}
}

func (l *line) cut(down bool) {
	l.mu.Lock()
	l.down = down
	l.mu.Unlock()
	if down {
		l.end()
	}
}

// end cuts what is open.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close() // its reader sees it
	}
	clear(l.conns)
}

// A conn forgets itself when it is closed.
type conn struct {
	net.Conn
	line *line
}

// Close closes the connection.
func (c *conn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c.Conn)
	c.line.mu.Unlock()
	return c.Conn.Close()
}
