package rabbitmq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/mesh"
)

// startWith is start with a queue and a configuration of the test's own.
func startWith(t *testing.T, url, queue string, c bridge.Config) *bridge.Bridge {
	t.Helper()
	c.URL, c.Logger = url, quiet()
	c.Open = func(ctx context.Context) (bridge.Broker, error) {
		return rabbitmq.Open(ctx, url, rabbitmq.Options{Queue: queue, Logger: quiet()})
	}
	b, err := bridge.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

// queueBroadcasts sends broadcasts to a component that was there from the start, and
// to one that came later, beside other commands: all of it is taken in, also what
// waited for the bridge.
func queueBroadcasts(t *testing.T, server *bridgetest.Server) {
	proxy := bridgetest.NewProxy(t, server.Addr)
	url := server.Through(proxy)
	bus, rt := counters(t)
	in, err := rt.Create(t.Context(), "Count", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, server.URL, rabbitmq.Options{})
	var shop atomic.Int64 // broadcasts to a component that comes later
	host := func() *mesh.Guest {
		g, err := bus.Host(t.Context(), mesh.GuestOptions{
			Identity: mesh.Identity{RuntimeID: "shop-1", Component: "Shop", Name: "shop"}, Logger: quiet(), Source: oneInstance{},
			Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Shop","stateMachines":[{"name":"M"}]}`), Protocol: 1},
			Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
				if c.Do == mesh.DoSend {
					shop.Add(1)
				}
				return &mesh.Outcome{OK: true, Instance: c.Instance}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
		return g
	}
	sent := 0
	send := func(broadcasts bool) {
		sent++
		frames := []bridge.Frame{command(t, in.ID(), fmt.Sprint("c-", sent))}
		for _, name := range []string{"Counter", "Shop"} {
			if broadcasts {
				frames = append(frames, bridge.Frame{Channel: "xcomponent:" + name, Body: fmt.Appendf(nil,
					`{"sourceComponent":"Other","targetComponent":%q,"targetMachine":%q,"targetState":"*","event":{"type":"UP","payload":{},"id":"b-%d"},"id":"%s-%d"}`,
					name, map[string]string{"Counter": "Count", "Shop": "M"}[name], sent, name, sent)})
			}
		}
		publishAll(t, p, frames)
	}
	wants := func(br *bridge.Bridge, version uint64, broadcasts int64) {
		t.Helper()
		eventually(t, 60*time.Second, func() string {
			got, _ := rt.Get(in.ID())
			if got.Version() != version || shop.Load() != broadcasts {
				return fmt.Sprintf("version %d, want %d, and %d broadcasts, want %d; %v", got.Version(), version, shop.Load(), broadcasts, br.Status().Counters)
			}
			return ""
		})
		if n := br.Status().Counters["dropped_unknown_channel"]; n != 0 {
			t.Errorf("%d messages are dropped as unknown", n)
		}
	}
	mirrored := func(br *bridge.Bridge) {
		t.Helper()
		eventually(t, 60*time.Second, func() string {
			if n := len(br.Status().Mirrored); n != 2 {
				return fmt.Sprintf("%d runtimes are shown on the broker, want 2", n)
			}
			return ""
		})
	}
	first := startWith(t, url, queue, bridge.Config{Bus: bus, External: true})
	host()
	mirrored(first)
	for range 5 { // two who take turns would each miss some
		send(true)
	}
	wants(first, 11, 5)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		send(true)
	}
	second := startWith(t, url, queue, bridge.Config{Bus: bus, External: true})
	mirrored(second)
	wants(second, 21, 10)
	proxy.Cut() // and over a lost connection
	for range 5 {
		send(true)
	}
	wants(second, 31, 15)
}

// oneInstance is the source of a guest with one instance.
type oneInstance struct{ empty }

func (oneInstance) Seq() uint64 { return 1 }
func (oneInstance) Piece(int, int, int) mesh.Piece {
	return mesh.Piece{AsOf: 1, Next: -1, Slots: []mesh.Slot{{Instance: instance{}}}}
}

type instance struct{}

func (instance) Row() (mesh.Row, error) {
	return mesh.Row{ID: "i1", Machine: "M", State: "S", Seq: 1, Version: 1}, nil
}

// queueFollow has an application without a directory begin to listen to notices on
// a queue of a name: they come, and so does all else.
func queueFollow(t *testing.T, server *bridgetest.Server) {
	bus, rt := counters(t)
	in, err := rt.Create(t.Context(), "Count", nil)
	if err != nil {
		t.Fatal(err)
	}
	br := startWith(t, server.URL, queue+".follow", bridge.Config{Bus: bus, NoNotices: true})
	p := open(t, server.URL, rabbitmq.Options{})
	eventually(t, 60*time.Second, func() string {
		if len(br.Status().Mirrored) != 1 {
			return "the runtime is not shown on the broker"
		}
		return ""
	})
	publishAll(t, p, []bridge.Frame{{Channel: "xcomponent:announce", Body: []byte(`{"runtimeId":"r1","componentName":"Orders","component":{"name":"Orders"},"timestamp":1}`)}})
	eventually(t, 60*time.Second, func() string {
		if len(br.Status().Behind) != 1 {
			return "the runtime on the broker is not known"
		}
		return ""
	})
	asks := mesh.NewClient(bus, mesh.ClientOptions{})
	ask := func() {
		for range asks.All(t.Context(), mesh.Query{Filter: mesh.Filter{Component: "Orders"}}) { // it is told of none yet
		}
	}
	ask() // whoever asks has the notices listened to
	const many = 20
	for i := range many {
		publishAll(t, p, []bridge.Frame{
			{Channel: "xcomponent:instance_created", Body: fmt.Appendf(nil,
				`{"runtimeId":"r1","componentName":"Orders","eventType":"instance_created","data":{"instanceId":"o-%d","machineName":"Order","currentState":"New","context":{}},"timestamp":2}`, i)},
			command(t, in.ID(), fmt.Sprint("c-", i)),
		})
	}
	eventually(t, 60*time.Second, func() string {
		st := br.Status()
		got, _ := rt.Get(in.ID())
		if n := st.Behind[0].Instances; n != many || got.Version() != many+1 {
			return fmt.Sprintf("%d instances and version %d, want %d and %d; %v", n, got.Version(), many, many+1, st.Counters)
		}
		return ""
	})
	if n := br.Status().Counters["dropped_unknown_channel"]; n != 0 {
		t.Errorf("%d messages are dropped as unknown", n)
	}
}
