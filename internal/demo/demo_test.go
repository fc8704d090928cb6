package demo

import (
	"bytes"
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestComponents(t *testing.T) {
	t.Parallel()
	components, err := Components()
	if err != nil {
		t.Fatal(err)
	}
	couriers, err := Couriers()
	if err != nil {
		t.Fatal(err)
	}
	hooks := Hooks(1)
	machines, named := 0, map[string]bool{}
	for _, c := range append(components, couriers) {
		machines += len(c.StateMachines)
		for _, m := range c.StateMachines {
			for _, s := range m.States {
				named[s.OnEntry], named[s.OnExit] = true, true
			}
			for _, tr := range m.Transitions {
				named[tr.TriggeredMethod] = true
			}
		}
	}
	delete(named, "")
	if len(components) < 2 || machines < 5 {
		t.Errorf("%d components with %d machines, want 2 with 5 at least", len(components), machines)
	}
	if got, want := slices.Sorted(maps.Keys(hooks.Methods)), slices.Sorted(maps.Keys(named)); !slices.Equal(got, want) {
		t.Errorf("hooks %v, want those that the definitions name: %v", got, want)
	}
}

// TestLoad lets the shop run for ten minutes of a time that passes at once.
func TestLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		components, err := Components()
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		rt, err := fsm.NewRuntime(fsm.Config{Name: "demo", Components: components, Hooks: Hooks(7), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen := map[fsm.Kind]int{}
		entered := map[string]bool{}
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for n, err := range rt.Watch(t.Context(), fsm.WatchOptions{Buffer: 1 << 16}) {
				if err != nil {
					continue
				}
				seen[n.Kind]++
				entered[n.Machine+"."+n.State] = true
			}
		}()
		synctest.Wait()

		ran := make(chan error, 1)
		load := Load{Runtimes: map[string]Runtime{"Shop": rt, "Fulfilment": rt}, Seed: 7}
		go func() { ran <- load.Run(t.Context()) }()
		synctest.Wait()
		if n := count(rt); n < 50 {
			t.Errorf("%d instances at the start, want 50 at least", n)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := count(rt); n < 50 || n > 600 {
			t.Errorf("%d instances after ten minutes, want about 100", n)
		}
		for _, key := range stuck {
			if in, err := rt.GetByKey("Shop", key); err != nil || in.State() != "PaymentPending" {
				t.Errorf("the stuck order %s: %v, error %v; want it in PaymentPending", key, in, err)
			}
		}
		if err := rt.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		<-watched
		if err := <-ran; err == nil || !strings.Contains(err.Error(), "not running") {
			t.Errorf("the load ended with %v, want that the runtime is not running", err)
		}
		if seen[fsm.TraceStateChange] < 2*600 {
			t.Errorf("%d state changes in 600 s, want two a second at least", seen[fsm.TraceStateChange])
		}
		if seen[fsm.TraceUserCodeError] == 0 {
			t.Error("no hook has failed; some are meant to")
		}
		for _, c := range components {
			for _, m := range c.StateMachines {
				for _, s := range m.States {
					// What only people do is left to them.
					if s.Name != "Closed" && s.Name != "Refused" && s.Name != "Lost" && !entered[m.Name+"."+s.Name] {
						t.Errorf("nothing was ever in state %s of %s", s.Name, m.Name)
					}
				}
			}
		}
		if log.Len() > 0 {
			t.Errorf("errors in the log:\n%s", log.String())
		}
	})
}

func count(rt *fsm.Runtime) int {
	n := 0
	for range rt.Instances(fsm.Filter{}) {
		n++
	}
	return n
}

// TestShift lets the couriers come and go. What they were in the middle of goes on
// when they are back, and none is hired twice.
func TestShift(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := Couriers()
		if err != nil {
			t.Fatal(err)
		}
		store := fsm.NewMemoryStore()
		begun, ended := 0, 0 // by the shift's goroutine until it has ended
		var now atomic.Pointer[fsm.Runtime]
		s := Shift{Away: 10 * time.Second, Begin: func(ctx context.Context) (CourierRuntime, func() error, error) {
			rt, err := fsm.NewRuntime(fsm.Config{Components: []*fsm.Component{c}, Hooks: Hooks(1), Store: store, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				err = rt.Start(ctx)
			}
			if err != nil {
				return nil, nil, err
			}
			begun++
			now.Store(rt)
			return rt, func() error { ended++; return rt.Stop(context.WithoutCancel(ctx)) }, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		var trips []float64
		for range 3 {
			time.Sleep(29 * time.Second) // nearly to the end of a stay of 30 s
			synctest.Wait()
			rt := now.Load()
			if n := count(rt); n != 6 {
				t.Errorf("%d couriers, want 6", n)
			}
			in, err := rt.GetByKey("Couriers", "courier:Dora")
			if err != nil {
				t.Fatal(err)
			}
			n, _ := in.Data().Get("trips")
			trips = append(trips, n.(float64))
			time.Sleep(11 * time.Second)
		}
		if !slices.IsSorted(trips) || trips[0] == 0 || trips[2] < trips[0]+2 {
			t.Errorf("after the stays Dora had made %v trips, want more after each", trips)
		}
		cancel()
		if err := <-ran; err != nil || begun != ended || begun < 3 {
			t.Errorf("ended with %v, begun %d times, ended %d times", err, begun, ended)
		}
	})
}

// A large runtime is one in which a look through its table takes a second.
type large struct {
	Runtime
	looked int
}

func (l *large) Instances(f fsm.Filter) iter.Seq[*fsm.Instance] {
	time.Sleep(time.Second)
	l.looked++
	return l.Runtime.Instances(f)
}

// TestLargeShop has the load of a shop in which it takes long to find somebody act all
// the same, and not look for somebody most of the time.
func TestLargeShop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		components, err := Components()
		if err != nil {
			t.Fatal(err)
		}
		rt, err := fsm.NewRuntime(fsm.Config{Name: "demo", Components: components, Hooks: Hooks(7), Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = rt.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		shop := &large{Runtime: rt}
		load := Load{Runtimes: map[string]Runtime{"Shop": shop, "Fulfilment": shop}, Seed: 7, Logger: slog.New(slog.DiscardHandler)}
		ran := make(chan error, 1)
		go func() { ran <- load.Run(ctx) }()
		const seconds = 120
		time.Sleep(seconds * time.Second)
		end()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		applied := uint64(0)
		for _, m := range rt.Counts().Machines {
			applied += m.Applied
		}
		t.Logf("looked %d times, %d events were applied", shop.looked, applied)
		if shop.looked > seconds/4 {
			t.Errorf("it looked for somebody in %d of %d seconds", shop.looked, seconds)
		}
		if applied < seconds {
			t.Errorf("%d events were applied in %d seconds", applied, seconds)
		}
		if err := rt.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestFill fills a shop with more than one caller can, once, also where a store
// has given some back.
func TestFill(t *testing.T) {
	t.Parallel()
	components, err := Components()
	if err != nil {
		t.Fatal(err)
	}
	store := fsm.NewMemoryStore()
	for _, n := range []int{500, manyTimed + 2_000} {
		rt, err := fsm.NewRuntime(fsm.Config{Name: "demo", Components: components, Hooks: Hooks(1), Store: store, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := Load{Runtimes: map[string]Runtime{"Shop": rt, "Fulfilment": rt}, Instances: n}
		l.setDefaults()
		if err := l.fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The storefront, what is stuck, and payments that time has brought are besides.
		if got := count(rt); got < n || got > n+n/10+10 {
			t.Errorf("%d instances, want about %d", got, n)
		}
		if err := rt.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
