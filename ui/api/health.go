package api

import (
	"net/http"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// getHealth is the ancestor's.
func (a *API) getHealth(w http.ResponseWriter, _ *http.Request) error {
	runtimes := 0
	a.c.View.Read(func(d *mesh.Directory) {
		for _, i := range d.Runtimes(time.Now()) {
			if i.Status == mesh.Live {
				runtimes++
			}
		}
	})
	names := []string{}
	for _, c := range a.components() {
		names = append(names, c.name)
	}
	status := "ok"
	if !a.c.Ready().Ready {
		status = "starting"
	}
	return answer(w, map[string]any{
		"status": status, "mode": a.c.Health.Mode, "broker": a.c.Health.Broker, "database": a.c.Health.Database != "",
		"databaseType": orNull(a.c.Health.Database), "connectedRuntimes": runtimes, "components": names,
	})
}

// getHealthz says that the process answers.
func (a *API) getHealthz(w http.ResponseWriter, _ *http.Request) error {
	if !a.c.Alive() {
		return unavailable(w, map[string]any{"status": "starting"})
	}
	return answer(w, map[string]any{"status": "ok"})
}

// getReadyz says whether it can do its work, and if not, why and how far it is.
func (a *API) getReadyz(w http.ResponseWriter, _ *http.Request) error {
	ready := a.c.Ready()
	v := map[string]any{"ready": ready.Ready}
	if ready.Reason != "" {
		v["reason"] = ready.Reason
	}
	if ready.Total > 0 {
		v["done"], v["total"] = ready.Done, ready.Total
	}
	if ready.Ready {
		return answer(w, v)
	}
	return unavailable(w, v)
}

// unavailable is a "not yet".
func unavailable(w http.ResponseWriter, v map[string]any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(b) // who asked may be gone
	return nil
}
