package bridgetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/mesh"
)

// theirs is a runtime of the ancestor's, as far as a broker sees it: it numbers
// nothing, and answers a query with all that it has.
type theirs struct {
	p         *peer
	id        string
	component string

	mu        sync.Mutex // guards all below
	instances map[string]map[string]any
	queries   int
	silent    bool
}

func newTheirs(p *peer, component string) *theirs {
	return &theirs{p: p, id: uuid.NewString(), component: component, instances: map[string]map[string]any{}}
}

func (r *theirs) body(more map[string]any) map[string]any {
	b := map[string]any{"runtimeId": r.id, "componentName": r.component, "timestamp": time.Now().UnixMilli()}
	for k, v := range more {
		b[k] = v
	}
	return b
}

func (r *theirs) announce(t testing.TB) {
	t.Helper()
	var def json.RawMessage
	rest(t, "GET /api/components/Orders", &def)
	raw, _ := json.Marshal(r.body(map[string]any{"component": def, "host": "there", "port": 1}))
	// It may be away in the middle of a test.
	_, _ = r.p.broker.Publish(t.Context(), frames("fsm:registry:announce", raw))
}

func (r *theirs) create(t testing.TB, id string) {
	t.Helper()
	in := map[string]any{"id": id, "machineName": "Order", "currentState": "Draft", "context": map[string]any{"orderId": id}, "pendingTimeouts": []any{}}
	r.mu.Lock()
	r.instances[id] = in
	r.mu.Unlock()
	r.p.publish(t, "fsm:events:instance_created", r.body(map[string]any{"eventType": "instance_created", "data": map[string]any{
		"instanceId": id, "machineName": "Order", "currentState": "Draft", "context": in["context"],
	}}))
}

// change changes an instance without a word.
func (r *theirs) change(id, state string) (previous string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := map[string]any{}
	for k, v := range r.instances[id] {
		in[k] = v
	}
	if in["id"] == nil {
		in = map[string]any{"id": id, "machineName": "Order", "currentState": "Draft", "context": map[string]any{"orderId": id}, "pendingTimeouts": []any{}}
	}
	previous = fmt.Sprint(in["currentState"])
	in["currentState"] = state
	r.instances[id] = in
	return previous
}

func (r *theirs) move(t testing.TB, id, state string) {
	t.Helper()
	previous := r.change(id, state)
	r.tell(t, id, previous, state, map[string]any{"type": "MOVE", "payload": map[string]any{}})
}

func (r *theirs) tell(t testing.TB, id, previous, state string, event map[string]any) {
	t.Helper()
	r.p.publish(t, "fsm:events:state_change", r.body(map[string]any{"eventType": "state_change", "data": map[string]any{
		"instanceId": id, "machineName": "Order", "previousState": previous, "newState": state, "event": event,
		"context": map[string]any{"orderId": id}, "pendingTimeouts": []any{},
	}}))
}

// serve begins to answer queries, as the ancestor does: with an announce and the
// list. Frames are looked at as they come.
func (r *theirs) serve(t testing.TB) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		seen, discovers := 0, 0
		for t.Context().Err() == nil {
			if n := len(r.p.on("fsm:registry:discover")); n > discovers {
				discovers = n
				r.announce(t)
			}
			n := len(r.p.on("fsm:commands:query_instances"))
			for ; seen < n; seen++ {
				r.mu.Lock()
				silent := r.silent
				list := []any{}
				for _, in := range r.instances {
					list = append(list, in)
				}
				r.queries++
				r.mu.Unlock()
				if silent {
					continue
				}
				r.announce(t)
				raw, _ := json.Marshal(r.body(map[string]any{"type": "instances", "instances": list}))
				_, _ = r.p.broker.Publish(t.Context(), frames("fsm:responses:query", raw))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { <-done })
}

// equal reports how a view differs from what the runtime has.
func (r *theirs) equal(v *mesh.View) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wrong string
	v.Read(func(d *mesh.Directory) {
		info, ok := d.Runtime(r.id, time.Now())
		if !ok || !info.Exactness.Exact {
			wrong = fmt.Sprintf("runtime %s: known %v, %+v, floor %d known %d", r.id, ok, info.Exactness, info.Floor, info.Known)
			return
		}
		page, _ := d.List(mesh.Filter{RuntimeID: r.id, Live: true}, false, "", 10_000)
		if len(page.Instances) != len(r.instances) {
			wrong = fmt.Sprintf("%d instances, want %d", len(page.Instances), len(r.instances))
			return
		}
		for i := range page.Instances {
			in := &page.Instances[i]
			if want := r.instances[in.ID]; want["currentState"] != in.State {
				wrong = fmt.Sprintf("%s is %s, want %v", in.ID, in.State, want["currentState"])
			}
		}
	})
	return wrong
}

func frames(channel string, bodies ...[]byte) []bridge.Frame {
	var out []bridge.Frame
	for _, b := range bodies {
		out = append(out, bridge.Frame{Channel: channel, Body: b})
	}
	return out
}
