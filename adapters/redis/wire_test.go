package redis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/redis"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

var update = flag.Bool("update", false, "write the frames of docs/wire.md anew")

const wirePage = "../../docs/wire.md"

// one is a source with nothing in it: the frames are of notices.
type one struct{}

func (one) Seq() uint64                                           { return 7 }
func (one) Changed(mesh.Ranges, int) (c []mesh.Changed, old bool) { return nil, true }
func (one) Look(ids []string) []mesh.Found                        { return make([]mesh.Found, len(ids)) }
func (one) Shards() int                                           { return 1 }
func (one) Piece(_, slot, _ int) mesh.Piece {
	return mesh.Piece{AsOf: 7, Next: -1, Slots: []mesh.Slot{{Number: 0, Instance: row{}}}}
}

type row struct{}

func (row) Row() (mesh.Row, error) {
	return mesh.Row{
		ID: "i1", Machine: "Order", State: "Paid", Context: json.RawMessage(`{"orderId":"ORD-7"}`), Seq: 6, Version: 3, Key: "order:7",
		PendingTimeouts: json.RawMessage(`[{"event":"GIVE_UP","totalMs":60000,"elapsedMs":0,"remainingMs":60000,"targetState":"Expired"}]`),
	}, nil
}

// TestWire has a bridge send one frame of each channel, in both dialects, and
// compares them with those of docs/wire.md.
func TestWire(t *testing.T) {
	server := bridgetest.Redis(t)
	got := sentFrames(t, server.URL)
	page, err := os.ReadFile(wirePage)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		page = frameBlock.ReplaceAllFunc(page, func(block []byte) []byte {
			channel := string(frameBlock.FindSubmatch(block)[1])
			return fmt.Appendf(nil, "`%s`\n\n```json\n%s\n```", channel, got[channel])
		})
		if err := os.WriteFile(wirePage, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shown := map[string]string{}
	for _, m := range frameBlock.FindAllSubmatch(page, -1) {
		shown[string(m[1])] = string(m[2])
	}
	others := bridge.Channel{Out: true, Names: [2]string{bridge.ComponentChannel("Billing")}}
	all := append(slices.Clone(bridge.Channels), others)
	for _, name := range bridge.EventChannels {
		all = append(all, bridge.Channel{Out: true, Names: [2]string{name}})
	}
	for _, c := range all {
		for _, name := range c.Names {
			if name == "" || !c.Out {
				continue
			}
			switch {
			case got[name] == "":
				t.Errorf("nothing is sent on %s", name)
			case shown[name] == "":
				t.Errorf("docs/wire.md shows no frame of %s", name)
			case shown[name] != got[name]:
				t.Errorf("docs/wire.md shows another frame of %s than is sent (-update writes it anew):\n got %s\nshown %s", name, got[name], shown[name])
			}
		}
		for _, name := range c.Names {
			if name != "" && !bytes.Contains(page, []byte("`"+name+"`")) {
				t.Errorf("docs/wire.md does not name %s", name)
			}
		}
	}
}

// frameBlock is a channel's name by itself on a line, and its frame.
var frameBlock = regexp.MustCompile("(?m)^`([A-Za-z_:]+)`\n\n```json\n(.*)\n```$")

// sentFrames returns one frame of each channel, with what differs from run to run
// replaced.
func sentFrames(t *testing.T, url string) map[string]string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	bus, err := mesh.Connect(t.Context(), "memory:"+t.Name(), mesh.BusOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	peer, err := redis.Open(t.Context(), url, redis.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Close(context.Background()) })
	var mu sync.Mutex
	got := map[string]string{}
	var names []string
	for _, c := range bridge.Channels {
		for _, n := range c.Names {
			if n != "" && c.Out {
				names = append(names, n)
			}
		}
	}
	names = append(append(names, bridge.EventChannels...), bridge.ComponentChannel("Billing"))
	if err := peer.Subscribe(t.Context(), bridge.Subscription{Channels: names}, func(m *bridge.Message) {
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(bridge.EventChannels, m.Channel) || bytes.Contains(m.Body, []byte(`"origin"`)) && !(strings.Contains(m.Channel, "query") && bytes.Contains(m.Body, []byte(`"instances":[]`))) {
			got[m.Channel] = normal(t, m.Body)
		}
	}); err != nil {
		t.Fatal(err)
	}
	br, err := bridge.Start(t.Context(), bridge.Config{
		Bus: bus, URL: url, Logger: quiet, Heartbeat: 100 * time.Millisecond, Confirm: 10 * time.Millisecond, External: true,
		Open: func(ctx context.Context) (bridge.Broker, error) {
			return redis.Open(ctx, url, redis.Options{Logger: quiet})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = br.Close(context.Background()) })
	guest, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "r1", Component: "Orders", Name: "orders", Epoch: 5, Log: "log1", Process: "p1"},
		Announce: mesh.Announce{Host: "orders-app", Port: 3000, Protocol: 1, Definition: json.RawMessage(`{"name":"Orders","stateMachines":[]}`)},
		Source:   one{}, Logger: quiet, Command: func(context.Context, *mesh.Command) *mesh.Outcome {
			return &mesh.Outcome{OK: true, Instance: "i1", State: "Paid", Version: 3, Seq: 6}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(channel, body string) {
		t.Helper()
		if _, err := peer.Publish(t.Context(), []bridge.Frame{{Channel: channel, Body: []byte(body)}}); err != nil {
			t.Fatal(err)
		}
	}
	until := func(f func() bool, what string) {
		t.Helper()
		deadline := time.Now().Add(60 * time.Second)
		for !f() {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	sent := func(channels ...string) {
		t.Helper()
		until(func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range channels {
				if got[c] == "" {
					return false
				}
			}
			return true
		}, fmt.Sprintf("not all are sent of %v", channels))
	}
	sent("fsm:registry:announce", "fsm:registry:heartbeat", "fsm:registry:discover", "fsm:commands:query_instances", "fsm:responses:query", "xcomponent:query_response")
	guest.Tell([]mesh.Notice{{
		Kind: mesh.KindCompleted, Instance: "i0", Machine: "Order", State: "Placed", Status: mesh.Failed, Error: "what went wrong",
		Context: json.RawMessage(`{"orderId":"ORD-6"}`), Seq: 7, Timestamp: 1,
	}})
	guest.Tell(told())
	sent("xcomponent:instance_created", "xcomponent:state_change", "xcomponent:instance_completed", "xcomponent:instance_quarantined",
		"xcomponent:event_ignored", "xcomponent:hook_error", "xcomponent:dead_letter", "xcomponent:runtime_fenced")
	// Which heartbeat is shown does not depend on the moment: one after all of that.
	until(func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(got["fsm:registry:heartbeat"], `"seq":11`) && strings.Contains(got["xcomponent:heartbeat"], `"seq":11`)
	}, "no heartbeat says what was told last")
	publish("fsm:commands:trigger_event", `{"componentName":"Orders","instanceId":"i1","event":{"type":"PAY"},"correlationId":"c1"}`)
	sent("xcomponent:command_response")
	publish("fsm:registry:announce", `{"runtimeId":"r2","componentName":"Billing","component":{"name":"Billing"}}`)
	until(func() bool { return len(br.Status().Behind) == 1 }, "the runtime on the broker is not known")
	publish("fsm:events:instance_created", `{"runtimeId":"r2","componentName":"Billing","eventType":"instance_created","data":{"instanceId":"i2","machineName":"Invoice","currentState":"Open","context":{}}}`)
	client := mesh.NewClient(bus, mesh.ClientOptions{})
	var payload fsm.Data
	if err := payload.UnmarshalJSON([]byte(`{"orderId":"ORD-7"}`)); err != nil {
		t.Fatal(err)
	}
	effect := &fsm.RemoteEffect{
		From: "orders", Log: "log1", Record: fsm.RecordID{Instance: "i1", Version: 3},
		Effect: fsm.Effect{
			Kind: fsm.EffectDeliver, Component: "Billing", Machine: "Invoice", Event: "ORDER_PAID", Payload: payload, Source: "Orders",
			Rules: []fsm.MatchingRule{{EventProperty: "orderId", InstanceProperty: "orderId"}},
		},
	}
	cascade := *effect
	cascade.Record.Version, cascade.Effect.State = 4, "Open"
	for _, c := range []*mesh.Command{
		{Do: mesh.DoEffect, Component: "Billing", Effect: &cascade},
		{Do: mesh.DoSend, Instance: "i2", Event: &mesh.Event{ID: "e1", Type: "PAY", Payload: json.RawMessage(`{"method":"card"}`), Timestamp: 1}},
		{Do: mesh.DoCreate, Machine: "Invoice", Context: json.RawMessage(`{"orderId":"ORD-7","due":120.5}`), EventID: "e2"},
		{Do: mesh.DoEffect, Component: "Billing", Effect: effect},
	} {
		until(func() bool { _, err := client.Do(t.Context(), "r2", c); return err == nil }, c.Do+" is not taken")
	}
	sent("fsm:commands:trigger_event", "fsm:commands:create_instance", "fsm:commands:cross_component_event")
	sent(append([]string{bridge.ComponentChannel("Billing")}, bridge.EventChannels...)...)
	guest.Close()
	sent("fsm:registry:shutdown", "xcomponent:shutdown")
	mu.Lock()
	defer mu.Unlock()
	return got
}

// told are notices of all kinds.
func told() []mesh.Notice {
	n := mesh.Notice{
		Instance: "i1", Machine: "Order", State: "Draft", Context: json.RawMessage(`{"orderId":"ORD-7"}`), Version: 1, Seq: 8, Key: "order:7", Timestamp: 1,
	}
	event := &mesh.Event{ID: "e3", Type: "PLACE", Payload: json.RawMessage(`{"channel":"web"}`), SourceComponent: "Shop"}
	var out []mesh.Notice
	for i, k := range []mesh.Kind{
		mesh.KindCreated, mesh.KindStateChange, mesh.KindCompleted, mesh.KindQuarantined, mesh.KindIgnored, mesh.KindHookError, mesh.KindDeadLetter, mesh.KindFenced,
	} {
		n.Kind = k
		switch k {
		case mesh.KindStateChange:
			n.Previous, n.State, n.Event = "Draft", "Placed", event
		case mesh.KindCompleted:
			n.Previous, n.State, n.Event, n.Status = "", "Expired", nil, mesh.Failed
		case mesh.KindQuarantined:
			n.State, n.Status, n.Error = "Placed", "", "conflict"
		case mesh.KindIgnored:
			n.Event, n.Error, n.Context = event, "", nil
		case mesh.KindHookError, mesh.KindDeadLetter, mesh.KindFenced:
			n.Event, n.Error = nil, "what went wrong"
		}
		if n.Seq = 8 + uint64(i); !k.Numbered() {
			n.Seq = 0
		}
		n.Version++
		out = append(out, n)
	}
	return out
}

// normal replaces what is new at each run.
func normal(t *testing.T, raw []byte) string {
	t.Helper()
	for _, r := range []struct{ what, with string }{
		{`"timestamp":\d+`, `"timestamp":1795442574738`}, {`"origin":"[^"]*"`, `"origin":"BRIDGE"`},
		{`"eventId":"[^"]{36}"`, `"eventId":"EVENT"`}, {`"correlationId":"[^"]{36}"`, `"correlationId":"QUESTION"`}, {`"id":"[^"]{36}"`, `"id":"MESSAGE"`},
	} {
		raw = regexp.MustCompile(r.what).ReplaceAll(raw, []byte(r.with))
	}
	if !json.Valid(raw) {
		t.Errorf("no JSON: %s", raw)
	}
	return string(raw)
}
