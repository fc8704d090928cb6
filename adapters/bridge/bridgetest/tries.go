package bridgetest

import (
	"context"
	"encoding/json"
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

// A busy runtime takes what it is asked at the second try, and what is for the
// instance "stuck" never. It notes the events and creations that it is given.
type busy struct {
	mu    sync.Mutex // guards tries
	tries map[string][]string
}

func (b *busy) command(_ context.Context, c *mesh.Command) *mesh.Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch c.Do {
	case mesh.DoLocate:
		return &mesh.Outcome{OK: true, Instance: c.Instance}
	case mesh.DoCreate:
		b.tries["create"] = append(b.tries["create"], c.EventID)
		if len(b.tries["create"]) == 2 {
			return &mesh.Outcome{OK: true, Instance: "made"}
		}
	case mesh.DoSend:
		b.tries[c.Instance] = append(b.tries[c.Instance], c.Event.ID)
		if c.Instance != "stuck" && len(b.tries[c.Instance]) == 2 {
			return &mesh.Outcome{OK: true, Instance: c.Instance}
		}
	}
	return &mesh.Outcome{Code: fsm.CodeOverloaded}
}

func (b *busy) of(what string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.tries[what])
}

// tries sends commands to a runtime that does not take them at once: they are tried
// again, with the same event and for the same claim; who is given up is told so, and
// it is counted.
func (c Case) tries(t *testing.T) {
	a := bus(t)
	b := &busy{tries: map[string][]string{}}
	guest, err := a.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "busy", Component: "Busy", Name: "busy"}, Logger: quiet(), Source: nothing{}, Command: b.command,
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Busy","stateMachines":[{"name":"M"}]}`), Protocol: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	eventually(t, func() string {
		if len(br.Status().Mirrored) == 0 {
			return "the runtime is not mirrored"
		}
		return ""
	})
	settle(t)
	p := c.peer(t)
	event := map[string]any{"type": "UP", "payload": map[string]any{}}
	id := func(what string) string { return what + "-" + t.Name() } // claims outlive the test
	p.publish(t, "fsm:commands:trigger_event", map[string]any{"componentName": "Busy", "instanceId": "slow", "event": event, "id": id("slow")})
	p.publish(t, "fsm:commands:trigger_event", map[string]any{
		"componentName": "Busy", "instanceId": "stuck", "event": event, "id": id("stuck"), "correlationId": "asked",
	})
	p.publish(t, "fsm:commands:create_instance", map[string]any{"componentName": "Busy", "context": map[string]any{}, "id": id("create")})
	for _, what := range []string{"slow", "create"} {
		eventually(t, func() string {
			if got := b.of(what); !slices.Equal(got, []string{id(what), id(what)}) {
				return fmt.Sprintf("%s was tried with %q, want twice with the id of the message", what, got)
			}
			return ""
		})
	}
	eventually(t, func() string {
		answers := p.on("xcomponent:command_response")
		if len(answers) != 1 || answers[0].body["ok"] != false || answers[0].body["correlationId"] != "asked" {
			return fmt.Sprintf("the answers are %v; want one, that it was not done", answers)
		}
		st := br.Status()
		said := slices.ContainsFunc(st.Drops, func(d bridge.Drop) bool { return strings.Contains(d.Reason, "given up after 10 tries") })
		if st.Counters["commands_refused"] != 1 || !said {
			return fmt.Sprintf("%d commands are refused, want 1; the drops are %+v", st.Counters["commands_refused"], st.Drops)
		}
		return ""
	})
	if n := len(b.of("stuck")); n != 10 {
		t.Errorf("it was tried %d times, want 10", n)
	}
}

// crossed sends many events for matching instances at a time, and one of them again
// under another message id: each is applied once.
func (c Case) crossed(t *testing.T) {
	a := bus(t)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	rt := attach(t, a, "orders.yaml", "Orders")
	id := paid(t, rt)
	eventually(t, func() string {
		if len(br.Status().Mirrored) == 0 {
			return "the runtime is not mirrored"
		}
		return ""
	})
	p := c.peer(t)
	const many = 300
	send := func(event, message int) {
		p.publish(t, "fsm:commands:cross_component_event", map[string]any{
			"targetComponent": "Orders", "targetMachine": "Order", "sourceComponent": "Shop", "sourceInstanceId": fmt.Sprint("s", event),
			"event": map[string]any{"type": "NOTE", "payload": map[string]any{}, "id": fmt.Sprint("event-", event)}, "id": fmt.Sprint("message-", message),
			"matchingRules": []any{map[string]any{"eventProperty": "orderId", "instanceProperty": "orderId", "operator": "===", "value": "ours"}},
		})
	}
	version := func(want uint64) func() string {
		return func() string {
			if in, err := rt.Get(id); err != nil || in.Version() != want {
				return fmt.Sprintf("version %d, %v; want %d", in.Version(), err, want)
			}
			return ""
		}
	}
	for i := range many {
		send(i, i)
	}
	eventually(t, version(3+many))
	send(0, many)      // known
	send(many, many+1) // new
	eventually(t, version(3+many+1))
	settled(t, version(3+many+1))
}

// skewed announces a runtime whose clock is wrong: it is shown where nothing waits
// in a queue.
func (c Case) skewed(t *testing.T) {
	a := bus(t)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	p := c.peer(t)
	for i, at := range []int64{time.Now().Unix(), time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Hour).UnixMilli()} {
		p.publish(t, "xcomponent:announce", map[string]any{
			"runtimeId": fmt.Sprint("skewed-", i), "componentName": "Skewed", "component": map[string]any{"name": "Skewed"}, "timestamp": at,
			"id": fmt.Sprint("skewed-", i), "origin": "elsewhere", "hops": 1,
		})
	}
	eventually(t, func() string {
		if n := len(br.Status().Behind); n != 3 {
			return fmt.Sprintf("%d runtimes behind the bridge, want 3", n)
		}
		return ""
	})
}

// nameless sends commands without an id: they are tried again, each time as the same,
// also those of which nobody knows the outcome, and the reason for which they are given
// up is the true one.
func (c Case) nameless(t *testing.T) {
	a := bus(t)
	b := &busy{tries: map[string][]string{}}
	guest, err := a.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "busy", Component: "Nameless", Name: "busy"}, Logger: quiet(), Source: nothing{},
		Announce: mesh.Announce{Definition: json.RawMessage(`{"name":"Nameless","stateMachines":[{"name":"M"}]}`), Protocol: 1},
		Command: func(ctx context.Context, cmd *mesh.Command) *mesh.Outcome {
			out := b.command(ctx, cmd)
			if cmd.Instance == "dark" && cmd.Do == mesh.DoSend {
				out = &mesh.Outcome{Code: fsm.CodeUnknownOutcome}
			}
			return out
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guest.Close)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	eventually(t, func() string {
		if len(br.Status().Mirrored) == 0 {
			return "the runtime is not mirrored"
		}
		return ""
	})
	settle(t)
	p := c.peer(t)
	event := map[string]any{"type": "UP", "payload": map[string]any{}}
	for _, id := range []string{"slow", "stuck", "dark"} {
		p.publish(t, "fsm:commands:trigger_event", map[string]any{"componentName": "Nameless", "instanceId": id, "event": event})
	}
	p.publish(t, "fsm:commands:create_instance", map[string]any{"componentName": "Nameless", "context": map[string]any{"at": time.Now().UnixNano()}})
	eventually(t, func() string {
		st := br.Status()
		var reasons []string
		for _, d := range st.Drops {
			reasons = append(reasons, d.Reason)
		}
		said := strings.Join(reasons, "\n")
		if len(b.of("slow")) != 2 || len(b.of("create")) != 2 || len(b.of("stuck")) != 10 || len(b.of("dark")) != 10 {
			return fmt.Sprintf("tried slow %d times, create %d, stuck %d, dark %d; want 2, 2, 10 and 10; said %s", len(b.of("slow")), len(b.of("create")), len(b.of("stuck")), len(b.of("dark")), said)
		}
		if st.Counters["commands_refused"] != 2 || strings.Count(said, "given up after 10 tries") != 2 {
			return fmt.Sprintf("%d commands are refused, want 2; said %s", st.Counters["commands_refused"], said)
		}
		return ""
	})
	for _, what := range []string{"slow", "create", "stuck", "dark"} {
		if ids := slices.Compact(b.of(what)); len(ids) != 1 || ids[0] == "" {
			t.Errorf("%s was tried with the ids %q, want one", what, ids)
		}
	}
}
