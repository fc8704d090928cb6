package bridge

import (
	"context"
	"sync/atomic"

	"github.com/fsmesh/fsmesh/mesh"
)

// Bounds by bytes of what others on the broker can have a session hold. Queues are
// bounded where they are: outboxBytes, and those of the brokers.
const (
	// heldBytes is how much is held of the runtimes on the broker, all together:
	// their instances, what was told last of them, their definitions, and answers
	// that are not whole yet.
	heldBytes = 1 << 30
	// commandBytes is how much the bodies of commands have that are not done.
	commandBytes = 64 << 20
)

// A budget is a number of bytes that many share. Nil has no end.
type budget struct {
	most  int64
	used  atomic.Int64
	freed chan struct{} // room for one
}

func newBudget(most int64) *budget { return &budget{most: most, freed: make(chan struct{}, 1)} }

// take reports whether there was room for so many more.
func (b *budget) take(n int) bool {
	if b == nil {
		return true
	}
	for {
		// Never more than there is, not even for a moment: somebody else would be
		// refused what has room, and wait for nothing.
		used := b.used.Load()
		if n > 0 && used+int64(n) > b.most {
			return false
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// give gives back what was taken.
func (b *budget) give(n int) {
	if b == nil {
		return
	}
	b.used.Add(int64(-n))
	b.wake()
}

// wake has one of those who wait look whether there is room.
func (b *budget) wake() {
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// wait takes once there is room, which there is for what is not more than all. It
// reports false if the context ends before.
func (b *budget) wait(ctx context.Context, n int) bool {
	if b.take(n) {
		return true
	}
	for {
		select {
		case <-b.freed:
		case <-ctx.Done():
			return false
		}
		if b.take(n) {
			b.wake() // there may be room for the next as well
			return true
		}
	}
}

// rowOverhead is about what an instance takes beside its texts.
const rowOverhead = 400

// slotBytes is what the place of an instance takes, which is kept for the next.
const slotBytes = 64

// rowBytes is about what an instance takes that is held.
func rowBytes(r *mesh.Row) int {
	return rowOverhead + len(r.ID) + len(r.Machine) + len(r.State) + len(r.Context) + len(r.PublicMember) + len(r.PendingTimeouts) + len(r.Key) + len(r.Parent)
}

// wireBytes is about what an instance takes in an answer.
func wireBytes(r *Row) int {
	return 200 + len(r.ID) + len(r.Machine) + len(r.State) + len(r.Context) + len(r.Pending) + len(r.PublicMember) + len(r.Key) + len(r.Parent)
}

// rowsBytes is about what rows of an answer take that is not whole yet.
func rowsBytes(rows []Row) (n int) {
	for i := range rows {
		n += rowOverhead + wireBytes(&rows[i])
	}
	return n
}
