package bridgetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// commands sends commands to a runtime of the ancestor's, and to one of ours over
// the broker: what is known of the outcome is said.
func (c Case) commands(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	conf.Confirm = 500 * time.Millisecond
	active(t, start(t, conf))
	v := watch(t, a)
	p := c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.serve(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	client := mesh.NewClient(a, mesh.ClientOptions{})
	send := func(ev string) (*mesh.Outcome, error) {
		return client.Send(t.Context(), mesh.Target{ID: "one"}, fsm.Event{Type: ev, Payload: map[string]any{"a": 1}}, mesh.SendOptions{EventID: "e-" + ev})
	}
	out, err := send("NOBODY")
	if err != nil || out.Message != bridge.Unconfirmed {
		t.Errorf("an event that leads to nothing: %+v, %v; want %q", out, err, bridge.Unconfirmed)
	}
	sent := p.on("fsm:commands:trigger_event")
	if len(sent) != 1 || sent[0].body["instanceId"] != "one" || sent[0].body["componentName"] != "Orders" {
		t.Fatalf("sent %v", sent)
	}
	go func() {
		for len(p.on("fsm:commands:trigger_event")) < 2 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		previous := r.change("one", "AwaitingPayment")
		raw, _ := json.Marshal(r.body(map[string]any{"eventType": "state_change", "data": map[string]any{
			"instanceId": "one", "machineName": "Order", "previousState": previous, "newState": "AwaitingPayment",
			"event": map[string]any{"type": "PLACE", "payload": map[string]any{}}, "context": map[string]any{"orderId": "one"},
		}}))
		_, _ = p.broker.Publish(t.Context(), frames("fsm:events:state_change", raw))
	}()
	if out, err = send("PLACE"); err != nil || out.State != "AwaitingPayment" || out.Seq == 0 {
		t.Errorf("an event that is followed by its change: %+v, %v", out, err)
	}
	if _, err := client.Send(t.Context(), mesh.Target{ID: "nope", Component: "Orders"}, fsm.Event{Type: "X"}, mesh.SendOptions{}); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Errorf("an unknown instance: %v", err)
	}
	c.answeredCommands(t, v, client)
}

// answeredCommands sends commands to a runtime of ours behind another bridge,
// which answers.
func (c Case) answeredCommands(t *testing.T, v *mesh.View, client *mesh.Client) {
	t.Helper()
	b := bus(t)
	active(t, start(t, c.config(b, c.Server.URL)))
	rt := attach(t, b, "billing.yaml", "Billing")
	in, err := rt.Create(t.Context(), "Invoice", map[string]any{"orderId": "x"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if _, ok := instance(v, in.ID()); !ok {
			return "the invoice is not known"
		}
		return ""
	})
	target := mesh.Target{ID: in.ID(), Component: "Billing"}
	_, err = client.Send(t.Context(), target, fsm.Event{Type: "NOPE"}, mesh.SendOptions{})
	if !errors.Is(err, fsm.ErrEventIgnored) {
		t.Errorf("an event that is ignored: %v", err)
	}
	out, err := client.Send(t.Context(), target, fsm.Event{Type: "REFUSE"}, mesh.SendOptions{EventID: "r1"})
	if err != nil || out.State != "Refused" || out.Version != 2 {
		t.Errorf("an event that is accepted: %+v, %v", out, err)
	}
	if out, err = client.Create(t.Context(), "Billing", "Invoice", map[string]any{"orderId": "y"}, mesh.CreateOptions{}); err != nil || out.Instance == "" {
		t.Fatalf("create over the broker: %+v, %v", out, err)
	}
	if got, err := rt.Get(out.Instance); err != nil || got.State() != "Open" {
		t.Errorf("created: %v, %v", got, err)
	}
	c.wishes(t, v, client)
	// The trace context goes with the command, and comes with the answer.
	var owner string
	eventually(t, func() string {
		row, ok := instance(v, out.Instance)
		if !ok {
			return "what was created is not known"
		}
		owner = row.RuntimeID
		return ""
	})
	p := c.peer(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if _, err := client.Do(t.Context(), owner, &mesh.Command{
		Do: mesh.DoSend, Component: "Billing", Instance: out.Instance, Event: &mesh.Event{Type: "REFUSE"}, Traceparent: trace,
	}); err != nil {
		t.Errorf("a command with a trace: %v", err)
	}
	eventually(t, func() string {
		sent, answered := p.on("xcomponent:trigger_event"), p.on("xcomponent:command_response")
		if len(sent) != 1 || len(answered) != 1 || sent[0].body["traceparent"] != trace || answered[0].body["traceparent"] != trace {
			return fmt.Sprintf("the trace is not in %v and %v", sent, answered)
		}
		return ""
	})
}

// wishes has a runtime of ours behind another bridge do what is asked for beside the
// event or the context: an id, a key, and a version.
func (c Case) wishes(t *testing.T, v *mesh.View, client *mesh.Client) {
	t.Helper()
	p := c.peer(t)
	create := func(o mesh.CreateOptions) *mesh.Outcome {
		t.Helper()
		o.State = "Open"
		out, err := client.Create(t.Context(), "Billing", "Invoice", map[string]any{"orderId": "z"}, o)
		if err != nil {
			t.Fatalf("create over the broker with %+v: %v", o, err)
		}
		return out
	}
	if out := create(mesh.CreateOptions{ID: "chosen"}); out.Instance != "chosen" {
		t.Errorf("the instance %s is made, want %q", out.Instance, "chosen")
	}
	first, second := create(mesh.CreateOptions{Key: "z", OrGet: true}), create(mesh.CreateOptions{Key: "z", OrGet: true})
	if first.Instance != second.Instance || first.Repeated || !second.Repeated {
		t.Errorf("by one key there are %+v and %+v, want one instance that is made once", first, second)
	}
	for _, frame := range p.on("xcomponent:create_instance") {
		if frame.body["currentState"] != "Open" {
			t.Errorf("the state is not asked for: %v", frame.body)
		}
	}
	eventually(t, func() string {
		if _, ok := instance(v, "chosen"); !ok {
			return "the instance is not known"
		}
		return ""
	})
	send := func(version uint64) error {
		_, err := client.Send(t.Context(), mesh.Target{ID: "chosen", Component: "Billing"}, fsm.Event{Type: "REFUSE"}, mesh.SendOptions{IfVersion: version})
		return err
	}
	if err := send(2); !errors.Is(err, fsm.ErrVersionMoved) {
		t.Errorf("an event for another version: %v", err)
	}
	if err := send(1); err != nil {
		t.Errorf("an event for the version that it has: %v", err)
	}
	// The runtime itself compares: what the bridge knows may be a moment old.
	eventually(t, func() string {
		var asked []any
		for _, frame := range p.on("xcomponent:trigger_event") {
			asked = append(asked, frame.body["ifVersion"])
		}
		if len(asked) != 2 || asked[0] != 2.0 || asked[1] != 1.0 {
			return fmt.Sprintf("the runtime is asked for the versions %v, want 2 and 1", asked)
		}
		return ""
	})
}

// two runtimes of one component behind a bridge: each is known by itself, the
// merged answer has the instances of both, and one that is silent is named.
func (c Case) two(t *testing.T) {
	p := c.peer(t)
	a, b := bus(t), bus(t)
	one, two := attach(t, a, "orders.yaml", "one"), attach(t, a, "orders.yaml", "two")
	active(t, start(t, c.config(a, c.Server.URL)))
	other := active(t, start(t, c.config(b, c.Server.URL)))
	var all []string
	for _, rt := range []*fsm.Runtime{one, two} {
		in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": rt.Name()})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, in.ID())
	}
	slices.Sort(all)
	vb := watch(t, b)
	eventually(t, func() string {
		rows, wrong := exact(vb, "Orders", 2)
		if wrong == "" && len(rows) != 2 {
			wrong = fmt.Sprintf("%d instances beyond the broker, want 2", len(rows))
		}
		return wrong
	})
	p.forget()
	p.publish(t, "fsm:commands:query_instances", map[string]any{"type": "query_all_instances", "timestamp": 1})
	eventually(t, func() string {
		answers := p.on("fsm:responses:query")
		if len(answers) == 0 {
			return "no answer"
		}
		var ids []string
		for _, row := range answers[len(answers)-1].body["instances"].([]any) {
			ids = append(ids, row.(map[string]any)["id"].(string))
		}
		if slices.Sort(ids); !slices.Equal(ids, all) {
			return fmt.Sprintf("the answer has %v, want %v", ids, all)
		}
		return ""
	})
	silent := newTheirs(p, "Orders")
	silent.announce(t)
	eventually(t, func() string {
		if n := len(other.Status().Behind); n != 3 {
			return fmt.Sprintf("%d runtimes behind the bridge, want 3", n)
		}
		return ""
	})
	time.Sleep(1100 * time.Millisecond) // answers are joined within a second
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	answered, missing, err := other.Query(ctx)
	if err != nil || len(answered) != 2 || len(missing) != 1 || !strings.Contains(missing[0], silent.id) {
		t.Errorf("answered %v, missing %v, %v; want two, and %s", answered, missing, err, silent.id)
	}
	// The same by a query of the mesh, which does not know that there is a bridge.
	client := mesh.NewClient(b, mesh.ClientOptions{})
	page, err := client.Query(t.Context(), mesh.Query{Filter: mesh.Filter{Component: "Orders", Live: true}})
	if err != nil || len(page.Instances) != 2 || len(page.Missing) != 1 || !strings.Contains(page.Missing[0], silent.id) {
		t.Errorf("a query of the mesh: %+v, %v; want two instances, and %s to be missing", page, err, silent.id)
	}
	silent.change("late", "Draft")
	silent.serve(t)
	before := other.Status().Counters["queries_sent"]
	eventually(t, func() string {
		page, err := client.Query(t.Context(), mesh.Query{Filter: mesh.Filter{Component: "Orders"}, IDs: []string{"late", all[0]}})
		if err != nil || len(page.Missing) > 0 || len(page.Instances) != 2 {
			return fmt.Sprintf("a query by id: %+v, %v; want two instances", page, err)
		}
		return ""
	})
	begin := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if page, err := client.Query(t.Context(), mesh.Query{Filter: mesh.Filter{RuntimeID: silent.id, Component: "Orders"}}); err != nil || len(page.Instances) != 1 {
				t.Errorf("one of many queries: %+v, %v", page, err)
			}
		})
	}
	wg.Wait()
	if n, most := other.Status().Counters["queries_sent"]-before, uint64(time.Since(begin).Seconds())+4; n > most {
		t.Errorf("%d queries are sent to the broker, want %d at most: they are not joined", n, most)
	}
}

// creations: three applications host a component and hear the same creations from
// the broker: each is done once. Two equal ones are two. Without claims, where the
// broker has them, each application does each that has no id.
func (c Case) creations(t *testing.T) {
	t.Run("With", func(t *testing.T) {
		count := c.createThrice(t, bridge.Faults{})
		settled(t, func() string {
			if n := count(); n != 42 {
				return fmt.Sprintf("%d instances, want 42", n)
			}
			return ""
		})
	})
	if b := c.open(t, c.Server.URL); b.Guarantees().Shared {
		return
	}
	t.Run("Without", func(t *testing.T) {
		count := c.createThrice(t, bridge.Faults{NoClaims: true})
		eventually(t, func() string {
			// Those with an id an application leaves out that has heard of the instance.
			if n, want := count(), 3*22+20; n < want {
				return fmt.Sprintf("%d instances without claims, want %d at least: the test shows nothing", n, want)
			}
			return ""
		})
	})
}

func (c Case) createThrice(t *testing.T, faults bridge.Faults) (count func() int) {
	p := c.peer(t)
	var runtimes []*fsm.Runtime
	for range 3 {
		b := bus(t)
		runtimes = append(runtimes, attach(t, b, "orders.yaml", "Orders"))
		conf := c.config(b, c.Server.URL)
		conf.Faults = faults
		br := active(t, start(t, conf))
		eventually(t, func() string {
			if len(br.Status().Mirrored) == 0 {
				return "the runtime is not mirrored"
			}
			return ""
		})
	}
	settle(t)
	body := func(i int, id string) map[string]any {
		m := map[string]any{"componentName": "Orders", "machineName": "Order", "context": map[string]any{"orderId": fmt.Sprint(i)}, "timestamp": 1}
		if id != "" {
			m["id"], m["eventId"] = id, id
		}
		return m
	}
	for i := range 20 {
		p.publish(t, "fsm:commands:create_instance", body(i, ""))
		p.publish(t, "fsm:commands:create_instance", body(1000+i, fmt.Sprint("id-", t.Name(), i)))
	}
	for range 2 { // equal ones, of somebody who gives no ids
		p.publish(t, "fsm:commands:create_instance", body(99, ""))
	}
	return func() (n int) {
		for _, rt := range runtimes {
			for range rt.Instances(fsm.Filter{}) {
				n++
			}
		}
		return n
	}
}

// dryRun tells what would be published, and does nothing.
func (c Case) dryRun(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	var mu sync.Mutex
	told := map[string]int{}
	conf.DryRun = func(f bridge.Frame) {
		mu.Lock()
		defer mu.Unlock()
		told[f.Channel]++
	}
	conf.Only = []bridge.Kind{bridge.Announce, bridge.InstanceCreated, bridge.TriggerEvent, bridge.CreateInstance}
	conf.Off[bridge.Documented] = true
	br := active(t, start(t, conf))
	p := c.peer(t)
	rt := attach(t, a, "orders.yaml", "Orders")
	eventually(t, func() string {
		mu.Lock()
		defer mu.Unlock()
		if told["fsm:registry:announce"] == 0 {
			return "the announce is not told"
		}
		return ""
	})
	in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": "1"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		mu.Lock()
		defer mu.Unlock()
		if told["fsm:events:instance_created"] == 0 {
			return fmt.Sprintf("told %v", told)
		}
		return ""
	})
	p.publish(t, "fsm:commands:trigger_event", map[string]any{"instanceId": in.ID(), "event": map[string]any{"type": "PLACE"}})
	p.publish(t, "fsm:commands:trigger_event", []byte("no json"))
	ours := 2
	if b := c.open(t, c.Server.URL); b.Guarantees().Shared {
		var l listener
		l.listen(t, b, bridge.Subscription{Channels: []string{"fsm:commands:create_instance"}, Shared: "create.Orders"}, taken)
		const creations = 6
		for range creations {
			p.publish(t, "fsm:commands:create_instance", map[string]any{"componentName": "Orders", "context": map[string]any{}})
		}
		ours += creations
		eventually(t, func() string {
			if n := len(l.all()); n != creations {
				return fmt.Sprintf("%d of %d creations come to who shares the queue: the dry run takes them", n, creations)
			}
			return ""
		})
	}
	eventually(t, func() string {
		if n := br.Status().Counters["dropped_invalid"]; n != 1 {
			return fmt.Sprintf("%d messages could not be read, want 1", n)
		}
		return ""
	})
	settle(t)
	if got, _ := rt.Get(in.ID()); got.Version() != 1 {
		t.Error("a command is carried out in a dry run")
	}
	if n := br.Status().Counters["broker_dead_letters"]; n != 0 {
		t.Errorf("%d dead letters are written in a dry run", n)
	}
	mu.Lock()
	defer mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(told) != 2 {
		t.Errorf("told %v, want the kinds of one dialect that were asked for", told)
	}
	if len(p.got) != ours {
		t.Errorf("%d frames are published in a dry run", len(p.got)-ours)
	}
}
