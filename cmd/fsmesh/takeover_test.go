package main

import (
	"context"
	"flag"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

// nodeProcess runs a mesh node with a durable store in a process of its own, and
// returns the URL of it.
func nodeProcess(t *testing.T, data string) string {
	t.Helper()
	v := newVictim(t, data)
	address := freeport.Address(t)
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

var (
	takeoverRounds = flag.Int("takeover.rounds", 6, "how often two processes take a runtime from each other")
	takeoverEvery  = flag.Duration("takeover.every", 2*time.Second, "how long each of them has it")
)

// A bumper sends events to watchers and writes down what it was told.
type bumper struct {
	watchers [regions]string
	begin    time.Time
	refused  atomic.Int64 // answers of one that was taken over

	mu      sync.Mutex // guards history
	history []porcupine.Operation
}

func newBumper(ctx context.Context, t *testing.T, s *shop) *bumper {
	t.Helper()
	b := &bumper{begin: time.Now()}
	for r := range b.watchers {
		id, err := s.create(ctx, "Watcher", fmt.Sprintf("watcher-%d", r), map[string]any{"region": r})
		if err != nil {
			t.Fatal(err)
		}
		b.watchers[r] = id
	}
	return b
}

// bump sends the n-th event of a client to one of the shops until one answers.
func (b *bumper) bump(ctx context.Context, shops [2]*shop, client, n int) error {
	w := (client + n) % regions
	call := time.Since(b.begin)
	out, err := b.eventually(ctx, shops, "/api/instances/"+b.watchers[w]+"/events", fmt.Sprintf("bump-%d-%d", client, n), "ORDER_SHIPPED")
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, porcupine.Operation{
		ClientId: client, Input: bump{w}, Output: out.Version, Call: int64(call), Return: int64(time.Since(b.begin)),
	})
	return nil
}

// check compares what was acknowledged with what is stored.
func (b *bumper) check(ctx context.Context, t *testing.T, now *shop) (lost, doubled, gaps int, linear porcupine.CheckResult) {
	t.Helper()
	for w, id := range b.watchers {
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
		for _, op := range b.history {
			if op.Input.(bump).watcher == w {
				told++
			}
		}
		lost += max(0, told-len(at))
	}
	return lost, doubled, gaps, porcupine.CheckOperationsTimeout(versions, b.history, time.Minute)
}

// TestTakeover lets two processes take one runtime from each other again and
// again while clients use whichever answers. Each must stop as soon as the other
// has taken over, and nothing that either acknowledged may be lost or doubled.
func TestTakeover(t *testing.T) {
	// Not beside others: it takes both processors.
	rounds, each := *takeoverRounds, *takeoverEvery
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rounds)*(each+10*time.Second)+2*time.Minute)
	defer cancel()
	node := nodeProcess(t, t.TempDir())
	sides := [2]*victim{beside(t, node, "--takeover"), beside(t, node, "--takeover")}
	sides[0].start()
	sides[0].ready(ctx)
	b := newBumper(ctx, t, newShop(sides[0].url()))
	var stop atomic.Bool
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			shops := [2]*shop{newShop(sides[0].url()), newShop(sides[1].url())}
			for n := 0; !stop.Load() && ctx.Err() == nil; n++ {
				if err := b.bump(ctx, shops, c, n); err != nil {
					t.Errorf("client %d: %v", c, err)
					return
				}
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

	lost, doubled, gaps, linear := b.check(ctx, t, newShop(sides[rounds%2].url()))
	t.Logf("%d takeovers, %d events acknowledged, %d refused: fenced %d, lost %d, doubled %d, gaps %d",
		rounds, len(b.history), b.refused.Load(), fenced, lost, doubled, gaps)
	if fenced != rounds || lost+doubled+gaps > 0 || len(b.history) < 100 || b.refused.Load() == 0 {
		t.Errorf("fenced %d of %d, refused %d, lost %d, doubled %d, gaps %d of %d events", fenced, rounds, b.refused.Load(), lost, doubled, gaps, len(b.history))
	}
	if linear != porcupine.Ok {
		t.Errorf("the histories are not linearizable: %v", linear)
	}
}

// TestTakeoverWithoutFence shows what the fence is there for: a process that
// takes no notice of being taken over acknowledges what is lost.
func TestTakeoverWithoutFence(t *testing.T) {
	// Not beside others: it takes both processors.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	node := nodeProcess(t, t.TempDir())
	old, next := beside(t, node, "--takeover"), beside(t, node, "--takeover")
	old.env = []string{switchOff + "=fence"}
	old.start()
	old.ready(ctx)
	b := newBumper(ctx, t, newShop(old.url()))
	next.start()
	next.ready(ctx)
	for n := range 20 {
		side := newShop([]*victim{old, next}[n%2].url())
		if err := b.bump(ctx, [2]*shop{side, side}, n%2, n/2); err != nil {
			t.Fatal(err)
		}
	}
	lost, doubled, gaps, linear := b.check(ctx, t, newShop(next.url()))
	t.Logf("without the fence: lost %d, doubled %d, gaps %d, linearizable: %v", lost, doubled, gaps, linear)
	if lost == 0 || linear == porcupine.Ok {
		t.Errorf("nothing is lost without the fence: lost %d, doubled %d, gaps %d, linearizable: %v", lost, doubled, gaps, linear)
	}
}

// eventually sends an event to one of two programs until one answers.
func (b *bumper) eventually(ctx context.Context, shops [2]*shop, path, id, event string) (*answered, error) {
	body := []byte(fmt.Sprintf(`{"type": %q, "payload": {}}`, event))
	for try := 0; ; try++ {
		out, status, err := shops[try%2].once(ctx, "POST", path, id, body)
		switch {
		case err == nil && status < 300:
			return out, nil
		case err == nil && out.Code == "fenced":
			b.refused.Add(1)
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
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
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
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	data := t.TempDir()
	first, second := newVictim(t, data), newVictim(t, data)
	first.start()
	first.ready(ctx)
	second.start()
	select {
	case err := <-second.ended:
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != exitFailed || !strings.Contains(second.stderr.String(), "by another process; another fsmesh keeps its instances there") {
			t.Errorf("the second ended with %v and said:\n%s", err, second.stderr.String())
		}
		second.cmd = nil
	case <-ctx.Done():
		t.Fatal("the second goes on")
	}
}
