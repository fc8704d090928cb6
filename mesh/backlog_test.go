package mesh

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

// What waits comes out in the order in which it came, and no more of it waits than
// is allowed, in number or in bytes.
func TestBacklog(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, viewBytes / 20, 2 * viewBytes} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b, body := newBacklog(quiet()), make([]byte, size)
			for round := range 2 {
				put, lost := 0, b.lost()
				for ; b.lost() < lost+3; put++ {
					b.put(&nats.Msg{Subject: fmt.Sprint(put), Data: body})
					if len(b.waiting) > viewBuffer || len(b.waiting) > 1 && b.bytes > viewBytes {
						t.Fatalf("%d messages of %d bytes wait", len(b.waiting), b.bytes)
					}
				}
				want := put - 3
				if size == 0 && want != viewBuffer || size > 0 && want != max(1, viewBytes/(size+perMessage)) {
					t.Errorf("%d messages of %d bytes may wait", want, size)
				}
				for i := range want {
					select {
					case <-b.ready:
					default:
						t.Fatalf("%d messages wait, and nobody is told", want-i)
					}
					if m := b.take(); m == nil || m.Subject != fmt.Sprint(i) {
						t.Fatalf("round %d, message %d: got %v", round, i, m)
					}
				}
				if m := b.take(); m != nil || b.bytes != 0 {
					t.Errorf("%v, and %d bytes left", m, b.bytes)
				}
			}
		})
	}
}

// A view that is too slow for large messages leaves some out, keeps few, and is
// exact again by itself. Not parallel: it measures.
func TestLargeMessagesWait(t *testing.T) {
	n := startNode(t, Config{Logger: quiet()})
	rt := startRuntime(t, "one", nil)
	b := connect(t, n, BusOptions{})
	id := attach(t, rt, b).RuntimeIDs()["Shop"]
	v := watch(t, connect(t, n, BusOptions{}))
	waitFor(t, func() bool { return !lags(v, id) })
	before := inUse()
	release := occupy(v)
	defer release()
	body := bytes.Repeat([]byte(" "), 900_000)
	for sent := 0; v.Dropped() < 50; sent++ {
		if sent > 300 {
			t.Fatalf("%d MB wait", inUse()>>20)
		}
		if err := b.nc.Publish(b.subjects.notices("Shop"), body); err != nil {
			t.Fatal(err)
		}
		if err := b.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	// The server may hold as much.
	if grown := inUse() - before; grown > 2*viewBytes+viewBytes/2 {
		t.Errorf("%d MB more in use than before", grown>>20)
	}
	load(t, rt, 50)
	release()
	exactly(t, v, rt, id)
}
