package fsm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Load that turned into a deadlock where a shard or an uncommitted batch waited
// for another (R7, R10, R14).

// loadTime is how long each of the tests puts load on.
const loadTime = 5 * time.Second

// Two instances whose hooks send to each other, from many callers, with and
// without a store that takes its time. Guards the rule that no batch waits for
// an instance or a hook.
func TestHooksThatSendToEachOther(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprint("waits ", waits), func(t *testing.T) {
			t.Parallel()
			var ids [2]string
			cfg := Config{
				Components: []*Component{componentOf("C", fsmOf("M", on("A", "PING", "A", calls("send")), on("A", "PONG", "A")))},
				Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error {
					to := ids[0]
					if c.Instance() == to {
						to = ids[1]
					}
					return c.SendTo(to, Event{Type: "PONG"})
				}}},
				Shards: 2,
			}
			if waits {
				cfg.Store = slowMemory(NewMemoryStore(), 100*time.Microsecond)
			}
			rt := started(t, cfg)
			ids = [2]string{mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil)}
			var sent atomic.Int64
			load(t, 8, func(n int) {
				// The hooks' own events are never refused, outside ones may be.
				switch _, err := rt.Send(t.Context(), ids[n%2], Event{Type: "PING"}); ErrorCode(err) {
				case "":
					sent.Add(1)
				case CodeOverloaded:
				default:
					t.Error(err)
				}
			})
			settle(t, rt)
			got := mustGet(t, rt, ids[0]).Version() + mustGet(t, rt, ids[1]).Version() - 2
			if want := 2 * uint64(sent.Load()); got != want {
				t.Errorf("%d transitions, want %d: one for each PING and one for its PONG", got, want)
			}
			t.Logf("%d sends in %v", sent.Load(), loadTime)
		})
	}
}

// Two shards that send to each other while callers keep both inboxes full.
// Guards that what comes from inside never waits for room.
func TestShardsThatSendToEachOther(t *testing.T) {
	t.Parallel()
	m := func(name, other string) Machine {
		return cascading(fsmOf(name, on("A", "GO", "A"), on("B", "IN", "B")), "A", CascadingRule{TargetMachine: other, TargetState: "B", Event: "IN"})
	}
	rt := started(t, Config{
		Components: []*Component{componentOf("C", m("P", "Q"), m("Q", "P"))}, Shards: 2, Inbox: 4,
		Store: slowMemory(NewMemoryStore(), 200*time.Microsecond),
	})
	var sources [2]string
	const targets = 20
	for i, name := range []string{"P", "Q"} {
		in := func(sh *shard) bool { return sh == rt.shards[i] }
		sources[i] = createIn(t, rt, name, in)
		for n := 0; n < targets; {
			if id := mustCreate(t, rt, name, nil, InState("B")); in(rt.shardOf(id)) {
				n++
			}
		}
	}
	all := 0
	for range rt.Instances(Filter{State: "B"}) {
		all++
	}
	var sent [2]atomic.Int64
	load(t, 32, func(n int) {
		mustSend(t, rt, sources[n%2], "GO")
		sent[n%2].Add(1)
	})
	settle(t, rt)
	var want, got int64
	for i, name := range []string{"Q", "P"} {
		for in := range rt.Instances(Filter{Machine: name, State: "B"}) {
			want += sent[i].Load()
			got += int64(in.Version()) - 1
		}
	}
	if got != want {
		t.Errorf("%d deliveries, want %d", got, want)
	}
	t.Logf("%d + %d sends to %d targets", sent[0].Load(), sent[1].Load(), all)
}

// load calls f from n goroutines for loadTime.
func load(t *testing.T, n int, f func(n int)) {
	t.Helper()
	end := time.Now().Add(loadTime)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				f(i)
			}
		})
	}
	wg.Wait()
}

// slowMemory is a store whose appends take a while.
func slowMemory(s Store, d time.Duration) *scriptedStore {
	return &scriptedStore{s, true, func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		if err := pause(ctx, d); err != nil {
			return err
		}
		return write(ctx, b)
	}}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
