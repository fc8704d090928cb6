package mesh

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// Two runtimes of one component and ten directories on connections of their own:
// all tables are equal after 100,000 events.
func TestTenDirectories(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Listen: "127.0.0.1:0", Logger: quiet()})
	own := connect(t, n, BusOptions{})
	one, two := startRuntime(t, "one", nil), startRuntime(t, "two", nil)
	idOne, idTwo := attach(t, one, own).RuntimeIDs()["Shop"], attach(t, two, own).RuntimeIDs()["Shop"]
	var views []*View
	for i := range 10 {
		b := own
		if i%2 == 0 {
			b = dial(t, n.URL(), BusOptions{})
		} else {
			b = connect(t, n, BusOptions{})
		}
		views = append(views, watch(t, b))
	}
	var wg sync.WaitGroup
	for _, rt := range []*fsm.Runtime{one, two} {
		for range 4 {
			wg.Go(func() { cycle(t, rt, scaled(100_000)/8) })
		}
	}
	wg.Wait()
	for _, v := range views {
		exactly(t, v, one, idOne)
		exactly(t, v, two, idTwo)
	}
	if told, want := one.Seq("Shop")+two.Seq("Shop"), uint64(scaled(100_000)/8*8); told < want {
		t.Errorf("%d changes were told, want %d events and the creations", told, want)
	}
	t.Logf("%d and %d changes", one.Seq("Shop"), two.Seq("Shop"))
}

// cycle sends n events that instances of its own take, one after the other.
func cycle(t *testing.T, rt *fsm.Runtime, n int) {
	t.Helper()
	ids := make([]string, 100)
	for i := range ids {
		in, err := rt.Create(context.Background(), "Order", map[string]any{"n": i})
		if err != nil {
			t.Error(err)
			return
		}
		ids[i] = in.ID()
	}
	for i := range n {
		event := []string{"PLACE", "PAY", "RETURN"}[i/len(ids)%3]
		if _, err := rt.Send(context.Background(), ids[i%len(ids)], fsm.Event{Type: event}); err != nil {
			t.Error(err)
			return
		}
	}
}

// repairTime is how long a repair may take, readingTime a full reading.
const repairTime = 2500 * time.Millisecond

func readingTime(instances int) time.Duration {
	return repairTime + time.Duration(instances)*10*time.Microsecond
}

// Directories of one runtime under load: held, cut off, started in the middle,
// too slow for what comes, and behind a bus that loses, doubles, delays and
// swaps. Each says that it lags and is exact again by itself in the promised
// time; the runtime is not slowed, and memory is bounded. Not parallel: it
// measures.
func TestDirectoriesUnderFaults(t *testing.T) {
	n := startNode(t, Config{Listen: "127.0.0.1:0", Logger: quiet()})
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, connect(t, n, BusOptions{Mesh: "a"})).RuntimeIDs()["Shop"]
	healthy := watch(t, connect(t, n, BusOptions{Mesh: "a"}))
	holding, cutting := newProxy(t, n.URL()), newProxy(t, n.URL())
	held := watch(t, dial(t, holding.url(), BusOptions{Mesh: "a"}))
	cut := watch(t, dial(t, cutting.url(), BusOptions{Mesh: "a"}))
	slow := watch(t, connect(t, n, BusOptions{Mesh: "a"}))
	bad := newRelay(t, n, "a", "b")
	faulty := watch(t, connect(t, n, BusOptions{Mesh: "b"}))
	views := map[string]*View{"healthy": healthy, "held": held, "cut": cut, "faulty": faulty}

	s := startStream(t, rt, scaled(5000), 400*time.Microsecond*slowdown) // 5,000 a second
	for _, v := range views {
		waitFor(t, func() bool { return !lags(v, id) })
	}
	waitFor(t, func() bool { return !lags(slow, id) })
	before, rate := inUse(), s.rate(time.Second)
	for name, v := range views {
		defer honest(t, name, v, rt, id)()
	}

	holding.hold(true)
	cutting.cut(true)
	bad.set(true, false)
	late := watch(t, connect(t, n, BusOptions{Mesh: "a"}))
	release := overflow(t, n, slow)
	defer release()
	during := s.rate(tellWithin + 500*time.Millisecond)
	for end := time.Now().Add(15 * time.Second); during < 0.7*rate && time.Now().Before(end); {
		during = max(during, s.rate(time.Second)) // others may be at work on this machine
	}
	for name, v := range map[string]*View{"held": held, "cut": cut} {
		if !lags(v, id) {
			t.Errorf("%s has heard nothing for more than three seconds, and says it is exact", name)
		}
	}
	release()
	if during < 0.7*rate {
		t.Errorf("%.0f events a second while directories suffer, %.0f before", during, rate)
	}
	t.Logf("%.0f events a second while directories suffer, %.0f before: ratio %.2f", during, rate, during/rate)
	holding.hold(false)
	cutting.open()
	bad.set(false, false)
	s.end()

	rows := count(rt, fsm.Filter{})
	exactWithin(t, rt, id, map[string]suffered{
		// A connection that was cut is tried again after 350 ms at the latest.
		"cut":  {cut, readingTime(rows) + time.Second},
		"held": {held, readingTime(rows)}, "faulty": {faulty, readingTime(rows)}, "late": {late, readingTime(rows)},
		"slow": {slow, readingTime(rows)}, "healthy": {healthy, repairTime},
	})
	if bad.lost.Load() == 0 || repairs(faulty) == 0 {
		t.Errorf("%d of %d messages were lost, %d repairs", bad.lost.Load(), bad.carried.Load(), repairs(faulty))
	}
	if grown := inUse() - before; grown > 100<<20 {
		t.Errorf("%d MB more in use than before", grown>>20)
	}

	// The last message before a silence is lost: only the beacon tells.
	bad.set(false, true)
	lost := bad.lost.Load()
	in, err := rt.Create(t.Context(), "Order", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return bad.lost.Load() > lost })
	bad.set(false, false)
	exactWithin(t, rt, id, map[string]suffered{"faulty, of the last message": {faulty, repairTime}})
	faulty.Read(func(d *Directory) {
		if _, ok := d.Get("one", "Shop", in.ID()); !ok {
			t.Error("what was told last is missing")
		}
	})
}

// overflow holds a view's directory until release, and floods what waits for it,
// so that notices are dropped.
func overflow(t *testing.T, n *Node, v *View) (release func()) {
	t.Helper()
	release = occupy(v)
	nc, err := n.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for range 2 * viewBuffer {
		if err := nc.Publish(v.bus.subjects.notices("Shop"), []byte(`{"runtimeId":"nobody","notices":[]}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return release
}

// occupy holds a view's directory until release.
func occupy(v *View) (release func()) {
	holding, let, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		v.Read(func(*Directory) {
			close(holding)
			<-let
		})
	}()
	<-holding
	return sync.OnceFunc(func() {
		close(let)
		<-done
	})
}
