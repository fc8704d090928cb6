package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// nodeProcess runs a mesh node with a durable store in a process of its own, and
// returns the URL of it.
func nodeProcess(t *testing.T, data string) string {
	t.Helper()
	v := newVictim(t, data)
	address := freeAddress(t)
	v.args = []string{"node", "--listen", address, "--data", data}
	v.start()
	waitFor(t, "the node listens", func() bool { return dials(address) })
	return "nats://" + address
}

// beside returns a victim that keeps its log on a node.
func beside(t *testing.T, node string, more ...string) *victim {
	v := newVictim(t, t.TempDir())
	v.args = []string{"serve", "testdata/crash/orders.yaml", "--listen", v.address, "--store", "jetstream:" + node}
	v.args = append(v.args, more...)
	return v
}

// A bump is one event for a watcher: which, and the version that it led to.
type bump struct{ watcher int }

// versions is the sequential truth: each event of an instance leads to a higher
// version than all that were answered before it was sent.
var versions = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := make([][]porcupine.Operation, regions)
		for _, op := range history {
			w := op.Input.(bump).watcher
			by[w] = append(by[w], op)
		}
		return by
	},
	Init:  func() any { return uint64(1) },
	Step:  func(state, _, output any) (bool, any) { return output.(uint64) == state.(uint64)+1, output },
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("event for watcher %d led to version %d", in.(bump).watcher, out)
	},
}

// TestTakeover lets two processes take one runtime from each other again and
// again while clients use whichever answers. Each must stop as soon as the other
// has taken over, and nothing that either acknowledged may be lost or doubled.
func TestTakeover(t *testing.T) {
	// Not beside others: it takes both processors.
	const rounds, each = 6, 2 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	node := nodeProcess(t, t.TempDir())
	sides := [2]*victim{beside(t, node, "--takeover"), beside(t, node, "--takeover")}
	sides[0].start()
	sides[0].ready(ctx)
	first := newShop(sides[0].url())
	var watchers [regions]string
	for r := range watchers {
		id, err := first.create(ctx, "Watcher", fmt.Sprintf("watcher-%d", r), map[string]any{"region": r})
		if err != nil {
			t.Fatal(err)
		}
		watchers[r] = id
	}

	var mu sync.Mutex // guards history
	var history []porcupine.Operation
	var stop atomic.Bool
	begin := time.Now()
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			shops := [2]*shop{newShop(sides[0].url()), newShop(sides[1].url())}
			for n := 0; !stop.Load() && ctx.Err() == nil; n++ {
				w := (c + n) % regions
				id := fmt.Sprintf("bump-%d-%d", c, n)
				call := time.Since(begin)
				out, err := eventually(ctx, shops, "/api/instances/"+watchers[w]+"/events", id, "ORDER_SHIPPED")
				if err != nil {
					t.Errorf("client %d: %v", c, err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: c, Input: bump{w}, Output: out.Version, Call: int64(call), Return: int64(time.Since(begin)),
				})
				mu.Unlock()
				// A claim has to find the log at rest for a moment: who writes
				// without a pause on a slow machine keeps it waiting.
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	fenced := 0
	for round := range rounds {
		old, next := sides[round%2], sides[(round+1)%2]
		next.start()
		select {
		case err := <-old.ended:
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed {
				t.Errorf("round %d: the one taken over ended with %v, want status 1", round, err)
			}
			if said := old.stderr.String(); !strings.Contains(said, "fenced") || !strings.Contains(said, "process") {
				t.Errorf("round %d: the one taken over does not say who did it:\n%s", round, said)
			}
			old.cmd = nil
			fenced++
		case <-time.After(30 * time.Second):
			t.Fatalf("round %d: the one taken over goes on; it said:\n%s\nand the other:\n%s", round, old.stderr.String(), next.stderr.String())
		}
		next.ready(ctx)
		select {
		case <-time.After(each):
		case <-ctx.Done():
		}
	}
	stop.Store(true)
	clients.Wait()

	now := newShop(sides[rounds%2].url())
	doubled, lost, gaps := 0, 0, 0
	for w, id := range watchers {
		h, err := now.history(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]uint64{}
		for i, r := range h {
			if r.Version != uint64(i)+1 {
				gaps++
			}
			if r.EventID != "" && i > 0 {
				if at[r.EventID] != 0 {
					doubled++
				}
				at[r.EventID] = r.Version
			}
		}
		told := 0
		for _, op := range history {
			if op.Input.(bump).watcher == w {
				told++
			}
		}
		if len(at) < told {
			lost += told - len(at)
		}
	}
	t.Logf("%d takeovers, %d events acknowledged: fenced %d, lost %d, doubled %d, gaps %d", rounds, len(history), fenced, lost, doubled, gaps)
	if fenced != rounds || lost+doubled+gaps > 0 || len(history) < 100 {
		t.Errorf("fenced %d of %d, lost %d, doubled %d, gaps %d of %d events", fenced, rounds, lost, doubled, gaps, len(history))
	}
	if r := porcupine.CheckOperationsTimeout(versions, history, time.Minute); r != porcupine.Ok {
		t.Errorf("the histories are not linearizable: %v", r)
	}
}

// eventually sends an event to one of two programs until one answers.
func eventually(ctx context.Context, shops [2]*shop, path, id, event string) (*answered, error) {
	body := []byte(fmt.Sprintf(`{"type": %q, "payload": {}}`, event))
	for try := 0; ; try++ {
		out, status, err := shops[try%2].once(ctx, "POST", path, id, body)
		switch {
		case err == nil && status < 300:
			return out, nil
		case err == nil && status < 500 && status != 429 && status != 404:
			return nil, fmt.Errorf("%s: %d %s", path, status, out.Error)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: never answered, last %d %v", path, status, err)
		}
	}
}

// TestStandBy starts a second process of one Name: it stands by, and goes on
// soon after the first was killed.
func TestStandBy(t *testing.T) {
	// Not beside others: it takes both processors.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := nodeProcess(t, t.TempDir())
	first, second := beside(t, node), beside(t, node)
	first.start()
	first.ready(ctx)
	s := newShop(first.url())
	id, err := s.create(ctx, "Watcher", "w", map[string]any{"region": 1})
	if err != nil {
		t.Fatal(err)
	}
	second.start()
	waitFor(t, "the second says that it stands by", func() bool {
		body, status := fetch(second.url() + "/readyz")
		return status == 503 && strings.Contains(body, "stand")
	})
	first.kill()
	killed := time.Now()
	second.ready(ctx)
	took := time.Since(killed)
	t.Logf("the second went on %v after the first was killed", took.Round(100*time.Millisecond))
	if took > 15*time.Second {
		t.Errorf("the second took %v to go on, want at most 15 s", took)
	}
	if h, err := newShop(second.url()).history(ctx, id); err != nil || len(h) != 1 {
		t.Errorf("history there: %d records, error %v", len(h), err)
	}
}

// TestFolderInUse starts a second process on one folder.
func TestFolderInUse(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	data := t.TempDir()
	first, second := newVictim(t, data), newVictim(t, data)
	first.start()
	first.ready(ctx)
	second.start()
	select {
	case err := <-second.ended:
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != exitFailed || !strings.Contains(second.stderr.String(), "in use") {
			t.Errorf("the second ended with %v and said:\n%s", err, second.stderr.String())
		}
		second.cmd = nil
	case <-ctx.Done():
		t.Fatal("the second goes on")
	}
}
