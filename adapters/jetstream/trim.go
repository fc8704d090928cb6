package jetstream

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// trimAfter is how long no history is read before memory is given back. The
	// server keeps the blocks that it has read for 10 s.
	trimAfter = 15 * time.Second
	// trimFrames is how many frames have to be read for that to be worth a
	// collection: each may have had the server read a block of 8 MB.
	trimFrames = 1000
)

// A trimmer gives memory back to the system after many histories were read. With
// little going on the collector comes late, and what it frees then stays with the
// process up to its goal, which is a multiple of what is alive. It may be used by
// any goroutine.
type trimmer struct {
	after  time.Duration
	frames int64
	free   func()

	read atomic.Int64 // frames since the last time
	last atomic.Int64 // when one was read, ns

	mu     sync.Mutex  // guards all below
	timer  *time.Timer // nil: none is set
	closed bool
}

func newTrimmer() *trimmer {
	return &trimmer{after: trimAfter, frames: trimFrames, free: debug.FreeOSMemory}
}

// note counts a frame that was read for a history.
func (t *trimmer) note() {
	t.last.Store(time.Now().UnixNano())
	if t.read.Add(1) == t.frames {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.timer == nil && !t.closed {
			t.timer = time.AfterFunc(t.after, t.look)
		}
	}
}

// look gives memory back if nothing was read for long enough, and looks again
// otherwise.
func (t *trimmer) look() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	if quiet := time.Since(time.Unix(0, t.last.Load())); quiet < t.after {
		t.timer.Reset(t.after - quiet)
		t.mu.Unlock()
		return
	}
	t.timer = nil
	t.read.Store(0)
	t.mu.Unlock()
	t.free()
}

func (t *trimmer) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
}
