package api

import (
	"strings"
	"testing"
)

func TestHealthAndReadiness(t *testing.T) {
	state := Readiness{Reason: "another process has the log of Orders", Done: 3, Total: 10}
	w := newWorld(t, func(c *Config) {
		c.Ready = func() Readiness { return state }
		c.Health = Health{Database: "jetstream", Broker: "nats://***@host:4222"}
		c.Runtimes = func() []RuntimeStatus { return []RuntimeStatus{{Name: "Orders", Phase: "standing by", Records: 7}} }
	})
	r := w.want(503, "GET /readyz", nil)
	if r.body["ready"] != false || r.body["reason"] != state.Reason || r.header.Get("Retry-After") == "" || string(r.raw) == "" || !strings.Contains(string(r.raw), `"total":10`) {
		t.Errorf("not ready: %s", r.raw)
	}
	if r := w.want(200, "GET /healthz", nil); r.body["status"] != "ok" {
		t.Errorf("alive: %s", r.raw)
	}
	if r := w.want(200, "GET /health", nil); r.body["status"] != "starting" || r.body["databaseType"] != "jetstream" || r.body["database"] != true || len(r.body["components"].([]any)) != 2 {
		t.Errorf("health: %s", r.raw)
	}
	metrics := string(w.want(200, "GET /metrics", nil).raw)
	for _, want := range []string{`fsmesh_runtime_phase{phase="standing by",runtime="Orders"} 1`, `fsmesh_ready 0`, `fsmesh_runtime_restored_records{runtime="Orders"} 7`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	state = Readiness{Ready: true}
	if r := w.want(200, "GET /readyz", nil); r.body["ready"] != true {
		t.Errorf("ready: %s", r.raw)
	}
}

// A busyView had to leave messages out.
type busyView struct{ View }

func (busyView) Dropped() uint64 { return 17 }

func TestMetricsTellWhatWasDropped(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.View = busyView{c.View} })
	if text := string(w.want(200, "GET /metrics", nil).raw); !strings.Contains(text, "\nfsmesh_mesh_dropped_total 17\n") {
		t.Error("the metrics do not tell what was dropped")
	}
}

// The numbers are those of what was done; paths are those of the table, so that
// ids make no labels.
func TestMetrics(t *testing.T) {
	w := newWorld(t, nil)
	id := w.order(map[string]any{"orderId": "A", "amount": 1})
	for range 3 {
		w.want(200, "GET /api/instances/"+id, nil)
	}
	w.refused(404, CodeNoRoute, "GET /nope/"+id, nil)
	w.refused(405, CodeBadMethod, "FANCY /api/instances", nil)
	text := string(w.want(200, "GET /metrics", nil).raw)
	for _, want := range []string{
		`fsmesh_http_requests_total{method="GET",path="/api/instances/{instance}",status="200"} 3`,
		`fsmesh_http_requests_total{method="POST",path="/api/components/{component}/instances",status="200"} 1`,
		`fsmesh_http_requests_total{method="GET",path="other",status="404"} 1`,
		`fsmesh_http_requests_total{method="other",path="/api/instances",status="405"} 1`,
		`fsmesh_http_request_duration_seconds_count{path="/api/instances/{instance}"} 3`,
		`fsmesh_instances{component="Orders",kind="active",machine="Order",state="Draft"} 1`,
		`fsmesh_mesh_runtimes{component="Billing",status="live"} 1`,
		`fsmesh_mesh_notices_total 1`, `fsmesh_ready 1`, `fsmesh_mesh_notices_missing 0`, `go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	if strings.Contains(text, id) {
		t.Error("an id became a label")
	}
}
