package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/freeport"
)

const orders = `
name: Shop
stateMachines:
  - name: Order
    initialState: Draft
    states: [{name: Draft, type: entry}, {name: Placed}, {name: Paid}, {name: Shipped, type: final}]
    transitions:
      - {from: Draft, to: Placed, event: PLACE}
      - {from: Placed, to: Paid, event: PAY}
      - {from: Paid, to: Draft, event: RETURN}
      - {from: Paid, to: Shipped, event: SHIP}
`

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startRuntime runs a runtime of the shop; name tells those of one test apart.
func startRuntime(t *testing.T, name string, store fsm.Store) *fsm.Runtime {
	t.Helper()
	return startShop(t, fsm.Config{Name: name, Store: store})
}

// startShop is startRuntime with all that may be configured.
func startShop(t *testing.T, c fsm.Config) *fsm.Runtime {
	t.Helper()
	shop, _, err := fsm.ParseComponent([]byte(orders))
	if err != nil {
		t.Fatal(err)
	}
	c.Components, c.Logger = []*fsm.Component{shop}, quiet()
	rt, err := fsm.NewRuntime(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Stop(context.Background()) })
	return rt
}

func memoryBus(t *testing.T) *Bus {
	t.Helper()
	return connect(t, startNode(t, Config{Logger: quiet()}), BusOptions{})
}

func attach(t *testing.T, rt *fsm.Runtime, b *Bus) *Attachment {
	t.Helper()
	a, err := Attach(t.Context(), rt, b, AttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func watch(t *testing.T, b *Bus) *View {
	t.Helper()
	v, err := Watch(t.Context(), b, ViewOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	return v
}

// exactly waits until the view says that it knows the runtime exactly, and
// compares the tables.
func exactly(t *testing.T, v *View, rt *fsm.Runtime, runtimeID string) {
	t.Helper()
	waitFor(t, func() bool {
		ok := false
		v.Read(func(d *Directory) {
			exact, _ := d.Exact(runtimeID, time.Now())
			ok = exact && d.Floor(runtimeID) == int64(rt.Seq("Shop"))
		})
		return ok
	})
	n := 0
	for in := range rt.Instances(fsm.Filter{}) {
		n++
		v.Read(func(d *Directory) {
			row, ok := d.Get(rt.Name(), "Shop", in.ID())
			if !ok || row.State != in.State() || row.Version != in.Version() || string(row.Context) != string(rawData(in.Context())) {
				t.Errorf("%s: the view has %+v (%v), the runtime %s version %d", in.ID(), row, ok, in.State(), in.Version())
			}
		})
		if t.Failed() {
			return
		}
	}
	v.Read(func(d *Directory) {
		info, _ := d.Runtime(runtimeID, time.Now())
		if info.InMotion() != n {
			t.Errorf("the view has %d instances of %s, the runtime %d", info.InMotion(), rt.Name(), n)
		}
	})
}

// load sends events from several goroutines until each has sent n.
func load(t *testing.T, rt *fsm.Runtime, n int) {
	t.Helper()
	ctx := context.Background()
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 7))
			var ids []string
			for i := range n {
				if len(ids) < 50 || i%20 == 0 {
					in, err := rt.Create(ctx, "Order", map[string]any{"n": i, "text": fmt.Sprint("order ", i)})
					if err != nil {
						t.Error(err)
						return
					}
					ids = append(ids, in.ID())
					continue
				}
				event := []string{"PLACE", "PAY", "RETURN", "SHIP"}[r.IntN(4)]
				_, err := rt.Send(ctx, ids[r.IntN(len(ids))], fsm.Event{Type: event, Payload: map[string]any{"i": i}})
				if err != nil && !errors.Is(err, fsm.ErrEventIgnored) && !errors.Is(err, fsm.ErrInstanceEnded) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Two runtimes of one component and several views: all end up with the same
// tables, those that came late too.
func TestViewsAreExact(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	one, two := startRuntime(t, "one", nil), startRuntime(t, "two", nil)
	idOne, idTwo := attach(t, one, b).RuntimeIDs()["Shop"], attach(t, two, b).RuntimeIDs()["Shop"]
	views := []*View{watch(t, b), watch(t, b)}
	var wg sync.WaitGroup
	wg.Go(func() { load(t, one, 3000) })
	wg.Go(func() { load(t, two, 3000) })
	views = append(views, watch(t, b)) // in the middle
	wg.Wait()
	views = append(views, watch(t, b)) // afterwards
	for _, v := range views {
		exactly(t, v, one, idOne)
		exactly(t, v, two, idTwo)
	}
}

// What a view missed is asked for: just that, and without anybody telling it.
// Guards the beacon and the repair.
func TestViewRepairsWhatItMissed(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, b).RuntimeIDs()["Shop"]
	v := watch(t, b)
	load(t, rt, 300)
	exactly(t, v, rt, id)
	before := readings(v)
	// Deaf to notices for a while, as after an overflow.
	for _, s := range v.subs {
		if s.Subject == b.subjects.allNotices() {
			if err := s.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
		}
	}
	load(t, rt, 300)
	waitFor(t, func() bool { return repairs(v) > 0 })
	exactly(t, v, rt, id)
	if n := readings(v); n != before {
		t.Errorf("the view read everything anew (%d readings, %d before), a repair was enough", n, before)
	}
}

func readings(v *View) (n uint64) {
	v.Read(func(d *Directory) { n = d.Counters().Readings })
	return n
}

func repairs(v *View) (n uint64) {
	v.Read(func(d *Directory) { n = d.Counters().Repairs })
	return n
}

// A restart on the same log takes over its instances: none is shown twice, none
// of the dead run is left.
func TestRestartIsATakeover(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	store := fsm.NewMemoryStore()
	v := watch(t, b)
	for round := range 5 {
		rt := startRuntime(t, "one", store)
		a := attach(t, rt, b)
		load(t, rt, 100)
		exactly(t, v, rt, a.RuntimeIDs()["Shop"])
		n := 0
		for range rt.Instances(fsm.Filter{}) {
			n++
		}
		v.Read(func(d *Directory) {
			if c := d.Count(Filter{Component: "Shop"}); c.Active != n {
				t.Errorf("round %d: the view counts %d live instances, the runtime has %d", round, c.Active, n)
			}
		})
		if round%2 == 0 {
			// No goodbye: the process is gone.
			a.end()
			a.wg.Wait()
		} else if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := rt.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestNameOfALiveRuntimeIsRefused(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	first := attach(t, startRuntime(t, "one", fsm.NewMemoryStore()), b)
	second := startRuntime(t, "one", fsm.NewMemoryStore())
	if _, err := Attach(t.Context(), second, b, AttachOptions{}); !errors.Is(err, ErrNameTaken) {
		t.Errorf("second runtime of the name: %v, want %v", err, ErrNameTaken)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	attach(t, second, b)
}

// Meshes of different names on one bus do not see each other.
func TestMeshesAreApart(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Logger: quiet()})
	a, b := connect(t, n, BusOptions{Mesh: "a"}), connect(t, n, BusOptions{Mesh: "b"})
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, a).RuntimeIDs()["Shop"]
	va, vb := watch(t, a), watch(t, b)
	load(t, rt, 100)
	exactly(t, va, rt, id)
	vb.Read(func(d *Directory) {
		if got := d.Runtimes(time.Now()); len(got) != 0 {
			t.Errorf("mesh b sees %+v", got)
		}
	})
}

// Three nodes: the runtime on one, the view on another.
func TestViewOverACluster(t *testing.T) {
	t.Parallel()
	addr := freeport.Address(t)
	first := startNode(t, Config{Cluster: ClusterConfig{Listen: addr}, Logger: quiet()})
	second := startNode(t, Config{Cluster: ClusterConfig{Listen: "127.0.0.1:0", Routes: []string{"nats-route://" + addr}}, Logger: quiet()})
	waitFor(t, func() bool { return first.ClusterSize() == 2 && second.ClusterSize() == 2 })
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, connect(t, first, BusOptions{})).RuntimeIDs()["Shop"]
	v := watch(t, connect(t, second, BusOptions{}))
	load(t, rt, 300)
	exactly(t, v, rt, id)
}

// What strangers send is counted and changes nothing.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, b).RuntimeIDs()["Shop"]
	v := watch(t, b)
	load(t, rt, 50)
	exactly(t, v, rt, id)
	s := b.subjects
	for _, subject := range []string{s.announce(), s.heartbeat(), s.shutdown(), s.beacon(), s.notices("Shop"), s.discover(), s.runtime(id, "repair"), s.runtime(id, "page"), v.inbox + ".page", v.inbox + ".repair", v.inbox + ".other"} {
		for _, body := range []string{"", "x", "[]", "null", "{}", `{"runtimeId":5}`, `{"runtimeId":"` + id + `","componentName":"Other","name":"x","epoch":1}`,
			`{"runtimeId":"nobody","notices":[{"instanceId":"a","eventType":"state_change","seq":1}]}`, `{"runtimeId":"` + id + `","missing":[[5,1]],"cursor":"9999.-1"}`} {
			if err := b.nc.PublishRequest(subject, v.inbox+".nothing", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	load(t, rt, 50)
	exactly(t, v, rt, id)
	if v.Invalid() == 0 {
		t.Error("nothing was counted as invalid")
	}
}
