package mesh

import (
	"slices"
	"time"
)

// A BridgeStatus is what a bridge between the mesh and another system says of
// itself every second, for whoever shows the mesh. It changes no instance.
type BridgeStatus struct {
	// ID is new at every start of the bridge.
	ID string `json:"id"`
	// Broker says where the bridge leads to: a URL without secrets.
	Broker string `json:"broker"`
	// Process is that of the runtimes beside it, Host where it runs; both may
	// be empty.
	Process string `json:"process,omitempty"`
	Host    string `json:"host,omitempty"`
	// Active is false on stand-by.
	Active bool `json:"active"`
	// Behind is how many runtimes it speaks for on the mesh, Mirrored how many
	// of the mesh it shows on the other side.
	Behind   int `json:"behind"`
	Mirrored int `json:"mirrored"`
	// Queued is how many messages wait to be published.
	Queued int `json:"queued"`
	// Counters are by name, since its start.
	Counters map[string]uint64 `json:"counters,omitempty"`
	// Followed are the runtimes behind it that do not number what they tell.
	Followed []Followed `json:"followed,omitempty"`
	// Left says that the bridge has ended.
	Left      bool  `json:"left,omitempty"`
	Timestamp int64 `json:"timestamp"`
}

// Followed is a runtime whose instances are known as of its last answer.
type Followed struct {
	RuntimeID string `json:"runtimeId"`
	// AsOf is when it answered last, Unix ms; 0 if it has not yet.
	AsOf int64 `json:"asOf,omitempty"`
}

func (*BridgeStatus) message() {}

// A BridgeInfo is a bridge as a directory knows it. Followed is nil: the
// runtimes have it, in RuntimeInfo.AsOf.
type BridgeInfo struct {
	BridgeStatus
	First time.Time // heard of
	Heard time.Time // last heard
	// Silent says that nothing was heard of it for three seconds. One that is
	// silent for a minute is forgotten.
	Silent bool
}

const (
	// maxBridges bounds the bridges that a directory knows, maxCounters and
	// maxFollowed what one may tell.
	maxBridges  = 1000
	maxCounters = 200
	maxFollowed = 10_000
)

func (s *BridgeStatus) good() bool {
	if !goodName(s.ID) || !goodText(s.Broker) || !goodText(s.Process) || !goodText(s.Host) ||
		len(s.Counters) > maxCounters || len(s.Followed) > maxFollowed || min(s.Behind, s.Mirrored, s.Queued) < 0 {
		return false
	}
	for name := range s.Counters {
		if !goodName(name) {
			return false
		}
	}
	return true
}

// bridge takes in what a bridge says of itself, and of the runtimes that are
// announced as followed.
func (d *Directory) bridge(s *BridgeStatus) {
	if !s.good() {
		d.counts.Invalid++
		return
	}
	for _, f := range s.Followed {
		if m := d.byID[f.RuntimeID]; m != nil && m.followed && f.AsOf > 0 {
			m.asOf = time.UnixMilli(f.AsOf)
		}
	}
	told := *s
	told.Followed = nil // the runtimes have it
	i := slices.IndexFunc(d.bridges, func(b *BridgeInfo) bool { return b.ID == s.ID })
	switch {
	case s.Left:
		if i >= 0 {
			d.bridges = slices.Delete(d.bridges, i, i+1)
		}
	case i >= 0:
		d.bridges[i] = &BridgeInfo{BridgeStatus: told, First: d.bridges[i].First, Heard: d.now}
	case len(d.bridges) >= maxBridges:
		d.counts.Refused++
		return
	default:
		d.bridges = append(d.bridges, &BridgeInfo{BridgeStatus: told, First: d.now, Heard: d.now})
	}
	d.changes++
}

// expireBridges forgets bridges that are silent for long.
func (d *Directory) expireBridges() {
	n := len(d.bridges)
	d.bridges = slices.DeleteFunc(d.bridges, func(b *BridgeInfo) bool { return d.now.Sub(b.Heard) > lostAfter })
	if len(d.bridges) != n {
		d.changes++
	}
}

// Bridges returns the bridges between the mesh and other systems, in the order in
// which they were first heard.
func (d *Directory) Bridges(now time.Time) []BridgeInfo {
	out := make([]BridgeInfo, len(d.bridges))
	for i, b := range d.bridges {
		out[i] = *b
		out[i].Silent = now.Sub(b.Heard) > tellWithin
	}
	return out
}
