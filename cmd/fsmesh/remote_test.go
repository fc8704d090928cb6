package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/nats-io/nats.go"
)

// startNode runs a node and returns its URL.
func startNode(t *testing.T, flags ...string) string {
	t.Helper()
	return startProgram(t, nil, append([]string{"node", "--listen", "127.0.0.1:0"}, flags...)...).address
}

// startOrders runs a node with a runtime of the component Orders.
func startOrders(t *testing.T) string {
	t.Helper()
	url := startNode(t)
	startProgram(t, map[string]string{"BROKER_URL": url}, "serve", "testdata/order.yaml", "--listen", "0")
	return url
}

// at runs a command against a mesh, and checks its exit status.
func at(t *testing.T, url string, status int, args ...string) result {
	t.Helper()
	if acts := []string{"create", "send", "get"}; status == exitDone && slices.Contains(acts, args[0]) && !slices.Contains(args, "--timeout") {
		args = append(slices.Clone(args), "--timeout", "60s") // other tests keep the machine busy
	}
	got := fsmeshWith(t.Context(), "", map[string]string{"FSMESH_URL": url}, args...)
	if got.status != status {
		t.Fatalf("fsmesh %s: exit status %d, want %d; output:\n%s%s", strings.Join(args, " "), got.status, status, got.out, got.err)
	}
	return got
}

func wants(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s:\n%s\nwant in it: %s", what, text, w)
		}
	}
}

func TestSteer(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	const ada = `{"amount": 12345678901234567890, "customer": "Ada"}`
	wants(t, "create", at(t, url, exitDone, "create", "Order", ada, "--key", "order:1").out, "key        order:1", "state      Draft", "version    1")
	wants(t, "create, again", at(t, url, exitDone, "create", "Order", ada, "--key", "order:1", "--or-get", "--component", "Orders", "-o", "json").out, `"repeated": true`, `"currentState": "Draft"`, `"machineName": "Order"`)
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--id", "o-2", "--state", "Pending")
	wants(t, "send", at(t, url, exitDone, "send", "--key", "order:1", "--component", "Orders", "SUBMIT", "--event-id", "e1", "--if-version", "1").out, "state      Pending")
	wants(t, "send, again", at(t, url, exitDone, "send", "--key", "order:1", "SUBMIT", "--event-id", "e1").out, "taken before")
	wants(t, "send with a payload", at(t, url, exitDone, "send", "o-2", "PAY", `{"by": "card"}`, "-o", "yaml").out, "instanceId: o-2\n", "currentState: Paid\n", "version: 2\n")
	wants(t, "get", at(t, url, exitDone, "get", "o-2").out, `data       {"amount":5,"by":"card","customer":"Bob"}`)
	wants(t, "get as YAML", at(t, url, exitDone, "get", "--key", "order:1", "-o", "yaml").out, "amount: 12345678901234567890\n", "customer: Ada\n", "key: order:1\n")
	wants(t, "broadcast", at(t, url, exitDone, "broadcast", "Order", "PAY", "{}", "--state", "Pending").out, "1 instance")
	wants(t, "history", at(t, url, exitDone, "history", "--key", "order:1").out, "INSTANCE_CREATED", "Pending  Paid", "active")
	wants(t, "history, limited", at(t, url, exitDone, "history", "o-2", "--after", "1", "--limit", "5", "-o", "json").out, `"version": 2`, `"stateAfter": "Paid"`)

	var list []struct {
		ID      string `json:"instanceId"`
		Machine string `json:"machineName"`
		State   string `json:"currentState"`
		Key     string `json:"key"`
		Version uint64 `json:"version"`
		Seq     uint64 `json:"seq"`
	}
	got := at(t, url, exitDone, "ls", "--where", `customer="Ada"`, "--state", "Paid", "--machine", "Order", "--component", "Orders", "--runtime", "Orders", "--live", "--key-prefix", "order:", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list) != 1 || list[0].Key != "order:1" || list[0].State != "Paid" || list[0].Version != 3 || list[0].Seq == 0 {
		t.Errorf("ls: %+v, %v; it said %q", list, err, got.err)
	}
	wants(t, "ls", at(t, url, exitDone, "ls", "--newest").out, "ID ", "order:1", "o-2")
	if out := at(t, url, exitDone, "ls", "--key-prefix", "nothing", "-o", "yaml").out; out != "[]\n" {
		t.Errorf("ls of nothing: %q", out)
	}
	if out := at(t, url, exitDone, "ls", "--limit", "1").out; strings.Count(out, "\n") != 2 {
		t.Errorf("ls --limit 1:\n%s", out)
	}
	wants(t, "runtimes", at(t, url, exitDone, "runtimes").out, "Orders  Orders     live    yes    2")
	wants(t, "runtimes as JSON", at(t, url, exitDone, "runtimes", "-o", "json").out, `"componentName": "Orders"`, `"exact": true`, `"live": 2`, `"host": "127.0.0.1"`)
	if got := at(t, url, exitDone, "runtimes", "--mesh", "another"); !strings.Contains(got.err, "no runtime is on the mesh") || strings.Contains(got.out, "Orders") {
		t.Errorf("another mesh: %+v", got)
	}
}

func TestSteerRefused(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--id", "o-1")
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"get nope", exitNotFound, `no instance "nope"; if that is a key, give it with --key`},
		{"get --key nope", exitNotFound, `no instance for nope`},
		{"send nope SUBMIT", exitNotFound, `no instance "nope"`},
		{"history nope", exitNotFound, `no instance "nope"`},
		{"create order", exitNotFound, `no component on the mesh has a machine "order"; did you mean "Order"?`},
		{"create Zebra", exitNotFound, `no component on the mesh has a machine "Zebra"`},
		{"create Order --component Nobody", exitNotFound, `no component "Nobody"`},
		{"create Zebra --component Orders", exitNotFound, `no machine "Zebra"`},
		{`create Order {"amount":5,"customer":"Bob"} --state Zebra`, exitNotFound, `no state "Zebra"`},
		{`create Order {"amount":5,"customer":"Bob"} --id o-1`, exitRefused, `"o-1" is in use`},
		{"broadcast Zebra X", exitNotFound, `"Zebra"`},
		{"send o-1 PAY", exitRefused, `ignored PAY in state Draft; accepted now: SUBMIT, CANCEL`},
		{"send o-1 SUBMIT --if-version 7", exitRefused, `has moved on to version 1`},
		{"send o-1", exitUsage, `needs more arguments`},
		{"send o-1 SUBMIT {", exitUsage, `the payload is not a JSON object`},
		{"create Order []", exitUsage, `the data is not a JSON object: it is a list`},
		{"get o-1 --key k", exitUsage, `takes an id or --key, not both`},
		{"create Order --or-get", exitUsage, `--or-get needs --key`},
		{"ls --where amount", exitUsage, `is not NAME=JSON`},
		{"ls --limit=-1", exitUsage, `--limit -1 is out of range`},
		{"history o-1 --limit=-1", exitUsage, `--limit -1 is out of range`},
		{"ls --state draft", exitNotFound, `there is no state "draft"; did you mean "Draft"?`},
		{"ls --machine order", exitNotFound, `there is no machine "order"; did you mean "Order"?`},
		{"ls --component Nobody -o json", exitNotFound, `there is no component "Nobody"`},
		{"ls --state Zebra", exitNotFound, `there is no state "Zebra"; there are Cancelled, Draft, Paid, Pending`},
		{"broadcast Order PAY --state Zebra", exitNotFound, `there is no state "Zebra"; there are Cancelled, Draft, Paid, Pending`},
		{"broadcast Order PAY --state paid", exitNotFound, `there is no state "paid"; did you mean "Paid"?`},
		{"ls --runtime orders", exitNotFound, `there is no runtime "orders"; did you mean "Orders"?`},
		{`create Order {"amount":5,"customer":"Bob"} --key a\x01b`, exitUsage, `the key "a\x01b" cannot be used`},
		{"get", exitUsage, `needs more arguments`},
		{"ls --timeout 0", exitUsage, `--timeout 0s is out of range`},
		{"ls -o xml", exitUsage, `allowed: table, json, yaml`},
		{"ls --url memory", exitUsage, `is inside one process`},
		{"ls --url http://u:secret@host", exitUsage, `not a mesh URL: http://***@host`},
		{"ls --mesh nats://u:secret@host", exitUsage, `the name of the mesh is nats://***@host, which is a URL`},
		{"ls --url redis://u:secret@host", exitUsage, `needs a bridge: run fsmesh bridge`},
		{"serve testdata/order.yaml --listen 0 --broker amqp://u:secret@127.0.0.1:1", exitFailed, `bridge to amqp://***@127.0.0.1:1`},
		{"get o-1 --url nats://u:secret@127.0.0.1:1", exitFailed, `nobody answers there`},
		{"ls --token-file nowhere", exitNotFound, `--token-file "nowhere"`},
		{"serve testdata/order.yaml --listen 0 --broker " + url, exitFailed, `give this one another with --name`},
		{"node --listen 0.0.0.0:0", exitUsage, `reachable from other machines`},
		{"node --config nowhere.yaml", exitNotFound, `nowhere.yaml`},
		{"node --listen " + strings.TrimPrefix(url, "nats://"), exitFailed, `address already in use`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := at(t, url, tt.status, strings.Fields(strings.ReplaceAll(tt.args, `\x01`, "\x01"))...)
			wants(t, "standard error", got.err, tt.want)
			if strings.Contains(got.err, "secret") || got.out != "" {
				t.Errorf("it said %q and %q", got.out, got.err)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestSilentRuntime checks what is said of a runtime that is there and does not
// answer.
func TestSilentRuntime(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	announce := []byte(`{"runtimeId":"r1","componentName":"Orders","name":"mute","protocol":1,"seq":1,"timestamp":1}`)
	_, err = nc.Subscribe("xcomponent.discover", func(m *nats.Msg) { _ = m.Respond(announce) })
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "get", at(t, url, exitNotFound, "get", "o-1", "--timeout", "1s").err, "no answer from mute/Orders")
	// One that says that it has the instance, and then nothing more.
	_, err = nc.Subscribe("xcomponent.locate", func(m *nats.Msg) {
		if bytes.Contains(m.Data, []byte("o-2")) {
			_ = m.Respond([]byte(`{"runtimeId":"r1","componentName":"Orders","ok":true}`))
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "send to one that has gone", at(t, url, exitNotFound, "send", "o-2", "SUBMIT", "--timeout", "1s").err, "has just gone")
	if _, err = nc.Subscribe("xcomponent.runtime.r1.command", func(*nats.Msg) {}); err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "send", at(t, url, exitFailed, "send", "o-2", "SUBMIT", "--timeout", "1s").err, "no answer from the runtime in time; it may have happened all the same")
	wants(t, "ls", at(t, url, exitDone, "ls", "--timeout", "1s").err, "runtime mute of component Orders may be out of date or incomplete: unread")
	wants(t, "runtimes", at(t, url, exitDone, "runtimes", "--timeout", "1s").out, "no: unread")
	wants(t, "broadcast", at(t, url, exitFailed, "broadcast", "Order", "PAY", "--component", "Orders", "--timeout", "1s").err, "not to all", "mute/Orders")
	wants(t, "create", at(t, url, exitNotFound, "create", "Order", "--timeout", "1s").err, "what mute of component Orders has is not known")
	// What it runs nobody knows. That another one has the machine is enough.
	startProgram(t, nil, "serve", "../../examples/two-services/billing.yaml", "--listen", "0", "--broker", url)
	wants(t, "create", at(t, url, exitDone, "create", "Invoice", "--timeout", "4s").out, "Billing")
}

// TestAmbiguousMachine has two components with a machine of the same name.
func TestAmbiguousMachine(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	data, err := os.ReadFile("testdata/order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "returns.yaml")
	if err := os.WriteFile(file, bytes.Replace(data, []byte("name: Orders"), []byte("name: Returns"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	startProgram(t, nil, "serve", file, "--listen", "0", "--broker", url)
	wants(t, "create", at(t, url, exitUsage, "create", "Order").err, "the components Orders, Returns have a machine")
	wants(t, "create", at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--component", "Returns").out, "Returns")
}

// TestListPages lists more than one page, from a runtime of this process.
func TestListPages(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	data, err := os.ReadFile("testdata/order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rt := attached(t, url, data)
	const n = 2*pageSize + 7
	for i := range n {
		if _, err := rt.Create(t.Context(), "Order", nil, fsm.WithKey(fmt.Sprint("k", i))); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[string]int{"0": n, "1500": 1500} {
		var list []instanceLine
		got := at(t, url, exitDone, "ls", "--limit", limit, "-o", "json", "--timeout", "20s")
		if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list) != want {
			t.Errorf("ls --limit %s: %d instances, %v; want %d; it said %q", limit, len(list), err, want, got.err)
		}
	}
}

// attached starts a runtime of this process, without a store, on a mesh.
func attached(t *testing.T, url string, definition []byte) *fsm.Runtime {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	comp, _, err := fsm.ParseComponent(definition)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := fsm.NewRuntime(fsm.Config{Name: "many", Components: []*fsm.Component{comp}, Logger: quiet})
	if err == nil {
		err = rt.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	bus, err := mesh.Connect(t.Context(), url, mesh.BusOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	att, err := mesh.Attach(t.Context(), rt, bus, mesh.AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := att.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := rt.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := bus.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return rt
}

func TestWatch(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	for form, want := range map[string][]string{
		"table": {"Orders Order w-table instance_created Draft", "Draft → Pending, by SUBMIT"},
		"json":  {`"eventType":"instance_created"`, `"previousState":"Draft"`},
		"yaml":  {"---", "runtimeId: "},
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out, w := io.Pipe()
			said, wErr := io.Pipe()
			status := make(chan int, 1)
			go func() {
				status <- run(ctx, []string{"watch", "--url", url, "--component", "Orders", "--machine", "Order", "-o", form}, strings.NewReader(""), w, wErr, func(string) string { return "" })
				w.Close()
				wErr.Close()
			}()
			errs := bufio.NewReader(said)
			if line, err := errs.ReadString('\n'); err != nil || !strings.Contains(line, "watching") {
				t.Fatalf("it said %q, %v", line, err)
			}
			go io.Copy(io.Discard, errs)
			// Others come between: this one is looked for.
			id := "w-" + form
			lines := bufio.NewScanner(out)
			next := func(want string) {
				t.Helper()
				for lines.Scan() {
					if strings.Contains(lines.Text(), want) && (form == "yaml" || strings.Contains(lines.Text(), id)) {
						return
					}
				}
				t.Fatalf("no line with %q", want)
			}
			at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--component", "Orders", "--id", id)
			next(want[0])
			at(t, url, exitDone, "send", id, "SUBMIT")
			next(want[1])
			cancel()
			go io.Copy(io.Discard, out)
			if got := <-status; got != exitDone {
				t.Errorf("exit status %d, want 0", got)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, config := filepath.Join(dir, "token"), filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(file, []byte("the-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("name: n1\nlisten: 127.0.0.1:1\ntoken: of-the-file\ndata: "+filepath.Join(dir, "data")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, map[string]string{"FSMESH_TOKEN": "of-the-environment"}, "node", "--config", config, "--token-file", file, "--listen", "127.0.0.1:0")
	wants(t, "log", p.stderr.String(), "name=n1")
	startProgram(t, map[string]string{"FSMESH_TOKEN": "the-secret"}, "serve", "testdata/order.yaml", "--listen", "0", "--broker", p.address)
	at(t, p.address, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--token-file", file)
	got := at(t, p.address, exitFailed, "ls")
	wants(t, "without", got.err, "asks for another token")
	got = fsmeshWith(t.Context(), "", map[string]string{"FSMESH_TOKEN": "wrong-secret"}, "get", "x", "--url", p.address)
	if got.status != exitFailed || strings.Contains(got.err, "wrong-secret") {
		t.Errorf("with a wrong one: %+v", got)
	}
	if got := fsmesh(t, "node", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data")); got.status != exitFailed || !strings.Contains(got.err, "used by another process") {
		t.Errorf("the same folder: %+v", got)
	}
	if strings.Contains(p.stderr.String(), "secret") {
		t.Errorf("the log has the token:\n%s", p.stderr)
	}
}

// TestDemoOnMesh runs the demo with its load on a mesh.
func TestDemoOnMesh(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	p := startProgram(t, map[string]string{"PORT": "0"}, "demo", "--broker", url, "--name", "demo-2", "--rate", "100")
	wants(t, "runtimes", at(t, url, exitDone, "runtimes").out, "demo-2-Shop        Shop", "demo-2-Fulfilment  Fulfilment")
	if status := p.end(); status != exitDone {
		t.Errorf("exit status %d; it said:\n%s", status, p.stderr)
	}
	if got := at(t, url, exitDone, "runtimes"); strings.Contains(got.out, "demo-2") {
		t.Errorf("it is still there:\n%s", got.out)
	}
}

// TestTwoServices has the example's services in programs of their own: one sends
// to the other before that is there, and hears back from it.
func TestTwoServices(t *testing.T) {
	t.Parallel()
	url := startNode(t)
	const folder = "../../examples/two-services/"
	env := map[string]string{"PORT": "0"}
	startProgram(t, env, "serve", folder+"orders.yaml", "--broker", url)
	at(t, url, exitDone, "create", "Order", `{"orderId": "ORD-1", "amount": 40}`, "--key", "order:ORD-1")
	at(t, url, exitDone, "create", "Order", `{"orderId": "ORD-2", "amount": 50}`, "--key", "order:ORD-2")
	at(t, url, exitDone, "send", "--key", "order:ORD-1", "PLACE")
	startProgram(t, env, "serve", folder+"billing.yaml", "--broker", url)
	until(t, func() bool { return strings.Contains(at(t, url, exitDone, "ls", "--machine", "Invoice").out, "Open") })
	at(t, url, exitDone, "broadcast", "Invoice", "PAY", `{"orderId": "ORD-1"}`)
	until(t, func() bool {
		return strings.Contains(at(t, url, exitDone, "get", "--key", "order:ORD-1").out, "Paid")
	})
	wants(t, "the other order", at(t, url, exitDone, "get", "--key", "order:ORD-2").out, "Draft")
}

// until asks again and again, as somebody who waits would.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not become true")
		}
	}
}

// TestProcessesOnMesh has each part in a process of its own.
func TestProcessesOnMesh(t *testing.T) {
	t.Parallel()
	start := func(args ...string) (*exec.Cmd, string) {
		t.Helper()
		c := process(t, args...)
		var stderr bytes.Buffer
		c.Stderr = &stderr
		stdout, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatalf("fsmesh %s: %v", strings.Join(args, " "), err)
		}
		address, _, _ := strings.Cut(line, " ")
		return c, address
	}
	node, url := start("node", "--listen", "127.0.0.1:0")
	serve, _ := start("serve", "testdata/order.yaml", "--listen", "127.0.0.1:0", "--broker", url)
	do := func(status int, args ...string) string {
		t.Helper()
		c := process(t, append(args, "--url", url)...)
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != status {
			t.Fatalf("fsmesh %s: %v, want status %d:\n%s", strings.Join(args, " "), c.ProcessState, status, out)
		}
		return string(out)
	}
	do(exitDone, "create", "Order", `{"amount": 5, "customer": "Ada"}`, "--key", "order:1")
	do(exitDone, "send", "--key", "order:1", "SUBMIT")
	wants(t, "refused", do(exitRefused, "send", "--key", "order:1", "NOTE"), "accepted now: PAY")
	wants(t, "ls", do(exitDone, "ls"), "order:1", "Pending")
	wants(t, "get", do(exitDone, "get", "--key", "order:1"), "Ada")
	wants(t, "history", do(exitDone, "history", "--key", "order:1"), "SUBMIT")
	wants(t, "runtimes", do(exitDone, "runtimes"), "Orders", "yes")
	do(exitNotFound, "get", "nope")
	for _, c := range []*exec.Cmd{serve, node} {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%v: %v; it said:\n%s", c.Args[1:], err, c.Stderr)
		}
	}
	do(exitFailed, "ls")
}
