package bridgetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

const recaller = `
name: Recaller
stateMachines:
  - name: Recall
    initialState: Waiting
    states:
      - {name: Waiting, type: entry}
      - name: Called
        cascadingRules:
          - targetComponent: Orders
            targetMachine: Order
            targetState: Draft
            event: PLACE
            payload: {orderId: "{{orderId}}"}
            matchingRules: [{eventProperty: orderId, instanceProperty: orderId}]
    transitions: [{from: Waiting, to: Called, event: CALL}]
`

// cascades: what a state of ours sends to a component on the broker, for its
// instances in a state, is sent once to each that the rules choose; with the
// external API it is a broadcast to the component, which another bridge takes in.
func (c Case) cascades(t *testing.T) {
	t.Run("ToEach", func(t *testing.T) {
		a := bus(t)
		active(t, start(t, c.config(a, c.Server.URL)))
		p, v := c.peer(t), watch(t, a)
		r := newTheirs(p, "Orders")
		r.announce(t)
		r.serve(t)
		for _, id := range []string{"one", "two", "three"} {
			r.create(t, id)
		}
		r.move(t, "three", "Paid")
		eventually(t, func() string { return r.equal(v) })
		call(t, a, "one")
		settled(t, func() string {
			got := p.on("fsm:commands:trigger_event")
			if len(got) != 1 || got[0].body["instanceId"] != "one" {
				return fmt.Sprintf("sent %v, want one event for the one that is chosen", got)
			}
			return ""
		})
	})
	t.Run("Broadcast", func(t *testing.T) {
		a, b := bus(t), bus(t)
		here, there := c.config(a, c.Server.URL), c.config(b, c.Server.URL)
		here.External, there.External = true, true
		rt := attach(t, b, "orders.yaml", "Orders")
		var all []*fsm.Instance
		for i := range 3 {
			in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": fmt.Sprint(i), "amount": i})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, in)
		}
		active(t, start(t, there))
		active(t, start(t, here))
		p, v := c.peer(t), watch(t, a)
		var heard listener
		heard.listen(t, p.broker, bridge.Subscription{Channels: []string{"xcomponent:Orders"}}, taken)
		eventually(t, func() string { _, wrong := exact(v, "Orders", 1); return wrong })
		settle(t) // until the other listens for broadcasts
		call(t, a, "1")
		settled(t, func() string {
			for i, in := range all {
				want := map[int]string{0: "Draft", 1: "AwaitingPayment", 2: "Draft"}[i]
				if got, err := rt.Get(in.ID()); err != nil || got.State() != want {
					return fmt.Sprintf("order %d is %v, %v; want %s", i, got.State(), err, want)
				}
			}
			if got := heard.all(); len(got) != 1 {
				return fmt.Sprintf("heard %v, want one broadcast", got)
			}
			return ""
		})
		if _, err := rt.Send(t.Context(), all[1].ID(), fsm.Event{Type: "INVOICE_PAID"}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() string {
			if in, _ := instance(v, all[1].ID()); in.State != "Paid" {
				return "the order is not seen as paid"
			}
			return ""
		})
		// As the ancestor sends it, without an id: twice is two.
		body := map[string]any{
			"sourceComponent": "Shop", "targetComponent": "Orders", "targetMachine": "Order", "targetState": "Paid", "event": "NOTE",
			"payload": map[string]any{"n": 1}, "filters": []any{map[string]any{"property": "amount", "operator": "<", "value": 5}}, "timestamp": 1,
		}
		for range 2 {
			p.publish(t, "xcomponent:Orders", body)
		}
		p.publish(t, "xcomponent:Orders", []byte("no json"))
		settled(t, func() string {
			if got, err := rt.Get(all[1].ID()); err != nil || got.Version() != 5 {
				return fmt.Sprintf("version %d, %v; want 5", got.Version(), err)
			}
			return ""
		})
	})
}

// call has a runtime on a mesh enter a state that calls back an order.
func call(t *testing.T, b *mesh.Bus, order string) {
	t.Helper()
	comp, _, err := fsm.ParseComponent([]byte(recaller))
	if err != nil {
		t.Fatal(err)
	}
	rt := run(t, b, comp, "Recaller", mesh.AttachOptions{Logger: quiet()})
	in, err := rt.Create(t.Context(), "Recall", map[string]any{"orderId": order})
	if err == nil {
		_, err = rt.Send(t.Context(), in.ID(), fsm.Event{Type: "CALL"})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// vanish: a runtime on the broker that falls silent without a goodbye is given up,
// and its instances are not shown as live for ever.
func (c Case) vanish(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	conf.Silence = time.Second
	br := active(t, start(t, conf))
	v, p := watch(t, a), c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	eventually(t, func() string {
		if n := len(br.Status().Behind); n != 0 {
			return fmt.Sprintf("%d runtimes are still behind the bridge", n)
		}
		if e, _ := exactness(v, r.id); e.Exact {
			return "the directory still says that it is exact"
		}
		return ""
	})
	r.announce(t)
	r.serve(t)
	eventually(t, func() string { return r.equal(v) })
}

// lastLost: the last notice of a runtime that numbers what it tells gets lost, and no
// later one shows that it is missing. Its next heartbeat does. An answer that was
// under way before is not taken for one that tells of it.
func (c Case) lastLost(t *testing.T) {
	a := bus(t)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	v, p := watch(t, a), c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.change("one", "Draft")
	list := func(asOf int, instances ...any) {
		p.publish(t, "xcomponent:query_response", r.body(map[string]any{
			"type": "instances", "instances": append([]any{}, instances...), "asOf": asOf, "chunk": 1, "last": true,
		}))
	}
	row := map[string]any{"id": "one", "machineName": "Order", "currentState": "Draft", "context": map[string]any{}, "seq": 1}
	list(1, row)
	eventually(t, func() string { return r.equal(v) })
	before := br.Status().Counters
	// The end, number 2, is never published.
	p.publish(t, "xcomponent:heartbeat", r.body(map[string]any{"seq": 2}))
	gap := func() string {
		if n := br.Status().Counters["gaps"] - before["gaps"]; n != 1 {
			return fmt.Sprintf("%d notices are counted as missing, want 1", n)
		}
		return ""
	}
	eventually(t, gap)
	list(1, row)
	queries := len(p.on("fsm:commands:query_instances"))
	eventually(t, func() string {
		if len(p.on("fsm:commands:query_instances")) <= queries {
			return "after an older answer it is not asked again"
		}
		return ""
	})
	list(2)
	r.mu.Lock()
	delete(r.instances, "one")
	r.mu.Unlock()
	eventually(t, func() string { return r.equal(v) })
	if wrong := gap(); wrong != "" {
		t.Error(wrong)
	}
}

func exactness(v *mesh.View, runtimeID string) (e mesh.Exactness, known bool) {
	v.Read(func(d *mesh.Directory) {
		var info mesh.RuntimeInfo
		info, known = d.Runtime(runtimeID, time.Now())
		e = info.Exactness
	})
	return e, known
}

// noNotices: an application that keeps no directory is not sent what only one has
// use for, and still takes commands and sends its own.
func (c Case) noNotices(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	conf.NoNotices = true
	br := active(t, start(t, conf))
	rt := attach(t, a, "billing.yaml", "Billing")
	p := c.peer(t)
	eventually(t, func() string {
		if len(br.Status().Mirrored) == 0 {
			return "the runtime is not shown on the broker"
		}
		return ""
	})
	in, err := rt.Create(t.Context(), "Invoice", map[string]any{"orderId": "x"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if len(p.on("fsm:events:instance_created")) == 0 {
			return "the creation is not told on the broker"
		}
		return ""
	})
	r := newTheirs(p, "Orders")
	r.announce(t)
	eventually(t, func() string {
		if len(br.Status().Behind) == 0 {
			return "the runtime on the broker is not known"
		}
		return ""
	})
	before := br.Status().Counters["received"]
	for i := range 20 {
		r.create(t, fmt.Sprint(i))
	}
	p.publish(t, "fsm:commands:trigger_event", map[string]any{"instanceId": in.ID(), "event": map[string]any{"type": "REFUSE"}})
	eventually(t, func() string {
		if got, err := rt.Get(in.ID()); err != nil || got.State() != "Refused" {
			return fmt.Sprintf("the command is not done: %v, %v", got, err)
		}
		return ""
	})
	st := br.Status()
	if n := st.Counters["received"] - before; n > 15 { // its own, in both dialects, are among them
		t.Errorf("%d messages are received, among them notices that nobody has use for", n)
	}
	if st.Counters["told"] != 0 || st.Counters["queries_sent"] != 0 {
		t.Errorf("%d changes are told and %d queries sent", st.Counters["told"], st.Counters["queries_sent"])
	}
	// An instance that it cannot know of is sent to all the same.
	out, err := mesh.NewClient(a, mesh.ClientOptions{}).Send(t.Context(), mesh.Target{ID: "7", Component: "Orders"}, fsm.Event{Type: "PLACE"}, mesh.SendOptions{})
	if err != nil || out.Message != bridge.Unconfirmed || len(p.on("fsm:commands:trigger_event")) != 2 {
		t.Errorf("a command to an instance that is not known: %+v, %v", out, err)
	}
}
