package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/adapters/bridge/bridgetest"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/redact"
)

const services = "../../examples/two-services/"

// eachBroker runs a test with either kind of broker, a real one.
func eachBroker(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("Redis", func(t *testing.T) { test(t, bridgetest.Redis(t).URL) })
	t.Run("RabbitMQ", func(t *testing.T) { test(t, bridgetest.RabbitMQ(t).URL) })
}

// TestServeOnBroker has a service and a dashboard that know of each other by the
// URL of a broker only: the dashboard creates and sends, and is told when the
// service ends.
func TestServeOnBroker(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		pages := startProgram(t, map[string]string{"PORT": "0", "BROKER_URL": url}, "dashboard")
		orders := startProgram(t, map[string]string{"PORT": "0"}, "serve", services+"orders.yaml", "--broker", url)
		runtimes := pages.address + "runtimes"
		until(t, func() bool { return strings.Contains(get(t, runtimes, http.StatusOK), "1 of 1 runtime live") })
		created := post(t, pages.address+"create", "component", "Orders", "machine", "Order", "data", `{"orderId": "ORD-1", "amount": 40}`)
		id := created.query.Get("id")
		if id == "" {
			t.Fatalf("nothing was created over the broker:\n%s", created.page)
		}
		post(t, pages.address+"instance", "id", id, "component", "Orders", "event", "PLACE", "payload", "{}")
		until(t, func() bool {
			return oneIn(t, orders.address, "AwaitingPayment") && oneIn(t, pages.address, "AwaitingPayment")
		})
		orders.end()
		until(t, func() bool { return strings.Contains(get(t, runtimes, http.StatusOK), "1 stopped") })
		if status := pages.end(); status != exitDone {
			t.Errorf("exit status %d; it said:\n%s", status, pages.stderr)
		}
	})
}

// oneIn reports whether an instance is shown in a state. The page of instances names all
// states there are.
func oneIn(t *testing.T, address, state string) bool {
	t.Helper()
	return regexp.MustCompile(`"currentState":\s*"` + state + `"`).MatchString(get(t, address+"api/instances", http.StatusOK))
}

// A slowStore takes as long to open as one that has much to read.
type slowStore struct{ fsm.Store }

func (s slowStore) Open(ctx context.Context, name string) (fsm.Log, error) {
	select {
	case <-time.After(4 * time.Second): // a bridge looks for runtimes for 3 s
	case <-ctx.Done():
	}
	return s.Store.Open(ctx, name)
}

// TestServeQueue has commands wait in the queue of a name while their service is away:
// it is started again, which takes a while, and they are for it.
func TestServeQueue(t *testing.T) {
	t.Parallel()
	url := bridgetest.RabbitMQ(t).URL
	start := func(data string, around func(fsm.Store) fsm.Store) *running {
		return startOnStore(t, around, map[string]string{"PORT": "0", "FSMESH_STORE": "", "BROKER_URL": url}, "serve", services+"orders.yaml", "--queue", "fsmesh.test", "--data", data)
	}
	data := t.TempDir()
	orders := start(data, nil)
	id := post(t, orders.address+"create", "component", "Orders", "machine", "Order", "data", `{"orderId": "ORD-1", "amount": 40}`).query.Get("id")
	if id == "" {
		t.Fatal("nothing was created")
	}
	until(t, func() bool {
		return strings.Contains(get(t, orders.address+"api/bridges", http.StatusOK), `"mirrored":1`)
	}) // it has its queue
	if status := orders.end(); status != exitDone {
		t.Fatalf("exit status %d; it said:\n%s", status, orders.stderr)
	}
	publish(t, open(t, url), "fsm:commands:trigger_event", `{"instanceId":"`+id+`","event":{"type":"PLACE","payload":{}},"timestamp":1}`)
	again := start(data, func(s fsm.Store) fsm.Store { return slowStore{s} })
	until(t, func() bool { return oneIn(t, again.address, "AwaitingPayment") })
}

// TestBridgeCommand joins two meshes that have a node each over a broker: a
// command on the one steers an instance of the other.
func TestBridgeCommand(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		one, two := startOrders(t), startNode(t)
		startProgram(t, map[string]string{"BROKER_URL": one + " " + url}, "bridge")
		startProgram(t, nil, "bridge", url, "--mesh", two, "--dialect", "documented")
		until(t, func() bool {
			return strings.Contains(fsmeshWith(t.Context(), "", map[string]string{"FSMESH_URL": two}, "runtimes").out, "Orders  Orders     live    yes")
		})
		var created struct {
			ID string `json:"instanceId"`
		}
		out := at(t, two, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "-o", "json").out
		if err := json.Unmarshal([]byte(out), &created); err != nil || created.ID == "" {
			t.Fatalf("created %q, %v", out, err)
		}
		wants(t, "sent from the other mesh", at(t, two, exitDone, "send", created.ID, "SUBMIT").out, "Pending")
		wants(t, "on its own mesh", at(t, one, exitDone, "get", created.ID).out, "Pending")
		at(t, two, exitRefused, "send", created.ID, "SUBMIT")
	})
}

// TestBridgeJoinsBrokers has a bridge with a mesh inside, between Redis and
// RabbitMQ.
func TestBridgeJoinsBrokers(t *testing.T) {
	t.Parallel()
	redis, rabbit := bridgetest.Redis(t), bridgetest.RabbitMQ(t)
	startProgram(t, nil, "bridge", redis.URL, rabbit.URL, "--mesh", "memory")
	startProgram(t, map[string]string{"PORT": "0"}, "serve", "testdata/order.yaml", "--broker", redis.URL)
	pages := startProgram(t, map[string]string{"PORT": "0"}, "dashboard", "--broker", rabbit.URL)
	until(t, func() bool {
		return strings.Contains(get(t, pages.address+"runtimes", http.StatusOK), "1 of 1 runtime live")
	})
}

// open connects a test to a broker as some other program.
func open(t *testing.T, url string) bridge.Broker {
	t.Helper()
	b, err := adapters.Open(t.Context(), url, adapters.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

func publish(t *testing.T, b bridge.Broker, channel, body string) {
	t.Helper()
	if _, err := b.Publish(t.Context(), []bridge.Frame{{Channel: channel, Body: []byte(body)}}); err != nil {
		t.Fatal(err)
	}
}

// TestBridgeDryRun prints what would go either way, of the channel that was asked
// for only, and does nothing of it; a bridge beside it does not wait for it.
func TestBridgeDryRun(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		mesh := startOrders(t)
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs syncBuffer
		status := make(chan int, 1)
		go func() {
			status <- run(ctx, []string{"bridge", url, "--mesh", mesh, "--dry-run", "--only", "fsm:registry:announce", "--only", "trigger_event,create_instance"}, strings.NewReader(""), &out, &errs, inMemory(nil))
		}()
		defer func() {
			cancel()
			if got := <-status; got != exitDone {
				t.Errorf("exit status %d; it said:\n%s", got, errs.String())
			}
		}()
		peer := open(t, url)
		shown := redact.URL(url)
		until(t, func() bool {
			publish(t, peer, "fsm:commands:trigger_event", `{"instanceId":"i1","event":{"type":"PAY"}}`)
			text := out.String()
			return strings.Contains(text, "to "+shown+` fsm:registry:announce {"runtimeId":`) && strings.Contains(text, "to "+shown+" xcomponent:announce ") &&
				strings.Contains(text, "from "+shown+` fsm:commands:trigger_event {"instanceId":"i1"`)
		})
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, ":announce ") && !strings.Contains(line, ":trigger_event ") && !strings.Contains(line, ":create_instance ") {
				t.Errorf("printed, though not asked for: %s", line)
			}
		}
		// One that really bridges is the active one at once.
		startProgram(t, map[string]string{"BROKER_URL": url}, "bridge", "--mesh", mesh)
		pages := startProgram(t, map[string]string{"PORT": "0"}, "dashboard", "--broker", url)
		until(t, func() bool {
			return strings.Contains(get(t, pages.address+"runtimes", http.StatusOK), "1 of 1 runtime live")
		})
		// And it takes nothing from that one.
		for range 4 {
			created := post(t, pages.address+"create", "component", "Orders", "machine", "Order", "data", `{"amount": 5, "customer": "Bob"}`)
			if created.query.Get("id") == "" {
				t.Fatal("a creation was taken by the dry run")
			}
		}
	})
}

// TestDLQ has what cannot be used listed with its reason, shown, and sent again.
func TestDLQ(t *testing.T) {
	t.Parallel()
	url := bridgetest.RabbitMQ(t).URL
	env := map[string]string{"BROKER_URL": url}
	dlq := func(status int, args ...string) result {
		t.Helper()
		got := fsmeshWith(t.Context(), "", env, append([]string{"bridge", "dlq"}, args...)...)
		if got.status != status {
			t.Fatalf("dlq %v: %+v, want status %d", args, got, status)
		}
		return got
	}
	if got := dlq(exitDone, "ls", "-o", "json"); got.out != "[]\n" {
		t.Errorf("none: %+v", got)
	}
	dlq(exitNotFound, "show", "1")
	p := startProgram(t, env, "bridge", "--mesh", "memory")
	peer := open(t, url)
	until(t, func() bool {
		publish(t, peer, "xcomponent:state_change", `{"broken":`)
		return strings.Contains(dlq(exitDone, "ls").out, "xcomponent.state_change")
	})
	publish(t, peer, "xcomponent:heartbeat", `{"componentName":"Orders"}`)
	until(t, func() bool { return strings.Contains(dlq(exitDone, "ls").out, "xcomponent.heartbeat") })
	p.end() // nothing comes back from now on
	wants(t, "ls", dlq(exitDone, "ls", "--limit", "1").out, "N  CHANNEL", "1  xcomponent.state_change", "JSON")
	wants(t, "show", dlq(exitDone, "show", "1").out, "channel  xcomponent.state_change", "reason", `"{\"broken\":"`)
	var all []deadMessage
	if err := json.Unmarshal([]byte(dlq(exitDone, "ls", "-o", "json").out), &all); err != nil || len(all) < 2 || all[0].Reason == "" || all[0].At == 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	// Somebody has to listen, or what is sent again would be lost.
	if got := dlq(exitFailed, "replay"); !strings.Contains(got.err, "nobody listens") {
		t.Errorf("replay with nobody there: %+v", got)
	}
	listen := bridge.Subscription{Channels: []string{"xcomponent:state_change", "xcomponent:heartbeat"}}
	if err := peer.Subscribe(t.Context(), listen, func(m *bridge.Message) { m.Done(nil) }); err != nil {
		t.Fatal(err)
	}
	wants(t, "replay one", dlq(exitDone, "replay", "--first", "1").out, "replayed  1")
	wants(t, "replay all", dlq(exitDone, "replay", "-o", "json").out, fmt.Sprintf(`"replayed": %d`, len(all)-1))
	if got := dlq(exitDone, "ls", "-o", "json"); got.out != "[]\n" {
		t.Errorf("after all were sent again: %+v", got)
	}
}

func TestBridgeWrongUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"bridge", exitUsage, "needs the URL of a broker"},
		{"bridge dql", exitUsage, `did you mean "dlq"?`},
		{"bridge kafka://x", exitUsage, "needs the URL of a broker"},
		{"bridge redis://x --mesh redis://y", exitUsage, "--mesh redis://y is a broker"},
		{"bridge redis://x --mesh blue", exitUsage, "the name of a mesh is given with --mesh-name"},
		{"bridge redis://x nats://a nats://b", exitUsage, "are two meshes"},
		{"bridge redis://x nats://a --mesh nats://b", exitUsage, "are two meshes"},
		{"bridge redis://x --dialect packge", exitUsage, "did you mean package?"},
		{"bridge redis://x --only state_chang", exitUsage, `did you mean "state_change"?`},
		{"bridge redis://x --only zzzzzz", exitUsage, "there are announce,"},
		{"bridge amqp://x --dry-run --queue q", exitUsage, "--dry-run and --queue contradict"},
		{"bridge redis://127.0.0.1:1 --mesh memory", exitFailed, "bridge to redis://127.0.0.1:1"},
		{"bridge amqp://127.0.0.1:1 --mesh memory", exitFailed, "bridge to amqp://127.0.0.1:1"},
		{"bridge redis://127.0.0.1:1 --mesh nats://127.0.0.1:1", exitFailed, "nobody answers there"},
		{"serve testdata/order.yaml --listen 0 --broker kafka://x", exitUsage, "redis://"},
		{"serve testdata/order.yaml --listen 0 --broker x", exitUsage, "redis://"},
		{"serve testdata/order.yaml --listen 0 --broker redis://127.0.0.1:1", exitFailed, "connection refused"},
		{"dashboard --listen 0 --broker amqp://127.0.0.1:1", exitFailed, "connection refused"},
		{"dashboard --listen 0 --broker redis://x --only zzzzzz", exitUsage, "no channel"},
		{"ls --url redis://x", exitUsage, "run fsmesh bridge"},
		{"bridge dlq ls --broker redis://x", exitUsage, "keeps no dead letters"},
		{"bridge dlq ls", exitUsage, "those of one RabbitMQ server"},
		{"bridge dlq show x --broker amqp://x", exitUsage, "no number of a dead letter"},
		{"bridge dlq ls --limit 0 --broker amqp://x", exitUsage, "out of range"},
		{"bridge dlq replay --first 0 --broker amqp://x", exitUsage, "out of range"},
		{"bridge dlq ls --broker amqp://127.0.0.1:1", exitFailed, "connection refused"},
		{"ready http://127.0.0.1:1", exitFailed, "not ready"},
		{"ready x", exitUsage, "no address of pages"},
	} {
		got := fsmesh(t, strings.Fields(tt.args)...)
		if got.status != tt.status || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "fsmesh: ") != 1 {
			t.Errorf("fsmesh %s: %+v; want status %d and %q", tt.args, got, tt.status, tt.want)
		}
	}
}

// TestReady asks a program that is up, and one that is not.
func TestReady(t *testing.T) {
	t.Parallel()
	p := startProgram(t, map[string]string{"PORT": "0"}, "serve", "testdata/order.yaml")
	address := strings.TrimSuffix(p.address, "/")
	if got := fsmesh(t, "ready", address); got.status != exitDone || got.out != "ready\n" {
		t.Errorf("a program that is up: %+v", got)
	}
	port := address[strings.LastIndex(address, ":")+1:]
	if got := fsmeshWith(t.Context(), "", map[string]string{"PORT": port}, "ready"); got.status != exitDone {
		t.Errorf("by PORT: %+v", got)
	}
	p.end()
	if got := fsmesh(t, "ready", address); got.status != exitFailed {
		t.Errorf("a program that has ended: %+v", got)
	}
}

// TestBrokerSecrets has passwords in all the URLs that a command takes, right and
// wrong ones: they are in no output, log, page, answer or metric.
func TestBrokerSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2-and,more"
	redis, rabbit := bridgetest.Redis(t, "--requirepass", secret), bridgetest.RabbitMQ(t)
	rightRedis, rightRabbit := "redis://:"+secret+"@"+redis.Addr, rabbit.URL
	clean := func(what, text string) {
		t.Helper()
		for _, s := range []string{secret, "hunter2", "guest:guest", ":guest@"} {
			if strings.Contains(text, s) {
				t.Errorf("%s has the password in it:\n%s", what, text)
			}
		}
	}
	wrong := []string{
		"redis://:hunter2x@" + redis.Addr, "redis://u:hunter2@127.0.0.1:1", "rediss://u:hunter2@" + redis.Addr,
		"amqp://u:hunter2@" + rabbit.Addr, "amqps://u:hunter2@" + rabbit.Addr, "amqp://u:hunter2@127.0.0.1:1",
		"nats://u:hunter2@127.0.0.1:1", "nats://u:hunter2@host:port", "nats://u:hunter2%zz@x", "kafka://u:hunter2@x",
		"redis:/u:hunter2@x", "u:hunter2@x", "redis://u:hunter2@x:port", "amqp://u:hunter2%zz@x", "redis://u:hunter2/@x",
	}
	var wg sync.WaitGroup
	for _, u := range wrong {
		wg.Go(func() {
			for _, args := range [][]string{
				{"serve", "testdata/order.yaml", "--listen", "0", "--broker", u}, {"dashboard", "--listen", "0", "--broker", u},
				{"bridge", u, "--mesh", "memory"}, {"bridge", rightRedis, "--mesh", u}, {"bridge", "dlq", "ls", "--broker", u, "--timeout", "2s"},
				{"ls", "--url", u},
			} {
				got := fsmesh(t, args...)
				if got.status == exitDone {
					t.Errorf("%s: no failure", redact.URL(u))
				}
				clean(args[0]+" "+redact.URL(u), got.out+got.err)
			}
		})
	}
	wg.Wait()
	p := startProgram(t, map[string]string{"PORT": "0", "BROKER_URL": rightRedis + " " + rightRabbit}, "serve", "testdata/order.yaml")
	for _, path := range []string{"", "runtimes", "instances", "health", "healthz", "readyz", "metrics", "api/runtimes", "api/bridges", "api/openapi.json"} {
		clean(path, get(t, p.address+path, http.StatusOK))
	}
	wants(t, "health", get(t, p.address+"health", http.StatusOK), "memory redis://***@"+redis.Addr+" amqp://***@"+rabbit.Addr)
	p.end()
	clean("the log of serve", p.stderr.String())
	var out bytes.Buffer
	b := startProgram(t, map[string]string{"BROKER_URL": rightRabbit}, "bridge", rightRedis, "--mesh", "memory")
	out.WriteString(b.address)
	b.end()
	clean("bridge", out.String()+b.stderr.String())
}

// TestBrokerAway sees that a service goes on, and ends in time, while its broker
// is away.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	redis := bridgetest.Redis(t)
	if !redis.Own {
		t.Log("the server is given by the environment and cannot be stopped: one of our own is used")
		redis = bridgetest.Redis(t, "--maxclients", "100")
	}
	p := startProgram(t, map[string]string{"PORT": "0"}, "serve", services+"orders.yaml", "--broker", redis.URL)
	redis.Stop()
	created := post(t, p.address+"create", "component", "Orders", "machine", "Order", "data", `{"orderId": "ORD-1", "amount": 40}`)
	wants(t, "without the broker", created.page, "is created in Draft")
	begin := time.Now()
	if status := p.end(); status != exitDone {
		t.Errorf("exit status %d; it said:\n%s", status, p.stderr)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v to end, want less than 5 s", took)
	}
}

// TestBridgeReadme runs the commands of the README about bridges, with free ports
// and the servers of the test, and looks at what they lead to.
func TestBridgeReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "### Bridge it")
	section, _, _ = strings.Cut(section, "\n## ")
	redis, rabbit := bridgetest.Redis(t).URL, bridgetest.RabbitMQ(t).URL
	here := strings.NewReplacer("redis://127.0.0.1:6379", redis, "amqp://127.0.0.1:5672", rabbit, "shop.yaml", "testdata/order.yaml")
	env := map[string]string{"PORT": "0"}
	n, pages := 0, ""
	for line := range strings.Lines(section) {
		command, ok := strings.CutPrefix(line, "    fsmesh ")
		if !ok {
			continue
		}
		n++
		command, _, _ = strings.Cut(command, "#")
		words := strings.Fields(here.Replace(command))
		switch {
		case words[0] == "dashboard":
			pages = startProgram(t, env, words...).address
		case words[0] == "node":
			env["FSMESH_URL"] = startNode(t)
		case words[0] == "serve":
			startProgram(t, env, words...)
		case words[len(words)-1] == "--dry-run":
			p := startProgram(t, nil, append(words, "--mesh", env["FSMESH_URL"])...) // its first word is the way
			if p.address != "from" && p.address != "to" {
				t.Errorf("a dry run prints %q first", p.address)
			}
		case words[0] == "bridge" && words[1] != "dlq":
			startProgram(t, nil, append(words, "--mesh", env["FSMESH_URL"])...)
		case words[0] == "runtimes":
			until(t, func() bool {
				return strings.Contains(fsmeshWith(t.Context(), "", env, words...).out, "Orders  Orders     live    yes")
			})
		default:
			if got := fsmeshWith(t.Context(), "", env, words...); got.status != exitDone {
				t.Errorf("fsmesh %v: %+v", words, got)
			}
		}
	}
	if n < 7 {
		t.Errorf("only %d commands were found", n)
	}
	until(t, func() bool {
		page := get(t, pages+"runtimes", http.StatusOK)
		return strings.Contains(page, "1 of 1 runtime live") && strings.Contains(page, redis)
	})
}
