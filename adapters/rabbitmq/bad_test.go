package rabbitmq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// badMessages sends a command with headers and properties that are not ours,
// which is done all the same, and one that the runtime never takes: after ten tries
// it is among the dead, and what comes after it is done.
func badMessages(t *testing.T, server *bridgetest.Server) {
	bus, rt := counters(t)
	var tries atomic.Int64
	busy, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "busy", Component: "Busy", Name: "busy"}, Logger: quiet(),
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Busy"}`), Protocol: 1}, Source: empty{},
		Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
			if c.Do == mesh.DoLocate && c.Instance == "stuck" {
				return &mesh.Outcome{OK: true, Instance: c.Instance}
			}
			if c.Do == mesh.DoSend {
				tries.Add(1)
			}
			return &mesh.Outcome{Code: fsm.CodeOverloaded, NotMine: c.Do == mesh.DoLocate}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(busy.Close)
	in, err := rt.Create(t.Context(), "Count", nil)
	if err != nil {
		t.Fatal(err)
	}
	br := start(t, bus, server.URL)
	eventually(t, 60*time.Second, func() string {
		if n := len(br.Status().Mirrored); n != 2 {
			return fmt.Sprintf("%d runtimes are shown on the broker, want 2", n)
		}
		return ""
	})
	conn, err := amqp.Dial(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	odd := amqp.Publishing{
		Headers:     amqp.Table{"x-reason": "none", "x-death": []any{amqp.Table{"count": int64(3)}}, "x-routing-key": 7, "id": []byte{0xff}},
		ContentType: "image/png", ContentEncoding: "gzip", Priority: 9, ReplyTo: "nobody", Expiration: "60000", Type: "\x00", DeliveryMode: amqp.Transient,
		Body: command(t, in.ID(), "odd").Body,
	}
	stuck := odd
	stuck.Body = []byte(`{"componentName":"Busy","instanceId":"stuck","event":{"type":"UP"},"id":"m-stuck"}`)
	last := odd
	last.Body = command(t, in.ID(), "last").Body
	for _, m := range []amqp.Publishing{stuck, odd, last} {
		if err := ch.PublishWithContext(t.Context(), rabbitmq.Exchange, "fsm.commands.trigger_event", false, false, m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 60*time.Second, func() string {
		if got, err := rt.Get(in.ID()); err != nil || got.Version() != 3 {
			return fmt.Sprintf("version %d, %v; want 3", got.Version(), err)
		}
		return ""
	})
	p := open(t, server.URL, rabbitmq.Options{})
	eventually(t, 60*time.Second, func() string {
		dead, err := p.DeadLetters(t.Context(), 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Reason, "given up after 10 tries") || string(dead[0].Body) != string(stuck.Body) {
			return fmt.Sprintf("dead letters %+v, %v; want the one that is never taken", dead, err)
		}
		return ""
	})
	if n := tries.Load(); n != 10 {
		t.Errorf("it was tried %d times, want 10", n)
	}
	if n := br.Status().Counters["broker_redelivered"]; n < 9 {
		t.Errorf("%d redeliveries are counted, want 9", n)
	}
}

// empty is a source without instances.
type empty struct{}

func (empty) Seq() uint64                                           { return 0 }
func (empty) Changed(mesh.Ranges, int) (c []mesh.Changed, old bool) { return nil, false }
func (empty) Look(ids []string) []mesh.Found                        { return make([]mesh.Found, len(ids)) }
func (empty) Shards() int                                           { return 1 }
func (empty) Piece(int, int, int) mesh.Piece                        { return mesh.Piece{Next: -1} }

// badCreation publishes creations that cannot be read to a mesh with several
// components: each is among the dead once.
func badCreation(t *testing.T, server *bridgetest.Server) {
	bus, _ := counters(t)
	var made atomic.Int64
	for _, name := range []string{"Shop", "Bank"} {
		g, err := bus.Host(t.Context(), mesh.GuestOptions{
			Identity: mesh.Identity{RuntimeID: name, Component: name, Name: name}, Logger: quiet(), Source: empty{},
			Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"` + name + `","stateMachines":[{"name":"M"}]}`), Protocol: 1},
			Command: func(_ context.Context, c *mesh.Command) *mesh.Outcome {
				made.Add(1)
				return &mesh.Outcome{OK: true, Instance: "i"}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Close)
	}
	br := start(t, bus, server.URL)
	eventually(t, 60*time.Second, func() string {
		if n := len(br.Status().Mirrored); n != 3 {
			return fmt.Sprintf("%d runtimes are shown on the broker, want 3", n)
		}
		return ""
	})
	p := open(t, server.URL, rabbitmq.Options{})
	bad := []string{"no json", `{"context":{}}`, `{"componentName":"Shop","x":"` + strings.Repeat("y", bridge.MaxBody) + `"}`}
	var frames []bridge.Frame
	for _, body := range append(bad, `{"componentName":"Shop"}`, `{"componentName":"Bank"}`, `{"componentName":"Counter","machineName":"Count"}`) {
		frames = append(frames, bridge.Frame{Channel: "fsm:commands:create_instance", Body: []byte(body)})
	}
	publishAll(t, p, frames)
	// The good ones come after the bad ones in each component's queue.
	eventually(t, 60*time.Second, func() string {
		if n, all := made.Load(), br.Status().Counters["commands_in"]; n != 2 || all != 3 {
			return fmt.Sprintf("%d of %d creations are done by the two, want 2 of 3", n, all)
		}
		return ""
	})
	dead, err := p.DeadLetters(t.Context(), 100)
	if err != nil || len(dead) != len(bad) {
		t.Errorf("%d dead letters, %v; want one for each of %d bad creations", len(dead), err, len(bad))
	}
	if n := br.Status().Counters["dropped_invalid"]; n != uint64(len(bad)) {
		t.Errorf("%d bad creations are counted, want %d", n, len(bad))
	}
}
