package rabbitmq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/mesh"
)

// creationsOfDialects has two applications host a component, one of which speaks
// the package dialect alone: what another sends in both, or in either, is made once.
func creationsOfDialects(t *testing.T, server *bridgetest.Server) {
	var mu sync.Mutex
	made := map[string]int{}
	var bridges []*bridge.Bridge
	for i, off := range []bool{false, true} {
		bus, err := mesh.Connect(t.Context(), fmt.Sprint("memory:", t.Name(), i), mesh.BusOptions{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bus.Close(context.Background()) })
		g, err := bus.Host(t.Context(), mesh.GuestOptions{
			Identity: mesh.Identity{RuntimeID: fmt.Sprint("shop-", i), Component: "Shop", Name: "shop"}, Logger: quiet(), Source: empty{},
			Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Shop","stateMachines":[{"name":"M"}]}`), Protocol: 1},
			Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
				mu.Lock()
				defer mu.Unlock()
				made[c.EventID]++
				return &mesh.Outcome{OK: true, Instance: "i"}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		b, err := bridge.Start(t.Context(), bridge.Config{
			Bus: bus, URL: server.URL, Logger: quiet(), Off: [2]bool{bridge.Documented: off},
			Open: func(ctx context.Context) (bridge.Broker, error) {
				return rabbitmq.Open(ctx, server.URL, rabbitmq.Options{Logger: quiet()})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close(context.Background()) })
		bridges = append(bridges, b)
	}
	for _, b := range bridges {
		eventually(t, 60*time.Second, func() string {
			if len(b.Status().Mirrored) == 0 {
				return "the runtime is not shown on the broker"
			}
			return ""
		})
	}
	const many = 30
	var frames []bridge.Frame
	add := func(channel, id, more string) {
		frames = append(frames, bridge.Frame{Channel: channel, Body: fmt.Appendf(nil, `{"componentName":"Shop","context":{},"timestamp":1,"id":"%s"%s}`, id, more)})
	}
	for i := range many {
		add("xcomponent:create_instance", fmt.Sprint("both-", i), "")
		add("fsm:commands:create_instance", fmt.Sprint("both-", i), `,"copy":true`)
		add("xcomponent:create_instance", fmt.Sprint("documented-", i), "")
		if i%3 != 0 { // so that the two do not take the same ones in turn
			add("fsm:commands:create_instance", fmt.Sprint("package-", i), "")
		}
	}
	publishAll(t, open(t, server.URL, rabbitmq.Options{}), frames)
	eventually(t, 60*time.Second, func() string {
		var sum uint64
		for _, b := range bridges {
			c := b.Status().Counters
			sum += c["commands_in"] + c["dropped_copies"] + c["dropped_doubled"] + c["dropped_unknown_channel"]
		}
		if sum < uint64(len(frames)) {
			return fmt.Sprintf("%d messages are taken in, want %d", sum, len(frames))
		}
		return ""
	})
	mu.Lock()
	defer mu.Unlock()
	for _, what := range []string{"both", "documented", "package"} {
		for i := range many {
			if n := made[fmt.Sprint(what, "-", i)]; n != 1 && !(what == "package" && i%3 == 0) {
				t.Errorf("creation %d, sent in %s, is made %d times", i, what, n)
			}
		}
	}
}
