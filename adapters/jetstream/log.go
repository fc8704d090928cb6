package jetstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/nats-io/nats.go"
)

// A log is one opener of the log of a name: a reader, and its writer if it has
// made the last claim.
type log struct {
	store   *Store
	link    *link
	name    string
	subject string
	id      string
	opened  fsm.Claim // in force when it was opened

	// write is held by whoever moves the position: Restore, Claim, Append. It is
	// taken before mu.
	write   sync.Mutex
	pending *attempt                           // a frame that may be stored; guarded by write
	encoded encoder                            // guarded by write
	waiting atomic.Pointer[context.CancelFunc] // of the answer that is owed

	mu       sync.RWMutex // guards all below; never held while waiting for the server
	index    *index
	restored bool // the index holds all up to at
	at       mark // up to here all is read or was written
	epoch    uint64
	claim    fsm.Claim // the last one read or made
	claimed  uint64    // position of the own claim: nothing is appended before it is read up to there
	closed   bool

	read, toRead atomic.Uint64 // records of a restore, for Progress

	checkpoints checkpointer
	background  context.Context // ends with Close
	cancel      context.CancelFunc
	running     sync.WaitGroup
}

var (
	_ fsm.Checkpointer = (*log)(nil)
	_ fsm.Encoder      = (*log)(nil)
)

func openLog(ctx context.Context, s *Store, name string) (*log, error) {
	l := &log{
		store: s, link: s.link, name: name, subject: subject(logSubjects, name), index: newIndex(),
		encoded: encoder{tails: map[key][]uint64{}},
	}
	// The mark first: the log only grows.
	acked, err := l.readMark(ctx)
	if err != nil {
		return nil, err
	}
	last, err := l.lastFrame(ctx)
	if err != nil {
		return nil, err
	}
	if last.position < acked.position || last.number < acked.frame {
		return nil, l.hit(ctx, l.tailMissing(last.mark(), acked), last)
	}
	l.opened = last.claim
	if l.id, err = l.identity(ctx, last); err != nil {
		return nil, err
	}
	l.background, l.cancel = context.WithCancel(context.Background())
	l.checkpoints.init(l)
	return l, nil
}

func (l *log) tailMissing(end, acked mark) error {
	return &DamageError{
		Name: l.name, First: end.position + 1, Last: acked.position, FirstFrame: end.frame + 1, LastFrame: acked.frame,
		Records: acked.records - min(end.records, acked.records),
		Problem: fmt.Sprintf("the log ends at %d, but %d was acknowledged", end.position, acked.position),
	}
}

// lastFrame returns the last frame of the log without its body; the zero frame
// if there is none.
func (l *log) lastFrame(ctx context.Context) (*frame, error) {
	m, err := l.link.last(ctx, logStream, l.subject)
	if errors.Is(err, errNoMessage) {
		return &frame{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("last frame: %w", err)
	}
	return l.frame(m)
}

func (l *log) frame(m *message) (*frame, error) {
	h, err := parseFrameHeader(l.name, m.header.Get(headerFrame), m.data)
	if format := (*FormatError)(nil); err != nil && !errors.As(err, &format) {
		err = &DamageError{Name: l.name, First: m.position, Last: m.position, Problem: "a frame cannot be read", Err: err}
	}
	if err != nil {
		return nil, err
	}
	return &frame{frameHeader: h, position: m.position, time: m.time.UnixMilli(), packed: m.data}, nil
}

// identity returns the log's id, and makes one for a new log. Frames carry it,
// too, should the message that holds it be lost.
func (l *log) identity(ctx context.Context, last *frame) (string, error) {
	subject := subject(metaSubjects, l.name)
	for {
		m, err := l.link.last(ctx, snapStream, subject)
		if err == nil {
			var meta struct{ ID string }
			if err := json.Unmarshal(m.data, &meta); err == nil && meta.ID != "" {
				return meta.ID, nil
			}
			return cmp.Or(last.log, "damaged"), nil
		}
		if !errors.Is(err, errNoMessage) {
			return "", fmt.Errorf("id of the log: %w", err)
		}
		body, err := json.Marshal(map[string]string{"id": cmp.Or(last.log, rand.Text())})
		if err != nil {
			return "", err
		}
		switch _, err := l.link.put(ctx, &nats.Msg{Subject: subject, Data: body}, 0); {
		case err == nil, errors.Is(err, errMoved):
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			// The server takes nothing for a stream with a file that it
			// cannot make sense of, and says nothing either.
			return "", &DamageError{Name: l.name, Problem: "the stream of its checkpoints takes no messages", Err: err}
		default:
			return "", fmt.Errorf("id of the log: %w", err)
		}
	}
}

func (l *log) ID() string           { return l.id }
func (l *log) LastClaim() fsm.Claim { return l.opened }

// Waits is true: an append takes a sync of the disk.
func (l *log) Waits() bool { return true }

// Borrows is true: of a plain record its bytes and its place are kept.
func (l *log) Borrows() bool { return true }

// Encode appends a record as frames have it, but for its links.
func (l *log) Encode(b []byte, r *fsm.Record) []byte { return appendRecord(b, r, links{}) }

// Progress returns how many records a restore has read, and of how many.
func (l *log) Progress() (done, total uint64) { return l.read.Load(), l.toRead.Load() }

// Close ends the checkpoints. It does not give up the claim.
func (l *log) Close() error {
	l.end()
	l.store.mu.Lock()
	delete(l.store.logs, l)
	l.store.mu.Unlock()
	return nil
}

func (l *log) end() {
	l.checkpoints.last()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

func (l *log) usable(ctx context.Context) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	return context.Cause(ctx)
}

// header is that of the next frame. It is called with l.write held.
func (l *log) header(c fsm.Claim, records int) frameHeader {
	return frameHeader{log: l.id, claim: c, number: l.at.frame + 1, records: l.at.records + uint64(records)}
}

// fenced says who took the log over.
func (l *log) fenced(c fsm.Claim) error {
	if c.Epoch == 0 {
		return &fsm.Error{Code: fsm.CodeFenced, Detail: "the log was not claimed by this opener"}
	}
	return &fsm.Error{Code: fsm.CodeFenced, Detail: fmt.Sprintf("claimed by %s, epoch %d", c.By, c.Epoch)}
}
