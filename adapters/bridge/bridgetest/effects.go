package bridgetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// effects: what a transition of ours leads to in a component of the ancestor's is
// sent once, however many runtimes host it.
func (c Case) effects(t *testing.T) {
	a := bus(t)
	active(t, start(t, c.config(a, c.Server.URL)))
	p := c.peer(t)
	for range 2 {
		r := newTheirs(p, "Billing")
		p.publish(t, "fsm:registry:announce", r.body(map[string]any{"component": map[string]any{"name": "Billing"}}))
	}
	v := watch(t, a)
	eventually(t, func() string { _, wrong := exact(v, "Billing", 2); return wrong })
	rt := attach(t, a, "orders.yaml", "Orders")
	in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": "E-1", "amount": 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "PLACE"}); err != nil {
		t.Fatal(err)
	}
	settled(t, func() string {
		got := p.on("fsm:commands:create_instance")
		if len(got) != 1 {
			return fmt.Sprintf("%d creations are sent, want 1", len(got))
		}
		if b := got[0].body; b["sourceInstanceId"] != in.ID() || b["sourceComponent"] != "Orders" || b["machineName"] != "Invoice" {
			return fmt.Sprintf("sent %v", b)
		}
		return ""
	})
}

// external: other programs steer and watch by the external channels, in all
// spellings, if it is switched on.
func (c Case) external(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	conf.External = true
	br := active(t, start(t, conf))
	rt := attach(t, a, "orders.yaml", "Orders")
	p := c.peer(t)
	var all []*fsm.Instance
	for i := range 3 {
		in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": fmt.Sprint(i), "amount": i, "customer": map[string]any{"rank": i}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, in)
	}
	eventually(t, func() string {
		if len(br.Status().Mirrored) == 0 {
			return "the runtime is not mirrored"
		}
		return ""
	})
	state := func(i int, want string) {
		t.Helper()
		eventually(t, func() string {
			in, err := rt.Get(all[i].ID())
			if err != nil || in.State() != want {
				return fmt.Sprintf("order %d: %v, %v; want %s", i, in.State(), err, want)
			}
			return ""
		})
	}
	event := map[string]any{"type": "PLACE", "payload": map[string]any{}, "timestamp": time.Now().UnixMilli()}
	for i, channel := range []string{"external:commands", "xcomponent:external:commands"} {
		p.publish(t, channel, map[string]any{"componentName": "Orders", "instanceId": all[i].ID(), "event": event})
		state(i, "AwaitingPayment")
	}
	p.publish(t, "external:broadcasts", map[string]any{
		"componentName": "Orders", "machineName": "Order", "currentState": "AwaitingPayment", "event": map[string]any{"type": "INVOICE_PAID"},
		"filters": []any{map[string]any{"property": "customer.rank", "operator": ">=", "value": 1}},
	})
	state(1, "Paid")
	state(0, "AwaitingPayment")
	p.publish(t, "xcomponent:external:broadcasts", map[string]any{
		"componentName": "Orders", "machineName": "Order", "currentState": "*", "event": map[string]any{"type": "NOTE"},
	})
	eventually(t, func() string {
		in, _ := rt.Get(all[1].ID())
		if in.Version() != 4 {
			return fmt.Sprintf("version %d, want 4", in.Version())
		}
		if n := len(p.on("xcomponent:events:state_change")); n != 4 {
			return fmt.Sprintf("%d events are published, want 4", n)
		}
		return ""
	})
	b := p.on("xcomponent:events:state_change")[0].body
	data, _ := b["data"].(map[string]any)
	if b["type"] != "state_change" || b["componentName"] != "Orders" || data["newState"] != "AwaitingPayment" || data["instance"] == nil || data["stateType"] != "regular" {
		t.Errorf("published %v", b)
	}
}

// targets: an event for several instances of a runtime that answers reaches each,
// though one refuses it; what is tried again is so for those that have not got it.
func (c Case) targets(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	conf.Confirm = time.Second
	br := active(t, start(t, conf))
	var mu sync.Mutex
	tries := map[string]int{}
	p := c.open(t, c.Server.URL)
	send := func(channel string, body map[string]any) {
		raw, _ := json.Marshal(body)
		_, _ = p.Publish(t.Context(), frames(channel, raw)) // it is away when the test ends
	}
	if err := p.Subscribe(t.Context(), bridge.Subscription{Channels: []string{"xcomponent:trigger_event"}}, func(m *bridge.Message) {
		var b bridge.Body
		_ = json.Unmarshal(m.Body, &b)
		m.Done(nil)
		mu.Lock()
		tries[b.Instance]++
		first := tries[b.Instance] == 1
		mu.Unlock()
		answer := map[string]any{"correlationId": b.CorrelationID, "ok": b.Instance != "refuses", "instanceId": b.Instance, "timestamp": 1}
		switch {
		case b.Instance == "refuses":
			answer["code"] = fsm.CodeUnknownInstance
		case b.Instance == "silent" && first:
			return
		}
		send("xcomponent:command_response", answer)
	}); err != nil {
		t.Fatal(err)
	}
	send("xcomponent:announce", map[string]any{"runtimeId": "several", "componentName": "Several", "component": map[string]any{"name": "Several"}, "protocol": 1, "timestamp": 1})
	eventually(t, func() string {
		if len(br.Status().Behind) == 0 {
			return "the runtime is not behind the bridge"
		}
		return ""
	})
	client := mesh.NewClient(a, mesh.ClientOptions{Timeout: within})
	effect := &fsm.RemoteEffect{
		From: "orders", Log: "log", Record: fsm.RecordID{Instance: "i", Version: 1},
		Effect: fsm.Effect{Kind: fsm.EffectDeliver, Component: "Several", Event: "UP", Source: "Orders", Targets: []string{"refuses", "takes", "silent", "last"}},
	}
	for i, tt := range []struct {
		err  fsm.Code
		want map[string]int
	}{
		{fsm.CodeUnknownOutcome, map[string]int{"refuses": 1, "takes": 1, "silent": 1, "last": 1}},
		{fsm.CodeUnknownInstance, map[string]int{"refuses": 2, "takes": 1, "silent": 2, "last": 1}},
	} {
		_, err := client.Do(t.Context(), "several", &mesh.Command{Do: mesh.DoEffect, Component: "Several", Effect: effect})
		mu.Lock()
		got := maps.Clone(tries)
		mu.Unlock()
		if fsm.ErrorCode(err) != tt.err || !maps.Equal(got, tt.want) {
			t.Errorf("try %d: %v, and the instances got it %v times; want %s, and %v", i+1, err, got, tt.err, tt.want)
		}
	}
}
