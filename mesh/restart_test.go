package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// abandon ends a runtime as a kill does: no goodbye, no more word.
func abandon(rt *fsm.Runtime, a *Attachment) {
	a.end()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = rt.Stop(ended)
}

// A runtime is restarted twenty times under load, on one store: killed, stopped,
// or fenced by the next one while it goes on speaking. No instance is shown
// twice at any time, and in the end none is lost or left of a dead run.
func TestTwentyRestarts(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	store := fsm.NewMemoryStore()
	v := watch(t, b)
	var current atomic.Pointer[fsm.Runtime]
	var mu sync.Mutex // guards versions
	versions := map[string]uint64{}
	run, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; run.Err() == nil; i++ {
				rt := current.Load()
				if rt == nil {
					continue
				}
				if i%8 == 0 {
					if in, err := rt.Create(context.Background(), "Order", map[string]any{"i": i}); err == nil {
						mu.Lock()
						versions[in.ID()] = max(versions[in.ID()], 1)
						mu.Unlock()
					}
					continue
				}
				mu.Lock()
				var id string
				for id = range versions {
					break
				}
				mu.Unlock()
				if r, err := rt.Send(context.Background(), id, fsm.Event{Type: []string{"PLACE", "PAY", "RETURN"}[i%3]}); err == nil {
					mu.Lock()
					versions[id] = max(versions[id], r.Version)
					mu.Unlock()
				}
			}
		})
	}
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for run.Err() == nil {
			<-tick.C
			shown := map[string]string{}
			v.Read(func(d *Directory) {
				for cursor := ""; ; {
					p, err := d.List(Filter{Live: true}, false, cursor, maxPage)
					if err != nil {
						t.Error(err)
						return
					}
					for _, in := range p.Instances {
						if other, twice := shown[in.ID]; twice {
							t.Errorf("%s is shown by runtimes %s and %s", in.ID, other, in.RuntimeID)
							return
						}
						shown[in.ID] = in.RuntimeID
					}
					if cursor = p.Next; cursor == "" {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		stop()
		wg.Wait()
	})
	var rt *fsm.Runtime
	var a *Attachment
	for round := range 20 {
		next := startRuntime(t, "one", store)
		old, oldA := rt, a
		rt, a = next, attach(t, next, b)
		current.Store(rt)
		if old != nil && round%3 == 0 {
			// Fenced by now: its attachment ends with it.
			waitFor(t, func() bool {
				select {
				case <-oldA.closed:
					return true
				default:
					return false
				}
			})
		}
		from := rt.Seq("Shop")
		waitFor(t, func() bool { return rt.Seq("Shop") > from+50 })
		switch round % 3 {
		case 0:
			abandon(rt, a)
		case 1:
			if err := errors.Join(a.Close(t.Context()), rt.Stop(t.Context())); err != nil {
				t.Error(err)
			}
		}
	}
	stop()
	wg.Wait()
	rt = startRuntime(t, "one", store)
	a = attach(t, rt, b)
	exactly(t, v, rt, a.RuntimeIDs()["Shop"])
	live := count(rt, fsm.Filter{})
	v.Read(func(d *Directory) {
		if c := d.Count(Filter{}); c.Active != live || c.Stale != 0 {
			t.Errorf("the view counts %+v, the runtime has %d", c, live)
		}
	})
	for id, version := range versions {
		in, err := rt.Get(id)
		if err != nil || in.Version() < version {
			t.Fatalf("%s, acknowledged at version %d: %v, %v", id, version, in, err)
		}
	}
	t.Logf("%d instances", live)
}

// Commands from 64 clients to four runtimes, of which one is killed and started
// again on its store: each is answered with its outcome or a typed error, never
// with that there is no such instance. With event ids, repeated until answered,
// none takes effect twice and none is lost. Guards the ids, the look-up of
// owners, and that a silent or gone runtime is not taken for none.
func TestCommandsFrom64Clients(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Listen: "127.0.0.1:0", Logger: quiet()})
	line := newProxy(t, n.URL())
	var runtimes []*fsm.Runtime
	var stores []*fsm.MemoryStore
	var attachments []*Attachment
	for i := range 4 {
		stores = append(stores, fsm.NewMemoryStore())
		runtimes = append(runtimes, startRuntime(t, fmt.Sprint("shop-", i), stores[i]))
		b := connect(t, n, BusOptions{})
		if i == 0 {
			b = dial(t, line.url(), BusOptions{})
		}
		attachments = append(attachments, attach(t, runtimes[i], b))
	}
	var buses []*Bus
	for range 7 {
		buses = append(buses, connect(t, n, BusOptions{}))
	}
	weak := newProxy(t, n.URL()) // answers get lost on it
	buses = append(buses, dial(t, weak.url(), BusOptions{}))
	keys(t, buses, runtimes)

	// So many that none takes 64 events, which is how many ids an instance knows again,
	// while a client waits for an answer that was lost and asks once more.
	var ids []string
	for i := range 1000 {
		in, err := runtimes[i%4].Create(t.Context(), "Order", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, in.ID())
	}
	var mu sync.Mutex // guards taken, created and failures
	taken, created, failures := map[string]uint64{}, map[string]string{}, map[string]int{}
	var answered atomic.Int64
	var wg sync.WaitGroup
	each := scaled(100_000) / 64
	begin := time.Now()
	for w := range 64 {
		c := NewClient(buses[w%len(buses)], ClientOptions{Timeout: 2 * time.Second})
		until := func(id string, do func() (*Outcome, error)) *Outcome {
			for deadline := time.Now().Add(60 * time.Second); ; {
				out, err := do()
				if err == nil || errors.Is(err, fsm.ErrEventIgnored) {
					answered.Add(1)
					if err != nil {
						return nil
					}
					return out
				}
				kind := typed(err)
				mu.Lock()
				failures[kind]++
				mu.Unlock()
				if kind == "" || errors.Is(err, fsm.ErrUnknownInstance) || time.Now().After(deadline) {
					t.Errorf("%s: %v", id, err)
					return nil
				}
			}
		}
		wg.Go(func() {
			for i := range each {
				if t.Failed() {
					return
				}
				eventID := fmt.Sprint(w, "/", i)
				if i%50 == 49 {
					if out := until(eventID, func() (*Outcome, error) {
						return c.Create(context.Background(), "Shop", "Order", map[string]any{"of": eventID}, CreateOptions{EventID: eventID})
					}); out != nil {
						mu.Lock()
						created[eventID] = out.Instance
						mu.Unlock()
					}
					continue
				}
				id := ids[(w*7+i)%len(ids)]
				ev := fsm.Event{Type: []string{"PLACE", "PAY", "RETURN"}[i%3]}
				if out := until(eventID, func() (*Outcome, error) {
					return c.Send(context.Background(), Target{ID: id}, ev, SendOptions{EventID: eventID})
				}); out != nil {
					mu.Lock()
					taken[id]++
					mu.Unlock()
				}
			}
		})
	}
	for i := range int64(10) {
		waitFor(t, func() bool { return answered.Load() > int64(scaled(100_000))*i/40 || t.Failed() })
		weak.swallow()
		before := answered.Load()
		waitFor(t, func() bool { return answered.Load() > before+20 || t.Failed() })
		weak.cut(false)
	}
	line.cut(true)
	abandon(runtimes[0], attachments[0])
	waitFor(t, func() bool { // nearly all wait for the one that is gone
		mu.Lock()
		defer mu.Unlock()
		sum := 0
		for _, n := range failures {
			sum += n
		}
		return sum > 64 || t.Failed()
	})
	runtimes[0] = startRuntime(t, "shop-0", stores[0])
	attach(t, runtimes[0], connect(t, n, BusOptions{}))
	wg.Wait()
	took := time.Since(begin)

	find := func(id string) (found []*fsm.Instance) {
		for _, rt := range runtimes {
			if in, err := rt.Get(id); err == nil {
				found = append(found, in)
			}
		}
		return found
	}
	for _, id := range ids {
		if in := find(id); len(in) != 1 || in[0].Version()-1 != taken[id] {
			t.Fatalf("%s: %d instances, of version %d; %d events were acknowledged", id, len(in), in[0].Version(), taken[id])
		}
	}
	made := map[any]int{}
	for _, rt := range runtimes {
		for in := range rt.Instances(fsm.Filter{}) {
			if of, ok := in.Data().Get("of"); ok {
				made[of]++
			}
		}
	}
	for eventID, id := range created {
		if made[eventID] != 1 || len(find(id)) != 1 {
			t.Fatalf("creation %s was done %d times", eventID, made[eventID])
		}
	}
	if len(made) != len(created) {
		t.Errorf("%d creations were acknowledged, %d done", len(created), len(made))
	}
	t.Logf("%d answered, %.0f a second, of %d clients; errors before that: %v", answered.Load(), float64(answered.Load())/took.Seconds(), 64, failures)
}

// typed names the type of an error that a client promises, "" for others.
func typed(err error) string {
	if _, ok := errors.AsType[*MissingError](err); ok {
		return "missing"
	}
	if code := fsm.ErrorCode(err); code != "" {
		return string(code)
	}
	for _, known := range []error{ErrGone, ErrNoAnswer, ErrNotConnected} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ""
}

// keys has 16 clients get or create the same 100 keys: 100 instances are made,
// one for each, on several runtimes.
func keys(t *testing.T, buses []*Bus, runtimes []*fsm.Runtime) {
	t.Helper()
	var created atomic.Int32
	var wg sync.WaitGroup
	for w := range 16 {
		c := NewClient(buses[w%len(buses)], ClientOptions{Timeout: 20 * time.Second})
		wg.Go(func() {
			for i := range 100 {
				out, err := c.Create(context.Background(), "Shop", "Order", nil, CreateOptions{Key: fmt.Sprint("order:", i), OrGet: true})
				if err != nil {
					t.Error(err)
					return
				}
				if !out.Repeated {
					created.Add(1)
				}
			}
		})
	}
	wg.Wait()
	n, hosts := 0, 0
	for _, rt := range runtimes {
		own := count(rt, fsm.Filter{})
		if n += own; own > 0 {
			hosts++
		}
	}
	if n != 100 || created.Load() != 100 || hosts < 2 {
		t.Fatalf("%d instances on %d runtimes, %d said to be created, want 100", n, hosts, created.Load())
	}
}
