package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/freeport"
)

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := fsmesh(t, "serve", "testdata/order.yaml", "--listen", l.Addr().String())
	if got.status != exitFailed || !strings.Contains(got.err, "listen on "+l.Addr().String()) || !strings.Contains(got.err, "address already in use; give another with --listen") {
		t.Errorf("got %+v", got)
	}
}

// A running program can be used while it runs.
type running struct {
	address string
	stderr  *syncBuffer
	end     func() int
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startProgram(t *testing.T, env map[string]string, args ...string) *running {
	t.Helper()
	return startOnStore(t, nil, env, args...)
}

// startOnStore is startProgram with something around the store, if that is not nil.
func startOnStore(t *testing.T, around func(fsm.Store) fsm.Store, env map[string]string, args ...string) *running {
	t.Helper()
	// Not the test's own context, which ends before its cleanups begin: what was
	// started last has to end first.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r, w := io.Pipe()
	p := &running{stderr: &syncBuffer{}}
	status := make(chan int, 1)
	go func() {
		status <- (&program{stdin: strings.NewReader(""), stdout: &pipe{w: w}, stderr: p.stderr, env: inMemory(env), store: around}).run(ctx, args)
		w.Close()
	}()
	p.end = sync.OnceValue(func() int {
		cancel()
		return <-status
	})
	t.Cleanup(func() { p.end() })
	buf := make([]byte, 4096)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatalf("no address: %v; exit status %d; it said:\n%s", err, p.end(), p.stderr)
	}
	p.address, _, _ = strings.Cut(string(buf[:n]), " ")
	return p
}

func TestServe(t *testing.T) {
	t.Parallel()
	p := startProgram(t, nil, "serve", "testdata/order.yaml", "testdata/ticker.yaml", "--listen", "0")
	if body := get(t, p.address, http.StatusOK); !strings.Contains(body, "Orders") || !strings.Contains(body, "Ticker") {
		t.Errorf("the overview does not name the machines:\n%s", body)
	}
	if status := p.end(); status != exitDone {
		t.Errorf("exit status %d, want 0; it said:\n%s", status, p.stderr)
	}
	if !strings.Contains(p.stderr.String(), "runtime=Clock") {
		t.Errorf("the log does not name the runtime:\n%s", p.stderr)
	}
}

func TestDemo(t *testing.T) {
	// Not beside others: it has to end in time.
	data := t.TempDir()
	p := startProgram(t, map[string]string{"PORT": "0", "FSMESH_STORE": "", "XDG_DATA_HOME": data}, "demo", "--rate", "200", "--seed", "3", "--sync", "none")
	// Not where a component Shop of somebody's own has its instances.
	if in, err := filepath.Glob(filepath.Join(data, "fsmesh", "*")); err != nil || len(in) != 1 || filepath.Base(in[0]) != "demo-Shop" {
		t.Errorf("the demo keeps its instances in %v (%v), want demo-Shop", in, err)
	}
	body := get(t, p.address, http.StatusOK)
	for _, want := range []string{"Storefront", "Cart", "Order", "Payment", "Shipment", "Invoice", "Refund"} {
		if !strings.Contains(body, want) {
			t.Errorf("the overview does not name %s", want)
		}
	}
	get(t, p.address+"machine?component=Shop&machine=Order", http.StatusOK)
	if status := p.end(); status != exitDone {
		t.Errorf("exit status %d, want 0; it said:\n%s", status, p.stderr)
	}
}

// TestNodeAway has a program whose node has gone say so at once.
func TestNodeAway(t *testing.T) {
	t.Parallel()
	node := startProgram(t, nil, "node", "--listen", "127.0.0.1:0")
	p := startProgram(t, map[string]string{"BROKER_URL": node.address}, "serve", "testdata/order.yaml", "--listen", "0")
	get(t, p.address+"readyz", http.StatusOK)
	node.end()
	status, body := 0, ""
	for deadline := time.Now().Add(time.Minute); status != http.StatusServiceUnavailable; time.Sleep(10 * time.Millisecond) {
		if status, body = answerOf(t, http.MethodGet, p.address+"readyz", ""); time.Now().After(deadline) {
			t.Fatalf("readyz: status %d, %s", status, body)
		}
	}
	if !strings.Contains(body, "the mesh cannot be reached") {
		t.Errorf("readyz says %s", body)
	}
	status, body = answerOf(t, http.MethodPost, p.address+"api/components/Orders/instances", `{"machineName": "Order", "context": {"amount": 5, "customer": "Bob"}}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(body, `"mesh_unreachable"`) {
		t.Errorf("a creation: status %d, %s", status, body)
	}
}

// answerOf asks for an address, with a body of JSON.
func answerOf(t *testing.T, method, address, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestFlagOverEnvironment(t *testing.T) {
	t.Parallel()
	p := startProgram(t, map[string]string{"PORT": "1"}, "serve", "testdata/order.yaml", "--listen", "127.0.0.1:0", "--name", "mine")
	get(t, p.address+"healthz", http.StatusOK)
	p.end()
	if !strings.Contains(p.stderr.String(), "PORT is not used") || !strings.Contains(p.stderr.String(), "runtime=mine") {
		t.Errorf("the log does not say what was not used:\n%s", p.stderr)
	}
}

func TestForeignHost(t *testing.T) {
	t.Parallel()
	p := startProgram(t, nil, "serve", "testdata/order.yaml", "--listen", "0", "--allow-host", "shop.example")
	for host, want := range map[string]int{"evil.example": http.StatusForbidden, "shop.example:80": http.StatusOK, "localhost": http.StatusOK} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Close = host, true
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("Host %s: status %d, want %d", host, res.StatusCode, want)
		}
	}
}

func TestInsecure(t *testing.T) {
	t.Parallel()
	p := startProgram(t, nil, "serve", "testdata/order.yaml", "--listen", "0.0.0.0:0", "--insecure")
	get(t, p.address, http.StatusOK)
	if !strings.Contains(p.stderr.String(), "insecure: other machines can reach this address") {
		t.Errorf("no warning:\n%s", p.stderr)
	}
}

// TestDemoAtOnce asks /healthz until it first says yes: there is something to see
// then, some of it in trouble, and it moves.
func TestDemoAtOnce(t *testing.T) {
	t.Parallel()
	address := freeport.Address(t)
	first := make(chan int, 1) // how many instances there are when it first says yes
	go func() { first <- instancesWhenHealthy(t, "http://"+address+"/") }()
	p := startProgram(t, nil, "demo", "--listen", address)
	if n := <-first; n < 50 {
		t.Errorf("%d instances when /healthz first said yes, want 50", n)
	}
	until(t, func() bool {
		failed := get(t, p.address+"api/instances?machine=Order&state=Failed", http.StatusOK)
		stuck := get(t, p.address+"api/instances?machine=Order&state=PaymentPending", http.StatusOK)
		return strings.Contains(failed, "order:ORD-3") && strings.Contains(stuck, "order:ORD-7") && strings.Contains(stuck, "order:ORD-99")
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.address+"api/stream?kind=state_change", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	const changes = 20
	begin, lines := time.Now(), bufio.NewScanner(res.Body)
	for n := 0; n < changes && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data:") {
			n++
		}
	}
	if rate := changes / time.Since(begin).Seconds(); rate < 2 || lines.Err() != nil {
		t.Errorf("%.1f changes a second, %v; want 2", rate, lines.Err())
	}
}

// TestDemoGoesAndComes has a runtime that leaves and comes back with what it had,
// and a demo that goes on where the one before it was.
func TestDemoGoesAndComes(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for range 2 {
		p := startProgram(t, map[string]string{"PORT": "0", "FSMESH_STORE": ""}, "demo", "--away", "500ms", "--data", data)
		couriers := func(status string) func() bool {
			return func() bool {
				var all struct {
					Runtimes []struct{ Name, Status string }
				}
				decode(t, get(t, p.address+"api/runtimes", http.StatusOK), &all)
				for _, r := range all.Runtimes {
					if r.Name == "Couriers" && r.Status == status {
						return true
					}
				}
				return false
			}
		}
		for range 2 {
			until(t, couriers("live"))
			until(t, couriers("stopped"))
		}
		until(t, couriers("live"))
		var list struct{ Total int }
		decode(t, get(t, p.address+"api/instances?machine=Courier&limit=1", http.StatusOK), &list)
		if list.Total != 6 {
			t.Errorf("%d couriers, want 6", list.Total)
		}
		if status := p.end(); status != exitDone {
			t.Errorf("exit status %d, want 0; it said:\n%s", status, p.stderr)
		}
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// instancesWhenHealthy asks /healthz again and again until it says yes.
func instancesWhenHealthy(t *testing.T, address string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	ask := func(path string) (status int, body []byte) {
		res, err := client.Get(address + path)
		if err != nil {
			return 0, nil // it does not listen yet
		}
		defer res.Body.Close()
		if body, err = io.ReadAll(res.Body); err != nil {
			t.Error(err)
		}
		return res.StatusCode, body
	}
	for t.Context().Err() == nil {
		if status, _ := ask("healthz"); status != http.StatusOK {
			continue
		}
		var list struct{ Total int }
		if _, body := ask("api/instances?limit=1"); json.Unmarshal(body, &list) != nil {
			t.Errorf("no list: %s", body)
		}
		return list.Total
	}
	return 0
}
