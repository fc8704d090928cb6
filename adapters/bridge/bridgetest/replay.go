package bridgetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// rest is a recorded answer of the ancestor's dashboard.
func rest(t testing.TB, request string, into any) {
	t.Helper()
	var all []struct {
		Request  string          `json:"request"`
		Response json.RawMessage `json:"response"`
	}
	if err := json.Unmarshal(File(t, "rest.json"), &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Request == request {
			if err := json.Unmarshal(r.Response, into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no recorded answer to %s", request)
}

// ids returns the runtimes and instances of a recording in the order in which
// they came up, so that those of two recordings can be told to be the same.
func ids(t testing.TB, lines []recorded) []string {
	t.Helper()
	var out []string
	add := func(id string) {
		if id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, r := range lines {
		var m struct {
			RuntimeID string `json:"runtimeId"`
			Data      struct {
				ID string `json:"instanceId"`
			} `json:"data"`
		}
		if r.Message == nil {
			continue
		}
		if err := json.Unmarshal(r.Message, &m); err != nil {
			t.Fatal(err)
		}
		add(m.RuntimeID)
		add(m.Data.ID)
	}
	return out
}

// replay plays what the ancestor's processes sent to a bridge: the directory is
// then that of the ancestor's dashboard.
func (c Case) replay(t *testing.T) {
	lines := c.recording(t, "heartbeats")
	mine := ids(t, lines)
	theirs := ids(t, Case{Recording: "capture-redis.json"}.recording(t, "heartbeats"))
	if len(mine) != len(theirs) {
		t.Fatalf("the recordings have %d and %d ids", len(mine), len(theirs))
	}
	same := func(id string) string { return mine[slices.Index(theirs, id)] }
	b := bus(t)
	active(t, start(t, c.config(b, c.Server.URL)))
	v := watch(t, b)
	p := c.peer(t)
	for _, r := range lines {
		if r.Message != nil {
			p.publish(t, r.Channel, []byte(r.Message))
		}
	}
	var instances struct {
		Instances []struct {
			ID        string         `json:"id"`
			Machine   string         `json:"machineName"`
			State     string         `json:"currentState"`
			Context   map[string]any `json:"context"`
			Component string         `json:"componentName"`
		} `json:"instances"`
	}
	rest(t, "GET /api/instances", &instances)
	eventually(t, func() string {
		n := 0
		for _, comp := range []string{"Orders", "Billing"} {
			rows, wrong := exact(v, comp, 1)
			if wrong != "" {
				return wrong
			}
			n += len(rows)
		}
		if n != len(instances.Instances) {
			return fmt.Sprintf("%d instances, want %d", n, len(instances.Instances))
		}
		for _, want := range instances.Instances {
			got, ok := instance(v, same(want.ID))
			if !ok {
				return "no instance " + want.ID
			}
			if got.State != want.State || got.Machine != want.Machine || got.Component != want.Component || !sameJSON(got.Context, want.Context) {
				return fmt.Sprintf("%+v, want %+v", got, want)
			}
		}
		return ""
	})
	eventually(t, func() string { // told after the change into the last state
		for id, status := range map[string]mesh.Status{
			instances.Instances[0].ID: mesh.Completed, instances.Instances[2].ID: mesh.Completed, instances.Instances[3].ID: mesh.Failed,
		} {
			if in, _ := instance(v, same(id)); in.Status != status {
				return fmt.Sprintf("%s is %q, want %q", id, in.Status, status)
			}
		}
		return ""
	})
	c.sameRuntimes(t, v, same)
}

func (c Case) sameRuntimes(t *testing.T, v *mesh.View, same func(string) string) {
	t.Helper()
	var runtimes struct {
		Runtimes []struct {
			ID        string `json:"runtimeId"`
			Component string `json:"componentName"`
			Host      string `json:"host"`
			Port      int    `json:"port"`
		} `json:"runtimes"`
	}
	rest(t, "GET /api/runtimes", &runtimes)
	for _, want := range runtimes.Runtimes {
		var got mesh.RuntimeInfo
		v.Read(func(d *mesh.Directory) { got, _ = d.Runtime(same(want.ID), time.Now()) })
		if got.Component != want.Component || got.Host != want.Host || got.Port != want.Port {
			t.Errorf("runtime %+v, want %+v", got, want)
		}
		var definition json.RawMessage
		if want.Component == "Orders" {
			rest(t, "GET /api/components/Orders", &definition)
			if !sameJSON(got.Definition, definition) {
				t.Errorf("definition %s, want %s", got.Definition, definition)
			}
		}
	}
}

// added are the fields that fsmesh adds to those of the ancestor.
var added = map[string][]string{
	"": {
		"id", "origin", "hops", "correlationId", "name", "process", "epoch", "log", "protocol", "seq", "version", "part", "key", "asOf",
		"chunk", "last", "copy", "merged", "leftOut", "runtimes", "eventId", "event.id",
	},
	"data":  {"publicMember", "status", "parentInstanceId"},
	"event": {"id"},
}

// normal takes out of a body what differs from one run to the next, and what
// fsmesh adds.
func normal(body map[string]any, names map[string]string) map[string]any {
	return clean("", body, names).(map[string]any)
}

func clean(at string, v any, names map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			switch {
			case k == "timestamp", slices.Contains(added[at], k):
			case k == "pendingTimeouts":
				// The ancestor tells of a change before it starts the timers of the
				// new state, so that its list is empty; ours has them.
				_, list := x.([]any)
				out[k] = list
			default:
				out[k] = clean(k, x, names)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			out = append(out, clean(at, x, names))
		}
		return out
	case string:
		if n, ok := names[v]; ok {
			return n
		}
	}
	return v
}

// naming names ids by the order in which they come up on a channel of instances,
// and runtimes by their component.
func naming(frames map[string][]map[string]any) map[string]string {
	names := map[string]string{}
	for _, list := range frames {
		for _, b := range list {
			if id, ok := b["runtimeId"].(string); ok {
				names[id] = "runtime of " + fmt.Sprint(b["componentName"])
			}
		}
	}
	for _, b := range frames["instance_created"] {
		data, _ := b["data"].(map[string]any)
		id, _ := data["instanceId"].(string)
		if _, named := names[id]; !named {
			names[id] = fmt.Sprintf("instance %d", len(names))
		}
	}
	return names
}

// ours has two runtimes of ours, each on a mesh of its own, do what was recorded,
// with the same commands from outside: what they send is what was recorded.
func (c Case) ours(t *testing.T) {
	p := c.peer(t)
	a, b := bus(t), bus(t)
	orders, billing := attach(t, a, "orders.yaml", "Orders"), attach(t, b, "billing.yaml", "Billing")
	active(t, start(t, c.config(a, c.Server.URL)))
	active(t, start(t, c.config(b, c.Server.URL)))
	va := watch(t, a)
	eventually(t, func() string {
		if _, wrong := exact(va, "Billing", 1); wrong != "" {
			return wrong
		}
		if len(p.on("fsm:responses:query")) < 2 {
			return "no answers yet"
		}
		return ""
	})
	eventSays := func(channel string, n int) {
		t.Helper()
		eventually(t, func() string {
			if got := len(p.on(channel)); got != n {
				return fmt.Sprintf("%d frames on %s, want %d", got, channel, n)
			}
			return ""
		})
	}
	order, err := orders.Create(t.Context(), "Order", map[string]any{"orderId": "ORD-7", "amount": 120.5})
	if err != nil {
		t.Fatal(err)
	}
	eventSays("fsm:events:instance_created", 1)
	if _, err := orders.Send(t.Context(), order.ID(), fsm.Event{Type: "PLACE", Payload: map[string]any{"channel": "web"}}); err != nil {
		t.Fatal(err)
	}
	eventSays("fsm:events:instance_created", 2)
	invoice := p.on("fsm:events:instance_created")[1].body["data"].(map[string]any)["instanceId"].(string)
	event := func(kind string, payload map[string]any) map[string]any {
		return map[string]any{"type": kind, "payload": payload, "timestamp": time.Now().UnixMilli()}
	}
	p.publish(t, "fsm:commands:trigger_event", map[string]any{
		"componentName": "Billing", "instanceId": invoice, "event": event("PAY", map[string]any{"method": "card"}),
	})
	eventSays("fsm:events:state_change", 3)
	p.publish(t, "fsm:commands:trigger_event", map[string]any{
		"instanceId": order.ID(), "event": map[string]any{"type": "NOTE", "payload": map[string]any{"text": "leave at the door"}},
		"timestamp": time.Now().UnixMilli(),
	})
	eventSays("fsm:events:state_change", 4)
	p.publish(t, "fsm:commands:trigger_event", map[string]any{
		"componentName": "Orders", "instanceId": order.ID(), "event": event("PLACE", map[string]any{}),
	})
	if _, err := orders.Send(t.Context(), order.ID(), fsm.Event{Type: "SHIP"}); err != nil {
		t.Fatal(err)
	}
	eventSays("fsm:events:state_change", 5)
	p.publish(t, "fsm:commands:create_instance", map[string]any{
		"componentName": "Orders", "machineName": "Order", "context": map[string]any{"orderId": "ORD-8", "amount": 5},
		"event": map[string]any{"type": "START", "payload": map[string]any{}}, "timestamp": time.Now().UnixMilli(),
	})
	eventSays("fsm:events:instance_created", 3)
	refused, err := billing.Create(t.Context(), "Invoice", map[string]any{"orderId": "ORD-9", "due": 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := billing.Send(t.Context(), refused.ID(), fsm.Event{Type: "REFUSE", Payload: map[string]any{"reason": "fraud"}}); err != nil {
		t.Fatal(err)
	}
	eventSays("fsm:events:instance_completed", 3)
	c.compare(t, p)
}

// compare compares what came with the recording, channel by channel.
func (c Case) compare(t *testing.T, p *peer) {
	t.Helper()
	channels := []string{
		"fsm:events:instance_created", "fsm:events:state_change", "fsm:events:instance_completed", "fsm:commands:trigger_event",
		"fsm:commands:create_instance", "fsm:commands:cross_component_event", "fsm:registry:announce", "fsm:registry:discover",
		"fsm:commands:query_instances", "fsm:responses:query",
	}
	got, want := map[string][]map[string]any{}, map[string][]map[string]any{}
	short := func(channel string) string { return channel[strings.LastIndexByte(channel, ':')+1:] }
	for _, ch := range channels {
		for _, f := range p.on(ch) {
			got[short(ch)] = append(got[short(ch)], f.body)
		}
	}
	for _, r := range c.recording(t, "heartbeats") {
		if r.Message == nil {
			continue
		}
		var body map[string]any
		if err := json.Unmarshal(r.Message, &body); err != nil {
			t.Fatal(err)
		}
		want[short(r.Channel)] = append(want[short(r.Channel)], body)
	}
	gotNames, wantNames := naming(got), naming(want)
	for _, ch := range channels {
		k := short(ch)
		g, w := got[k], want[k]
		switch k {
		case "announce", "query", "discover", "query_instances":
			// How often they come depends on who else asks; each kind is there.
			g, w = distinct(g, gotNames), distinct(w, wantNames)
			if k == "query" {
				g = slices.DeleteFunc(g, func(b map[string]any) bool { return len(b["instances"].([]any)) > 0 })
			}
		}
		if len(g) != len(w) {
			t.Errorf("%s: %d frames, want %d:\n%v\n%v", ch, len(g), len(w), g, w)
			continue
		}
		for i := range g {
			x, y := normal(g[i], gotNames), normal(w[i], wantNames)
			if !sameJSON(x, y) {
				gx, _ := json.Marshal(x)
				wy, _ := json.Marshal(y)
				t.Errorf("%s, frame %d:\n got %s\nwant %s", ch, i, gx, wy)
			}
		}
	}
}

func distinct(list []map[string]any, names map[string]string) []map[string]any {
	seen := map[string]map[string]any{}
	var keys []string
	for _, b := range list {
		raw, _ := json.Marshal(normal(b, names))
		if _, ok := seen[string(raw)]; !ok {
			keys = append(keys, string(raw))
		}
		seen[string(raw)] = b
	}
	slices.Sort(keys)
	var out []map[string]any
	for _, k := range keys {
		out = append(out, seen[k])
	}
	return out
}
