package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
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
	// Not the test's own context, which ends before its cleanups begin: what was
	// started last has to end first.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r, w := io.Pipe()
	p := &running{stderr: &syncBuffer{}}
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, args, strings.NewReader(""), w, p.stderr, inMemory(env))
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
	t.Parallel()
	p := startProgram(t, map[string]string{"PORT": "0"}, "demo", "--rate", "200", "--seed", "3")
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
	if !strings.Contains(p.stderr.String(), "other machines can reach this address") {
		t.Errorf("no warning:\n%s", p.stderr)
	}
}
