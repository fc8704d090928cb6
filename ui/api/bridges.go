package api

import (
	"net/http"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// A bridgeRow is a bridge of the mesh to a broker, as /api/bridges shows it.
type bridgeRow struct {
	ID string `json:"id"`
	// Broker is its URL without user and password.
	Broker string `json:"broker"`
	Host   string `json:"host"`
	// Status is active, standby, or silent where it was not heard of lately.
	Status string `json:"status"`
	// Behind is how many runtimes there are on the broker, Mirrored how many of
	// the mesh are shown there, Queued how many messages wait to be published.
	Behind   int               `json:"behind"`
	Mirrored int               `json:"mirrored"`
	Queued   int               `json:"queued"`
	Since    int64             `json:"since"`    // Unix ms; when it was first heard
	LastSeen int64             `json:"lastSeen"` // Unix ms
	Counters map[string]uint64 `json:"counters"`
}

// bridgeStatus is how it stands with a bridge, in a word.
func bridgeStatus(b *mesh.BridgeInfo) string {
	switch {
	case b.Silent:
		return "silent"
	case b.Active:
		return "active"
	}
	return "standby"
}

func (a *API) bridges() (list []mesh.BridgeInfo) {
	a.c.View.Read(func(d *mesh.Directory) { list = d.Bridges(time.Now()) })
	return list
}

func (a *API) getBridges(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	rows := []bridgeRow{}
	for _, b := range a.bridges() {
		row := bridgeRow{
			ID: b.ID, Broker: b.Broker, Host: b.Host, Status: bridgeStatus(&b), Behind: b.Behind, Mirrored: b.Mirrored, Queued: b.Queued,
			Since: b.First.UnixMilli(), LastSeen: b.Heard.UnixMilli(), Counters: b.Counters,
		}
		if row.Counters == nil {
			row.Counters = map[string]uint64{}
		}
		rows = append(rows, row)
	}
	return answer(w, map[string]any{"bridges": rows})
}

var (
	descBridges        = description("bridges", "Bridges that the view knows, by broker and status: active, standby, silent.", "broker", "status")
	descBridgeRuntimes = description("bridge_runtimes", "Runtimes behind bridges (on the broker), and mirrored by them (of the mesh).", "broker", "side")
	descBridgeQueued   = description("bridge_queued", "Messages that wait to be published to the broker.", "broker")
	descBridgeCounters = description("bridge_events_total", "What bridges to the broker have counted since they started, by the name of the counter in docs/bridges.md.", "broker", "counter")
)

// collectBridges sums up by broker: ids are no labels, and of the bridges to one
// broker one is active.
func (a *API) collectBridges(gauge, counter metric) {
	type sum struct {
		status                   map[string]int
		behind, mirrored, queued int
		counters                 map[string]uint64
	}
	sums := map[string]*sum{}
	for _, b := range a.bridges() {
		s := sums[b.Broker]
		if s == nil {
			s = &sum{status: map[string]int{"active": 0, "standby": 0, "silent": 0}, counters: map[string]uint64{}}
			sums[b.Broker] = s
		}
		s.status[bridgeStatus(&b)]++
		s.behind, s.mirrored, s.queued = s.behind+b.Behind, s.mirrored+b.Mirrored, s.queued+b.Queued
		for name, n := range b.Counters {
			s.counters[name] += n
		}
	}
	for broker, s := range sums {
		broker = text(broker)
		for status, n := range s.status {
			gauge(descBridges, float64(n), broker, status)
		}
		gauge(descBridgeRuntimes, float64(s.behind), broker, "behind")
		gauge(descBridgeRuntimes, float64(s.mirrored), broker, "mirrored")
		gauge(descBridgeQueued, float64(s.queued), broker)
		for name, n := range s.counters {
			counter(descBridgeCounters, float64(n), broker, text(name))
		}
	}
}
