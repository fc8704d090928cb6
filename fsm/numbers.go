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
	// ring has the id of the instance of notice n at n % len(ring). It holds as
	// many as there are live instances, and minRing at least. Ids, not slots: it
	// must not keep what has ended.
	ring []string
}

// next gives k numbers to a slot and returns the first.
func (n *numbering) next(s *slot, k int) uint64 {
	n.mu.Lock()
	switch want := max(minRing, n.live); {
	case n.seq+uint64(k) >= uint64(len(n.ring)) && len(n.ring) < want:
		n.resize(min(max(1024, 2*len(n.ring)), want+want/2))
	case len(n.ring) > 2*want:
		n.resize(want + want/2)
	}
	first := n.seq + 1
	for range k {
		n.seq++
		n.ring[n.seq%uint64(len(n.ring))] = s.id
	}
	n.mu.Unlock()
	return first
}

// resize puts what the ring holds, as far as it fits, into one of another size.
func (n *numbering) resize(size int) {
	old, ring := n.ring, make([]string, size)
	for i := uint64(0); i < uint64(min(len(old), size)) && i < n.seq; i++ {
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
