package bridgetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

// visible: who looks at the mesh from elsewhere sees the bridges, which of them is
// active, and what they count; and of a runtime without numbers as of when its
// instances are.
func (c Case) visible(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	conf.Host, conf.Requery = "here", 500*time.Millisecond
	first := active(t, start(t, conf))
	second := start(t, conf)
	v := watch(t, a)
	p := c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.serve(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	bridges := func() (active, standby []mesh.BridgeInfo) {
		v.Read(func(d *mesh.Directory) {
			for _, b := range d.Bridges(time.Now()) {
				if b.Active {
					active = append(active, b)
				} else {
					standby = append(standby, b)
				}
			}
		})
		return active, standby
	}
	var asOf time.Time
	eventually(t, func() string {
		on, off := bridges()
		if len(on) != 1 || len(off) != 1 {
			return fmt.Sprintf("%d active and %d waiting bridges are seen, want one each", len(on), len(off))
		}
		b := on[0]
		if b.ID != first.Status().ID || b.Broker != redact.URL(c.Server.URL) || b.Host != "here" || b.Behind != 1 || b.Silent {
			return fmt.Sprintf("seen %+v", b)
		}
		if b.Counters["told"] == 0 || b.Counters["received"] == 0 {
			return fmt.Sprintf("its counters are seen as %v", b.Counters)
		}
		var info mesh.RuntimeInfo
		v.Read(func(d *mesh.Directory) { info, _ = d.Runtime(r.id, time.Now()) })
		if asOf = info.AsOf; !info.Followed || asOf.IsZero() {
			return fmt.Sprintf("the runtime is seen as followed %v, as of %v", info.Followed, asOf)
		}
		return ""
	})
	eventually(t, func() string {
		var info mesh.RuntimeInfo
		v.Read(func(d *mesh.Directory) { info, _ = d.Runtime(r.id, time.Now()) })
		if !info.AsOf.After(asOf) {
			return "a new answer is not seen"
		}
		return ""
	})
	closed(t, first.Close)
	eventually(t, func() string {
		on, off := bridges()
		if len(on) != 1 || len(off) != 0 || on[0].ID != second.Status().ID {
			return fmt.Sprintf("after one has left %+v and %+v are seen", on, off)
		}
		return ""
	})
	known := map[string]bool{}
	for _, k := range bridge.Counters() {
		known[k.Name] = true
	}
	for name := range second.Status().Counters {
		if !known[name] {
			t.Errorf("bridge.Counters does not have %s", name)
		}
	}
}
