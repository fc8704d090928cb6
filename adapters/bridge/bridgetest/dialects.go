package bridgetest

import (
	"fmt"
	"testing"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// dialects has two meshes host one component, and one or both of their bridges speak
// the package dialect alone: each mesh knows the instances of the other that were
// there before the bridges, and whose they are.
func (c Case) dialects(t *testing.T) {
	for _, tt := range []struct {
		name string
		offA bool // the documented dialect, in the first mesh
	}{{"One", false}, {"Both", true}} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := bus(t), bus(t)
			all := map[string]*fsm.Runtime{"one": attach(t, a, "orders.yaml", "one"), "two": attach(t, b, "orders.yaml", "two")}
			runtimes := map[string]string{} // by instance
			for name, rt := range all {
				in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": name})
				if err != nil {
					t.Fatal(err)
				}
				runtimes[in.ID()] = name
			}
			ca, cb := c.config(a, c.Server.URL), c.config(b, c.Server.URL)
			ca.Off[bridge.Documented], cb.Off[bridge.Documented] = tt.offA, true
			active(t, start(t, cb))
			active(t, start(t, ca))
			views := []*mesh.View{watch(t, a), watch(t, b)}
			settled(t, func() string {
				for _, v := range views {
					rows, wrong := exact(v, "Orders", 2)
					if wrong == "" && len(rows) != len(runtimes) {
						wrong = fmt.Sprintf("%d instances are known, want %d", len(rows), len(runtimes))
					}
					for i := range rows {
						if in := &rows[i]; wrong == "" && in.Name != runtimes[in.ID] {
							wrong = fmt.Sprintf("%s is shown with runtime %s, want %s", in.ID, in.Name, runtimes[in.ID])
						}
					}
					if wrong != "" {
						return wrong
					}
				}
				return ""
			})
		})
	}
}
