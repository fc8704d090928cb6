package rabbitmq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/mesh"
)

// creationWithoutHost publishes a creation while the runtime for which the bridge
// listens is away: it waits on the server, and is done once the runtime is back.
func creationWithoutHost(t *testing.T, server *bridgetest.Server) {
	bus, _ := counters(t)
	var made atomic.Int64
	host := func(id string) *mesh.Guest {
		g, err := bus.Host(t.Context(), mesh.GuestOptions{
			Identity: mesh.Identity{RuntimeID: id, Component: "Shop", Name: "shop"}, Logger: quiet(), Source: empty{},
			Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Shop","stateMachines":[{"name":"M"}]}`), Protocol: 1},
			Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
				if c.Do == mesh.DoCreate {
					made.Add(1)
				}
				return &mesh.Outcome{OK: true, Instance: "i"}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		return g
	}
	first := host("shop-1")
	br := start(t, bus, server.URL)
	shown := func(want int) {
		t.Helper()
		eventually(t, 60*time.Second, func() string {
			if n := len(br.Status().Mirrored); n != want {
				return fmt.Sprintf("%d runtimes are shown on the broker, want %d", n, want)
			}
			return ""
		})
	}
	shown(2)
	first.Close()
	shown(1)
	p := open(t, server.URL, rabbitmq.Options{})
	publishAll(t, p, []bridge.Frame{ // one of them without an id
		{Channel: "fsm:commands:create_instance", Body: []byte(`{"componentName":"Shop","context":{"n":1}}`)},
		{Channel: "fsm:commands:create_instance", Body: []byte(`{"componentName":"Shop","context":{"n":2},"id":"c-2"}`)},
	})
	eventually(t, 60*time.Second, func() string {
		if st := br.Status(); st.Counters["broker_redelivered"] < 4 {
			return fmt.Sprintf("the creations are not given back: %v", st.Counters)
		}
		return ""
	})
	host("shop-2")
	eventually(t, 60*time.Second, func() string {
		if n := made.Load(); n != 2 {
			return fmt.Sprintf("%d instances are made, want 2", n)
		}
		return ""
	})
	if n := br.Status().Counters["broker_dead_letters"]; n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

// replayUnheard replays a dead letter while nobody listens for it: it stays.
func replayUnheard(t *testing.T, server *bridgetest.Server) {
	p := open(t, server.URL, rabbitmq.Options{})
	const channel = "fsmesh:test:unheard"
	listen := func() *rabbitmq.Broker {
		b := open(t, server.URL, rabbitmq.Options{})
		err := b.Subscribe(t.Context(), bridge.Subscription{Channels: []string{channel}}, func(m *bridge.Message) { m.Done(&bridge.PoisonError{Reason: "for the test"}) })
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	dead := func(want int) {
		t.Helper()
		eventually(t, 60*time.Second, func() string {
			if got, err := p.DeadLetters(t.Context(), 10); err != nil || len(got) != want {
				return fmt.Sprintf("%d dead letters, %v; want %d", len(got), err, want)
			}
			return ""
		})
	}
	b := listen()
	publishAll(t, p, []bridge.Frame{{Channel: channel, Body: []byte("x")}})
	dead(1)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Replay(t.Context(), 10); n != 0 || err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("replayed %d, %v; want none, as nobody listens", n, err)
	}
	dead(1)
	listen()
	if n, err := p.Replay(t.Context(), 10); n != 1 || err != nil {
		t.Errorf("replayed %d, %v; want 1", n, err)
	}
	dead(1) // it is of no more use than before
}

// commandWithoutRuntime sends a command to an instance whose runtime has stopped
// and may be back soon: it is not taken for somebody else's, but is a dead letter.
func commandWithoutRuntime(t *testing.T, server *bridgetest.Server) {
	bus, _ := counters(t)
	g, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "shop-1", Component: "Shop", Name: "shop"}, Logger: quiet(), Source: empty{},
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Shop"}`), Protocol: 1},
		Command:  func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{OK: true, Instance: "i1"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	br := start(t, bus, server.URL)
	mirrored := func(want int) {
		t.Helper()
		eventually(t, 60*time.Second, func() string {
			if n := len(br.Status().Mirrored); n != want {
				return fmt.Sprintf("%d runtimes are shown on the broker, want %d", n, want)
			}
			return ""
		})
	}
	mirrored(2)
	p := open(t, server.URL, rabbitmq.Options{})
	var told atomic.Int64
	if err := p.Subscribe(t.Context(), bridge.Subscription{Channels: []string{"xcomponent:instance_created"}}, func(m *bridge.Message) {
		told.Add(1)
		m.Done(nil)
	}); err != nil {
		t.Fatal(err)
	}
	g.Tell([]mesh.Notice{{Kind: mesh.KindCreated, Instance: "i1", Machine: "M", State: "S", Seq: 1, Timestamp: 1}})
	eventually(t, 60*time.Second, func() string {
		if told.Load() == 0 {
			return "the instance is not told of"
		}
		return ""
	})
	g.Close()
	mirrored(1)
	publishAll(t, p, []bridge.Frame{{Channel: "fsm:commands:trigger_event", Body: []byte(`{"componentName":"Shop","instanceId":"i1","event":{"type":"UP"},"id":"t-1"}`)}})
	eventually(t, 60*time.Second, func() string {
		dead, err := p.DeadLetters(t.Context(), 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Reason, "is away") {
			return fmt.Sprintf("dead letters %+v, %v; want the command, as its runtime is away; %v", dead, err, br.Status().Counters)
		}
		return ""
	})
}
