package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// bridge has a bridge tell of itself, and waits until the view knows it.
func (w *world) bridge(s *mesh.BridgeStatus) {
	w.t.Helper()
	s.Timestamp = time.Now().UnixMilli()
	if err := w.bus.TellBridge(s); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the bridge is known", func() (known bool) {
		w.view.Read(func(d *mesh.Directory) {
			for _, b := range d.Bridges(time.Now()) {
				known = known || b.ID == s.ID
			}
		})
		return known
	})
}

// A source is a runtime behind a bridge that has no instances.
type source struct{}

func (source) Seq() uint64                                     { return 0 }
func (source) Changed(mesh.Ranges, int) ([]mesh.Changed, bool) { return nil, false }
func (source) Look([]string) []mesh.Found                      { return nil }
func (source) Shards() int                                     { return 1 }
func (source) Piece(int, int, int) mesh.Piece                  { return mesh.Piece{Next: -1} }

// TestBridges has two bridges to one broker and one to another: all are listed,
// and the metrics sum them up by broker. A runtime behind one is followed.
func TestBridges(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.want(200, "GET /api/bridges", nil); string(got.raw) != "{\"bridges\":[]}\n" && string(got.raw) != `{"bridges":[]}` {
		t.Errorf("without bridges: %s", got.raw)
	}
	guest, err := w.bus.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "r-node", Component: "Orders", Name: "node"}, Announce: mesh.Announce{Followed: true}, Source: source{}, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	row := func() map[string]any {
		for _, r := range w.want(200, "GET /api/runtimes", nil).body["runtimes"].([]any) {
			if r := r.(map[string]any); r["runtimeId"] == "r-node" {
				return r
			}
		}
		return nil
	}
	eventually(t, "the guest is followed", func() bool { r := row(); return r != nil && r["followed"] == true })
	const redis, rabbit = "redis://***@redis:6379", "amqp://***@rabbit:5672"
	w.bridge(&mesh.BridgeStatus{ID: "b-1", Broker: redis, Host: "h1", Active: true, Behind: 1, Mirrored: 2, Queued: 3, Counters: map[string]uint64{"received": 12, "losses": 1}, Followed: []mesh.Followed{{RuntimeID: "r-node", AsOf: 1795442574738}}})
	w.bridge(&mesh.BridgeStatus{ID: "b-2", Broker: redis, Host: "h2", Counters: map[string]uint64{"received": 5}})
	w.bridge(&mesh.BridgeStatus{ID: "b-3", Broker: rabbit})
	list := w.want(200, "GET /api/bridges", nil).body["bridges"].([]any)
	if len(list) != 3 {
		t.Fatalf("listed: %v", list)
	}
	first, second := list[0].(map[string]any), list[1].(map[string]any)
	if first["broker"] != redis || first["status"] != "active" || first["host"] != "h1" || fmt.Sprintf("%v %v", first["queued"], first["counters"]) != "3 map[losses:1 received:12]" || second["status"] != "standby" {
		t.Errorf("listed: %v", list)
	}
	if r := row(); fmt.Sprint(r["asOf"]) != "1795442574738" {
		t.Errorf("the followed runtime: %v", r)
	}
	text := string(w.want(200, "GET /metrics", nil).raw)
	for _, want := range []string{
		`fsmesh_bridges{broker="` + redis + `",status="active"} 1`, `fsmesh_bridges{broker="` + redis + `",status="standby"} 1`,
		`fsmesh_bridges{broker="` + rabbit + `",status="active"} 0`, `fsmesh_bridge_queued{broker="` + redis + `"} 3`,
		`fsmesh_bridge_runtimes{broker="` + redis + `",side="behind"} 1`, `fsmesh_bridge_runtimes{broker="` + redis + `",side="mirrored"} 2`,
		`fsmesh_bridge_events_total{broker="` + redis + `",counter="received"} 17`, `fsmesh_bridge_events_total{broker="` + redis + `",counter="losses"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
}
