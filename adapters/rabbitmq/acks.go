package rabbitmq

import (
	"sync"
	"time"
)

const (
	// acksMost is how many messages are acknowledged at once, acksWait how long
	// one that is done may wait for others: what is not acknowledged when the
	// connection breaks comes again.
	acksMost = 64
	acksWait = 2 * time.Millisecond
)

// acks acknowledges the messages of one channel. Those that are done in the order
// in which they came are acknowledged together: with one frame for each, the acks
// would cost as much as the messages. One that is done before an earlier one is
// acknowledged by itself, at once, so that a slow message holds back nobody else.
// Its methods may be called from any goroutine.
type acks struct {
	ack func(tag uint64, multiple bool)

	mu      sync.Mutex          // guards all below, held while acks are sent
	next    uint64              // the earliest that is not done
	done    map[uint64]struct{} // later ones that are
	last    uint64              // the last of those that wait for their ack
	waiting int
}

// newAcks begins with the first tag of a channel.
func newAcks(ack func(tag uint64, multiple bool)) *acks {
	return &acks{ack: ack, next: 1, done: map[uint64]struct{}{}}
}

// take acknowledges a message, soon.
func (a *acks) take(tag uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if tag != a.next {
		a.done[tag] = struct{}{}
		a.ack(tag, false)
		return
	}
	a.last = tag
	a.waiting++
	a.advance()
	switch a.waiting {
	case acksMost:
		a.send()
	case 1:
		time.AfterFunc(acksWait, a.flush)
	}
}

// refused notes that a message was settled otherwise than by an ack.
func (a *acks) refused(tag uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if tag == a.next {
		a.advance()
	} else {
		a.done[tag] = struct{}{}
	}
}

// advance goes on to the next that is not done. The caller holds mu.
func (a *acks) advance() {
	for a.next++; ; a.next++ {
		if _, done := a.done[a.next]; !done {
			return
		}
		delete(a.done, a.next)
	}
}

// flush sends what waits.
func (a *acks) flush() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.send()
}

// send acknowledges up to the last. The caller holds mu. All before it are done, and
// it is not yet acknowledged itself: the server closes the channel for a tag that
// it does not know any more.
func (a *acks) send() {
	if a.waiting > 0 {
		a.ack(a.last, a.waiting > 1)
		a.waiting = 0
	}
}
