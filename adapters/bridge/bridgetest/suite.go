// Package bridgetest is what every broker of adapters/bridge passes against its
// real server: a suite of tests, the servers themselves, and a proxy that can
// cut, stall and delay.
package bridgetest

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

//go:embed testdata
var testdata embed.FS

// File returns a file of the recordings.
func File(t testing.TB, name string) []byte {
	t.Helper()
	b, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A Case is one kind of broker.
type Case struct {
	// Server is the real server.
	Server *Server
	// Open connects a broker.
	Open func(ctx context.Context, url string) (bridge.Broker, error)
	// Recording is the file with what the ancestor's processes sent.
	Recording string
	// Stop says that the server starts in no time, so that the suite can stop it
	// in mid-stream.
	Stop bool
}

// Run runs the suite.
func (c Case) Run(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func(*testing.T)
	}{
		{"Guarantees", c.guarantees}, {"Replay", c.replay}, {"Ours", c.ours}, {"Commands", c.commands}, {"Loop", c.loop},
		{"Two", c.two}, {"SideBySide", c.sideBySide}, {"Takeover", c.takeover}, {"Creations", c.creations}, {"Outage", c.outage},
		{"Restart", c.restart},
		{"BadInput", c.badInput}, {"External", c.external}, {"Effects", c.effects}, {"Targets", c.targets},
		{"DryRun", c.dryRun}, {"Rival", c.rival}, {"Visible", c.visible},
		{"Cascades", c.cascades}, {"Vanish", c.vanish}, {"LastLost", c.lastLost}, {"NoNotices", c.noNotices},
		{"Tries", c.tries}, {"Nameless", c.nameless}, {"Crossed", c.crossed}, {"Skewed", c.skewed}, {"Dialects", c.dialects},
	} {
		t.Run(tt.name, tt.f)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// within is how long a test waits for what must come.
const within = 60 * time.Second

// eventually waits until f returns "".
func eventually(t testing.TB, f func() string) {
	t.Helper()
	eventuallyWithin(t, within, f)
}

func eventuallyWithin(t testing.TB, most time.Duration, f func() string) {
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
		time.Sleep(5 * time.Millisecond)
	}
}

func (c Case) open(t testing.TB, url string) bridge.Broker {
	t.Helper()
	b, err := c.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, b.Close) })
	return b
}

func closed(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// bus returns a mesh of the test's own.
func bus(t testing.TB) *mesh.Bus {
	t.Helper()
	b, err := mesh.Connect(t.Context(), "memory:"+t.Name()+fmt.Sprint(time.Now().UnixNano()), mesh.BusOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, b.Close) })
	return b
}

// config is that of a bridge of the case.
func (c Case) config(b *mesh.Bus, url string) bridge.Config {
	return bridge.Config{
		Bus: b, URL: url, Logger: quiet(), Open: func(ctx context.Context) (bridge.Broker, error) { return c.Open(ctx, url) },
	}
}

func start(t testing.TB, conf bridge.Config) *bridge.Bridge {
	t.Helper()
	b, err := bridge.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, b.Close) })
	return b
}

func active(t testing.TB, b *bridge.Bridge) *bridge.Bridge {
	t.Helper()
	eventually(t, func() string {
		if !b.Status().Active {
			return "the bridge is not active"
		}
		return ""
	})
	return b
}

func watch(t testing.TB, b *mesh.Bus) *mesh.View {
	t.Helper()
	v, err := mesh.Watch(t.Context(), b, mesh.ViewOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, v.Close) })
	return v
}

func component(t testing.TB, file string) *fsm.Component {
	t.Helper()
	c, _, err := fsm.ParseComponent(File(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// attach runs a component of the recordings on a mesh.
func attach(t testing.TB, b *mesh.Bus, file, name string) *fsm.Runtime {
	t.Helper()
	host, port := "orders-app", 3000
	if file == "billing.yaml" {
		host, port = "billing-app", 3001
	}
	return run(t, b, component(t, file), name, mesh.AttachOptions{Logger: quiet(), Host: host, Port: port})
}

func run(t testing.TB, b *mesh.Bus, comp *fsm.Component, name string, o mesh.AttachOptions) *fsm.Runtime {
	t.Helper()
	rt, err := fsm.NewRuntime(fsm.Config{
		Name: name, Components: []*fsm.Component{comp}, Dispatcher: mesh.NewDispatcher(b), Logger: quiet(),
		Hooks: fsm.Hooks{Default: func(*fsm.Call) error { return nil }},
	})
	if err == nil {
		err = rt.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, rt.Stop) })
	a, err := mesh.Attach(t.Context(), rt, b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, a.Close) })
	return rt
}

// A peer is a program on the broker that is none of ours: it sees all channels,
// and publishes what it is told.
type peer struct {
	broker bridge.Broker

	mu  sync.Mutex // guards got
	got []frame
}

type frame struct {
	channel string
	body    map[string]any
	raw     []byte
}

// allChannels are those of both dialects, and the external ones.
func allChannels() []string {
	var names []string
	for _, c := range bridge.Channels {
		for _, n := range c.Names {
			if n != "" {
				names = append(names, n)
			}
		}
	}
	return append(names, "xcomponent:events:state_change", "xcomponent:events:instance_created", "xcomponent:events:instance_disposed")
}

func (c Case) peer(t testing.TB) *peer {
	t.Helper()
	p := &peer{broker: c.open(t, c.Server.URL)}
	err := p.broker.Subscribe(t.Context(), bridge.Subscription{Channels: allChannels()}, func(m *bridge.Message) {
		f := frame{channel: m.Channel, raw: m.Body}
		_ = json.Unmarshal(m.Body, &f.body) // what is no JSON has no fields
		p.mu.Lock()
		p.got = append(p.got, f)
		p.mu.Unlock()
		m.Done(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *peer) publish(t testing.TB, channel string, body any) {
	t.Helper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.broker.Publish(t.Context(), []bridge.Frame{{Channel: channel, Body: raw}}); err != nil {
		t.Fatal(err)
	}
}

// on returns what came on a channel.
func (p *peer) on(channel string) []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []frame
	for _, f := range p.got {
		if f.channel == channel {
			out = append(out, f)
		}
	}
	return out
}

func (p *peer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = nil
}

// A recorded line is a step, or a message.
type recorded struct {
	Step       string          `json:"step"`
	Channel    string          `json:"channel"`
	RoutingKey string          `json:"routing_key"`
	Message    json.RawMessage `json:"message"`
}

// recording returns the lines up to a step, with channels as they are on Redis.
func (c Case) recording(t testing.TB, until string) []recorded {
	t.Helper()
	var all, out []recorded
	if err := json.Unmarshal(File(t, c.Recording), &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Step == until {
			return out
		}
		if r.RoutingKey != "" {
			for _, name := range allChannels() {
				if keyOf(name) == r.RoutingKey {
					r.Channel = name
				}
			}
		}
		out = append(out, r)
	}
	t.Fatalf("%s has no step %q", c.Recording, until)
	return nil
}

func keyOf(channel string) string {
	b := []byte(channel)
	for i := range b {
		if b[i] == ':' {
			b[i] = '.'
		}
	}
	return string(b)
}

// instance finds one in a view.
func instance(v *mesh.View, id string) (in mesh.Instance, ok bool) {
	v.Read(func(d *mesh.Directory) {
		if all := d.Find(id); len(all) == 1 {
			in, ok = all[0], true
		}
	})
	return in, ok
}

// exact reports what a view knows of the instances of a component, once it is
// exact about all its runtimes.
func exact(v *mesh.View, comp string, runtimes int) (rows []mesh.Instance, wrong string) {
	v.Read(func(d *mesh.Directory) {
		n := 0
		for _, r := range d.Runtimes(time.Now()) {
			if r.Component != comp || r.Status != mesh.Live {
				continue
			}
			n++
			if !r.Exactness.Exact {
				wrong = fmt.Sprintf("%s is not exact: %+v", r.RuntimeID, r.Exactness)
			}
		}
		if n != runtimes && wrong == "" {
			wrong = fmt.Sprintf("%d runtimes of %s, want %d", n, comp, runtimes)
		}
		page, err := d.List(mesh.Filter{Component: comp}, false, "", 10_000)
		if err != nil {
			wrong = err.Error()
		}
		rows = page.Instances
	})
	return rows, wrong
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	var u, v any
	return json.Unmarshal(x, &u) == nil && json.Unmarshal(y, &v) == nil && reflect.DeepEqual(u, v)
}
