package api

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// Commands are what acts on the mesh. *mesh.Client has them.
type Commands interface {
	Send(ctx context.Context, t mesh.Target, ev fsm.Event, o mesh.SendOptions) (*mesh.Outcome, error)
	Create(ctx context.Context, component, machine string, data map[string]any, o mesh.CreateOptions) (*mesh.Outcome, error)
	Broadcast(ctx context.Context, component, machine, state string, ev fsm.Event, eventID string) (int, error)
	Get(ctx context.Context, t mesh.Target) (*mesh.Outcome, error)
	History(ctx context.Context, t mesh.Target, after uint64, limit int) (*mesh.Outcome, error)
	StateAt(ctx context.Context, t mesh.Target, m mesh.Moment) (*fsm.Past, error)
	Causes(ctx context.Context, id fsm.RecordID) ([]*fsm.Record, error)
	Caused(ctx context.Context, id fsm.RecordID, o fsm.CausedOptions) (*fsm.CausedNode, error)
	Search(ctx context.Context, s fsm.Search, limit int) iter.Seq2[mesh.Instance, error]
	Correlated(ctx context.Context, value string, limit int) iter.Seq2[mesh.Instance, error]
	DeadLetters(ctx context.Context, component string) ([]mesh.DeadLetter, error)
	Resend(ctx context.Context, d mesh.DeadLetter) error
}

// A View is what shows the mesh. *mesh.View is one.
type View interface {
	Read(func(*mesh.Directory))
	Await(ctx context.Context, runtimeID string, seq uint64) error
	Invalid() uint64
	Dropped() uint64
}

// Notices are told as things happen. *mesh.Bus has them.
type Notices interface {
	Notices(ctx context.Context, component string) (iter.Seq2[mesh.Told, error], error)
}

var (
	_ Commands = (*mesh.Client)(nil)
	_ View     = (*mesh.View)(nil)
	_ Notices  = (*mesh.Bus)(nil)
)

// Config is what an API is made from. Commands and View are required.
type Config struct {
	Commands Commands
	View     View
	// Notices is what /api/stream tells of. Defaults to none: there is no such
	// address then.
	Notices Notices
	// Ready tells /readyz whether this process can do its work. Defaults to
	// always.
	Ready func() Readiness
	// Alive tells /healthz whether the process does what it is for. Defaults to
	// always: a start that takes long is told by Ready.
	Alive func() bool
	// Runtimes tells /metrics how the runtimes in this process are. Defaults to
	// none.
	Runtimes func() []RuntimeStatus
	// Metrics are counted into and shown at /metrics. Give the one that the pages
	// and the client have. Defaults to one that nobody else has.
	Metrics *Metrics
	// Collectors are shown at /metrics besides the API's own.
	Collectors []prometheus.Collector
	// Health is what /health says of where instances are kept.
	Health Health
	// Version is that of the program, for the OpenAPI document. Defaults to
	// "dev".
	Version string
	// MaxBody bounds the body of a request, in bytes. Defaults to 1 MiB, twice
	// what an instance's data may take by default.
	MaxBody int64
	// ShownWithin is how long a command's answer waits for the view to show
	// what it did. Defaults to 1 s.
	ShownWithin time.Duration
	// Streams bounds those who read /api/stream at a time; others are told to
	// come back. Defaults to 1,000.
	Streams int
	// Remembered bounds the notices that are kept for those who come back to
	// /api/stream. Defaults to 8,192, and they take 32 MiB at most.
	Remembered int
	// KeepAlive is how often a stream without notices says that it is alive.
	// Defaults to 15 s.
	KeepAlive time.Duration
	// WriteTimeout is how long a reader of a stream or a history may take for
	// one piece of it before it is dropped. Defaults to 30 s.
	WriteTimeout time.Duration
	// Logger defaults to slog.Default(). No payloads and contexts go there.
	Logger *slog.Logger
}

// Health is the part of /health that the API does not know by itself.
type Health struct {
	// Mode defaults to "distributed".
	Mode string
	// Broker is the URL of the mesh, without credentials. Defaults to "memory".
	Broker string
	// Database is the kind of store ("jetstream"). Defaults to none.
	Database string
}

// Readiness says whether a process can do its work.
type Readiness struct {
	Ready bool
	// Reason says why not, in words.
	Reason string
	// Done and Total are how far it has got with becoming ready. Total is 0
	// where that is not known.
	Done, Total uint64
}

// A RuntimeStatus is how a runtime of this process is.
type RuntimeStatus struct {
	Name string
	// Phase is one word: "running".
	Phase string
	// Instances and Records are how many its log has given back.
	Instances, Records uint64
	// Quarantined is the number of instances that cannot be advanced.
	Quarantined int
	// Counts are what it has done since it was made.
	Counts fsm.Counts
}

// An API is an http.Handler for /api, /health, /healthz, /readyz and /metrics.
// It is used by many goroutines. It mounts below a prefix behind
// http.StripPrefix.
type API struct {
	c           Config
	table       []operation
	mux         *http.ServeMux
	document    []byte
	scrape      http.Handler // of /metrics
	hub         *hub         // nil without Notices
	definitions definitions
}

// New returns an API. It follows the notices until Close. It fails if something
// required is missing, or the notices cannot be subscribed to; ctx bounds that
// only.
func New(ctx context.Context, c Config) (*API, error) {
	var errs []error
	if c.Commands == nil {
		errs = append(errs, errors.New("api.Config.Commands is not set: give a mesh.Client"))
	}
	if c.View == nil {
		errs = append(errs, errors.New("api.Config.View is not set: give a mesh.View"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.setDefaults()
	a := &API{c: c}
	if c.Notices != nil {
		h, err := newHub(ctx, c.Notices, c.Remembered)
		if err != nil {
			return nil, err
		}
		a.hub = h
	}
	a.scrape = a.metricsHandler()
	a.table = a.operations()
	a.document = a.openAPI()
	a.route()
	return a, nil
}

func (c *Config) setDefaults() {
	if c.Ready == nil {
		c.Ready = func() Readiness { return Readiness{Ready: true} }
	}
	if c.Alive == nil {
		c.Alive = func() bool { return true }
	}
	if c.Health.Mode == "" {
		c.Health.Mode = "distributed"
	}
	if c.Health.Broker == "" {
		c.Health.Broker = "memory"
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 1 << 20
	}
	if c.ShownWithin <= 0 {
		c.ShownWithin = time.Second
	}
	if c.Streams <= 0 {
		c.Streams = 1000
	}
	if c.Remembered <= 0 {
		c.Remembered = 8192
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = 15 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// Close ends what the API has running, streams too, and waits for it. It may be
// called more than once.
func (a *API) Close() error {
	a.EndStreams()
	return nil
}

// EndStreams ends the streams of notices, as Close does. It fits
// http.Server.RegisterOnShutdown: a server that shuts down would wait for them.
func (a *API) EndStreams() {
	if a.hub != nil {
		a.hub.close()
	}
}

// Paths are where an API belongs in a mux that has other handlers besides; the
// ones that end in a slash stand for all below them.
func Paths() []string { return []string{"/api/", "/health", "/healthz", "/readyz", "/metrics"} }

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }
