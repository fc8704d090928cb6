package fsm

import (
	"context"
	"sync/atomic"
)

// A root is one thing that came from outside, a call or a timer, and stands for
// all that it leads to in this runtime.
type root struct {
	// pending counts what has not been handled: raised where something is
	// made, lowered after its commit and notices.
	pending atomic.Int64
	events  atomic.Int64
	done    chan struct{} // closed when pending gets to 0; nil if nobody waits
}

func (r *root) add(n int) { r.pending.Add(int64(n)) }

func (r *root) finish() {
	if r.pending.Add(-1) == 0 && r.done != nil {
		close(r.done)
	}
}

type deliveryKind uint8

const (
	deliverEvent deliveryKind = iota
	deliverCreate
)

// A delivery is one thing that a shard is to do: take an event to an instance,
// or create one.
type delivery struct {
	kind   deliveryKind
	target string
	given  given
	root   *root
	at     int64 // when it was accepted, ns

	// What came from outside.
	waiter    *waiter
	eventID   string
	version   uint64 // IfVersion
	versioned bool
	chain     []string // instances whose hooks wait for this

	// What a transition led to.
	cause    RecordID
	effect   EffectID
	isEffect bool
	remote   *RemoteID    // it came from another runtime
	sender   *undelivered // who is told if there is nobody to take it
	joined   bool         // its cause is in the same batch

	// A timer that fired, and when it was due.
	due int64

	// A creation.
	machine *machine
	state   *state
	data    Data
	origin  *origin
	keyed   bool // its key is reserved

	queue     *rootQueue // the one that it was taken from, with Ordered
	attempts  int
	completed bool
	flight    *flight // the memory that it is in, if that is used again
}

// An undelivered names the hook that is told that its event found nobody.
type undelivered struct {
	source *Instance
	hook   HookPoint
	method string
}

// A waiter is where a caller waits for its answer, or for the end of the runtime.
type waiter struct {
	answer chan answer
	dead   chan struct{}
}

type answer struct {
	result Result
	err    error
}

// reply answers the caller, if there is one. It never blocks: a delivery is
// answered once, and the channel has room for that.
func (d *delivery) reply(r Result, err error) {
	if w := d.waiter; w != nil {
		d.waiter = nil
		w.answer <- answer{r, err}
	}
}

// wait waits for the answer. When the caller's context ends first, what it
// asked for may still happen.
func (rt *Runtime) wait(ctx context.Context, w *waiter) (Result, error) {
	select {
	case a := <-w.answer:
		rt.waiters.Put(w)
		return a.result, a.err
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	case <-w.dead:
		select {
		case a := <-w.answer: // it may have come at the same time
			return a.result, a.err
		default:
			return Result{}, rt.notRunning()
		}
	}
}
