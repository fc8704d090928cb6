package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What /metrics says of a server that runs are the numbers of what was done to it:
// by pages and by the API, in the runtime, in its store, and on the way between
// them.
func TestMetricsCountWhatWasDone(t *testing.T) {
	t.Parallel()
	p := startProgram(t, nil, "serve", "testdata/order.yaml", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	api := strings.TrimSuffix(p.address, "/")
	status, created := answerOf(t, "POST", api+"/api/components/Orders/instances", `{"machineName": "Order", "context": {"amount": 5, "customer": "Bob"}}`)
	id := regexp.MustCompile(`"instanceId":"([^"]+)"`).FindStringSubmatch(created)
	if status != http.StatusOK || id == nil {
		t.Fatalf("create: %d %s", status, created)
	}
	before := scrape(t, api)
	for event, want := range map[string]int{"SUBMIT": http.StatusOK, "NOPE": http.StatusConflict} {
		if status, text := answerOf(t, "POST", api+"/api/instances/"+id[1]+"/events", fmt.Sprintf(`{"event": %q}`, event)); status != want {
			t.Fatalf("%s: %d %s", event, status, text)
		}
	}
	for range 3 {
		get(t, api+"/instances?machine=Order", http.StatusOK)
	}
	get(t, api+"/instance?id="+id[1], http.StatusOK)
	get(t, api+"/nowhere/"+id[1], http.StatusNotFound)
	after := scrape(t, api)
	for name, want := range map[string]float64{
		`fsmesh_http_requests_total{method="GET",path="/instances",status="200"}`:                            3,
		`fsmesh_http_requests_total{method="GET",path="/instance",status="200"}`:                             1,
		`fsmesh_http_requests_total{method="GET",path="other",status="404"}`:                                 1,
		`fsmesh_http_requests_total{method="POST",path="/api/instances/{instance}/events",status="409"}`:     1,
		`fsmesh_http_request_duration_seconds_count{path="/instances"}`:                                      3,
		`fsmesh_mesh_call_duration_seconds_count{call="send",outcome="ok"}`:                                  1,
		`fsmesh_mesh_call_duration_seconds_count{call="send",outcome="refused"}`:                             1,
		`fsmesh_runtime_events_total{component="Orders",machine="Order",outcome="applied",runtime="Orders"}`: 1,
		`fsmesh_runtime_events_total{component="Orders",machine="Order",outcome="ignored",runtime="Orders"}`: 1,
		`fsmesh_runtime_events_total{component="Orders",machine="Order",outcome="failed",runtime="Orders"}`:  0,
		`fsmesh_runtime_commits_total{outcome="ok",runtime="Orders"}`:                                        1,
		`fsmesh_runtime_commit_duration_seconds_count{runtime="Orders"}`:                                     1,
		`fsmesh_runtime_instances_created_total{component="Orders",machine="Order",runtime="Orders"}`:        0,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s grew by %v, want %v", name, got, want)
		}
	}
	if n := after[`fsmesh_runtime_instances_created_total{component="Orders",machine="Order",runtime="Orders"}`]; n != 1 {
		t.Errorf("%v instances were created, want 1", n)
	}
	for name := range after {
		if strings.Contains(name, id[1]) {
			t.Errorf("the id of an instance is in %s", name)
		}
	}
}

// scrape reads the values at /metrics, by name and labels.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+(?:\{.*\})?) (\S+)$`).FindAllStringSubmatch(get(t, address+"/metrics", http.StatusOK), -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		values[m[1]] = v
	}
	return values
}
