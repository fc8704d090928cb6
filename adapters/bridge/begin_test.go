package bridge

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A waiting broker has a command for whoever begins to listen, and hands it over
// before it says that they listen.
type waiting struct {
	Broker
	command []byte
	done    chan error
}

func (*waiting) Identity() string                                  { return "waiting" }
func (*waiting) Publish(_ context.Context, f []Frame) (int, error) { return len(f), nil }
func (*waiting) Lost() <-chan Loss                                 { return nil }
func (*waiting) Guarantees() Guarantees {
	return Guarantees{Order: true, Kept: true, Redelivered: true}
}
func (*waiting) Counters() map[string]uint64 { return nil }
func (*waiting) Close(context.Context) error { return nil }

func (w *waiting) Subscribe(ctx context.Context, s Subscription, f func(*Message)) error {
	const channel = "fsm:commands:trigger_event"
	if !slices.Contains(s.Channels, channel) {
		return nil
	}
	f(&Message{Frame: Frame{Channel: channel, Body: w.command}, Done: func(err error) { w.done <- err }})
	// The server is slow to say that all is set up; meanwhile the command is done.
	select {
	case err := <-w.done:
		w.done <- err
	case <-ctx.Done():
	}
	return nil
}

// A command that waited for the bridge is the first that it hears: it is done, and
// not taken for one for somebody else.
func TestFirstCommand(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	comp, _, err := fsm.ParseComponent([]byte("name: Counter\nstateMachines: [{name: Count, initialState: On, states: [{name: On, type: entry}], transitions: [{from: On, to: On, event: UP}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: "counter", Components: []*fsm.Component{comp}, Dispatcher: mesh.NewDispatcher(b), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	att, err := mesh.Attach(t.Context(), rt, b, mesh.AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = att.Close(context.Background()) })
	in, err := rt.Create(t.Context(), "Count", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &waiting{done: make(chan error, 1), command: []byte(`{"componentName": "Counter", "instanceId": "` + in.ID() + `", "event": {"type": "UP"}, "id": "m-1"}`)}
	br, err := Start(t.Context(), Config{Bus: b, URL: "waiting://", Logger: quiet(), Open: func(context.Context) (Broker, error) { return w, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = br.Close(context.Background()) })
	select {
	case err := <-w.done:
		if got, _ := rt.Get(in.ID()); err != nil || got.Version() != 2 {
			t.Errorf("the command was answered with %v and the instance has version %d, want 2; %+v", err, got.Version(), br.Status())
		}
	case <-time.After(time.Minute):
		t.Error("the command was not answered")
	}
}
