package bridge

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// makersOn runs some runtimes of the component C on a mesh, and is a session that shows
// them on a broker that delivers again. What it knows of instances is what the other
// mesh tells.
func makersOn(t *testing.T, bus, picture *mesh.Bus, runtimes int) (*session, []*fsm.Runtime, []*mesh.Attachment) {
	t.Helper()
	view, err := mesh.Watch(t.Context(), picture, mesh.ViewOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	b := &Bridge{c: Config{Bus: bus, Logger: quiet()}, client: mesh.NewClient(bus, mesh.ClientOptions{Timeout: 60 * time.Second}), counts: newCounts()}
	ctx, cancel := context.WithCancel(t.Context())
	s := &session{b: b, c: &b.c, ctx: ctx, cancel: cancel, view: view, role: "bridge test", broker: &redelivering{}, guard: newGuard("b", b.counts), commands: newBudget(commandBytes), outer: map[string]*outer{}}
	t.Cleanup(func() {
		cancel()
		s.wg.Wait()
		_ = view.Close(context.Background())
	})
	s.startLanes()
	c, _, err := fsm.ParseComponent([]byte("name: C\nstateMachines: [{name: M, initialState: S, states: [{name: S, type: entry}, {name: T}], transitions: [{from: S, to: T, event: GO}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*fsm.Runtime
	var atts []*mesh.Attachment
	for i := range runtimes {
		rt, err := fsm.NewRuntime(fsm.Config{Name: fmt.Sprint("n", i), Components: []*fsm.Component{c}, Logger: quiet()})
		if err == nil {
			err = rt.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = rt.Stop(context.Background()) })
		a, err := mesh.Attach(t.Context(), rt, bus, mesh.AttachOptions{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close(context.Background()) })
		id := a.RuntimeIDs()["C"]
		s.outer[id] = &outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: id, Component: "C", Name: rt.Name()}}, shown: true}
		all, atts = append(all, rt), append(atts, a)
	}
	return s, all, atts
}

// takenIn has a session take in a creation, and returns once it is done.
func takenIn(t *testing.T, s *session, b *Body, redelivered bool) {
	t.Helper()
	done := make(chan error, 1)
	b.Component, b.Machine = "C", "M"
	s.command(CreateInstance, b, &Message{Redelivered: redelivered, Done: func(err error) { done <- err }})
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("creation %s is given back with %v", b.ID, err)
		}
	case <-time.After(60 * time.Second):
		t.Errorf("creation %s is not done", b.ID)
	}
}

func instances(runtimes []*fsm.Runtime) (n int) {
	for _, rt := range runtimes {
		for range rt.Instances(fsm.Filter{}) {
			n++
		}
	}
	return n
}

// TestCreationOfAnotherBridge has creations come again that a runtime has done for a
// bridge that has ended since: whoever of several that is, they are not made once more.
func TestCreationOfAnotherBridge(t *testing.T) {
	t.Parallel()
	bus, err := mesh.Connect(t.Context(), "memory:"+t.Name()+"/other", mesh.BusOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	s, all, _ := makersOn(t, bus, memoryBus(t), 3) // it has not heard of the instances
	for i, rt := range all {
		id := fmt.Sprint("c-", i)
		if _, err := rt.Create(t.Context(), "M", nil, fsm.WithCreateID(id)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		takenIn(t, s, &Body{ID: fmt.Sprint("c-", i)}, true)
		takenIn(t, s, &Body{ID: fmt.Sprint("m-", i), EventID: fmt.Sprint("c-", i)}, true)
	}
	if n := instances(all); n != len(all) {
		t.Errorf("%d instances, want %d", n, len(all))
	}
	for i, rt := range all { // a dead letter that is sent anew does not say that it came before
		s.mu.Lock()
		s.makers.note(fmt.Sprint("c-", i), rt.Name())
		s.mu.Unlock()
		takenIn(t, s, &Body{ID: fmt.Sprint("c-", i)}, false)
	}
	if n := instances(all); n != len(all) {
		t.Errorf("%d instances once they are sent anew, want %d", n, len(all))
	}
	takenIn(t, s, &Body{ID: "new"}, true)
	if n := instances(all); n != len(all)+1 {
		t.Errorf("%d instances, want one more for a creation that nobody has done", n-len(all))
	}
}

// TestCreationDoneSomewhere has a creation come again, as a dead letter that is sent
// anew, whose runtime is away: the mesh still knows what it has made.
func TestCreationDoneSomewhere(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, all, _ := makersOn(t, bus, bus, 2)
	in, err := all[0].Create(t.Context(), "M", nil, fsm.WithCreateID("c-1"))
	if err != nil {
		t.Fatal(err)
	}
	soon(t, func() string {
		found := 0
		s.view.Read(func(d *mesh.Directory) { found = len(d.Find(in.ID())) })
		if found == 0 {
			return "the instance is not known"
		}
		return ""
	})
	for id, o := range s.outer {
		if o.info.Name == all[0].Name() {
			delete(s.outer, id)
		}
	}
	takenIn(t, s, &Body{ID: "c-1"}, false)
	if n := instances(all); n != 1 {
		t.Errorf("%d instances, want 1", n)
	}
}

// TestCreationWithKey has creations with a key and with an id that a runtime has
// already: no other makes one of that key or id.
func TestCreationWithKey(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, all, _ := makersOn(t, bus, bus, 3)
	for i, rt := range all {
		if _, err := rt.Create(t.Context(), "M", nil, fsm.WithKey(fmt.Sprint("key-", i))); err != nil {
			t.Fatal(err)
		}
		if _, err := rt.Create(t.Context(), "M", nil, fsm.WithID(fmt.Sprint("id-", i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range all {
		takenIn(t, s, &Body{ID: fmt.Sprint("got-", i), Key: fmt.Sprint("key-", i), OrGet: true}, false)
		takenIn(t, s, &Body{ID: fmt.Sprint("key-", i), Key: fmt.Sprint("key-", i)}, false)
		takenIn(t, s, &Body{ID: fmt.Sprint("id-", i), Instance: fmt.Sprint("id-", i)}, false)
	}
	if n, refused := instances(all), s.b.counts.n[countRefused].Load(); n != 2*len(all) || refused != uint64(2*len(all)) {
		t.Errorf("%d instances and %d refused, want %d of either", n, refused, 2*len(all))
	}
	const keys = 10
	for i := range keys { // two at a time come to one
		var wg sync.WaitGroup
		for k := range 2 {
			wg.Go(func() {
				takenIn(t, s, &Body{ID: fmt.Sprint(k, "-of-", i), Key: fmt.Sprint("new-", i), OrGet: true, State: "T"}, false)
			})
		}
		wg.Wait()
	}
	made := 0
	for _, rt := range all {
		for in := range rt.Instances(fsm.Filter{}) {
			if in.State() == "T" {
				made++
			}
		}
	}
	if made != keys {
		t.Errorf("%d instances are made in the state that was asked for, want %d", made, keys)
	}
}

// TestCreationPastTheDead has one of two runtimes vanish without a word: what would be
// given to it is made by the other.
func TestCreationPastTheDead(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	s, all, _ := makersOn(t, bus, bus, 1)
	s.outer["dead"] = &outer{info: mesh.RuntimeInfo{Identity: mesh.Identity{RuntimeID: "dead", Component: "C", Name: "dead"}}, shown: true}
	const many = 12
	for i := range many {
		takenIn(t, s, &Body{ID: fmt.Sprint("c-", i)}, i%2 == 0)
	}
	if n := instances(all); n != many {
		t.Errorf("%d instances, want %d", n, many)
	}
}
