package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// A reading broker hands over what comes on each subscription by one goroutine, in
// the order of arrival.
type reading struct {
	waiting
	// hold, where there is one, is closed when the server answers who wants notices;
	// held says that somebody waits for that.
	hold chan struct{}
	held atomic.Bool

	mu   sync.Mutex // guards subs and sent
	subs []chan Frame
	on   map[string]chan Frame
	sent []Frame
}

func (*reading) Guarantees() Guarantees { return Guarantees{Order: true} }

func (r *reading) Publish(_ context.Context, f []Frame) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, f...)
	return len(f), nil
}

func (r *reading) Subscribe(_ context.Context, s Subscription, f func(*Message)) error {
	if r.hold != nil && slices.Contains(s.Channels, "xcomponent:state_change") {
		r.held.Store(true)
		<-r.hold
	}
	ch := make(chan Frame, 10_000)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range s.Channels {
		r.on[name] = ch
	}
	r.subs = append(r.subs, ch)
	go func() {
		for m := range ch {
			f(&Message{Frame: m, Done: func(error) {}})
		}
	}()
	return nil
}

func (r *reading) Close(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ch := range r.subs {
		close(ch)
	}
	r.subs = nil
	return nil
}

func (r *reading) come(channel, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on[channel] <- Frame{channel, []byte(body)}
}

// published returns the body of the last that was published on a channel.
func (r *reading) published(channel string) (b *Body) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.sent {
		if f.Channel == channel {
			b = &Body{}
			_ = json.Unmarshal(f.Body, b) // it is ours
		}
	}
	return b
}

// TestAnswerBehindCommands has more commands come than can wait to be done, and then
// the answer that somebody on the mesh waits for: it is not held up by them.
func TestAnswerBehindCommands(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	free := make(chan struct{})
	slow, err := bus.Host(t.Context(), mesh.GuestOptions{
		Identity: mesh.Identity{RuntimeID: "slow", Component: "Slow", Name: "slow"}, Announce: mesh.Announce{Definition: text(1), Protocol: 1},
		Source: newTable(time.Now(), nil), Logger: quiet(),
		Command: func(ctx context.Context, c *mesh.Command) *mesh.Outcome {
			select {
			case <-free:
			case <-ctx.Done():
			}
			return &mesh.Outcome{OK: true, Instance: c.Instance}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.Close)
	r := &reading{on: map[string]chan Frame{}}
	br, err := Start(t.Context(), Config{
		Bus: bus, URL: "reading://", Logger: quiet(), Confirm: 60 * time.Second, NoNotices: true,
		Open: func(context.Context) (Broker, error) { return r, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = br.Close(context.Background()) })
	t.Cleanup(sync.OnceFunc(func() { close(free) }))
	soon(t, func() string {
		if st := br.Status(); len(st.Mirrored) != 1 {
			return fmt.Sprintf("%d runtimes are mirrored, want 1", len(st.Mirrored))
		}
		return ""
	})
	r.come("xcomponent:announce", `{"runtimeId":"theirs","componentName":"Theirs","component":{"name":"Theirs"},"protocol":1}`)
	soon(t, func() string {
		if len(br.Status().Behind) != 1 {
			return "the runtime on the broker is not known"
		}
		return ""
	})
	for i := range 2 * laneRoom {
		r.come("xcomponent:trigger_event", fmt.Sprintf(`{"componentName":"Slow","instanceId":"i","event":{"type":"UP"},"id":"m-%d"}`, i))
	}
	soon(t, func() string {
		if n := br.Status().Counters["received"]; n < laneRoom {
			return fmt.Sprintf("%d messages are taken in, want %d", n, laneRoom)
		}
		return ""
	})
	outcome := make(chan error, 1)
	client := mesh.NewClient(bus, mesh.ClientOptions{Timeout: 60 * time.Second})
	go func() {
		_, err := client.Do(t.Context(), "theirs", &mesh.Command{Do: mesh.DoCreate, Component: "Theirs"})
		outcome <- err
	}()
	var sent *Body
	soon(t, func() string {
		if sent = r.published("xcomponent:create_instance"); sent == nil {
			return "the command of the mesh is not published"
		}
		return ""
	})
	r.come("xcomponent:command_response", `{"correlationId":"`+sent.CorrelationID+`","ok":true,"instanceId":"new"}`)
	select {
	case err := <-outcome:
		if err != nil {
			t.Errorf("the command failed with %v", err)
		}
	case <-time.After(50 * time.Second):
		t.Error("the answer waits behind the commands")
	}
}

// TestGoodbyeOfTheBusy has a runtime on the broker say goodbye while somebody on the
// mesh asks for its instances, and the server is slow to say that notices are
// listened to: what comes after the goodbye is taken in all the same.
func TestGoodbyeOfTheBusy(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	r := &reading{on: map[string]chan Frame{}, hold: make(chan struct{})}
	br, err := Start(t.Context(), Config{
		Bus: bus, URL: "reading://", Logger: quiet(), NoNotices: true, Open: func(context.Context) (Broker, error) { return r, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = br.Close(context.Background()) })
	soon(t, func() string {
		if !br.Status().Active {
			return "the bridge is not active"
		}
		return ""
	})
	release := sync.OnceFunc(func() { close(r.hold) })
	t.Cleanup(release)
	behind := func(want string) {
		t.Helper()
		soon(t, func() string {
			if got := br.Status().Behind; len(got) != 1 || got[0].RuntimeID != want {
				return fmt.Sprintf("behind the bridge are %v, want %s", got, want)
			}
			return ""
		})
	}
	announce := func(id string) {
		r.come("xcomponent:announce", `{"runtimeId":"`+id+`","componentName":"C","component":{"name":"C"},"protocol":1}`)
	}
	announce("busy")
	behind("busy")
	client := mesh.NewClient(bus, mesh.ClientOptions{Timeout: 60 * time.Second})
	asking, cancel := context.WithCancel(t.Context())
	var asked sync.WaitGroup
	asked.Go(func() { _, _ = client.Do(asking, "busy", &mesh.Command{Do: mesh.DoGet, Component: "C", Instance: "i"}) })
	t.Cleanup(func() { cancel(); asked.Wait() })
	soon(t, func() string {
		if !r.held.Load() {
			return "nobody asks for the instances"
		}
		return ""
	})
	r.come("xcomponent:shutdown", `{"runtimeId":"busy","componentName":"C"}`)
	announce("next")
	behind("next")
	client = mesh.NewClient(bus, mesh.ClientOptions{})
	soon(t, func() string {
		if there, err := client.Runtimes(t.Context()); err != nil || len(there) != 1 || there[0].RuntimeID != "next" {
			return fmt.Sprintf("on the mesh are %v, %v; want the one that is left", there, err)
		}
		return ""
	})
	release()
}
