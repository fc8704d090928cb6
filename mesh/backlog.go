package mesh

import (
	"context"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
)

// What waits for a view's directory is bounded in number and in bytes. More is
// lost, missed, and asked for.
const (
	viewBuffer = 10_000
	viewBytes  = pendingBytes
	// viewIntake is how many messages may be between the connection and the
	// backlog, which never waits.
	viewIntake = 1024
	// perMessage is about what a waiting message takes beside its body.
	perMessage = 256
)

// A backlog is the messages that wait for a directory, in the order in which they
// came.
type backlog struct {
	in     chan *nats.Msg // filled by the connection
	ready  chan struct{}  // has one in it while something waits
	logger *slog.Logger

	mu      sync.Mutex // guards all below
	waiting []*nats.Msg
	bytes   int
	full    bool // something was left out since it was last empty
	dropped uint64
}

func newBacklog(logger *slog.Logger) *backlog {
	return &backlog{in: make(chan *nats.Msg, viewIntake), ready: make(chan struct{}, 1), logger: logger}
}

// fill takes what comes until the context ends.
func (b *backlog) fill(ctx context.Context) {
	for {
		select {
		case m := <-b.in:
			b.put(m)
		case <-ctx.Done():
			return
		}
	}
}

func size(m *nats.Msg) int { return len(m.Subject) + len(m.Reply) + len(m.Data) + perMessage }

func (b *backlog) put(m *nats.Msg) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) >= viewBuffer || b.bytes+size(m) > viewBytes && len(b.waiting) > 0 {
		if b.dropped++; !b.full {
			b.full = true
			b.logger.Warn("mesh: more comes than a view takes in; messages are left out", "waiting", len(b.waiting), "bytes", b.bytes)
		}
		return
	}
	b.waiting = append(b.waiting, m)
	b.bytes += size(m)
	b.signal()
}

func (b *backlog) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take returns what has waited for longest, nil if nothing does.
func (b *backlog) take() *nats.Msg {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return nil
	}
	m := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	b.bytes -= size(m)
	if len(b.waiting) > 0 {
		b.signal()
	} else {
		b.waiting, b.full = nil, false
	}
	return m
}

func (b *backlog) lost() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
