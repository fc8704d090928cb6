package bridgetest

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/mesh"
)

// rowsMost is how many instances the large answer has.
var rowsMost = flag.Int("rows", 10_000, "how many instances the large answer of the suite's bad input has")

// badInput sends everything that is wrong: the bridge goes on, counts, and says
// what it dropped and why.
func (c Case) badInput(t *testing.T) {
	a := bus(t)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	v := watch(t, a)
	p := c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	whole := map[string]map[string]any{
		"fsm:registry:announce":        r.body(map[string]any{"component": map[string]any{"name": "Orders"}, "host": "h", "port": 1}),
		"fsm:registry:heartbeat":       r.body(nil),
		"fsm:responses:query":          r.body(map[string]any{"type": "instances", "instances": []any{}}),
		"fsm:commands:trigger_event":   {"instanceId": "nope", "event": map[string]any{"type": "X"}},
		"fsm:commands:create_instance": {"componentName": "Nobody", "machineName": "M", "context": map[string]any{}},
		"fsm:commands:cross_component_event": {"targetComponent": "Nobody", "targetMachine": "M", "event": map[string]any{"type": "X"},
			"matchingRules": []any{map[string]any{"eventProperty": "a", "instanceProperty": "a", "operator": "===", "value": 1}}},
		"fsm:events:state_change": r.body(map[string]any{"eventType": "state_change", "data": map[string]any{
			"instanceId": "one", "machineName": "Order", "previousState": "Draft", "newState": "Draft",
			"event": map[string]any{"type": "X", "payload": map[string]any{}}, "context": map[string]any{"orderId": "one"}, "pendingTimeouts": []any{}}}),
	}
	delete(whole, "fsm:responses:query") // an empty list would be the truth
	before := br.Status().Counters["dropped_invalid"]
	n := 0
	wrong := func(channel string, body any) {
		p.publish(t, channel, body)
		n++
	}
	for channel := range whole {
		if channel == "fsm:commands:create_instance" && p.broker.Guarantees().Shared {
			continue // it is listened to only where somebody hosts the component
		}
		for _, raw := range []string{"", "no json", "[]", `"text"`, "1", `{"a":`, `{"a":1} trailing`, "\xff\xfe{}", strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001)} {
			wrong(channel, []byte(raw))
		}
	}
	for channel, needed := range map[string][]string{
		"fsm:registry:announce": {"runtimeId", "componentName"}, "fsm:registry:heartbeat": {"runtimeId", "componentName"},
		"fsm:commands:trigger_event": {"instanceId", "event"}, "fsm:commands:cross_component_event": {"targetComponent", "event", "matchingRules"},
		"fsm:events:state_change": {"runtimeId", "componentName", "data"},
	} {
		for _, field := range needed {
			for _, value := range []any{nil, 7, "", "with\nnewline", []any{}, strings.Repeat("x", 600)} {
				body := map[string]any{}
				for k, x := range whole[channel] {
					body[k] = x
				}
				if body[field] = value; value == nil {
					delete(body, field)
				}
				wrong(channel, body)
			}
		}
	}
	eventually(t, func() string {
		if got := br.Status().Counters["dropped_invalid"] - before; got < uint64(n) {
			return fmt.Sprintf("%d of %d wrong messages are counted", got, n)
		}
		return ""
	})
	st := br.Status()
	if len(st.Drops) == 0 || st.Drops[len(st.Drops)-1].Reason == "" {
		t.Errorf("no reason is said: %+v", st.Drops)
	}
	c.oddInput(t, p, br, r, v)
	if g := p.broker.Guarantees(); g.DeadLetters {
		eventually(t, func() string {
			if got := br.Status().Counters["broker_dead_letters"]; got < uint64(n) {
				return fmt.Sprintf("%d dead letters, want %d", got, n)
			}
			return ""
		})
	}
}

// oddInput sends what is not wrong by itself, but must do no harm.
func (c Case) oddInput(t *testing.T, p *peer, br *bridge.Bridge, r *theirs, v *mesh.View) {
	t.Helper()
	for _, at := range []any{-1, 1.5, 1e30, "yesterday", 1795442573} {
		b := r.body(nil)
		b["timestamp"] = at
		p.publish(t, "fsm:registry:heartbeat", b)
	}
	p.publish(t, "fsm:events:nobody_knows", r.body(nil))
	p.publish(t, "fsm:events:state_change", r.body(map[string]any{"runtimeId": "a stranger", "data": map[string]any{"instanceId": "x", "machineName": "m", "newState": "s"}}))
	p.publish(t, "xcomponent:command_response", map[string]any{"correlationId": "long gone", "ok": true})
	p.publish(t, "fsm:registry:announce", r.body(map[string]any{"component": "broken", "host": 7, "port": "x"}))
	c.brokenDefinitions(t, p, br, v)
	c.twoWithOneID(t, p, br, r)
	rows := []any{}
	many := *rowsMost
	for i := range many {
		rows = append(rows, map[string]any{"id": fmt.Sprint("r", i), "machineName": "O", "currentState": "D"})
	}
	rows = append(rows, map[string]any{"machineName": "Order"}, 7, map[string]any{"id": "bad\nid", "machineName": "m", "currentState": "s"})
	big, _ := json.Marshal(map[string]any{"orderId": strings.Repeat("x", 1000), "n": json.Number("9007199254740993")})
	rows = append(rows, map[string]any{"id": "big", "machineName": "Order", "currentState": "Draft", "context": json.RawMessage(big)})
	p.publish(t, "fsm:responses:query", r.body(map[string]any{"type": "instances", "instances": rows}))
	eventuallyWithin(t, time.Minute+time.Duration(many)*2*time.Millisecond, func() string { // with the race detector it takes a while
		in, ok := instance(v, "big")
		if !ok || !strings.Contains(string(in.Context), "9007199254740993") {
			return "the rows of the large answer are not there, or a large number has changed"
		}
		n := 0
		var info mesh.RuntimeInfo
		v.Read(func(d *mesh.Directory) {
			n = d.Count(mesh.Filter{RuntimeID: r.id, Live: true}).Active
			info, _ = d.Runtime(r.id, time.Now())
		})
		if n != many+1 {
			return fmt.Sprintf("%d instances, want %d; the directory knows of %d and has %d of them: %+v", n, many+1, info.Known, info.Floor, info.Exactness)
		}
		return ""
	})
	if in, ok := instance(v, "one"); ok && in.Status == mesh.Active {
		t.Error("an instance that the answer does not name is still shown as live")
	}
	// Numbers that go back are old news, in whatever order they come.
	moved := func(seq int, state string) {
		p.publish(t, "xcomponent:state_change", r.body(map[string]any{"eventType": "state_change", "seq": seq, "data": map[string]any{
			"instanceId": "big", "machineName": "Order", "previousState": "Draft", "newState": state, "context": map[string]any{},
		}}))
	}
	for _, seq := range []int{7, 5, 6, 7, 8, -1} {
		moved(max(seq, 0), fmt.Sprint("S", seq))
	}
	p.publish(t, "xcomponent:heartbeat", r.body(map[string]any{"seq": 3}))
	eventually(t, func() string {
		if in, _ := instance(v, "big"); in.State != "S-1" { // the one without a number: the order of arrival
			return fmt.Sprintf("the state is %s, want S-1", in.State)
		}
		return ""
	})
}

// twoWithOneID has another runtime say that it is there under the id of one, and tell of
// an instance, an empty list, and its end: that is counted and said, and the one goes on
// as it was.
func (c Case) twoWithOneID(t *testing.T, p *peer, br *bridge.Bridge, r *theirs) {
	t.Helper()
	before := br.Status().Counters["dropped_id_of_another"]
	other := func(more map[string]any) map[string]any {
		b := r.body(more)
		b["componentName"] = "Billing"
		return b
	}
	p.publish(t, "fsm:registry:announce", other(map[string]any{"component": map[string]any{"name": "Billing"}}))
	p.publish(t, "fsm:events:instance_created", other(map[string]any{"eventType": "instance_created", "data": map[string]any{
		"instanceId": "of another", "machineName": "Invoice", "currentState": "Open", "context": map[string]any{}}}))
	p.publish(t, "fsm:responses:query", other(map[string]any{"type": "instances", "instances": []any{}}))
	p.publish(t, "fsm:registry:heartbeat", other(nil))
	p.publish(t, "fsm:registry:shutdown", other(nil))
	eventually(t, func() string {
		st := br.Status()
		said := 0
		for _, d := range st.Drops {
			if strings.Contains(d.Reason, r.id+" of component Billing has the id of one of component Orders") {
				said++
			}
		}
		if n := st.Counters["dropped_id_of_another"] - before; n != 5 || said != 5 {
			return fmt.Sprintf("%d messages of a runtime with the id of another are counted and %d said, want 5", n, said)
		}
		return ""
	})
}

// brokenDefinitions has runtimes announce definitions that are none: they are listed
// all the same, and it is counted and said of which the definition was dropped.
func (c Case) brokenDefinitions(t *testing.T, p *peer, br *bridge.Bridge, v *mesh.View) {
	t.Helper()
	before := br.Status().Counters["dropped_definitions"]
	var all []*theirs
	dropped := map[string]bool{}
	for _, definition := range []any{nil, "broken", 7, true, []any{map[string]any{}}, map[string]any{"stateMachines": 7}, map[string]any{"name": []any{}, "stateMachines": []any{7, nil, map[string]any{"name": 1}}}} {
		r := newTheirs(p, "Broken")
		p.publish(t, "fsm:registry:announce", r.body(map[string]any{"component": definition}))
		all = append(all, r)
		if _, object := definition.(map[string]any); !object { // what is in one is for whoever shows it
			dropped[r.id] = true
		}
	}
	eventually(t, func() string {
		for _, r := range all {
			there := false
			v.Read(func(d *mesh.Directory) {
				info, _ := d.Runtime(r.id, time.Now())
				there = info.Status == mesh.Live && info.Component == "Broken"
			})
			if !there {
				return "a runtime with a broken definition is not listed"
			}
		}
		st := br.Status()
		said := map[string]bool{}
		for _, d := range st.Drops {
			for id := range dropped {
				if strings.Contains(d.Reason, "the definition of runtime "+id) {
					said[id] = true
				}
			}
		}
		if n := st.Counters["dropped_definitions"] - before; n < uint64(len(dropped)) || len(said) != len(dropped) {
			return fmt.Sprintf("%d dropped definitions are counted and %d said, want %d", n, len(said), len(dropped))
		}
		return ""
	})
}
