package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/internal/powercut"
)

// powerCuts is at how many moments the power is lost, in the second half of the load.
const powerCuts = 2

// TestPowerLoss writes down what the program does to its files while clients
// use it, and lays out what a loss of power would have left at several moments:
// of each file what was last synced, and once more with all that had been written of
// checkpoints, as a disk may have come to that by itself. What clients had been told by then must be
// there, if the program syncs before it answers; if it never does, the same
// must show a loss.
func TestPowerLoss(t *testing.T) {
	// Not beside others: it takes both processors.
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test needs strace to see what the program does to its files: %v; install it, or run make test, which does", err)
	}
	for _, tt := range []struct {
		sync string
		// within is how old an acknowledged event may be that is lost: its interval,
		// and as long again as a busy machine takes to come to it.
		within time.Duration
		load   time.Duration
		loses  bool
	}{
		{"always", 0, 3 * time.Second, false},
		{"500ms", 500*time.Millisecond + 2*time.Second, 6 * time.Second, false},
		{"none", 0, 3 * time.Second, true},
	} {
		t.Run("sync "+tt.sync, func(t *testing.T) {
			t.Parallel()
			var with []string
			if !tt.loses {
				with = append(with, manyCheckpoints+"=1") // which has the log on the disk first
			}
			lost, told := powerLoss(t, strace, tt.sync, tt.load, tt.within, with...)
			t.Logf("sync %s: of %d acknowledged events %d were lost in %d cuts", tt.sync, told, lost, powerCuts)
			switch {
			case told < 20:
				t.Errorf("only %d events had been acknowledged: too few to show anything", told)
			case tt.loses != (lost > 0):
				t.Errorf("lost %d of %d, want a loss: %v", lost, told, tt.loses)
			}
		})
	}
}

// powerLoss returns how many events were lost in all cuts that had been acknowledged
// so long before, and how many there had been.
func powerLoss(t *testing.T, strace, sync_ string, load, within time.Duration, with ...string) (lost, told int) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	data, trace := filepath.Join(dir, "data"), filepath.Join(dir, "trace")
	v := newVictim(t, data, with...)
	v.args = append(v.args, "--sync", sync_, "--reserve", "0")
	v.under = powercut.Strace(strace, trace)
	v.start()
	v.ready(ctx)
	s := newShop(v.url())
	working, done := context.WithTimeout(ctx, load)
	defer done()
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.run(working, 8, nil) }) // ends when its time is over, which is no failure
	wg.Wait()
	v.kill()
	lines, err := powercut.Count(trace)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut <= powerCuts; cut++ {
		for name, lucky := range map[string]string{"least": "", "checkpoints": "/FSM_SNAP/"} {
			into := filepath.Join(dir, fmt.Sprint("cut", cut, name))
			at, err := powercut.After(trace, lines*(cut+powerCuts-1)/(2*powerCuts-1), data, into, lucky)
			if err != nil {
				t.Fatalf("replay of the trace: %v", err)
			}
			l, n := s.lostBy(ctx, t, at.Add(-within), into)
			lost, told = lost+l, told+n
		}
	}
	return lost, told
}

// lostBy starts the program on a folder and counts the events that were
// acknowledged before a time and are not there.
func (s *shop) lostBy(ctx context.Context, t *testing.T, at time.Time, data string) (lost, told int) {
	v := newVictim(t, data)
	v.start()
	v.ready(ctx)
	defer v.kill()
	now := newShop(v.url())
	c := &tally{}
	for _, o := range s.orders {
		by := *o
		by.closed, by.events = false, nil
		for _, a := range o.events {
			if a.at.Before(at) {
				by.events = append(by.events, a)
			}
		}
		if len(by.events) == 0 {
			continue
		}
		told += len(by.events)
		h, err := now.history(ctx, o.instance)
		if err != nil {
			c.lost += len(by.events) // it is not known at all
			continue
		}
		c.dense(o.instance, h)
		c.told(&by, h)
	}
	if c.gaps+c.doubled > 0 {
		t.Errorf("after a loss of power: %s; %v", c, c.notes)
	}
	return c.lost, told
}
