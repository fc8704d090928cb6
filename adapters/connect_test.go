package adapters_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func connect(t *testing.T, url string) *adapters.Connection {
	t.Helper()
	c, err := adapters.Connect(t.Context(), url, adapters.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func eventually(t *testing.T, f func() string) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		wrong := f()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func attach(t *testing.T, bus *mesh.Bus, file, name string) *fsm.Runtime {
	t.Helper()
	c, _, err := fsm.ParseComponent(bridgetest.File(t, file))
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{
		Name: name, Components: []*fsm.Component{c}, Dispatcher: mesh.NewDispatcher(bus), Logger: quiet(),
		Hooks: fsm.Hooks{Default: func(*fsm.Call) error { return nil }},
	})
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
	return rt
}

// A told counts what a mesh is told of each change.
type told struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func listen(t *testing.T, bus *mesh.Bus) *told {
	t.Helper()
	out := &told{n: map[string]int{}}
	notices, err := bus.Notices(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for n, err := range notices {
			if err == nil && n.Kind.Numbered() {
				out.mu.Lock()
				out.n[fmt.Sprint(n.Instance, n.Kind, n.State, n.Version)]++
				out.mu.Unlock()
			}
		}
	}()
	return out
}

func (o *told) once(want int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for what, n := range o.n {
		if n != 1 {
			return fmt.Sprintf("%s is told %d times", what, n)
		}
	}
	if len(o.n) != want {
		return fmt.Sprintf("%d changes are told, want %d", len(o.n), want)
	}
	return ""
}

// TestTriangle joins a mesh with two brokers, which are joined by another mesh:
// what happens on the first goes round both ways, and is told once in each place.
// Without the loop guard it is not.
func TestTriangle(t *testing.T) {
	redis, rabbit := bridgetest.Redis(t), bridgetest.RabbitMQ(t)
	t.Run("With", func(t *testing.T) {
		if wrong := triangle(t, redis, rabbit, bridge.Faults{}, 20, 20*time.Second); wrong != "" {
			t.Error(wrong)
		}
	})
	t.Run("Without", func(t *testing.T) {
		wrong := triangle(t, redis, rabbit, bridge.Faults{NoGuard: true}, 2, 4*time.Second)
		if wrong == "" {
			t.Error("without the loop guard all is told once: the test shows nothing")
		}
		t.Logf("as it must be: %s", wrong)
	})
}

// triangle reports what is wrong on the triangle after changes of n instances. It
// waits up to so long for each.
func triangle(t *testing.T, redis, rabbit *bridgetest.Server, faults bridge.Faults, n int, within time.Duration) (wrong string) {
	t.Helper()
	a, b := connect(t, "memory:"+t.Name()+"a"), connect(t, "memory:"+t.Name()+"b")
	raw := map[string]*told{}
	for _, url := range []string{redis.URL, rabbit.URL} {
		raw[url] = rawListener(t, url)
		for _, c := range []*adapters.Connection{a, b} {
			br, err := adapters.Bridge(t.Context(), c.Bus, url, adapters.Options{Logger: quiet(), Bridge: bridge.Config{Faults: faults}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = br.Close(context.Background()) })
			eventually(t, func() string {
				if !br.Status().Active {
					return "the bridge is not active"
				}
				return ""
			})
		}
	}
	rt := attach(t, a.Bus, "orders.yaml", "Orders")
	v, err := mesh.Watch(t.Context(), b.Bus, mesh.ViewOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	exact := func() string {
		wrong := "the runtime is not there"
		v.Read(func(d *mesh.Directory) {
			for _, r := range d.Runtimes(time.Now()) {
				if wrong = ""; !r.Exactness.Exact {
					wrong = fmt.Sprintf("not exact: %+v", r.Exactness)
				}
			}
		})
		return wrong
	}
	if wrong := awaited(within, exact); wrong != "" {
		return wrong
	}
	// Until both ways have settled on one.
	time.Sleep(3 * time.Second)
	if wrong := awaited(within, exact); wrong != "" {
		return wrong
	}
	here, there := listen(t, a.Bus), listen(t, b.Bus)
	client := mesh.NewClient(b.Bus, mesh.ClientOptions{})
	for i := range n {
		in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": fmt.Sprint(i), "amount": 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "PLACE"}); err != nil {
			t.Fatal(err)
		}
		wrong := awaited(within, func() string {
			wrong := "not known beyond the brokers"
			v.Read(func(d *mesh.Directory) {
				if all := d.Find(in.ID()); len(all) == 1 && all[0].State == "AwaitingPayment" {
					wrong = ""
				}
			})
			return wrong
		})
		if wrong != "" {
			return wrong
		}
		for k, ev := range []string{"INVOICE_PAID", "NOTE"} { // the second is taken however often it comes
			out, err := client.Send(t.Context(), mesh.Target{ID: in.ID()}, fsm.Event{Type: ev}, mesh.SendOptions{})
			if err != nil || out.Version != uint64(3+k) {
				return fmt.Sprintf("a command over the brokers: %+v, %v", out, err)
			}
		}
	}
	check := func() string {
		for name, o := range map[string]*told{"on its own mesh": here, "beyond": there, "on Redis": raw[redis.URL], "on RabbitMQ": raw[rabbit.URL]} {
			if wrong := o.once(4 * n); wrong != "" {
				return name + ": " + wrong
			}
		}
		return ""
	}
	if wrong := awaited(within, check); wrong != "" {
		return wrong
	}
	time.Sleep(time.Second) // what goes round would come
	return check()
}

// awaited waits for f to return "", and returns what it did last.
func awaited(within time.Duration, f func() string) (wrong string) {
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if wrong = f(); wrong == "" || time.Now().After(deadline) {
			return wrong
		}
	}
}

// rawListener counts what is told on a broker, in the documented dialect.
func rawListener(t *testing.T, url string) *told {
	t.Helper()
	broker, err := adapters.Open(t.Context(), url, adapters.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close(context.Background()) })
	out := &told{n: map[string]int{}}
	err = broker.Subscribe(t.Context(), bridge.Subscription{Channels: []string{"xcomponent:instance_created", "xcomponent:state_change"}}, func(m *bridge.Message) {
		var b bridge.Body
		if json.Unmarshal(m.Body, &b) == nil && b.Data != nil {
			out.mu.Lock()
			out.n[fmt.Sprint(b.Data.Instance, b.EventType, b.Data.NewState, b.Version)]++
			out.mu.Unlock()
		}
		m.Done(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestApplications connects two applications by nothing but the URL of a broker,
// of either kind: an order of one makes an invoice in the other, whose payment
// comes back.
func TestApplications(t *testing.T) {
	for name, server := range map[string]*bridgetest.Server{"Redis": bridgetest.Redis(t), "RabbitMQ": bridgetest.RabbitMQ(t)} {
		t.Run(name, func(t *testing.T) {
			one, two := connect(t, server.URL), connect(t, server.URL)
			orders, billing := attach(t, one.Bus, "orders.yaml", "Orders"), attach(t, two.Bus, "billing.yaml", "Billing")
			order, err := orders.Create(t.Context(), "Order", map[string]any{"orderId": "A-1", "amount": 7})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := orders.Send(t.Context(), order.ID(), fsm.Event{Type: "PLACE"}); err != nil {
				t.Fatal(err)
			}
			var invoice *fsm.Instance
			eventually(t, func() string {
				for in := range billing.Instances(fsm.Filter{}) {
					invoice = in
					return ""
				}
				return "no invoice"
			})
			if _, err := billing.Send(t.Context(), invoice.ID(), fsm.Event{Type: "PAY"}); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string {
				if in, err := orders.Get(order.ID()); err != nil || in.State() != "Paid" {
					return fmt.Sprintf("the order is %v, %v", in, err)
				}
				return ""
			})
		})
	}
}

// TestNoDirectory connects two applications that host the same component and show
// nothing: neither hears what happens to the instances of the other, and still a
// command finds its instance wherever it is. Who asks for instances hears of all
// from then on, and so does one with a directory from the start.
func TestNoDirectory(t *testing.T) {
	for name, server := range map[string]*bridgetest.Server{"Redis": bridgetest.Redis(t), "RabbitMQ": bridgetest.RabbitMQ(t)} {
		t.Run(name, func(t *testing.T) {
			one, two := connect(t, server.URL), connect(t, server.URL)
			three, err := adapters.Connect(t.Context(), server.URL, adapters.Options{Logger: quiet(), Directory: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = three.Close(context.Background()) })
			view, err := mesh.Watch(t.Context(), three.Bus, mesh.ViewOptions{Logger: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = view.Close(context.Background()) })
			mine, theirs := attach(t, one.Bus, "orders.yaml", "Orders-one"), attach(t, two.Bus, "orders.yaml", "Orders-two")
			eventually(t, func() string {
				if n := len(one.Bridge.Status().Behind); n != 1 {
					return fmt.Sprintf("%d runtimes are behind the bridge, want 1", n)
				}
				return ""
			})
			const each = 20
			begin := time.Now()
			client := mesh.NewClient(one.Bus, mesh.ClientOptions{})
			for i := range each {
				for _, rt := range []*fsm.Runtime{mine, theirs} {
					in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": fmt.Sprint(i), "amount": 1})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := client.Send(t.Context(), mesh.Target{ID: in.ID()}, fsm.Event{Type: "PLACE"}, mesh.SendOptions{}); err != nil {
						t.Fatal(err)
					}
					if now, err := rt.Get(in.ID()); err != nil || now.State() != "AwaitingPayment" {
						t.Fatalf("a command was answered, and the instance is %v, %v", now, err)
					}
				}
			}
			t.Logf("%v for %d commands", time.Since(begin), 2*each)
			if took := time.Since(begin); took > each*time.Second/2 {
				t.Errorf("%d commands took %v: they waited for notices that do not come", 2*each, took)
			}
			if n := one.Bridge.Status().Counters["told"]; n != 0 {
				t.Errorf("%d changes are told to an application that has no use for them", n)
			}
			eventually(t, func() string {
				n := 0
				view.Read(func(d *mesh.Directory) {
					page, _ := d.List(mesh.Filter{State: "AwaitingPayment"}, false, "", 1000)
					n = len(page.Instances)
				})
				if n != 2*each {
					return fmt.Sprintf("one that has a directory knows %d instances, want %d", n, 2*each)
				}
				return ""
			})
			eventually(t, func() string {
				page, err := client.Query(t.Context(), mesh.Query{Limit: 1000})
				if err != nil || len(page.Missing) > 0 || len(page.Instances) != 2*each {
					return fmt.Sprintf("%d instances are found, %v, want %d", len(page.Instances), err, 2*each)
				}
				return ""
			})
			if n := one.Bridge.Status().Counters["queries_sent"]; n == 0 || n > 2 {
				t.Errorf("%d queries were sent for that, want 1 or 2", n)
			}
		})
	}
}

// TestSecrets sees that a wrong password, a wrong certificate and a host that is
// down are told without the password.
func TestSecrets(t *testing.T) {
	redis, rabbit := bridgetest.Redis(t, "--requirepass", "right-password"), bridgetest.RabbitMQ(t)
	const secret = "s3cr3t/+word"
	const escaped = "s3cr3t%2F%2Bword"
	var log bridgetest.Log
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, url := range []string{
		"redis://user:" + escaped + "@" + redis.Addr, "redis://:" + escaped + "@" + redis.Addr, "rediss://user:" + escaped + "@" + redis.Addr,
		"amqp://user:" + escaped + "@" + rabbit.Addr, "amqps://user:" + escaped + "@" + rabbit.Addr, "redis://u:" + escaped + "@127.0.0.1:1",
		"amqp://u:" + escaped + "@127.0.0.1:1", "redis://u:" + escaped + "@host:port", "amqp://u:" + escaped + "@ho st", "redis://u:" + secret + "@x/notanumber",
		"kafka://u:" + escaped + "@x", "u:" + escaped + "@x", "nats://u:" + escaped + "@127.0.0.1:1",
		"redis://" + redis.Addr + "/0?password=" + escaped,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		c, err := adapters.Connect(ctx, url, adapters.Options{Logger: logger, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
		cancel()
		if err == nil {
			_ = c.Close(context.Background())
			t.Errorf("%s: connected", redact.URL(url))
			continue
		}
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", errors.Unwrap(err)), log.String(), redact.URL(url)} {
			if strings.Contains(text, secret) || strings.Contains(text, escaped) || strings.Contains(text, "s3cr3t") {
				t.Errorf("%s: the password is in %q", redact.URL(url), text)
			}
		}
		t.Log(err)
	}
	if _, err := adapters.Connect(t.Context(), "kafka://x"); !errors.Is(err, adapters.ErrURL) {
		t.Errorf("an unknown scheme: %v", err)
	}
	c, err := adapters.Connect(t.Context(), "redis://:right-password@"+redis.Addr, adapters.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	st, _ := json.Marshal(c.Bridge.Status())
	if strings.Contains(string(st)+log.String(), "right-password") {
		t.Errorf("the password is in the status or in the log: %s", st)
	}
	_ = c.Close(context.Background())
}
