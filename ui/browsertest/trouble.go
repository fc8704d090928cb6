package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui"
)

// trouble is what a component needs to show what can go wrong.
const trouble = `
name: Orders
version: 1.4.2
stateMachines:
  - name: Order
    initialState: Draft
    states:
      - { name: Draft, type: entry }
      - { name: PaymentPending }
      - { name: Paid }
      - { name: Shipped, type: final }
      - { name: Failed, type: error }
    transitions:
      - { from: Draft, to: PaymentPending, event: SUBMIT }
      - { from: PaymentPending, to: Paid, event: PAY }
      - { from: PaymentPending, to: Failed, event: EXPIRE, type: timeout, timeoutMs: 3600000 }
      - { from: Paid, to: Shipped, event: SHIP }
`

// swing is a machine that goes to and fro.
const swing = `
name: Yard
stateMachines:
  - name: Swing
    initialState: Left
    states: [{ name: Left, type: entry }, { name: Right }]
    transitions:
      - { from: Left, to: Right, event: PUSH }
      - { from: Right, to: Left, event: PULL }
`

// A fixed view shows one directory as it was made.
type fixed struct {
	directory *mesh.Directory
	never     chan struct{}
}

func (v *fixed) Read(f func(*mesh.Directory))                { f(v.directory) }
func (v *fixed) Changed() <-chan struct{}                    { return v.never }
func (v *fixed) Await(context.Context, string, uint64) error { return nil }

// Trouble is a view of what takes minutes to come about: runtimes that are lost,
// have stopped, and of which not all is known; instances that are stale,
// quarantined, in error and overdue, and two of one id; bridges that are active, stand by, are silent
// and lost something.
// All of it is as of now.
func Trouble(now time.Time) (ui.View, error) {
	t := &troubled{d: mesh.NewDirectory(mesh.DirectoryConfig{}), now: now}
	c, err := Parse(trouble)
	if err != nil {
		return nil, err
	}
	if t.definition, err = json.Marshal(c); err != nil {
		return nil, err
	}
	long := now.Add(-3 * time.Minute)
	// The last heard of is the one that was told of first.
	t.announce("eu-2", long)
	t.create("eu-2", 6, "PaymentPending", long)
	t.bridge(mesh.BridgeStatus{ID: "br-9c1f", Broker: "amqp://***@rabbit.internal:5672", Host: "bridge-2", Active: true, Behind: 1, Counters: map[string]uint64{"received": 120_331, "published": 4_002}}, now.Add(-40*time.Second))
	t.announce("eu-3", now.Add(-30*time.Second))
	t.create("eu-3", 3, "Draft", now.Add(-30*time.Second))
	t.apply(&mesh.Goodbye{Identity: t.identity("eu-3")}, now.Add(-20*time.Second))
	t.announce("eu-1", now.Add(-3*time.Second))
	t.create("eu-1", 5, "Draft", now)
	t.create("eu-1", 4, "Paid", now)
	t.notice("eu-1", mesh.Notice{Kind: mesh.KindCreated, Instance: "late-1", Key: "order:ORD-404", State: "PaymentPending", Version: 3, CreatedAt: long.UnixMilli(), Timestamp: long.UnixMilli(),
		PendingTimeouts: json.RawMessage(fmt.Sprintf(`[{"event":"EXPIRE","totalMs":60000,"elapsedMs":0,"remainingMs":60000,"targetState":"Failed","due":%d}]`, now.Add(-2*time.Minute).UnixMilli()))})
	t.notice("eu-1", mesh.Notice{Kind: mesh.KindCreated, Instance: "quarantined-1", Key: "order:ORD-13", State: "Paid", Version: 4, CreatedAt: long.UnixMilli(), Timestamp: long.UnixMilli(), Context: json.RawMessage(`{"orderId":"ORD-13","amount":249.9}`)})
	t.notice("eu-1", mesh.Notice{Kind: mesh.KindQuarantined, Instance: "quarantined-1", Key: "order:ORD-13", CreatedAt: long.UnixMilli(), Context: json.RawMessage(`{"orderId":"ORD-13","amount":249.9}`), State: "Paid", Version: 4, Timestamp: now.UnixMilli(), Error: "the log has version 5"})
	t.notice("eu-1", mesh.Notice{Kind: mesh.KindCompleted, Status: mesh.Failed, Instance: "eu-1-1", State: "Failed", Version: 3, Timestamp: now.UnixMilli()})
	t.announce("eu-4", now.Add(-2*time.Second))
	t.create("eu-4", 2, "Paid", now)
	for _, name := range []string{"eu-1", "eu-4"} {
		t.notice(name, mesh.Notice{Kind: mesh.KindCreated, Instance: "twin", State: "Paid", Version: 1, CreatedAt: now.UnixMilli(), Timestamp: now.UnixMilli()})
	}
	t.seqs["eu-4"] += 37 // which never came
	t.create("eu-4", 1, "Paid", now)
	t.bridge(mesh.BridgeStatus{ID: "br-51aa", Broker: "redis://***@redis.internal:6379/2", Host: "bridge-1", Active: true, Behind: 4, Mirrored: 3, Queued: 12, Counters: map[string]uint64{"received": 8_123_456, "published": 91_822, "dropped_own": 91_822, "losses": 3, "dropped_undecodable": 17}}, now)
	t.bridge(mesh.BridgeStatus{ID: "br-7704", Broker: "redis://***@redis.internal:6379/2", Host: "bridge-2"}, now)
	t.d.Tick(now)
	return &fixed{t.d, make(chan struct{})}, nil
}

// A troubled directory is told of what there is.
type troubled struct {
	d          *mesh.Directory
	now        time.Time
	definition json.RawMessage
	seqs       map[string]uint64
}

func (t *troubled) apply(m mesh.Message, at time.Time) { t.d.Apply(m, at) }

func (t *troubled) identity(name string) mesh.Identity {
	return mesh.Identity{RuntimeID: "5f0c2d1e-" + name, Component: "Orders", Name: name, Epoch: 7}
}

func (t *troubled) announce(name string, at time.Time) {
	if t.seqs == nil {
		t.seqs = map[string]uint64{}
	}
	none := uint64(0)
	t.apply(&mesh.Announce{Identity: t.identity(name), Definition: t.definition, Host: name + ".internal", Port: 4000, Protocol: 1, Seq: &none, Store: "folder: sync always", Timestamp: at.UnixMilli()}, at)
	t.d.Tick(at.Add(time.Second)) // it asks for what there is: nothing yet
	t.apply(&mesh.PageReply{Identity: t.identity(name)}, at.Add(time.Second))
}

func (t *troubled) notice(name string, n mesh.Notice) {
	t.seqs[name]++
	n.Machine, n.Seq = "Order", t.seqs[name]
	t.apply(&mesh.Notices{RuntimeID: t.identity(name).RuntimeID, Notices: []mesh.Notice{n}}, t.now)
}

// create tells of instances in a state.
func (t *troubled) create(name string, n int, state string, at time.Time) {
	for range n {
		number := t.seqs[name] + 1
		t.seqs[name]++
		t.apply(&mesh.Notices{RuntimeID: t.identity(name).RuntimeID, Notices: []mesh.Notice{{
			Kind: mesh.KindCreated, Instance: fmt.Sprintf("%s-%d", name, number), Machine: "Order", State: state, Version: 1, Seq: number,
			Key: fmt.Sprintf("order:%s-%d", name, number), CreatedAt: at.UnixMilli(), Timestamp: at.UnixMilli(), Context: json.RawMessage(`{"customer":"Ada Abel","amount":12.5}`),
		}}}, at)
	}
}

func (t *troubled) bridge(b mesh.BridgeStatus, at time.Time) {
	b.Timestamp = at.UnixMilli()
	t.apply(&b, at)
}

// HostLong hosts an instance with a long history and much data, and returns its id.
func (s *Site) HostLong(ctx context.Context) (id string, err error) {
	c, err := Parse(swing)
	if err != nil {
		return "", err
	}
	rt, err := s.Host(ctx, "long", fsm.Hooks{}, c)
	if err != nil {
		return "", err
	}
	lines := []any{}
	for i := range 60 {
		lines = append(lines, map[string]any{"sku": fmt.Sprintf("TEA-%03d", i), "quantity": i%5 + 1, "price": 4.5, "note": "gift wrapped, with a card"})
	}
	in, err := rt.Create(ctx, "Swing", map[string]any{
		"customer": map[string]any{"name": "Ada Abel", "address": map[string]any{"street": "Rua das Flores 12", "city": "Porto", "country": "PT"}},
		"lines":    lines, "note": "Leave it with the neighbour, and ring twice, as the bell is broken and nobody hears it once; then wait a little.", "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkFkYSJ9SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV",
	}, fsm.WithKey("swing:a-rather-long-business-key/2026-03-14/customer-0000017/part-3"))
	if err != nil {
		return "", err
	}
	for i := range 450 {
		ev := fsm.Event{Type: []string{"PUSH", "PULL"}[i%2], Payload: map[string]any{"turn": i, "by": "Bo"}}
		if _, err := rt.Send(ctx, in.ID(), ev); err != nil {
			return "", err
		}
	}
	return in.ID(), s.Settle(ctx)
}
