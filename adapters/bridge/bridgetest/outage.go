package bridgetest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// settle gives a broker a moment to have subscriptions in place that nobody tells
// of.
func settle(t testing.TB) {
	t.Helper()
	time.Sleep(300 * time.Millisecond)
}

// How often and for how long the broker is away in the suite.
var (
	outages   = flag.Int("outages", 2, "how often the broker is away in the suite's outage")
	outageFor = flag.Duration("outage", 3*time.Second, "how long the broker is away in the suite's outage")
)

// twins is how many runtimes that no bridge leads from show, in the same moments,
// what the machine does by itself.
const twins = 3

// outage takes the broker away in mid-stream, while things go on on both sides: within
// 5 s of its return all is exact again each time, the gap is counted, the runtime goes
// on at 80% of its rate at least, and its sends do not wait for the bridge more
// than 50 ms. What the machine itself loses or waits meanwhile, the twins tell. A
// server that starts in no time is stopped (Case.Stop); else the connection to it is.
func (c Case) outage(t *testing.T) {
	proxy := NewProxy(t, c.Server.Addr)
	down, up := proxy.Down, proxy.Up
	if c.Stop && c.Server.Own {
		down, up = c.Server.Stop, func() { c.Server.Start(t) }
	}
	a := bus(t)
	conf := c.config(a, c.Server.Through(proxy))
	br := active(t, start(t, conf))
	rt := attach(t, a, "orders.yaml", "Orders-ours")
	v := watch(t, a)
	p := c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.serve(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	loads := []loaded{{rt, paid(t, rt)}}
	for i := range twins {
		twin := attach(t, bus(t), "orders.yaml", fmt.Sprint("Orders-alone-", i))
		loads = append(loads, loaded{twin, paid(t, twin)})
	}
	losses := br.Status().Counters["losses"]
	var before, during, aloneBefore, aloneDuring loadFigures
	waited := 0 // outages in which a send waited
	for round := range *outages {
		ours, alone := together(t, loads, time.Second)
		before.add(ours)
		aloneBefore.add(alone)
		down()
		for i := range 5 { // what the bridge can't hear of
			r.change("one", fmt.Sprint("State", round, i))
			r.change(fmt.Sprintf("away-%d-%d", round, i), "Draft")
		}
		ours, alone = together(t, loads, *outageFor)
		during.add(ours)
		aloneDuring.add(alone)
		up()
		back := time.Now()
		eventually(t, func() string { return r.equal(v) })
		took := time.Since(back)
		if took > 5*time.Second {
			t.Errorf("exact again after %v", took)
		}
		got := br.Status().Counters["losses"]
		if got <= losses {
			t.Errorf("the loss is not counted: %d", got)
		}
		t.Logf("outage %d: exact %v after the return, %d losses counted, %.0f events/s (twins %.0f), longest send %v (twins %v)",
			round+1, took.Round(time.Millisecond), got-losses, median(ours.rates), median(alone.rates), ours.longest, alone.longest)
		losses = got
		// A machine that stalls the twins stalls this one too, and not by the same.
		if ours.longest > alone.longest+max(50*time.Millisecond, alone.longest) {
			waited++
		}
	}
	// What waits for the bridge does so each time, and the machine stalls now and then.
	if waited > *outages/2 {
		t.Errorf("in %d of %d outages a send took more than 50 ms longer than any of a runtime without a bridge: it waited for the bridge", waited, *outages)
	}
	share, machine := median(during.rates)/median(before.rates), median(aloneDuring.rates)/median(aloneBefore.rates)
	t.Logf("%.0f events/s before, %.0f during: %.0f%% (twins %.0f, %.0f: %.0f%%)",
		median(before.rates), median(during.rates), 100*share, median(aloneBefore.rates), median(aloneDuring.rates), 100*machine)
	if share < 0.8*min(1, machine) {
		t.Errorf("during the outages the rate is %.0f%% of before, want 80%%; that of runtimes without a bridge is %.0f%%", 100*share, 100*machine)
	}
}

// loaded is an instance that takes notes, and its runtime.
type loaded struct {
	rt *fsm.Runtime
	id string
}

// together puts load on all at once. It returns the figures of the first, and of
// the others.
func together(t testing.TB, all []loaded, d time.Duration) (first, others loadFigures) {
	t.Helper()
	figures := make([]loadFigures, len(all))
	var wg sync.WaitGroup
	for i, l := range all {
		wg.Go(func() { figures[i] = load(t, l.rt, l.id, d) })
	}
	wg.Wait()
	for _, f := range figures[1:] {
		others.add(f)
	}
	return figures[0], others
}

// paid makes an order that takes notes.
func paid(t testing.TB, rt *fsm.Runtime) string {
	t.Helper()
	in, err := rt.Create(t.Context(), "Order", map[string]any{"orderId": "ours"})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range []string{"PLACE", "INVOICE_PAID"} {
		if _, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: ev}); err != nil {
			t.Fatal(err)
		}
	}
	return in.ID()
}

// restart stops the real server and starts it again: what changed meanwhile is
// known afterwards. Not with a server that is not the test's own.
func (c Case) restart(t *testing.T) {
	if !c.Server.Own {
		t.Log("the server is not the test's own and is not restarted")
		return
	}
	a := bus(t)
	br := active(t, start(t, c.config(a, c.Server.URL)))
	v := watch(t, a)
	p := c.peer(t)
	r := newTheirs(p, "Orders")
	r.announce(t)
	r.serve(t)
	r.create(t, "one")
	eventually(t, func() string { return r.equal(v) })
	c.Server.Stop()
	r.change("one", "Elsewhere")
	r.change("two", "Draft")
	c.Server.Start(t)
	back := time.Now()
	eventually(t, func() string { return r.equal(v) })
	if took := time.Since(back); took > 5*time.Second {
		t.Errorf("exact again after %v", took)
	}
	if br.Status().Counters["losses"] == 0 {
		t.Error("the loss is not counted")
	}
}

type loadFigures struct {
	rates   []float64 // of pieces of 100 ms
	longest time.Duration
}

func (f *loadFigures) add(o loadFigures) {
	f.rates, f.longest = append(f.rates, o.rates...), max(f.longest, o.longest)
}

// load sends events one after the other.
func load(t testing.TB, rt *fsm.Runtime, id string, d time.Duration) loadFigures {
	t.Helper()
	var f loadFigures
	var rates []float64
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		begin, n := time.Now(), 0
		for time.Since(begin) < 100*time.Millisecond {
			one := time.Now()
			if _, err := rt.Send(t.Context(), id, fsm.Event{Type: "NOTE", Payload: map[string]any{"n": rand.IntN(10)}}); err != nil {
				t.Error(err)
				return f
			}
			f.longest = max(f.longest, time.Since(one))
			n++
			time.Sleep(500 * time.Microsecond) // some 1,000 a second, so that the machine is not the measure
		}
		rates = append(rates, float64(n)/time.Since(begin).Seconds())
	}
	f.rates = rates
	return f
}

func median(rates []float64) float64 {
	if len(rates) == 0 {
		return 0 // the load has failed, and said so
	}
	rates = slices.Clone(rates)
	slices.Sort(rates)
	return rates[len(rates)/2]
}
