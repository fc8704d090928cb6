package fsm

import "sync"

// minRing is the least number of notices that the ring remembers.
const minRing = 100_000

// A numbering numbers the notices of one component that change an instance:
// 1, 2, 3 … since the start of the runtime. Numbers are given in the same step
// that makes the change visible, so whoever reads that seq is n and then looks
// into a shard finds every change up to n there.
//
// Its ring remembers which instance each of the last notices was about, so that
// a directory that missed some can ask for just those.
type numbering struct {
	mu   sync.Mutex // guards all below
	seq  uint64
	live int
	// ring has the slot of notice n at n % len(ring). It grows to hold as many
	// as there are live instances, and never shrinks.
	ring []*slot
}

// next gives k numbers to a slot and returns the first.
func (n *numbering) next(s *slot, k int) uint64 {
	n.mu.Lock()
	if want := max(minRing, n.live); n.seq+uint64(k) >= uint64(len(n.ring)) && len(n.ring) < want {
		n.grow(want)
	}
	first := n.seq + 1
	for range k {
		n.seq++
		n.ring[n.seq%uint64(len(n.ring))] = s
	}
	n.mu.Unlock()
	return first
}

// grow makes room by half as much again as needed, and puts what the old ring
// holds at its new places.
func (n *numbering) grow(want int) {
	size := max(1024, 2*len(n.ring))
	size = min(size, want+want/2)
	old, ring := n.ring, make([]*slot, size)
	for i := uint64(0); i < uint64(len(old)) && i < n.seq; i++ {
		seq := n.seq - i
		ring[seq%uint64(size)] = old[seq%uint64(len(old))]
	}
	n.ring = ring
}

// count changes the number of live instances.
func (n *numbering) count(d int) {
	n.mu.Lock()
	n.live += d
	n.mu.Unlock()
}

// last returns the highest number given.
func (n *numbering) last() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seq
}
