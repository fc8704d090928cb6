package bridgetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// told gathers what a mesh is told of the numbered changes of instances.
type told struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func tell(t testing.TB, b *mesh.Bus) *told {
	t.Helper()
	out := &told{n: map[string]int{}}
	notices, err := b.Notices(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for n, err := range notices {
			if err == nil && n.Kind.Numbered() {
				out.mu.Lock()
				out.n[fmt.Sprint(n.Instance, " ", n.Kind, " ", n.State, " ", string(n.Context))]++
				out.mu.Unlock()
			}
		}
	}()
	return out
}

// counts returns how many different changes were told, and those told more than
// once.
func (o *told) counts() (n int, twice []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for what, k := range o.n {
		if k > 1 {
			twice = append(twice, fmt.Sprintf("%d times %s", k, what))
		}
	}
	return len(o.n), twice
}

// moves makes instances and moves each, with payloads that tell the changes
// apart. It returns how many changes that is.
func moves(t testing.TB, rt *fsm.Runtime, n int) int {
	t.Helper()
	for i := range n {
		in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": fmt.Sprint("ORD-", i), "amount": i})
		if err != nil {
			t.Fatal(err)
		}
		for j, ev := range []string{"PLACE", "INVOICE_PAID", "NOTE"} {
			if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: ev, Payload: map[string]any{"step": j}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return 4 * n
}

// uniform reports what is wrong with frames that are to be there once each: by
// id, on each channel.
func (p *peer) uniform(want int) (wrong string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, channels := range [][]string{
		{"fsm:events:instance_created", "fsm:events:state_change"},
		{"xcomponent:instance_created", "xcomponent:state_change"},
	} {
		n, seen := 0, map[string]bool{}
		for _, f := range p.got {
			if f.channel != channels[0] && f.channel != channels[1] {
				continue
			}
			n++
			what := fmt.Sprint(f.body["runtimeId"], f.body["seq"], f.body["data"])
			if seen[what] {
				return fmt.Sprintf("twice on %s: %s", f.channel, f.raw)
			}
			seen[what] = true
		}
		if n != want {
			return fmt.Sprintf("%d frames on %v, want %d", n, channels, want)
		}
	}
	return ""
}

// settled waits until f returns "", and sees that it stays so for a moment: what
// goes round would come.
func settled(t testing.TB, f func() string) {
	t.Helper()
	eventually(t, f)
	deadline := time.Now().Add(700 * time.Millisecond)
	for time.Now().Before(deadline) {
		if wrong := f(); wrong != "" {
			t.Fatal(wrong)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// once reports what is wrong with a mesh and a broker on which want changes are
// to be told exactly once each.
func once(m *told, p *peer, want int) string {
	n, twice := m.counts()
	if len(twice) > 0 {
		return fmt.Sprintf("told more than once: %v", twice[:min(3, len(twice))])
	}
	if n != want {
		return fmt.Sprintf("%d changes are told, want %d", n, want)
	}
	return p.uniform(want)
}

// loop bridges two meshes over one broker, in both dialects: what happens on one
// is told once on the broker and once on the other mesh. Without the guard it
// is not.
func (c Case) loop(t *testing.T) {
	run := func(t *testing.T, faults bridge.Faults) func() string {
		a, b := bus(t), bus(t)
		p := c.peer(t)
		ca, cb := c.config(a, c.Server.URL), c.config(b, c.Server.URL)
		ca.Faults, cb.Faults = faults, faults
		active(t, start(t, ca))
		active(t, start(t, cb))
		rt := attach(t, a, "orders.yaml", "Orders")
		vb := watch(t, b)
		eventually(t, func() string { _, wrong := exact(vb, "Orders", 1); return wrong })
		m, here := tell(t, b), tell(t, a)
		want := moves(t, rt, 25)
		// And by commands that go over the broker, with no id by which the runtime
		// itself would know them again.
		in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": "by command"})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() string {
			if _, ok := instance(vb, in.ID()); !ok {
				return "the instance is not known beyond the broker"
			}
			return ""
		})
		client := mesh.NewClient(b, mesh.ClientOptions{})
		for i, ev := range []string{"PLACE", "INVOICE_PAID", "NOTE", "NOTE", "NOTE"} {
			out, err := client.Send(t.Context(), mesh.Target{ID: in.ID()}, fsm.Event{Type: ev, Payload: map[string]any{"n": i}}, mesh.SendOptions{})
			if err != nil || !out.OK || out.Version != uint64(i+2) {
				t.Logf("%s over the broker: %+v, %v", ev, out, err)
			}
		}
		want += 6
		return func() string {
			if got, err := rt.Get(in.ID()); err != nil || got.Version() != 6 {
				return fmt.Sprintf("five commands led to version %d, %v; want 6", got.Version(), err)
			}
			if wrong := once(m, p, want); wrong != "" {
				return "beyond the broker: " + wrong
			}
			if wrong := once(here, p, want); wrong != "" {
				return "on its own mesh: " + wrong
			}
			return ""
		}
	}
	t.Run("With", func(t *testing.T) { settled(t, run(t, bridge.Faults{})) })
	t.Run("Without", func(t *testing.T) {
		check := run(t, bridge.Faults{NoGuard: true})
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) {
			if wrong := check(); wrong != "" && time.Until(deadline) < 3*time.Second {
				t.Logf("as it must be: %s", wrong)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("without the loop guard all is told once: the test shows nothing")
	})
}

// sideBySide has two bridges of one mesh to one broker: one is active. Without
// the election both are, and everything is on the broker twice.
func (c Case) sideBySide(t *testing.T) {
	run := func(t *testing.T, faults bridge.Faults) (func() string, []*bridge.Bridge) {
		a := bus(t)
		p := c.peer(t)
		conf := c.config(a, c.Server.URL)
		conf.Faults = faults
		// By another address: it is the same broker.
		other := c.config(a, c.Server.Through(NewProxy(t, c.Server.Addr)))
		other.Faults = faults
		bridges := []*bridge.Bridge{start(t, conf), start(t, other)}
		rt := attach(t, a, "orders.yaml", "Orders")
		eventually(t, func() string {
			for _, b := range bridges {
				if len(b.Status().Mirrored) > 0 {
					return ""
				}
			}
			return "nobody mirrors the runtime"
		})
		if faults.NoElection {
			time.Sleep(300 * time.Millisecond) // for the other to begin as well
		}
		m := tell(t, a)
		want := moves(t, rt, 25)
		return func() string { return once(m, p, want) }, bridges
	}
	t.Run("With", func(t *testing.T) {
		check, bridges := run(t, bridge.Faults{})
		settled(t, check)
		if bridges[0].Status().Active == bridges[1].Status().Active {
			t.Error("not exactly one of two is active")
		}
	})
	t.Run("Without", func(t *testing.T) {
		check, _ := run(t, bridge.Faults{NoElection: true})
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) {
			if wrong := check(); wrong != "" && time.Until(deadline) < 3*time.Second {
				t.Logf("as it must be: %s", wrong)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error("without an election all is told once: the test shows nothing")
	})
}

// takeover closes, and elsewhere breaks, the active bridge: the other serves the
// broker within five seconds, and the directory is exact.
func (c Case) takeover(t *testing.T) {
	a := bus(t)
	conf := c.config(a, c.Server.URL)
	first := active(t, start(t, conf))
	second := start(t, conf)
	v := watch(t, a)
	p := c.peer(t)
	theirs := newTheirs(p, "Orders")
	theirs.announce(t)
	theirs.create(t, "one")
	eventually(t, func() string { return theirs.equal(v) })
	begin := time.Now()
	closed(t, first.Close)
	eventually(t, func() string {
		if !second.Status().Active {
			return "the other has not taken over"
		}
		return ""
	})
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("taken over after %v", took)
	}
	theirs.serve(t)
	theirs.move(t, "one", "AwaitingPayment")
	theirs.create(t, "two")
	eventually(t, func() string { return theirs.equal(v) })
}
