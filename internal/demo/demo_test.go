package demo

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
	hooks := Hooks(1)
	machines, named := 0, map[string]bool{}
	for _, c := range components {
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
		if in, err := rt.GetByKey("Shop", "order:ORD-7"); err != nil || in.State() != "PaymentPending" {
			t.Errorf("the stuck order: %v, error %v; want it in PaymentPending", in, err)
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
