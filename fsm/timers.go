package fsm

import (
	"container/heap"
	"sync/atomic"
	"time"
)

// A timerHeap has a shard's instances by the time at which their first timer is
// due. An instance is in it once however many timers it has, and no timer
// costs a goroutine.
type timerHeap struct {
	slots timerSlots
	// wakeAt is when the clock will wake the shard, in ms; 0: not at all.
	wakeAt int64
	stop   atomic.Pointer[func()] // cancels that; also called when the runtime ends
	// firing is, with Ordered, the timer whose consequences others wait for.
	firing *root
	due    bool // some may be due that wait for firing
}

type timerSlots []*slot

func (h timerSlots) Len() int { return len(h) }
func (h timerSlots) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].order < h[j].order
}
func (h timerSlots) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = int32(i), int32(j)
}
func (h *timerSlots) Push(x any) {
	s := x.(*slot)
	s.heapAt = int32(len(*h))
	*h = append(*h, s)
}
func (h *timerSlots) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.heapAt = -1
	return s
}

// maxSleep is how long a shard with timers sleeps at most: the wall clock may
// jump ahead (a machine that was suspended) without waking it.
const maxSleep = time.Second

// arm sees that the shard wakes for the instance's first timer.
func (sh *shard) arm(s *slot, in *Instance) {
	sh.timers.set(s, in)
	sh.timers.sleep(sh)
}

// set puts the instance where its first timer belongs. While a timer of it is
// being handled it has no place.
func (h *timerHeap) set(s *slot, in *Instance) {
	t, ok := in.firstTimer()
	switch {
	case !ok || s.firing:
		if s.heapAt >= 0 {
			heap.Remove(&h.slots, int(s.heapAt))
		}
	case s.heapAt < 0:
		s.due = t.due
		heap.Push(&h.slots, s)
	case s.due != t.due:
		s.due = t.due
		heap.Fix(&h.slots, int(s.heapAt))
	}
}

// sleep has the clock wake the shard when the first timer is due.
func (h *timerHeap) sleep(sh *shard) {
	if len(h.slots) == 0 || sh.rt.phase.now.Load() >= phaseStopping {
		return
	}
	due := h.slots[0].due
	if h.wakeAt != 0 && h.wakeAt <= due {
		return
	}
	h.cancel()
	now := sh.rt.clock.now()
	d := min(time.Duration(due*1e6-now), maxSleep)
	h.wakeAt = min(due, (now+int64(maxSleep))/1e6)
	stop := sh.rt.cfg.Clock.AfterFunc(d, func() {
		if sh.rt.halted.Load() {
			return
		}
		sh.post(item{f: func() {
			h.wakeAt = 0
			h.stop.Store(nil)
			h.fire(sh)
			h.sleep(sh)
		}})
	})
	h.stop.Store(&stop)
}

func (h *timerHeap) cancel() {
	if stop := h.stop.Swap(nil); stop != nil {
		(*stop)()
	}
}

// fire takes out what is due. With Ordered one timer and all that it leads to
// comes before the next.
func (h *timerHeap) fire(sh *shard) {
	h.due = false
	if sh.rt.phase.now.Load() >= phaseStopping {
		// What comes due now fires after the next start. A stop would not end
		// where timers fire all the time.
		return
	}
	now := sh.rt.clock.now() / 1e6
	for len(h.slots) > 0 && h.slots[0].due <= now {
		if h.firing != nil {
			h.due = true
			return
		}
		s := h.slots[0]
		// The committed instance: what is on its way to the store may have other
		// timers, and is asked again when the event is taken.
		t, _ := s.cur.Load().firstTimer()
		s.firing = true
		heap.Remove(&h.slots, 0)
		r := &root{}
		r.add(1)
		if sh.rt.cfg.Ordered && !s.blocked() {
			h.firing = r
		}
		sh.enqueue(&delivery{
			target: s.id, root: r, at: sh.rt.clock.now(), due: t.due,
			given: given{event: t.tr.event, payload: timerPayload(t.tr), timer: t.tr},
		})
	}
}

// next fires the next timer once what the one before led to is complete.
func (h *timerHeap) next(sh *shard) {
	if h.firing != nil && h.firing.pending.Load() == 0 {
		h.firing = nil
		if h.due {
			h.fire(sh)
			h.sleep(sh)
		}
	}
}

var (
	timeoutPayload = Data{[]field{{"reason", "timeout"}}}
	autoPayload    = Data{[]field{{"reason", "auto-transition"}}}
	expiredPayload = Data{[]field{{"reason", "timeout_expired_during_restart"}}}
)

func timerPayload(t *transition) Data {
	if t.kind == trAuto {
		return autoPayload
	}
	return timeoutPayload
}

// timerRuns reports whether the timer of a delivery still runs: its instance
// may have left the state since it fired.
func (sh *shard) timerRuns(in *Instance, d *delivery) bool {
	for _, t := range in.timers {
		if t.tr == d.given.timer && t.due == d.due {
			return true
		}
	}
	return false
}
