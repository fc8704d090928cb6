package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

var stopFor = flag.Duration("paused", 5*time.Second, "how long TestDashboardIsPaused stops the process of the dashboard")

// A counter is a runtime of this process that creates instances, sends them events,
// and remembers how many there were.
type counter struct {
	rt *fsm.Runtime

	mu      sync.Mutex // guards all below
	created []time.Time
}

// startCounter attaches one to a mesh.
func startCounter(t *testing.T, url string) *counter {
	t.Helper()
	data, err := os.ReadFile("testdata/order.yaml")
	if err != nil {
		t.Fatal(err)
	}
	comp, _, err := fsm.ParseComponent(data)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	c := &counter{}
	c.rt, err = fsm.NewRuntime(fsm.Config{Name: "counted", Components: []*fsm.Component{comp}, Logger: quiet})
	if err == nil {
		err = c.rt.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	bus, err := mesh.Connect(t.Context(), url, mesh.BusOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	att, err := mesh.Attach(t.Context(), c.rt, bus, mesh.AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(att.Close(ctx), c.rt.Stop(ctx), bus.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return c
}

// run creates and sends until the context ends, some 5,000 events a second: ten for
// each instance.
func (c *counter) run(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		in, err := c.rt.Create(context.Background(), "Order", map[string]any{"amount": 5, "customer": "Ada"})
		for _, event := range []string{"SUBMIT", "PAY", "NOTE", "NOTE", "NOTE", "NOTE", "NOTE", "NOTE", "NOTE"} {
			if err == nil {
				_, err = c.rt.Send(context.Background(), in.ID(), fsm.Event{Type: event})
			}
		}
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.created = append(c.created, time.Now())
		c.mu.Unlock()
	}
}

// before returns how many instances there were at a time.
func (c *counter) before(at time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ := slices.BinarySearchFunc(c.created, at, time.Time.Compare)
	return n
}

// best is the highest number of instances in a second between two times.
func (c *counter) best(from, to time.Time) (n int) {
	for at := from; !at.Add(time.Second).After(to); at = at.Add(200 * time.Millisecond) {
		n = max(n, c.before(at.Add(time.Second))-c.before(at))
	}
	return n
}

// A picture is what a dashboard says of a runtime.
type picture struct {
	Exact     bool   `json:"exact"`
	Reason    string `json:"reason"`
	Instances int    `json:"instances"`
}

// seen asks a dashboard for the one runtime that there is.
func seen(t *testing.T, address string) (p picture) {
	t.Helper()
	var list struct{ Runtimes []picture }
	if err := json.Unmarshal([]byte(get(t, address+"api/runtimes", http.StatusOK)), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Runtimes) == 1 {
		p = list.Runtimes[0]
	}
	return p
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// The process of a dashboard is stopped under load and goes on later. The runtime is
// not slowed meanwhile. When it goes on it says that it lags, until it is exact
// again by itself, within five seconds; and its memory is bounded. Not parallel: it
// measures.
func TestDashboardIsPaused(t *testing.T) {
	url := startNode(t)
	c := startCounter(t, url)
	cmd := process(t, "dashboard", "--listen", "127.0.0.1:0", "--broker", url)
	var stderr syncBuffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	address := firstAddress(t, stdout, &stderr)
	signal := func(s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatalf("%v; it said:\n%s", err, &stderr)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer stop()
	waitFor(t, "it is exact", func() bool { return seen(t, address).Exact })
	begin := time.Now()
	time.Sleep(2 * time.Second) // of the load without a pause
	memory := resident(t, cmd.Process.Pid)

	paused := time.Now()
	signal(syscall.SIGSTOP)
	time.Sleep(*stopFor)
	signal(syscall.SIGCONT)
	back := time.Now()

	p := seen(t, address)
	if p.Exact {
		t.Error("it says that it is exact when it has just come back")
	}
	reason := p.Reason
	for !p.Exact {
		asked := time.Now()
		if p = seen(t, address); p.Exact && p.Instances < c.before(asked.Add(-4500*time.Millisecond)) {
			t.Errorf("it says that it is exact with %d instances, %d were there 4.5 s ago", p.Instances, c.before(asked.Add(-4500*time.Millisecond)))
		}
		if time.Since(back) > 30*time.Second {
			t.Fatalf("not exact again: %+v; it said:\n%s", p, &stderr)
		}
	}
	took := time.Since(back)
	stop()
	wg.Wait()
	last := time.Now()
	waitFor(t, "it shows all", func() bool { p = seen(t, address); return p.Exact && p.Instances == c.before(last) })
	grown := resident(t, cmd.Process.Pid) - memory
	before, during := c.best(begin, paused), c.best(paused, back)
	t.Logf("paused for %v of %d events a second (%d before): %q, then exact after %v; %d MB more in use", *stopFor, 10*during, 10*before, reason, took, grown>>20)
	if took > 5*time.Second {
		t.Errorf("exact after %v, want 5 s", took)
	}
	if during*10 < before*7 {
		t.Errorf("%d events a second while it is paused, %d before", 10*during, 10*before)
	}
	if grown > 256<<20 {
		t.Errorf("%d MB more in use than before", grown>>20)
	}
	signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v; it said:\n%s", err, &stderr)
	}
}
