package rabbitmq_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

var messages = flag.Int("messages", 10_000, "how many commands TestStream sends")

const queue = "fsmesh.test"

func open(t *testing.T, url string, o rabbitmq.Options) *rabbitmq.Broker {
	t.Helper()
	o.Logger = quiet()
	b, err := rabbitmq.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

func eventually(t *testing.T, most time.Duration, f func() string) {
	t.Helper()
	deadline := time.Now().Add(most)
	for {
		wrong := f()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const counter = `
name: Counter
stateMachines:
  - name: Count
    initialState: On
    states: [{name: On, type: entry}]
    transitions: [{from: On, to: On, event: UP}]
`

// counters runs a runtime of counters on a mesh of the test's own.
func counters(t *testing.T) (*mesh.Bus, *fsm.Runtime) {
	t.Helper()
	bus, err := mesh.Connect(t.Context(), "memory:"+t.Name(), mesh.BusOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close(context.Background()) })
	c, _, err := fsm.ParseComponent([]byte(counter))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Components: []*fsm.Component{c}, Logger: quiet()})
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
	return bus, rt
}

func start(t *testing.T, bus *mesh.Bus, url string) *bridge.Bridge {
	t.Helper()
	b, err := bridge.Start(t.Context(), bridge.Config{
		Bus: bus, URL: url, Logger: quiet(), Open: func(ctx context.Context) (bridge.Broker, error) {
			return rabbitmq.Open(ctx, url, rabbitmq.Options{Queue: queue, Logger: quiet()})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	eventually(t, 60*time.Second, func() string {
		if st := b.Status(); !st.Active || len(st.Mirrored) == 0 {
			return "the bridge is not active, or does not know the runtime"
		}
		return ""
	})
	return b
}

func command(t *testing.T, instance, id string) bridge.Frame {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"componentName": "Counter", "instanceId": instance, "event": map[string]any{"type": "UP", "payload": map[string]any{}, "id": id}, "id": "m-" + id,
	})
	if err != nil {
		t.Fatal(err)
	}
	return bridge.Frame{Channel: "fsm:commands:trigger_event", Body: raw}
}

// publishAll publishes frames until the server has them all, over restarts.
func publishAll(t *testing.T, b *rabbitmq.Broker, frames []bridge.Frame) {
	t.Helper()
	for len(frames) > 0 {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		n, err := b.Publish(ctx, frames[:min(len(frames), 500)])
		cancel()
		frames = frames[n:]
		if err != nil && t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// keptQueue publishes commands while no bridge is there: with a queue of a name
// they come later. What can't be read is among the dead, with the reason, and can
// be sent again.
func keptQueue(t *testing.T, server *bridgetest.Server) {
	bus, rt := counters(t)
	in, err := rt.Create(t.Context(), "Count", nil)
	if err != nil {
		t.Fatal(err)
	}
	first := start(t, bus, server.URL)
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := open(t, server.URL, rabbitmq.Options{})
	publishAll(t, p, []bridge.Frame{
		command(t, in.ID(), "1"), {Channel: "fsm:commands:trigger_event", Body: []byte("no json")}, command(t, in.ID(), "2"), command(t, in.ID(), "2"),
	})
	second := start(t, bus, server.URL)
	eventually(t, 60*time.Second, func() string {
		if got, _ := rt.Get(in.ID()); got.Version() != 3 {
			return fmt.Sprintf("version %d, want 3", got.Version())
		}
		if n := second.Status().Counters["broker_dead_letters"]; n != 1 {
			return fmt.Sprintf("%d dead letters, want 1", n)
		}
		return ""
	})
	for range 2 { // looking does not take them out
		dead, err := p.DeadLetters(t.Context(), 10)
		if err != nil || len(dead) != 1 || string(dead[0].Body) != "no json" || !strings.Contains(dead[0].Reason, "no JSON object") || dead[0].Channel != "fsm.commands.trigger_event" {
			t.Fatalf("dead letters %+v, %v", dead, err)
		}
	}
	if n, err := p.Replay(t.Context(), 10); n != 1 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	eventually(t, 60*time.Second, func() string {
		if n := second.Status().Counters["broker_dead_letters"]; n != 2 {
			return "what is still wrong does not come back among the dead"
		}
		return ""
	})
}

// TestStream sends commands with ids over two restarts of the server and a memory
// alarm, and broken ones among them: none is lost, none is applied twice, the
// broken ones are among the dead, and memory stays bounded.
func TestStream(t *testing.T) {
	server := bridgetest.RabbitMQ(t)
	if !server.Own {
		t.Log("the server is not the test's own and is not restarted")
		return
	}
	bus, rt := counters(t)
	var instances []string
	for range 500 {
		in, err := rt.Create(t.Context(), "Count", nil)
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, in.ID())
	}
	br := start(t, bus, server.URL)
	p := open(t, server.URL, rabbitmq.Options{})
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var sent atomic.Int64
	done, alarmed := make(chan struct{}), make(chan struct{})
	poison := 0
	go func() {
		defer close(done)
		for i := 0; i < *messages; i += 500 {
			var batch []bridge.Frame
			for k := i; k < min(i+500, *messages); k++ {
				batch = append(batch, command(t, instances[k%len(instances)], fmt.Sprint("id-", k)))
			}
			if i%5000 == 0 {
				poison++
				batch = append(batch, bridge.Frame{Channel: "fsm:commands:trigger_event", Body: fmt.Appendf(nil, "broken %d", i)})
			}
			if i*10 >= *messages*7 {
				<-alarmed // so that there is something to be blocked
			}
			publishAll(t, p, batch)
			sent.Add(int64(len(batch)))
		}
	}()
	begin := time.Now()
	at := func(part float64) {
		eventually(t, 2*time.Minute, func() string {
			if float64(sent.Load()) < part*float64(*messages) {
				return "not sent"
			}
			return ""
		})
	}
	for _, part := range []float64{0.2, 0.5} {
		at(part)
		server.Stop()
		server.Start(t)
	}
	at(0.65)
	server.RabbitMQCtl(t, "set_vm_memory_high_watermark", "0.000001")
	close(alarmed)
	eventually(t, 60*time.Second, func() string {
		if p.Counters()["blocked"] == 0 {
			return "the server does not block its publishers"
		}
		return ""
	})
	if _, err := rt.Send(t.Context(), instances[0], fsm.Event{Type: "UP"}); err != nil { // the runtime goes on
		t.Error(err)
	}
	server.RabbitMQCtl(t, "set_vm_memory_high_watermark", "0.4")
	<-done
	total := func() (n uint64) {
		for in := range rt.Instances(fsm.Filter{}) {
			n += in.Version() - 1
		}
		return n
	}
	want := uint64(*messages + 1)
	eventually(t, 2*time.Minute, func() string {
		if got := total(); got < want {
			return fmt.Sprintf("%d commands are applied, want %d; %v", got, want, br.Status().Counters)
		}
		return ""
	})
	time.Sleep(time.Second) // what comes twice would come now
	if got := total(); got != want {
		t.Errorf("%d commands are applied, want %d: some twice", got, want)
	}
	took := time.Since(begin)
	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 200<<20 {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	}
	dead, err := p.DeadLetters(t.Context(), 1000)
	if err != nil || len(dead) < poison {
		t.Errorf("%d dead letters, %v; want %d", len(dead), err, poison)
	}
	for _, d := range dead {
		if !strings.Contains(d.Reason, "no JSON object") {
			t.Errorf("dead letter %+v", d)
		}
	}
	c := br.Status().Counters
	t.Logf("%d commands in %v, %d redelivered, %d dropped as doubled, %d reconnects, heap +%d MB", *messages, took.Round(time.Second),
		c["broker_redelivered"], c["dropped_doubled"], c["broker_reconnects"], (int64(after.HeapInuse)-int64(before.HeapInuse))>>20)
}
