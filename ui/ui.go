package ui

import (
	"context"
	"embed"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
)

// A Runtime is what the pages need of a runtime. *fsm.Runtime has it.
type Runtime interface {
	Name() string
	Components() []*fsm.Component
	Population(component, machine string) (map[string]int, error)
	Instances(f fsm.Filter) iter.Seq[*fsm.Instance]
	Get(id string) (*fsm.Instance, error)
	History(ctx context.Context, id string) iter.Seq2[*fsm.Record, error]
	Watch(ctx context.Context, o fsm.WatchOptions) iter.Seq2[fsm.Notice, error]
	Send(ctx context.Context, id string, ev fsm.Event, opts ...fsm.SendOption) (fsm.Result, error)
	Create(ctx context.Context, machine string, data map[string]any, opts ...fsm.CreateOption) (*fsm.Instance, error)
	Done() <-chan struct{}
}

var _ Runtime = (*fsm.Runtime)(nil)

// Config is what a Dashboard is made from. Only Runtime is required.
type Config struct {
	// Runtime is shown and acted on. It must be running.
	Runtime Runtime
	// CheckHost refuses requests whose Host header names neither this machine
	// (localhost, a loopback address) nor one of Hosts. It keeps web pages
	// that rebind their name to a loopback address from using the browser of
	// whoever runs the program. Defaults to no check.
	CheckHost bool
	// Hosts are names and addresses that CheckHost allows besides, without a
	// port.
	Hosts []string
	// Version is shown at the foot of pages. Defaults to nothing.
	Version string
	// Now tells the time. Defaults to time.Now.
	Now func() time.Time
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// A Dashboard is the pages of one runtime. It is used by many goroutines.
type Dashboard struct {
	config   Config
	mux      *http.ServeMux
	guarded  http.Handler
	layouts  *diagram.Layouter
	activity *activity
	machines map[[2]string]*fsm.Machine
}

//go:embed assets
var assets embed.FS

// New returns the pages of a runtime. They watch it until Close.
func New(c Config) (*Dashboard, error) {
	if c.Runtime == nil {
		return nil, errors.New("ui.Config.Runtime is not set: there is nothing to show")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	d := &Dashboard{
		config: c, mux: http.NewServeMux(), layouts: diagram.New(),
		activity: watch(c.Runtime, c.Now), machines: map[[2]string]*fsm.Machine{},
	}
	for _, comp := range c.Runtime.Components() {
		for i := range comp.StateMachines {
			m := &comp.StateMachines[i]
			d.machines[[2]string{comp.Name, m.Name}] = m
		}
	}
	d.routes()
	d.guarded = d.guard(http.HandlerFunc(d.route))
	return d, nil
}

func (d *Dashboard) routes() {
	d.mux.HandleFunc("GET /{$}", d.overview)
	d.mux.HandleFunc("GET /machine", d.machine)
	d.mux.HandleFunc("GET /instances", d.instances)
	d.mux.HandleFunc("GET /instance", d.instance)
	d.mux.HandleFunc("POST /instance", d.send)
	d.mux.HandleFunc("GET /create", d.createForm)
	d.mux.HandleFunc("POST /create", d.create)
	d.mux.HandleFunc("GET /assets/{file}", d.asset)
	d.mux.HandleFunc("GET /healthz", d.healthz)
	// The ancestor's first page.
	d.mux.HandleFunc("GET /dashboard.html", func(w http.ResponseWriter, _ *http.Request) { redirect(w, "./") })
}

// ServeHTTP answers a request.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.guarded.ServeHTTP(w, r) }

// Close ends what the pages have running and waits for it. It may be called
// twice. No request may come after it.
func (d *Dashboard) Close() error {
	d.activity.stop()
	return d.layouts.Close()
}

// route finds the handler, and answers with a page of its own where there is
// none.
func (d *Dashboard) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := d.mux.Handler(r); pattern != "" {
		d.mux.ServeHTTP(w, r)
		return
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := d.mux.Handler(other); pattern != "" {
			w.Header().Set("Allow", method)
			d.problem(w, r, http.StatusMethodNotAllowed, r.Method+" is not allowed here", "This address takes "+method+" only.")
			return
		}
	}
	d.problem(w, r, http.StatusNotFound, "No page "+r.URL.Path, "The pages begin at the overview.")
}

// healthz says whether the runtime runs.
func (d *Dashboard) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	select {
	case <-d.config.Runtime.Done():
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("the runtime has stopped\n"))
	default:
		_, _ = w.Write([]byte("ok\n"))
	}
}

// asset serves an embedded file. Its content only changes with the binary, so
// browsers ask again but need not load it again.
func (d *Dashboard) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if _, err := assets.ReadFile("assets/" + name); err != nil {
		d.problem(w, r, http.StatusNotFound, "No file "+name, "")
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
