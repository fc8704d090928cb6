package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// Metrics count and time what a process serves, and what it asks of the mesh.
// Give one to api.Config, to ui.Config, its Called to mesh.ClientOptions and its
// Refused to access.Config, and /metrics shows them together. It is used by many goroutines.
type Metrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	calls    *prometheus.HistogramVec
	refused  *prometheus.CounterVec
}

// durations are the bounds of histograms, in seconds: from what a call inside a
// process takes to what a client waits for an answer.
var durations = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// NewMetrics returns metrics that have counted nothing.
func NewMetrics() *Metrics {
	return &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fsmesh_http_requests_total", Help: "Requests that were answered, by route, method and status.",
		}, []string{"path", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fsmesh_http_request_duration_seconds", Help: "Time from a request to the end of its answer.", Buckets: durations,
		}, []string{"path"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fsmesh_mesh_call_duration_seconds", Help: "Time from a call to the mesh to its answer, by call and outcome: ok, refused, failed.", Buckets: durations,
		}, []string{"call", "outcome"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fsmesh_http_refused_total", Help: "Requests that were refused for who sent them, by reason.",
		}, []string{"reason"}),
	}
}

// Refused counts a request that was refused before it got anywhere: it is what
// access.Config.Refused wants.
func (m *Metrics) Refused(code string) { m.refused.WithLabelValues(code).Inc() }

// Called takes in a call of a mesh.Client: it is what ClientOptions.Observe wants.
func (m *Metrics) Called(call mesh.Call, took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
		if _, says := errors.AsType[*fsm.Error](err); says {
			outcome = "refused"
		}
	}
	m.calls.WithLabelValues(string(call), outcome).Observe(took.Seconds())
}

// Handler counts and times what another one serves. path names the route of a
// request, of which there are to be few: an address that somebody made up is none.
// A stream counts when it ends, and its time
// does not.
func (m *Metrics) Handler(next http.Handler, path func(*http.Request) (route string, stream bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		o := &observed{ResponseWriter: w}
		route, stream := path(r)
		defer func() { m.served(route, stream, r.Method, o.status, time.Since(begin)) }()
		next.ServeHTTP(o, r)
	})
}

func (m *Metrics) served(route string, stream bool, method string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions:
	default:
		method = "other" // anybody can make one up
	}
	if status == 0 {
		status = 499 // whoever asked went away
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if !stream {
		m.latency.WithLabelValues(route).Observe(took.Seconds())
	}
}

// collectors are all that /metrics shows.
func (a *API) collectors() []prometheus.Collector {
	m := a.c.Metrics
	return append([]prometheus.Collector{
		m.requests, m.latency, m.calls, m.refused, &reading{a},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, a.c.Collectors...)
}

// metricsHandler makes /metrics. It has a registry of its own.
func (a *API) metricsHandler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(a.collectors()...)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// A reading collects what the view and the runtimes say when it is asked for.
type reading struct{ a *API }

func description(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fsmesh_"+name, help, labels, nil)
}

var (
	descInstances = description("instances", "Instances that the view knows, by component, machine, state and kind: active, stale, ended, quarantined.", "component", "machine", "state", "kind")
	descRuntimes  = description("mesh_runtimes", "Runtimes that the view knows, by component and status.", "component", "status")
	descInexact   = description("mesh_runtimes_inexact", "Live runtimes of which the view is not exact, by component and reason.", "component", "reason")
	descBehind    = description("mesh_notices_missing", "Notices that the view knows to be missing now.")
	descBytes     = description("mesh_view_bytes", "Estimated memory of the rows of the view.")
	descInvalid   = description("mesh_undecodable_total", "Messages that could not be decoded.")
	descDropped   = description("mesh_dropped_total", "Messages that the view left out since too many waited; what they told was asked for since.")
	descStreams   = description("http_streams", "Open streams of notices.")

	descPhase       = description("runtime_phase", "1 for the phase that a runtime of this process is in.", "runtime", "phase")
	descRestored    = description("runtime_restored_instances", "Instances that the log of a runtime gave back.", "runtime")
	descRecords     = description("runtime_restored_records", "Records that the log of a runtime gave back.", "runtime")
	descQuarantined = description("runtime_quarantined_instances", "Instances of a runtime that cannot be advanced.", "runtime")
	descCreated     = description("runtime_instances_created_total", "Instances that were created, by machine.", "runtime", "component", "machine")
	descEvents      = description("runtime_events_total", "Events that reached an instance, by machine and outcome: applied, ignored, failed.", "runtime", "component", "machine", "outcome")
	descTimers      = description("runtime_timers_fired_total", "Timers whose transition was taken, by machine.", "runtime", "component", "machine")
	descHookErrors  = description("runtime_hook_errors_total", "Errors and panics of hooks, by machine.", "runtime", "component", "machine")
	descCommits     = description("runtime_commits_total", "Batches that the store was given, by outcome: ok, failed.", "runtime", "outcome")
	descCommitTime  = description("runtime_commit_duration_seconds", "Time that the store took for the batches that it stored.", "runtime")
	descReady       = description("ready", "1 if the process can do its work.")
)

// counters are those of the directory, by name.
var counters = []struct {
	desc *prometheus.Desc
	of   func(*mesh.Counters) uint64
}{
	{description("mesh_messages_total", "Messages that the view took in."), func(c *mesh.Counters) uint64 { return c.Messages }},
	{description("mesh_notices_total", "Numbered notices among them."), func(c *mesh.Counters) uint64 { return c.Notices }},
	{description("mesh_old_total", "Notices, rows and ends that were known already."), func(c *mesh.Counters) uint64 { return c.Old }},
	{description("mesh_invalid_total", "Messages with a missing or impossible field."), func(c *mesh.Counters) uint64 { return c.Invalid }},
	{description("mesh_misfit_total", "Messages under an id that belongs to another runtime."), func(c *mesh.Counters) uint64 { return c.Misfit }},
	{description("mesh_unknown_total", "Messages of runtimes that were not introduced."), func(c *mesh.Counters) uint64 { return c.Unknown }},
	{description("mesh_superseded_total", "Messages of runtimes that others took over."), func(c *mesh.Counters) uint64 { return c.Superseded }},
	{description("mesh_ahead_total", "Notices and rows that were numbered too far ahead."), func(c *mesh.Counters) uint64 { return c.Ahead }},
	{description("mesh_late_total", "Replies that nobody waited for any more."), func(c *mesh.Counters) uint64 { return c.Late }},
	{description("mesh_refused_total", "What a limit of the view kept out."), func(c *mesh.Counters) uint64 { return c.Refused }},
	{description("mesh_repairs_total", "Repairs that were asked for."), func(c *mesh.Counters) uint64 { return c.Repairs }},
	{description("mesh_readings_total", "Full readings of a runtime that were begun."), func(c *mesh.Counters) uint64 { return c.Readings }},
	{description("mesh_repeats_total", "Requests that had to be repeated."), func(c *mesh.Counters) uint64 { return c.Repeats }},
	{description("mesh_repair_rows_total", "Rows and ends that repairs brought."), func(c *mesh.Counters) uint64 { return c.RepairRows }},
}

// A metric gives one value to whoever collects.
type metric func(d *prometheus.Desc, value float64, labels ...string)

// Describe implements prometheus.Collector.
func (c *reading) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descInstances, descRuntimes, descInexact, descBehind, descBytes, descInvalid, descDropped, descStreams,
		descPhase, descRestored, descRecords, descQuarantined, descReady,
		descCreated, descEvents, descTimers, descHookErrors, descCommits, descCommitTime,
		descBridges, descBridgeRuntimes, descBridgeQueued, descBridgeCounters,
	} {
		ch <- d
	}
	for _, k := range counters {
		ch <- k.desc
	}
}

// Collect implements prometheus.Collector.
func (c *reading) Collect(ch chan<- prometheus.Metric) {
	var counts mesh.Counters
	var runtimes []mesh.RuntimeInfo
	var components []mesh.ComponentInfo
	c.a.c.View.Read(func(d *mesh.Directory) {
		counts, runtimes, components = d.Counters(), d.Runtimes(time.Now()), d.Components()
	})
	of := func(kind prometheus.ValueType) metric {
		return func(d *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
		}
	}
	gauge := of(prometheus.GaugeValue)
	for _, k := range counters {
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.CounterValue, float64(k.of(&counts)))
	}
	ch <- prometheus.MustNewConstMetric(descInvalid, prometheus.CounterValue, float64(c.a.c.View.Invalid()))
	ch <- prometheus.MustNewConstMetric(descDropped, prometheus.CounterValue, float64(c.a.c.View.Dropped()))
	c.runtimes(runtimes, gauge)
	c.a.collectBridges(gauge, of(prometheus.CounterValue))
	for _, comp := range components {
		for _, m := range comp.Machines {
			for _, s := range m.States {
				gauge(descInstances, float64(s.Count.Active), text(comp.Name), text(m.Name), text(s.Name), "active")
				gauge(descInstances, float64(s.Count.Stale), text(comp.Name), text(m.Name), text(s.Name), "stale")
				gauge(descInstances, float64(s.Count.Ended), text(comp.Name), text(m.Name), text(s.Name), "ended")
				gauge(descInstances, float64(s.Count.Quarantined), text(comp.Name), text(m.Name), text(s.Name), "quarantined")
			}
		}
	}
	if c.a.hub != nil {
		gauge(descStreams, float64(c.a.hub.count()))
	}
	gauge(descReady, one(c.a.c.Ready().Ready))
	if c.a.c.Runtimes == nil {
		return
	}
	for _, r := range c.a.c.Runtimes() {
		gauge(descPhase, 1, text(r.Name), text(r.Phase))
		gauge(descRestored, float64(r.Instances), text(r.Name))
		gauge(descRecords, float64(r.Records), text(r.Name))
		gauge(descQuarantined, float64(r.Quarantined), text(r.Name))
		counted(ch, text(r.Name), &r.Counts, of(prometheus.CounterValue))
	}
}

// counted gives what a runtime has counted.
func counted(ch chan<- prometheus.Metric, runtime string, n *fsm.Counts, counter metric) {
	for i := range n.Machines {
		m := &n.Machines[i]
		of := func(d *prometheus.Desc, n uint64, more ...string) {
			counter(d, float64(n), append([]string{runtime, text(m.Component), text(m.Machine)}, more...)...)
		}
		of(descCreated, m.Created)
		of(descEvents, m.Applied, "applied")
		of(descEvents, m.Ignored, "ignored")
		of(descEvents, m.Failed, "failed")
		of(descTimers, m.Timers)
		of(descHookErrors, m.HookErrors)
	}
	counter(descCommits, float64(n.Commits), runtime, "ok")
	counter(descCommits, float64(n.CommitFailures), runtime, "failed")
	ch <- prometheus.MustNewConstSummary(descCommitTime, n.Commits, n.CommitTime.Seconds(), nil, runtime)
}

func (c *reading) runtimes(infos []mesh.RuntimeInfo, gauge metric) {
	type pair struct{ component, word string }
	statuses, reasons := map[pair]int{}, map[pair]int{}
	var missing uint64
	var bytes int64
	for _, i := range infos {
		statuses[pair{i.Component, string(i.Status)}]++
		if i.Status == mesh.Live && !i.Exactness.Exact {
			reasons[pair{i.Component, string(i.Exactness.Reason)}]++
		}
		missing += i.Exactness.Missing
		bytes += i.Bytes
	}
	for p, n := range statuses {
		gauge(descRuntimes, float64(n), text(p.component), p.word)
	}
	for p, n := range reasons {
		gauge(descInexact, float64(n), text(p.component), p.word)
	}
	gauge(descBehind, float64(missing))
	gauge(descBytes, float64(bytes))
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// text is a name as a label: labels are UTF-8, names from outside need not be.
func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
