package fsm

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// A wire joins runtimes of one process and loses, doubles and delays what they
// send to each other.
type wire struct {
	mu       sync.Mutex // guards all below
	rnd      *rand.Rand
	hosts    map[string]*Runtime
	sent     int
	lost     int
	doubled  int
	troubled bool
}

func newWire(troubled bool) *wire {
	return &wire{rnd: rand.New(rand.NewPCG(1, 1)), hosts: map[string]*Runtime{}, troubled: troubled}
}

func (w *wire) host(component string, rt *Runtime) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[component] = rt
}

var errLost = errors.New("lost on the way")

// fate is what becomes of one message.
func (w *wire) fate(component string) (rt *Runtime, before, after, twice bool, delay time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rt = w.hosts[component]
	w.sent++
	if !w.troubled {
		return rt, false, false, false, 0
	}
	before, after, twice = w.rnd.IntN(5) == 0, w.rnd.IntN(5) == 0, w.rnd.IntN(5) == 0
	if before || after {
		w.lost++
	}
	if twice {
		w.doubled++
	}
	return rt, before, after, twice, time.Duration(w.rnd.IntN(1000)) * time.Microsecond
}

func (w *wire) Dispatch(ctx context.Context, e RemoteEffect) error {
	rt, before, after, twice, delay := w.fate(e.Effect.Component)
	if rt == nil {
		return &Error{Code: CodeUnknownComponent, Component: e.Effect.Component}
	}
	if before {
		return errLost
	}
	if err := pause(ctx, delay); err != nil {
		return err
	}
	var wg sync.WaitGroup
	if twice {
		wg.Go(func() { rt.Receive(ctx, e) })
	}
	err := rt.Receive(ctx, e)
	wg.Wait()
	if after {
		return errLost
	}
	return err
}

// outboxIdle waits until a runtime has nothing left for others.
func outboxIdle(t *testing.T, rt *Runtime) {
	t.Helper()
	if !within(30*time.Second, func() bool {
		rt.outbox.mu.Lock()
		defer rt.outbox.mu.Unlock()
		return len(rt.outbox.open) == 0
	}) {
		t.Fatal("the outbox is not empty after 30 s")
	}
}

// A component that nobody hosts yet: its effects wait, in order, and arrive when
// somebody does. After a day they are dead letters, which can be sent again.
func TestEffectsForAnUnknownComponent(t *testing.T) {
	t.Parallel()
	w := newWire(false)
	clock := NewManualClock(epoch)
	a := started(t, Config{Components: []*Component{componentOf("Here", fsmOf("M", on("A", "GO", "A", func(t *Transition) {
		t.Type, t.TargetComponent, t.TargetMachine = "cross_component", "There", "N"
	})))}, Dispatcher: w, Clock: clock, Store: NewMemoryStore()})
	id := mustCreate(t, a, "M", nil)
	waiting := func() bool {
		clock.mu.Lock()
		defer clock.mu.Unlock()
		return len(clock.waiting) > 0
	}
	mustSend(t, a, id, "GO")
	eventually(t, "it waits for its next try", waiting)
	clock.Advance(time.Hour, nil)
	eventually(t, "it waits again an hour later", waiting)
	if n := len(a.DeadLetters()); n != 0 {
		t.Fatalf("%d dead letters after an hour", n)
	}
	b := started(t, Config{Components: []*Component{componentOf("There", fsmOf("N", on("A", "X", "A")))}})
	w.host("There", b)
	a.RetryEffects("There")
	outboxIdle(t, a)
	population := func() int {
		p, err := b.Population("There", "N")
		if err != nil {
			t.Fatal(err)
		}
		return p["A"]
	}
	if population() != 1 {
		t.Fatalf("%d instances, want 1", population())
	}
	w.host("There", nil)
	notices := a.Watch(t.Context(), WatchOptions{})
	r := mustSend(t, a, id, "GO")
	eventually(t, "it waits for its next try", waiting)
	clock.Advance(24*time.Hour, nil)
	eventually(t, "it is a dead letter", func() bool { return len(a.DeadLetters()) == 1 })
	for n, err := range notices {
		if err != nil {
			t.Fatal(err)
		}
		if n.Kind == NoticeDeadLetter {
			break
		}
	}
	d := a.DeadLetters()[0]
	if d.Effect.Record != r.Record || d.Since != epoch.Add(time.Hour).UnixMilli() || d.Error == "" {
		t.Errorf("dead letter %+v", d)
	}
	w.host("There", b)
	if a.ResendDeadLetter(r.Record, 7) || !a.ResendDeadLetter(r.Record, 0) || a.ResendDeadLetter(r.Record, 0) {
		t.Error("the dead letter could not be resent once and only once")
	}
	outboxIdle(t, a)
	if population() != 2 || len(a.DeadLetters()) != 0 {
		t.Errorf("%d instances, %d dead letters", population(), len(a.DeadLetters()))
	}
}

// A component that cannot be reached holds up its own lane only.
func TestOneLaneDoesNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	w := newWire(false)
	to := func(component string) func(*Transition) {
		return func(t *Transition) {
			t.Type, t.TargetComponent, t.TargetMachine = "cross_component", component, "N"
		}
	}
	a := started(t, Config{Components: []*Component{componentOf("Here", fsmOf("M", on("A", "GO", "A", to("Down")), on("A", "UP", "A", to("Up"))))}, Dispatcher: w})
	b := started(t, Config{Components: []*Component{componentOf("Up", fsmOf("N", on("A", "X", "A")))}})
	w.host("Up", b)
	id := mustCreate(t, a, "M", nil)
	for range 20 {
		mustSend(t, a, id, "GO")
		mustSend(t, a, id, "UP")
	}
	eventually(t, "what can be delivered is", func() bool {
		p, _ := b.Population("Up", "N")
		return p["A"] == 20
	})
}

// Over a restart of the sender, what its receiver has not taken is sent again.
func TestOutboxOverARestart(t *testing.T) {
	t.Parallel()
	w := newWire(false)
	cfg := Config{Name: "here", Components: []*Component{componentOf("Here", fsmOf("M", on("A", "GO", "A", func(t *Transition) {
		t.Type, t.TargetComponent, t.TargetMachine = "cross_component", "There", "N"
	})))}, Dispatcher: w, Store: NewMemoryStore()}
	a := started(t, cfg)
	b := started(t, Config{Components: []*Component{componentOf("There", fsmOf("N", on("A", "X", "A")))}})
	w.host("There", b)
	id := mustCreate(t, a, "M", nil)
	for i := range 30 {
		if i == 10 {
			outboxIdle(t, a)
			w.host("There", nil)
		}
		mustSend(t, a, id, "GO")
	}
	stopRuntime(t, a)
	w.host("There", b)
	a = started(t, cfg)
	outboxIdle(t, a)
	if p, _ := b.Population("There", "N"); p["A"] != 30 {
		t.Errorf("%d instances, want 30", p["A"])
	}
	settle(t, a)
	stopRuntime(t, a)
	before := w.count()
	a = started(t, cfg)
	outboxIdle(t, a)
	if after := w.count(); after != before {
		t.Errorf("%d effects that were done are sent again", after-before)
	}
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}
