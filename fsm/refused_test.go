package fsm

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// A broadcast that is refused reaches nobody. Guards that send measures all of
// an effect before it adds any of it.
func TestRefusedBroadcastReachesNobody(t *testing.T) {
	t.Parallel()
	const n = 115_000 // ids of 36 bytes: over the 4 MB of effects that a record takes
	var told atomic.Int64
	var failed atomic.Pointer[error]
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("S", on("A", "GO", "A", calls("all"))), fsmOf("T", on("A", "E", "A")))},
		Hooks: Hooks{Methods: map[string]Hook{"all": func(c *Call) error {
			n, err := c.Broadcast("T", Event{Type: "E"})
			told.Store(int64(n))
			failed.Store(&err)
			return err
		}}},
	})
	for range n {
		mustCreate(t, rt, "T", nil)
	}
	mustSend(t, rt, mustCreate(t, rt, "S", nil), "GO", Settled())
	wantCode(t, "Broadcast", *failed.Load(), CodeTooMany)
	if told.Load() != 0 {
		t.Errorf("the hook was told of %d targets", told.Load())
	}
	for in := range rt.Instances(Filter{Machine: "T"}) {
		if in.Version() != 1 {
			t.Fatalf("%s got the event of a broadcast that was refused", in.ID())
		}
	}
}

// The bound of an event's payload holds on every way in.
func TestPayloadLimitOnEveryWay(t *testing.T) {
	t.Parallel()
	big := map[string]any{"x": strings.Repeat("x", 600_000)}
	refused := make(chan error, 2)
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A", calls("send")), on("A", "E", "A")))},
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error {
			refused <- c.SendToSelf(Event{Type: "E", Payload: big})
			_, err := c.Broadcast("M", Event{Type: "E", Payload: big})
			refused <- err
			return nil
		}}},
	})
	id := mustCreate(t, rt, "M", nil)
	_, err := rt.Send(t.Context(), id, Event{Type: "E", Payload: big})
	wantCode(t, "Send", err, CodeContextTooLarge)
	_, err = rt.Broadcast(t.Context(), "M", Event{Type: "E", Payload: big})
	wantCode(t, "Broadcast", err, CodeContextTooLarge)
	payload, err := NewData(big)
	if err != nil {
		t.Fatal(err)
	}
	err = rt.Receive(t.Context(), RemoteEffect{From: "other", Effect: Effect{Kind: EffectSend, Targets: []string{id}, Component: "C", Event: "E", Payload: payload}})
	wantCode(t, "Receive", err, CodeContextTooLarge)
	mustSend(t, rt, id, "GO")
	wantCode(t, "SendToSelf", <-refused, CodeContextTooLarge)
	wantCode(t, "Call.Broadcast", <-refused, CodeContextTooLarge)
}

// A context that has ended already does nothing, always.
func TestEndedContextDoesNothing(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		_, sent := rt.Send(ctx, id, Event{Type: "E"})
		_, created := rt.Create(ctx, "M", nil)
		_, told := rt.Broadcast(ctx, "M", Event{Type: "E"})
		for _, err := range []error{sent, created, told} {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v, want %v", err, context.Canceled)
			}
		}
	}
	n := 0
	for in := range rt.Instances(Filter{}) {
		n++
		if in.Version() != 1 {
			t.Errorf("%s has version %d", in.ID(), in.Version())
		}
	}
	if n != 1 {
		t.Errorf("%d instances, want 1", n)
	}
}

// Options that contradict each other are refused, not dropped.
func TestOptionsThatContradict(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}})
	_, err := rt.Create(t.Context(), "M", nil, WithID("i"), WithKey("k"))
	wantCode(t, "id and key", err, CodeBadValue)
	_, _, err = rt.GetOrCreate(t.Context(), "M", "", nil)
	wantCode(t, "GetOrCreate without a key", err, CodeBadValue)
	if _, err := rt.Create(t.Context(), "M", nil, nil); err != nil {
		t.Errorf("a nil option: %v", err)
	}
	// 24 levels of two references to one map: sixteen million values.
	m := map[string]any{"n": 1}
	for range 24 {
		m = map[string]any{"a": m, "b": m}
	}
	_, err = rt.Create(t.Context(), "M", m)
	wantCode(t, "shared maps", err, CodeBadValue)
}

// A name that is nearly right is answered with the right one, and one that
// several components have with how to say which.
func TestNamesThatAreNearlyRight(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Name: "r", Components: []*Component{
		componentOf("C", fsmOf("Order", on("Draft", "E", "Paid"))), componentOf("D", fsmOf("Order", on("A", "E", "A")), fsmOf("Only", on("A", "E", "A"))),
	}})
	for _, c := range []struct {
		name, machine string
		opts          []CreateOption
		code          Code
		want          string
	}{
		{"state in wrong case", "Order", []CreateOption{WithComponent("C"), InState("paid")}, CodeUnknownState, `no state "paid" in machine "Order": did you mean "Paid"?`},
		{"machine in wrong case", "only", nil, CodeUnknownMachine, `did you mean "Only"?`},
		{"machine of a component in wrong case", "order", []CreateOption{WithComponent("C")}, CodeUnknownMachine, `did you mean "Order"?`},
		{"machine of several components", "Order", nil, CodeAmbiguous, `more than one component has "Order"`},
		{"unknown component", "Order", []CreateOption{WithComponent("X")}, CodeUnknownComponent, `no component "X"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := rt.Create(t.Context(), c.machine, nil, c.opts...)
			wantCode(t, "Create", err, c.code)
			if err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want it to say %q", err, c.want)
			}
		})
	}
	id := mustCreate(t, rt, "Only", nil)
	_, err := rt.Send(t.Context(), id, Event{Type: "UNKNOWN"})
	wantCode(t, "unknown event", err, CodeEventIgnored)
	if _, err := rt.Restored(); ErrorCode(err) != CodePersistence {
		t.Errorf("Restored without a store: %v", err)
	}
	behind := &Error{Code: CodePersistence, Detail: "the history is with its own runtime"}
	if got := behind.Error(); got != "nothing is kept here: the history is with its own runtime" {
		t.Errorf("who asks what is behind a bridge for a history is told %q", got)
	}
}
