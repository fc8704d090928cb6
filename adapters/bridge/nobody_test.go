package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A keeping broker has messages for whoever begins to listen, and gives each again
// until it is done. dead are those that never will be.
type keeping struct {
	Broker
	messages []Frame
	done     chan Frame
	dead     chan error
}

func (*keeping) Identity() string                                  { return "keeping" }
func (*keeping) Publish(_ context.Context, f []Frame) (int, error) { return len(f), nil }
func (*keeping) Lost() <-chan Loss                                 { return nil }
func (*keeping) Counters() map[string]uint64                       { return nil }
func (*keeping) Close(context.Context) error                       { return nil }
func (*keeping) Guarantees() Guarantees {
	return Guarantees{Order: true, Kept: true, Redelivered: true}
}

func (k *keeping) Subscribe(_ context.Context, s Subscription, f func(*Message)) error {
	if !slices.Contains(s.Channels, "fsm:commands:trigger_event") {
		return nil
	}
	var deliver func(Frame, bool)
	deliver = func(m Frame, again bool) {
		f(&Message{Frame: m, Redelivered: again, Done: func(err error) {
			if poison, ok := errors.AsType[*PoisonError](err); ok {
				k.dead <- poison
			} else if err != nil {
				go deliver(m, true)
			} else {
				k.done <- m
			}
		}})
	}
	go func() {
		for _, m := range k.messages {
			deliver(m, false)
		}
	}()
	return nil
}

// TestWaitedForRuntime has commands wait for a bridge that begins before the runtime
// that they are for: they are not taken for somebody else's.
func TestWaitedForRuntime(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	c, _, err := fsm.ParseComponent([]byte("name: C\nstateMachines: [{name: M, initialState: S, states: [{name: S, type: entry}], transitions: [{from: S, to: S, event: GO}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: "n", Components: []*fsm.Component{c}, Logger: quiet()})
	if err == nil {
		err = rt.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	in, err := rt.Create(t.Context(), "M", map[string]any{"k": 1})
	if err != nil {
		t.Fatal(err)
	}
	body := func(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }
	k := &keeping{done: make(chan Frame, 10), dead: make(chan error, 10), messages: []Frame{
		{"fsm:commands:trigger_event", body(`{"componentName":"C","instanceId":%q,"event":{"type":"GO"},"id":"1"}`, in.ID())},
		{"xcomponent:trigger_event", body(`{"instanceId":%q,"event":{"type":"GO"},"id":"2"}`, in.ID())},
		{"fsm:commands:cross_component_event", body(`{"targetComponent":"C","targetMachine":"M","event":{"type":"GO"},"id":"3","matchingRules":[{"eventProperty":"k","instanceProperty":"k","operator":"===","value":1}]}`)},
		{"external:broadcasts", body(`{"componentName":"C","machineName":"M","currentState":"*","event":{"type":"GO"},"id":"4"}`)},
		{"xcomponent.C", body(`{"targetComponent":"C","targetMachine":"M","targetState":"*","event":"GO","id":"5"}`)},
	}}
	br, err := Start(t.Context(), Config{Bus: bus, URL: "keeping://", Logger: quiet(), External: true, Open: func(context.Context) (Broker, error) { return k, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = br.Close(context.Background()) })
	soon(t, func() string {
		if n := br.Status().Counters[countReceived]; n < uint64(2*len(k.messages)) && len(k.done) == 0 {
			return fmt.Sprintf("%d messages came, want each twice", n)
		}
		return ""
	})
	att, err := mesh.Attach(t.Context(), rt, bus, mesh.AttachOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = att.Close(context.Background()) })
	for range k.messages {
		select {
		case <-k.done:
		case err := <-k.dead:
			t.Fatalf("a command is dead: %v", err)
		case <-time.After(60 * time.Second):
			t.Fatalf("the commands are not done: %+v", br.Status())
		}
	}
	if got, _ := rt.Get(in.ID()); got.Version() != uint64(len(k.messages))+1 {
		t.Errorf("version %d, want %d: some were taken for somebody else's; %+v", got.Version(), len(k.messages)+1, br.Status())
	}
}

// TestNobody has commands for components that nobody hosts: one is somebody else's
// where the bridge has begun long ago, or somebody on the broker hosts it.
func TestNobody(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, _, _ := makersOn(t, bus, bus, 0)
	s.broker, s.began = &keeping{}, time.Now()
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNobodyYet) {
		t.Errorf("a component that may yet come: %v", err)
	}
	old := &behind{announce: &Body{Component: "C", Origin: "an earlier bridge"}}
	s.behind = map[string]*behind{"r": old}
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNobodyYet) {
		t.Errorf("a component of which only old news has come: %v", err)
	}
	old.asOf = time.Now()
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNotOurs) {
		t.Errorf("a component that somebody on the broker hosts: %v", err)
	}
	s.behind, s.strangers = nil, map[string]bool{}
	s.known(Heartbeat, &Body{RuntimeID: "r", Component: "C", Origin: "an earlier bridge"}, time.Now())
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNobodyYet) {
		t.Errorf("a component of which another bridge has told: %v", err)
	}
	s.known(Heartbeat, &Body{RuntimeID: "r", Component: "C"}, time.Now())
	for _, component := range []string{"C", ""} {
		if err := s.nobody(component, &Body{ID: "x"}); !errors.Is(err, errNotOurs) {
			t.Errorf("component %q, of which somebody on the broker has told himself: %v", component, err)
		}
	}
	s.left(&Body{RuntimeID: "r", Component: "C"})
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNobodyYet) {
		t.Errorf("a component whose runtime on the broker has said goodbye: %v", err)
	}
	// What has waited in the queue tells of who was there.
	s.c.Silence = time.Minute
	long := time.Now().Add(-time.Hour).UnixMilli()
	s.known(Heartbeat, &Body{RuntimeID: "r", Component: "C", Timestamp: long}, time.Now())
	s.behind = map[string]*behind{"r": {announce: &Body{Component: "C", Timestamp: long}}}
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNobodyYet) {
		t.Errorf("a component whose runtime was on the broker long ago: %v", err)
	}
	s.behind["r"].announce.Timestamp = time.Now().UnixMilli()
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNotOurs) {
		t.Errorf("a component whose runtime has announced itself: %v", err)
	}
	s.behind, s.strangers, s.began = nil, nil, time.Now().Add(-2*nobodyFor)
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNotOurs) {
		t.Errorf("a component that nobody hosts: %v", err)
	}
	s.attempts.add("x", time.Now())
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNobodyYet) {
		t.Errorf("one that was waited for before: %v", err)
	}
	s.broker, s.began = &redelivering{}, time.Now()
	if err := s.nobody("C", &Body{ID: "x"}); !errors.Is(err, errNotOurs) {
		t.Errorf("a component that nobody hosts, of a broker that keeps nothing: %v", err)
	}
}

// TestEventWhileAway has one of two runtimes stop that has an instance, and an event for
// matching instances come meanwhile: it is not done before that one has it, too.
func TestEventWhileAway(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, all, atts := makersOn(t, bus, bus, 2)
	for _, rt := range all {
		if _, err := rt.Create(t.Context(), "M", map[string]any{"k": 1}); err != nil {
			t.Fatal(err)
		}
	}
	soon(t, func() string {
		n := 0
		s.view.Read(func(d *mesh.Directory) { n = d.Count(mesh.Filter{Component: "C"}).Active })
		if n != 2 {
			return fmt.Sprintf("%d instances are known, want 2", n)
		}
		return ""
	})
	delete(s.outer, atts[1].RuntimeIDs()["C"])
	if err := atts[1].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	soon(t, func() string {
		if s.away("C") == nil {
			return "the runtime is not known to be away"
		}
		return ""
	})
	rules := []Rule{{EventProperty: "k", InstanceProperty: "k", Value: []byte("1")}}
	cross := &Body{ID: "x", TargetComponent: "C", TargetMachine: "M", Event: &Event{ID: "x", Type: "GO"}, Rules: &rules}
	wide := &Body{ID: "y", Component: "C", Machine: "M", State: "*", Event: &Event{ID: "y", Type: "NOPE"}}
	for what, do := range map[string]func() (*mesh.Outcome, error){
		"an event for matching instances": func() (*mesh.Outcome, error) { return s.cross(cross, nil) },
		"a broadcast":                     func() (*mesh.Outcome, error) { return s.broadcast(wide, nil) },
	} {
		if _, err := do(); !passing(err) {
			t.Errorf("%s while one of two runtimes is away: %v, want it to be tried again", what, err)
		}
	}
	if states := statesOf(all); states != "T S" {
		t.Errorf("the states are %q, want the instance of the other runtime to have the event", states)
	}
	a, err := mesh.Attach(t.Context(), all[1], bus, mesh.AttachOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	id := a.RuntimeIDs()["C"]
	s.mu.Lock()
	s.outer[id] = &outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: id, Component: "C", Name: all[1].Name()}}, shown: true}
	s.mu.Unlock()
	soon(t, func() string {
		if err := s.away("C"); err != nil {
			return err.Error()
		}
		return ""
	})
	if _, err := s.cross(cross, nil); err != nil {
		t.Errorf("once it is back: %v", err)
	}
	if states := statesOf(all); states != "T T" {
		t.Errorf("the states are %q, want both to have the event", states)
	}
}

func statesOf(runtimes []*fsm.Runtime) string {
	var out []string
	for _, rt := range runtimes {
		for in := range rt.Instances(fsm.Filter{}) {
			out = append(out, in.State())
		}
	}
	return fmt.Sprintf("%s %s", out[0], out[1])
}

// TestNobodyCrowds has more commands wait for runtimes that are not there than may: the
// first moments over, there is room again for others.
func TestNobodyCrowds(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, _, _ := makersOn(t, bus, bus, 0)
	s.broker = &keeping{}
	var dead atomic.Int64
	come := func(n, size int) {
		for range n {
			s.command(TriggerEvent, &Body{Component: "C", Instance: "i", Event: &Event{Type: "GO"}}, &Message{Frame: Frame{Body: make([]byte, size)}, Done: func(err error) {
				if _, ok := errors.AsType[*PoisonError](err); ok {
					dead.Add(1)
				}
			}})
		}
	}
	waiting := func() int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.expected.n
	}
	settled := func(held, died int64) {
		t.Helper()
		soon(t, func() string {
			if h, d := waiting(), dead.Load(); h != held || d != died {
				return fmt.Sprintf("%d commands wait and %d are dead letters, want %d and %d", h, d, held, died)
			}
			return ""
		})
	}
	begun := func(at time.Time) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.began = at
	}
	begun(time.Now().Add(time.Hour)) // all may begin at a time
	come(expectedMost+10, 1)
	settled(expectedMost+10, 0)
	begun(time.Now().Add(-crowdFor))
	come(5, 1)
	settled(expectedMost, 15)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := (expected{1, expectedBytes}); e.room(1, crowdFor) || !e.room(1, 0) {
		t.Error("what waits is not bounded by bytes, or is in the first moments")
	}
}

// TestBroadcastWaitedFor has a broadcast to a component that nobody hosts come again once
// the first half minute is over: it is still known for what it is.
func TestBroadcastWaitedFor(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, _, _ := makersOn(t, bus, bus, 0)
	s.broker, s.began, s.b.id, s.b.dialects = &keeping{}, time.Now().Add(-2*nobodyFor), "b", dialects{purposes: [4]bool{true, true, true, true}}
	come := func(again bool) (unknown uint64) {
		before := s.b.counts.of(countUnknown)
		s.receive(&Message{Redelivered: again, Done: func(error) {}, Frame: Frame{"xcomponent.D", []byte(`{"targetComponent":"D","targetMachine":"M","targetState":"*","event":"GO","id":"x"}`)}})
		return s.b.counts.of(countUnknown) - before
	}
	if come(false) != 1 {
		t.Error("one that comes late is not dropped as unknown")
	}
	s.attempts.add("x", time.Now())
	if come(true) != 0 {
		t.Error("one that was waited for is dropped as unknown")
	}
}

// TestGivenUpAgain has a command given up that is sent again, as a dead letter is that
// somebody replays: it is not taken for one that came twice.
func TestGivenUpAgain(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, _, _ := makersOn(t, bus, bus, 0)
	s.broker, s.began, s.expected.n, s.b.id = &keeping{}, time.Now().Add(-crowdFor), expectedMost, "b"
	for range 2 {
		done := make(chan error, 1)
		s.receive(&Message{Frame: Frame{"xcomponent:trigger_event", []byte(`{"componentName":"C","instanceId":"i","event":{"type":"GO"},"id":"x"}`)}, Done: func(err error) { done <- err }})
		select {
		case err := <-done:
			if _, ok := errors.AsType[*PoisonError](err); !ok {
				t.Errorf("the command ends with %v, want a dead letter", err)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("the command is not given up")
		}
	}
}
