package bridge

import (
	"context"
	"errors"
	"sync"
	"time"
)

// An outbox has frames on their way to the broker. It is bounded: what does not
// fit is dropped and counted, so that neither the mesh nor memory depends on the
// broker.
type outbox struct {
	b    *Bridge
	out  Broker
	most int           // how many bytes may wait
	more chan struct{} // room for one
	// told is called when the broker takes frames again after some were lost, or had
	// no room, that nobody will publish anew; missed says that there are such.
	told   func()
	missed bool // of the publishing goroutine
	// freed is for the one who waits for room: some was given back. Room for one.
	freed chan struct{}

	mu    sync.Mutex // guards all below
	queue []Frame
	bytes int
	full  bool // some had no room since all was told anew
	anew  time.Time
}

const (
	// outboxBytes is how much may wait.
	outboxBytes = 64 << 20
	// outboxBatch is how many frames are published at once, and underWay how many
	// such batches may wait for the server to confirm them.
	outboxBatch = 1000
	underWay    = 4
)

func newOutbox(b *Bridge, out Broker, told func()) *outbox {
	return &outbox{b: b, out: out, told: told, most: outboxBytes, more: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
}

// wait returns once there is room for an answer of so many bytes, which there is at
// the latest when nothing else is on its way. It reports false if the context ends
// before. Answers fill no more than half: they can wait, and what is told meanwhile
// cannot. Only one goroutine may wait at a time.
func (o *outbox) wait(ctx context.Context, n int) bool {
	for {
		o.mu.Lock()
		room := o.bytes == 0 || o.bytes+n <= o.most/2
		o.mu.Unlock()
		if room {
			return ctx.Err() == nil
		}
		select {
		case <-o.freed:
		case <-ctx.Done():
			return false
		}
	}
}

func (o *outbox) push(frames ...Frame) {
	o.mu.Lock()
	for _, f := range frames {
		if o.bytes+len(f.Body) > o.most {
			o.b.counts.add(countFull, 1)
			o.full = true
			continue
		}
		o.bytes += len(f.Body) + 64
		o.queue = append(o.queue, f)
	}
	o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue)
}

func (o *outbox) take() []Frame {
	if o.caughtUp() {
		o.told()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.queue), outboxBatch)
	frames := o.queue[:n:n]
	o.queue = o.queue[n:]
	if len(o.queue) == 0 {
		o.queue = nil
	}
	return frames
}

// anewEvery is how often all is told anew at most, as some had no room: all may be
// more than there is room for.
const anewEvery = time.Minute

// caughtUp reports, once, that all was taken that had room, after some had none.
func (o *outbox) caughtUp() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.full || len(o.queue) > 0 || time.Since(o.anew) < anewEvery {
		return false
	}
	o.full, o.anew = false, time.Now()
	return true
}

func (o *outbox) taken(frames []Frame) {
	o.mu.Lock()
	for _, f := range frames {
		o.bytes -= len(f.Body) + 64
	}
	o.mu.Unlock()
	select {
	case o.freed <- struct{}{}:
	default:
	}
}

// run publishes until the context ends, then for a moment what is left.
func (o *outbox) run(ctx context.Context) {
	if sender, ok := o.out.(Sender); ok {
		o.overlap(ctx, sender)
	}
	for ctx.Err() == nil {
		frames := o.take()
		if len(frames) == 0 {
			select {
			case <-o.more:
			case <-ctx.Done():
			}
			continue
		}
		o.publish(ctx, frames)
	}
	last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for last.Err() == nil {
		frames := o.take()
		if len(frames) == 0 {
			return
		}
		if o.publish(last, frames); o.waiting() > 0 && last.Err() != nil {
			return
		}
	}
}

// A sent batch waits for the server to confirm it.
type sentBatch struct {
	frames []Frame // those that are not confirmed, once done is closed
	done   chan struct{}
	err    error // once done is closed
}

// overlap publishes with several batches under way, until the context ends: server
// and bridge would else wait for each other in turns.
func (o *outbox) overlap(ctx context.Context, sender Sender) {
	var sent []*sentBatch // the oldest first
	for ctx.Err() == nil {
		var oldest <-chan struct{}
		more := o.more
		if len(sent) > 0 {
			oldest = sent[0].done
		}
		if len(sent) == underWay {
			more = nil
		} else if frames := o.take(); len(frames) > 0 {
			sent = append(sent, o.send(ctx, sender, frames))
			continue
		}
		select {
		case <-oldest:
			if sent[0].err != nil {
				o.again(ctx, sent)
				sent = nil
				continue
			}
			sent = sent[1:]
		case <-more:
		case <-ctx.Done():
		}
	}
	// The session is over, and it ends the waiting too; what the server has not
	// confirmed by then is tried for the last time.
	last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	o.again(last, sent)
}

// send has a batch on its way.
func (o *outbox) send(ctx context.Context, sender Sender, frames []Frame) *sentBatch {
	s := &sentBatch{frames: frames, done: make(chan struct{})}
	wait := sender.Send(ctx, frames)
	go func() {
		defer close(s.done)
		n, err := wait(ctx)
		o.b.counts.add(countPublished, n)
		o.taken(frames[:n])
		s.frames, s.err = frames[n:], err
	}()
	return s
}

// again publishes what of some batches was not confirmed, in the order in which it
// came: what of it has arrived nevertheless is known by its id.
func (o *outbox) again(ctx context.Context, sent []*sentBatch) {
	for _, s := range sent {
		<-s.done
	}
	for _, s := range sent {
		if len(s.frames) > 0 {
			o.publish(ctx, s.frames)
		}
	}
}

// publish publishes frames. Where the broker keeps what it takes they are tried
// until it has them; else those that could not be sent are lost, as for everybody
// else who was not connected.
func (o *outbox) publish(ctx context.Context, frames []Frame) {
	defer o.taken(frames)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		n, err := o.out.Publish(ctx, frames)
		o.b.counts.add(countPublished, n)
		frames = frames[n:]
		if err == nil {
			if o.missed {
				o.missed = false
				o.told()
			}
			return
		}
		if !o.out.Guarantees().Confirmed {
			o.b.counts.add(countAway, len(frames))
			o.missed = true
			if errors.Is(err, ErrNotSent) {
				pause(ctx, 20*time.Millisecond)
			}
			return
		}
		if !pause(ctx, wait) {
			o.b.counts.add(countAway, len(frames))
			return
		}
	}
}

// pause waits, and reports whether it did so to the end.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
