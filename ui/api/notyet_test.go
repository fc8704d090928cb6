package api

import (
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// What is not found while this process has not got that far is not gone: scripts are
// told to come back. Once it is ready it is 404, and what is wrong stays wrong.
func TestNotFoundBeforeReadyIsNotYet(t *testing.T) {
	state := Readiness{Reason: "runtime Orders is restoring"}
	w := newWorld(t, func(c *Config) { c.Ready = func() Readiness { return state } })
	requests := map[string]any{
		"GET /api/instances/none":                nil,
		"POST /api/instances/none/events":        `{"type": "PLACE"}`,
		"GET /api/components/Nobody":             nil,
		"POST /api/components/Nobody/instances":  `{"machineName": "Order"}`,
		"GET /api/components/Orders/diagrams/No": nil,
	}
	for request, body := range requests {
		r := w.refused(503, fsm.CodeNotRunning, request, body)
		if r.header.Get("Retry-After") == "" || !strings.Contains(string(r.raw), state.Reason) {
			t.Errorf("%s: %v %s, want Retry-After and the reason", request, r.header, r.raw)
		}
	}
	w.refused(400, CodeBadParameter, "GET /api/instances?order=none", nil)
	state = Readiness{Ready: true}
	for request, body := range requests {
		if r := w.want(404, request, body); r.header.Get("Retry-After") != "" {
			t.Errorf("%s: Retry-After %s", request, r.header.Get("Retry-After"))
		}
	}
}
