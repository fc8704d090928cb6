package ui

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/api"
)

// A View is what the pages read. *mesh.View is one.
type View interface {
	Read(f func(*mesh.Directory))
	Changed() <-chan struct{}
	Await(ctx context.Context, runtimeID string, seq uint64) error
}

// A Client is what the pages act by. *mesh.Client is one.
type Client interface {
	Get(ctx context.Context, t mesh.Target) (*mesh.Outcome, error)
	History(ctx context.Context, t mesh.Target, after uint64, limit int) (*mesh.Outcome, error)
	Send(ctx context.Context, t mesh.Target, ev fsm.Event, o mesh.SendOptions) (*mesh.Outcome, error)
	Create(ctx context.Context, component, machine string, data map[string]any, o mesh.CreateOptions) (*mesh.Outcome, error)
}

// A Bus is where recent activity comes from. *mesh.Bus is one.
type Bus interface {
	Mesh() string
	Connected() bool
	Notices(ctx context.Context, component string) (iter.Seq2[mesh.Told, error], error)
}

var (
	_ View   = (*mesh.View)(nil)
	_ Client = (*mesh.Client)(nil)
	_ Bus    = (*mesh.Bus)(nil)
)

// Config is what a Dashboard is made from. View, Client and Bus are required,
// all of one mesh.
type Config struct {
	// View is what the pages show.
	View View
	// Client takes the commands of the pages, and is asked for histories.
	Client Client
	// Bus tells what happens.
	Bus Bus
	// LogOut is the address, relative to that of the pages, where a post logs
	// people out: all pages have a button for it then. Defaults to none.
	LogOut string
	// Metrics, if set, count and time the requests for pages.
	Metrics *api.Metrics
	// Version is shown at the foot of pages. Defaults to nothing.
	Version string
	// Now tells the time. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// A Dashboard is the pages of one mesh. It is used by many goroutines.
type Dashboard struct {
	config      Config
	mux         *http.ServeMux
	views       map[string]func(*http.Request) page
	guarded     http.Handler
	drawings    *drawings
	activity    *activity
	definitions *definitions
	histories   *histories
	hub         *hub
}

// A page is what a request is answered with.
type page struct {
	status int
	body   templ.Component
}

// livePath is where pages are kept fresh.
const livePath = "/live"

//go:embed assets
var assets embed.FS

// New returns the pages of a mesh. They follow it until Close. The context
// bounds the start only.
func New(ctx context.Context, c Config) (*Dashboard, error) {
	var missing []error
	for name, is := range map[string]bool{"View": c.View != nil, "Client": c.Client != nil, "Bus": c.Bus != nil} {
		if !is {
			missing = append(missing, fmt.Errorf("ui.Config.%s is not set", name))
		}
	}
	if len(missing) > 0 {
		return nil, errors.Join(missing...)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	a, err := follow(ctx, c.Bus, c.Now)
	if err != nil {
		return nil, err
	}
	d := &Dashboard{
		config: c, mux: http.NewServeMux(), drawings: newDrawings(diagram.New()), activity: a,
		definitions: newDefinitions(), histories: newHistories(),
	}
	d.views = map[string]func(*http.Request) page{
		"": d.overview, "machine": d.machine, "instances": d.instances, "instance": d.instance, "runtimes": d.runtimes,
	}
	d.hub = newHub(c.View.Changed, d.parts, c.Logger)
	d.routes()
	d.guarded = d.guard(http.HandlerFunc(d.route))
	if c.Metrics != nil {
		d.guarded = c.Metrics.Handler(d.guarded, d.routeOf)
	}
	return d, nil
}

func (d *Dashboard) routes() {
	for name, view := range d.views {
		if name == "" {
			name = "{$}"
		}
		d.mux.HandleFunc("GET /"+name, d.handler(view))
	}
	d.mux.HandleFunc("POST /instance", d.send)
	d.mux.HandleFunc("GET /create", d.handler(d.createForm))
	d.mux.HandleFunc("POST /create", d.create)
	d.mux.HandleFunc("GET "+livePath, d.stream)
	d.mux.HandleFunc("GET /assets/{file}", d.asset)
	d.mux.HandleFunc("GET /healthz", d.healthz)
	// The ancestor's first page.
	d.mux.HandleFunc("GET /dashboard.html", func(w http.ResponseWriter, _ *http.Request) { redirect(w, "./") })
}

// handler answers with a page.
func (d *Dashboard) handler(view func(*http.Request) page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if setTheme(w, r) {
			return
		}
		d.show(w, r, view(r))
	}
}

// parts makes the live parts of the page at an address, such as
// "instances?machine=Order". A page that is not there has none.
func (d *Dashboard) parts(ctx context.Context, address string) ([]part, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, streamKey{}, true)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/"+strings.TrimPrefix(u.Path, "/")+"?"+u.RawQuery, nil)
	if err != nil {
		return nil, err
	}
	view, ok := d.views[u.Path]
	if !ok {
		return nil, fmt.Errorf("page %q is not live", u.Path)
	}
	p := view(r)
	if p.status != http.StatusOK {
		return nil, errGone
	}
	return collect(ctx, p.body)
}

// ServeHTTP answers a request.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.guarded.ServeHTTP(w, r) }

// EndStreams ends the streams that keep pages fresh, and begins no more. A
// server that shuts down would wait for them: call it from
// http.Server.RegisterOnShutdown. It may be called more than once.
func (d *Dashboard) EndStreams() { d.hub.stop() }

// Close ends what the pages have running and waits for it. It may be called
// twice. No request may come after it. View, Client and Bus are the caller's.
func (d *Dashboard) Close() error {
	d.hub.stop()
	d.activity.stop()
	return d.drawings.close()
}

// route finds the handler, and answers with a page of its own where there is
// none.
func (d *Dashboard) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := d.mux.Handler(r); pattern != "" {
		d.mux.ServeHTTP(w, r)
		return
	}
	if takes := d.methods(r); len(takes) > 0 {
		allowed := strings.Join(takes, ", ")
		w.Header().Set("Allow", allowed)
		d.show(w, r, d.problem(r, http.StatusMethodNotAllowed, r.Method+" is not allowed here", "This address takes "+allowed+" only."))
		return
	}
	d.show(w, r, d.problem(r, http.StatusNotFound, "No page "+r.URL.Path, "The pages begin at the overview."))
}

// routeOf names the route of a request for the metrics, and says whether it is a
// stream.
func (d *Dashboard) routeOf(r *http.Request) (route string, stream bool) {
	_, pattern := d.mux.Handler(r)
	if pattern == "" {
		return "other", false
	}
	_, route, _ = strings.Cut(pattern, " ")
	return strings.TrimSuffix(route, "{$}"), route == livePath
}

// methods are those that the address of a request takes, none where there is
// nothing.
func (d *Dashboard) methods(r *http.Request) (takes []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := d.mux.Handler(other); pattern != "" {
			takes = append(takes, method)
		}
	}
	return takes
}

// healthz says whether the mesh can be reached.
func (d *Dashboard) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !d.config.Bus.Connected() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("not connected to the mesh\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// asset serves an embedded file. Its content only changes with the binary, so
// browsers ask again but need not load it again.
func (d *Dashboard) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if _, err := assets.ReadFile("assets/" + name); err != nil {
		d.show(w, r, d.problem(r, http.StatusNotFound, "No file "+name, ""))
		return
	}
	w.Header().Set("Cache-Control", "max-age=600")
	http.ServeFileFS(w, r, assets, "assets/"+name)
}

// redirect leads to another page. The address is relative: the prefix under
// which the pages are mounted is not known here.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
