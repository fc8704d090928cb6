package jetstream_test

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/nats-io/nats.go"
)

// busy lets callers send to a runtime without a pause until it refuses them. It
// returns what was acknowledged to each: the last version by instance, once all
// have been refused.
func busy(t *testing.T, rt *fsm.Runtime, callers int) (acknowledged func() map[string]uint64) {
	t.Helper()
	var mu sync.Mutex // guards acked
	acked := map[string]uint64{}
	var wg sync.WaitGroup
	begun := make(chan struct{}, callers)
	for range callers {
		in, err := rt.Create(t.Context(), "Count", nil)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for n := 0; ; n++ {
				r, err := rt.Send(t.Context(), in.ID(), fsm.Event{Type: "UP"})
				if err != nil {
					if !errors.Is(err, fsm.ErrFenced) && !errors.Is(err, fsm.ErrNotRunning) {
						t.Errorf("send: %v, want ErrFenced", err)
					}
					return
				}
				mu.Lock()
				acked[in.ID()] = r.Version
				mu.Unlock()
				if n == 20 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range callers {
		<-begun
	}
	return func() map[string]uint64 {
		wg.Wait()
		return acked
	}
}

// complete looks whether a runtime has all that was acknowledged by the one that
// it took over from, and nothing but what was on its way besides.
func complete(t *testing.T, rt *fsm.Runtime, acked map[string]uint64) {
	t.Helper()
	for id, version := range acked {
		in, err := rt.Get(id)
		if err != nil || in.Version() < version || in.Version() > version+1 {
			t.Errorf("instance %s: %v, %v; %d was acknowledged", id, in, err, version)
		}
	}
}

// Who takes over need not wait for a pause of who writes.
func TestTakeoverOfABusyLog(t *testing.T) {
	js := shared(t)
	const rounds, callers = 5, 16
	old := runtimeOn(t, storeOn(t, js))
	least := time.Hour // the machine may be at something else in a round
	for range rounds {
		acknowledged := busy(t, old, callers)
		begin := time.Now()
		next := runtimeOn(t, storeOn(t, js))
		least = min(least, time.Since(begin))
		complete(t, next, acknowledged())
		old = next
	}
	if least > 8*time.Second {
		t.Errorf("a takeover takes %v, want at most 8 s", least)
	}
}

// far is a long way to a server.
type far struct{ nats.InProcessConnProvider }

func (f far) InProcessConn() (net.Conn, error) {
	c, err := f.InProcessConnProvider.InProcessConn()
	return farConn{c}, err
}

type farConn struct{ net.Conn }

const farAway = 80 * time.Millisecond

func (c farConn) Write(b []byte) (int, error) {
	time.Sleep(farAway)
	return c.Conn.Write(b)
}

// From far away there is never time to get in between two frames: the lease asks
// for quiet.
func TestTakeoverFromFarAway(t *testing.T) {
	s, js := sharedServer(t)
	old := runtimeOn(t, storeOn(t, js))
	acknowledged := busy(t, old, 16)
	begin := time.Now()
	next := runtimeOn(t, storeOn(t, connected(t, far{s})))
	took := time.Since(begin)
	if took > 20*time.Second {
		t.Errorf("the takeover took %v, want at most 20 s", took)
	}
	t.Log(took.Round(time.Millisecond))
	complete(t, next, acknowledged())
}
