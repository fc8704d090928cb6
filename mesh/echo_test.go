package mesh

import (
	"testing"
	"time"
)

// A directory whose beacons come late has not heard what happened since, so it
// says so, however many of them come.
func TestLateBeacons(t *testing.T) {
	t.Parallel()
	s := newScript(rules{}, DirectoryConfig{})
	s.announce(0)
	s.tell(&Echo{Sent: s.now})
	for _, a := range s.d.Tick(s.now) {
		if q, ok := a.Message.(*PageRequest); ok {
			s.tell(&PageReply{Identity: s.id, Cursor: q.Cursor})
		}
	}
	want := func(exact bool, reason Reason, since time.Time) {
		t.Helper()
		if e := s.d.Exactness("r1", s.now); e.Exact != exact || e.Reason != reason || !e.Since.Equal(since) {
			t.Fatalf("%v later: %+v, want exact %t, %q, since %v", s.now.Sub(simStart), e, exact, reason, since)
		}
	}
	beacons := func(n int) {
		for range n {
			s.now = s.now.Add(time.Second)
			s.tell(&Beacon{Runtimes: []BeaconEntry{{s.id, 0}}})
		}
	}
	start := s.now
	beacons(3)
	want(true, "", start)
	beacons(1)
	want(false, ReasonLate, start)
	s.tell(&Echo{Sent: start.Add(-time.Second)}) // an old one tells nothing
	beacons(1)
	want(false, ReasonLate, start)
	s.tell(&Echo{Sent: s.now.Add(time.Hour)}) // nor one that was not sent yet
	beacons(1)
	want(false, ReasonLate, start)
	// What came before the echo is no younger for it: the line may have been cut.
	s.tell(&Echo{Sent: s.now.Add(-time.Second)})
	want(false, ReasonLate, start)
	revision := s.d.Revision()
	beacons(1)
	want(true, "", s.now)
	if s.d.Revision() == revision {
		t.Error("who waits for a change is not told")
	}
}

// A directory on a line that carries less than is told falls behind more and more.
// It says so, and once the line carries all it is exact by itself.
func TestThinLine(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Listen: "127.0.0.1:0", Logger: quiet()})
	rt := startRuntime(t, "one", nil)
	id := attach(t, rt, connect(t, n, BusOptions{})).RuntimeIDs()["Shop"]
	line := newProxy(t, n.URL())
	v := watch(t, dial(t, line.url(), BusOptions{}))
	waitFor(t, func() bool { return !lags(v, id) })
	stop := honest(t, "the thin line's", v, rt, id)
	line.thin(time.Second)
	s := startStream(t, rt, 1000, 500*time.Microsecond)
	waitFor(t, func() bool { return lags(v, id) })
	// What comes is old, and goes on coming.
	old := time.Now().Add(tellWithin / 2)
	waitFor(t, func() bool { return time.Now().After(old) })
	var e Exactness
	v.Read(func(d *Directory) { e = d.Exactness(id, time.Now()) })
	if e.Exact {
		t.Error("it says that it is exact")
	}
	t.Logf("%s since %v", e.Reason, time.Since(e.Since).Round(time.Millisecond))
	line.thin(0)
	s.end()
	exactWithin(t, rt, id, map[string]suffered{"the line is wide again": {v, readingTime(1000) + time.Second}})
	stop()
}
