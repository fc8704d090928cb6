package main

import (
	"context"
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

var shutdownRounds = flag.Int("shutdown.rounds", 20, "how often the program is told to end under load")

// TestShutdownUnderLoad tells the program to end while clients use it, again and
// again: it ends soon and well each time, and keeps its promises.
func TestShutdownUnderLoad(t *testing.T) {
	// Not beside others: it takes both processors.
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*shutdownRounds)*8*time.Second+time.Minute)
	defer cancel()
	v := newVictim(t, t.TempDir())
	v.start()
	v.ready(ctx)
	s := newShop(v.url())
	watchers := s.openWatchers(ctx, t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var worked error
	wg.Go(func() { worked = s.run(ctx, 8, stop) })
	var times []time.Duration
	for round := range *shutdownRounds {
		v.ready(ctx)
		s.progress(t, "in this round", 1+rand.IntN(8))
		begin := time.Now()
		if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-v.ended:
			if err != nil {
				t.Errorf("round %d: ended with %v, want status 0; it said:\n%s", round, err, v.stderr.String())
			}
			v.cmd = nil
		case <-ctx.Done():
			t.Fatalf("round %d: it does not end; it said:\n%s", round, v.stderr.String())
		}
		times = append(times, time.Since(begin))
		v.start()
	}
	close(stop)
	wg.Wait()
	if worked != nil {
		t.Fatalf("%v\nthe program said:\n%s", worked, v.stderr.String())
	}
	v.ready(ctx)
	// Its own deadlines end below 5 s; that one round of many was held up by what else
	// the machine does is no fault of it.
	slices.Sort(times)
	median, longest := times[len(times)/2], times[len(times)-1]
	if median > 5*time.Second || longest > 20*time.Second {
		t.Errorf("took %v to end at the median and %v at most, want 5 s", median, longest)
	}
	t.Logf("ended %d times, after %v at most", *shutdownRounds, longest.Round(time.Millisecond))
	s.settled(ctx, t, watchers)
}
