package rabbitmq

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestAcks settles messages in many orders: the server, which knows each tag once
// and closes the channel for one that it does not know, has exactly those
// acknowledged that were taken, each soon after.
func TestAcks(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			open, wrong := map[uint64]bool{}, ""
			var acked []uint64
			a := newAcks(func(tag uint64, multiple bool) {
				if !open[tag] {
					wrong = fmt.Sprintf("tag %d is not known any more", tag)
				}
				for at := range open {
					if at == tag || multiple && at < tag {
						acked = append(acked, at)
						delete(open, at)
					}
				}
			})
			var order, want []uint64
			for tag := uint64(1); tag <= 500; tag++ {
				open[tag] = true
				order = append(order, tag)
			}
			for i := range order { // nearly in order, with some far off
				if j := i + random.IntN(1+int(seed%8)); j < len(order) {
					order[i], order[j] = order[j], order[i]
				}
			}
			for _, tag := range order {
				if random.IntN(20) == 0 {
					a.mu.Lock()
					delete(open, tag)
					a.mu.Unlock()
					a.refused(tag)
					continue
				}
				want = append(want, tag)
				a.take(tag)
				if random.IntN(100) == 0 {
					time.Sleep(acksWait + 1)
				}
			}
			time.Sleep(2 * acksWait)
			synctest.Wait()
			slices.Sort(acked)
			slices.Sort(want)
			if wrong != "" || !slices.Equal(acked, want) {
				t.Fatalf("seed %d: %s; acknowledged %d, taken %d", seed, wrong, len(acked), len(want))
			}
		})
	}
}

// TestAcksTogether: those that are done in order share an ack, and a slow one holds
// none of the others back.
func TestAcksTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		a := newAcks(func(tag uint64, multiple bool) { sent = append(sent, fmt.Sprint(tag, multiple)) })
		for tag := uint64(1); tag <= acksMost; tag++ {
			a.take(tag)
		}
		a.take(acksMost + 2)
		a.take(acksMost + 1)
		time.Sleep(2 * acksWait)
		synctest.Wait()
		if want := []string{"64 true", "66 false", "65 false"}; !slices.Equal(sent, want) {
			t.Errorf("sent %v, want %v", sent, want)
		}
	})
}
