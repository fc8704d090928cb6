package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

func TestClientReachesTheOwner(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	one, two := startRuntime(t, "one", nil), startRuntime(t, "two", nil)
	attach(t, one, b)
	attach(t, two, b)
	c := NewClient(b, ClientOptions{})
	ctx := t.Context()
	for _, rt := range []*fsm.Runtime{one, two} {
		in, err := rt.Create(ctx, "Order", map[string]any{"big": int64(1) << 60})
		if err != nil {
			t.Fatal(err)
		}
		id := Target{ID: in.ID()}
		out, err := c.Send(ctx, id, fsm.Event{Type: "PLACE", Payload: map[string]any{"city": "Bern"}}, SendOptions{EventID: "e1"})
		if err != nil || out.State != "Placed" || out.Version != 2 || out.Seq == 0 {
			t.Fatalf("Send: %+v, %v", out, err)
		}
		if out, err = c.Send(ctx, id, fsm.Event{Type: "PLACE"}, SendOptions{EventID: "e1"}); err != nil || !out.Repeated || out.Version != 2 {
			t.Errorf("repeated: %+v, %v", out, err)
		}
		out, err = c.Send(ctx, id, fsm.Event{Type: "SHIP"}, SendOptions{})
		if !errors.Is(err, fsm.ErrEventIgnored) || len(out.Accepted) != 1 || out.Accepted[0] != "PAY" {
			t.Errorf("refused: %+v, %v", out, err)
		}
		if _, err = c.Send(ctx, id, fsm.Event{Type: "PAY"}, SendOptions{IfVersion: 1}); !errors.Is(err, fsm.ErrVersionMoved) {
			t.Errorf("with an old version: %v", err)
		}
		out, err = c.Get(ctx, id)
		if err != nil || string(out.Row.Context) != `{"big":1152921504606846976,"city":"Bern"}` {
			t.Errorf("Get: %s, %v", out.Row.Context, err)
		}
		out, err = c.History(ctx, id, 0, 0)
		if err != nil || len(out.Records) != 2 || out.Records[1].Event.Type != "PLACE" {
			t.Errorf("History: %+v, %v", out, err)
		}
	}
	begin := time.Now()
	c = NewClient(b, ClientOptions{Timeout: 2 * time.Minute})
	if _, err := c.Send(ctx, Target{ID: "nobody"}, fsm.Event{Type: "PLACE"}, SendOptions{}); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Errorf("unknown instance: %v", err)
	}
	if d := time.Since(begin); d > time.Minute {
		t.Errorf("that took %v", d)
	}
	if _, err := c.Create(ctx, "Nobody", "Order", nil, CreateOptions{}); !errors.Is(err, fsm.ErrUnknownComponent) {
		t.Errorf("unknown component: %v", err)
	}
	n, err := c.Broadcast(ctx, "Shop", "Order", "Placed", fsm.Event{Type: "PAY"}, "")
	if err != nil || n != 2 {
		t.Errorf("Broadcast: %d, %v; want 2", n, err)
	}
}

// The same keys from many clients give one instance each, whichever runtime.
func TestKeysAreUniqueOverRuntimes(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	runtimes := []*fsm.Runtime{startRuntime(t, "one", nil), startRuntime(t, "two", nil), startRuntime(t, "three", nil)}
	for _, rt := range runtimes {
		attach(t, rt, b)
	}
	var created atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		c := NewClient(b, ClientOptions{Timeout: 20 * time.Second})
		wg.Go(func() {
			for i := range 30 {
				out, err := c.Create(context.Background(), "Shop", "Order", nil, CreateOptions{Key: fmt.Sprint("order:", i), OrGet: true})
				if err != nil {
					t.Error(err)
					return
				}
				if !out.Repeated {
					created.Add(1)
				}
			}
		})
	}
	wg.Wait()
	n, hosts := 0, 0
	for _, rt := range runtimes {
		own := 0
		for range rt.Instances(fsm.Filter{}) {
			own++
		}
		if n += own; own > 0 {
			hosts++
		}
	}
	if n != 30 || created.Load() != 30 {
		t.Errorf("%d instances, %d said to be created, want 30 of each", n, created.Load())
	}
	if hosts < 2 {
		t.Errorf("all keys are on one runtime")
	}
}

// Each command is answered with its outcome or a typed error while a runtime is
// killed and started again, and none takes effect twice. Guards the ids of
// events and the look-up of owners.
func TestCommandsWhileARuntimeRestarts(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	stores := []fsm.Store{fsm.NewMemoryStore(), fsm.NewMemoryStore()}
	first := startRuntime(t, "one", stores[0])
	attachment := attach(t, first, b)
	second := startRuntime(t, "two", stores[1])
	attach(t, second, b)
	var ids []string
	for i := range 20 {
		rt := []*fsm.Runtime{first, second}[i%2]
		in, err := rt.Create(t.Context(), "Order", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, in.ID())
	}
	var wg sync.WaitGroup
	var done, refused atomic.Int64
	for w := range 8 {
		c := NewClient(b, ClientOptions{Timeout: 2 * time.Second})
		wg.Go(func() {
			for i := range 100 {
				id := ids[(w*7+i)%len(ids)]
				event := []string{"PLACE", "PAY", "RETURN"}[i%3]
				eventID := fmt.Sprint(w, "/", i)
				for deadline := time.Now().Add(30 * time.Second); ; {
					_, err := c.Send(context.Background(), Target{ID: id}, fsm.Event{Type: event}, SendOptions{EventID: eventID})
					if err == nil {
						done.Add(1)
						break
					}
					if errors.Is(err, fsm.ErrEventIgnored) {
						refused.Add(1)
						break
					}
					if time.Now().After(deadline) {
						t.Errorf("no outcome for %s: %v", eventID, err)
						return
					}
				}
			}
		})
	}
	waitFor(t, func() bool { return done.Load() > 50 })
	attachment.end() // the process is gone
	attachment.wg.Wait()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = first.Stop(ended)
	first = startRuntime(t, "one", stores[0])
	attach(t, first, b)
	wg.Wait()
	total := int64(0)
	for _, id := range ids {
		in, err := first.Get(id)
		if err != nil {
			in, err = second.Get(id)
		}
		if err != nil {
			t.Fatal(err)
		}
		total += int64(in.Version()) - 1
	}
	if total != done.Load() {
		t.Errorf("%d transitions for %d events that were acknowledged", total, done.Load())
	}
	t.Logf("%d taken, %d refused", done.Load(), refused.Load())
}

// A runtime that does not answer is named: it is not taken for one that has
// nothing.
func TestMissingAnswerIsNamed(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	a := attach(t, rt, b)
	for _, s := range a.subs {
		if s.Subject == b.subjects.on("locate") {
			if err := s.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := NewClient(b, ClientOptions{Timeout: time.Second})
	_, err := c.Send(t.Context(), Target{ID: "x"}, fsm.Event{Type: "PLACE"}, SendOptions{})
	if m, ok := errors.AsType[*MissingError](err); !ok || len(m.Runtimes) != 1 || m.Runtimes[0] != "one/Shop" {
		t.Errorf("got %v, want one/Shop to be named as missing", err)
	}
}

// While the node is away a command is refused at once, as one that was not sent: also
// one for an instance of the same process.
func TestCommandsWhileTheNodeIsAway(t *testing.T) {
	t.Parallel()
	n, err := Start(t.Context(), Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Connect(t.Context(), n.URL(), BusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	rt := startRuntime(t, "one", nil)
	a := attach(t, rt, b)
	c := NewClient(b, ClientOptions{Timeout: 5 * time.Second})
	out, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for b.Connected() {
		time.Sleep(time.Millisecond)
	}
	var self string
	for _, self = range a.RuntimeIDs() {
	}
	for name, do := range map[string]func() error{
		"to an instance whose runtime is known": func() error {
			_, err := c.Send(t.Context(), Target{ID: out.Instance, RuntimeID: self}, fsm.Event{Type: "PLACE"}, SendOptions{})
			return err
		},
		"to one that is to be found": func() error {
			_, err := NewClient(b, ClientOptions{Timeout: 5 * time.Second}).Send(t.Context(), Target{ID: out.Instance}, fsm.Event{Type: "PLACE"}, SendOptions{})
			return err
		},
		"a creation": func() error {
			_, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{})
			return err
		},
	} {
		if err := do(); !errors.Is(err, ErrNotConnected) {
			t.Errorf("%s: got %v, want ErrNotConnected", name, err)
		}
	}
}

// Who had a key is found after its end, also when runtimes have come since: a
// repeated creation gets its instance, a repeated event its outcome, and the next
// instance is where the last one was. Guards FindByKey in look-ups.
func TestKeyOfTheEnded(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	store := fsm.NewMemoryStore()
	// It remembers one that ended; the others are in the store only.
	config := fsm.Config{Name: "one", Store: store, Limits: fsm.Limits{Ended: 1}}
	one := startShop(t, config)
	first := attach(t, one, b)
	c := NewClient(b, ClientOptions{Timeout: 20 * time.Second})
	const keys = 20
	ids := map[string]bool{}
	for i := range keys {
		key := fmt.Sprint("order:", i)
		out, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{Key: key, EventID: "create-" + key})
		if err != nil {
			t.Fatal(err)
		}
		ids[out.Instance] = true
		endOrder(t, c, key)
	}
	abandon(one, first)
	one = startShop(t, config)
	for _, rt := range []*fsm.Runtime{one, startRuntime(t, "two", fsm.NewMemoryStore()), startRuntime(t, "three", fsm.NewMemoryStore())} {
		attach(t, rt, b)
	}
	c = NewClient(b, ClientOptions{Timeout: 20 * time.Second})
	for i := range keys {
		key := fmt.Sprint("order:", i)
		out, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{Key: key, EventID: "create-" + key})
		if err != nil || !out.Repeated || !ids[out.Instance] {
			t.Errorf("%s: the repeated creation: %+v, %v", key, out, err)
		}
		if out := endOrder(t, c, key); !out.Repeated {
			t.Errorf("%s: the repeated event: %+v", key, out)
		}
		next, err := c.Create(t.Context(), "Shop", "Order", nil, CreateOptions{Key: key, EventID: "another-" + key})
		if err != nil || next.Repeated || next.RuntimeID != out.RuntimeID {
			t.Errorf("%s: the next creation: %+v, %v; want it at %s", key, next, err, out.RuntimeID)
		}
	}
}

// endOrder brings the order that has a key to its end.
func endOrder(t *testing.T, c *Client, key string) *Outcome {
	t.Helper()
	var out *Outcome
	for _, event := range []string{"PLACE", "PAY", "SHIP"} {
		var err error
		if out, err = c.Send(t.Context(), Target{Component: "Shop", Key: key}, fsm.Event{Type: event}, SendOptions{EventID: event}); err != nil {
			t.Fatalf("%s for %s: %v", event, key, err)
		}
	}
	return out
}

// An observer is told of every call, with its error; of a search only the time
// that the mesh took.
func TestClientTellsAnObserver(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := forgetful(t, "rt", fsm.NewMemoryStore())
	attach(t, rt, b)
	type told struct {
		call Call
		took time.Duration
		err  error
	}
	var all []told
	c := NewClient(b, ClientOptions{Observe: func(call Call, took time.Duration, err error) { all = append(all, told{call, took, err}) }})
	ctx := t.Context()
	out, err := c.Create(ctx, "Shop", "Order", nil, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	target := Target{ID: out.Instance}
	_, refused := c.Send(ctx, target, fsm.Event{Type: "NOPE"}, SendOptions{})
	if refused == nil {
		t.Fatal("an event that nothing takes was taken")
	}
	_, _ = c.Get(ctx, target)
	_, _ = c.History(ctx, target, 0, 10)
	_, _ = c.StateAt(ctx, target, Moment{Version: 1})
	_, _ = c.Query(ctx, Query{})
	begin, slept := time.Now(), time.Duration(0)
	for range c.Search(ctx, fsm.Search{Component: "Shop"}, 0) {
		asleep := time.Now()
		time.Sleep(100 * time.Millisecond)
		slept += time.Since(asleep)
	}
	whole := time.Since(begin)
	_, _ = c.Broadcast(ctx, "Shop", "Order", "", fsm.Event{Type: "NOPE"}, "")
	_, _ = c.DeadLetters(ctx, "")
	want := []Call{CallCreate, CallSend, CallGet, CallHistory, CallPast, CallQuery, CallSearch, CallBroadcast, CallDeadLetters}
	if len(all) != len(want) {
		t.Fatalf("told of %v, want %v", all, want)
	}
	for i, a := range all {
		if a.call != want[i] || a.took <= 0 || (a.err != nil) != (a.call == CallSend) {
			t.Errorf("told %+v, want %s", a, want[i])
		}
	}
	if slept == 0 || len(all) > 6 && all[6].took > whole-slept {
		t.Errorf("the search took %v of %v, of which %v are the caller's", all[6].took, whole, slept)
	}
	if !errors.Is(all[1].err, refused) {
		t.Errorf("told %v, the caller has %v", all[1].err, refused)
	}
}
