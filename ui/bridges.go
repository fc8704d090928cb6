package ui

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// A bridgeView is a bridge of the mesh to a broker.
type bridgeView struct {
	broker, host, id          string
	status                    string // a word
	kind                      string // ok or warn
	since                     time.Time
	sinceFor                  string
	heard                     time.Time
	heardFor                  string
	behind, mirrored, waiting int
	counters                  []counterView // those that are not 0
}

type counterView struct {
	name  string // in words
	n     int
	wrong bool // something was lost or could not be used
}

func bridgesOf(list []mesh.BridgeInfo, now time.Time) []bridgeView {
	var out []bridgeView
	for _, b := range list {
		v := bridgeView{
			broker: b.Broker, host: b.Host, id: b.ID, status: "stands by", kind: "ok",
			since: b.First, sinceFor: ago(now, b.First), heard: b.Heard, heardFor: heardText(now.Sub(b.Heard)),
			behind: b.Behind, mirrored: b.Mirrored, waiting: b.Queued,
		}
		switch {
		case b.Silent:
			v.status, v.kind = "silent", "warn"
		case b.Active:
			v.status = "active"
		}
		for _, name := range slices.Sorted(maps.Keys(b.Counters)) {
			if n := b.Counters[name]; n > 0 {
				v.counters = append(v.counters, counterView{strings.ReplaceAll(name, "_", " "), int(min(n, 1<<53)), isLoss(name)})
			}
		}
		out = append(out, v)
	}
	return out
}

// isLoss reports whether a counter tells of what was lost or could not be used,
// by its name. What came back or came twice is as it should be.
func isLoss(name string) bool {
	switch name {
	case "dropped_own", "dropped_copies", "dropped_doubled":
		return false
	case "losses", "gaps", "mesh_lagged", "broker_overflows", "broker_dead_letters", "broker_nacked":
		return true
	}
	return strings.HasPrefix(name, "dropped_")
}
