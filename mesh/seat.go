package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// A Seat is a role that one of those on a mesh who want it holds, while the
// others stand by: a bridge to a broker, for example. Who holds it says so twice
// a second. When nothing was heard of a holder for 2.5 s, or it has left, the
// one of those who wait with the lowest id takes the seat.
//
// It is as exact as the mesh: where the mesh is cut in two, each side has a
// holder, and when it is joined again the later one gives way. So what is done
// in it must bear being done twice for a moment.
type Seat struct {
	bus    *Bus
	logger *slog.Logger
	id     string
	sub    *nats.Subscription
	cancel context.CancelFunc
	done   chan struct{}
	role   string

	mu      sync.Mutex // guards all below
	held    bool
	since   int64 // when it was taken, Unix ns
	changed chan struct{}
}

// A seatMessage is what candidates tell each other.
type seatMessage struct {
	ID string `json:"id"`
	// Holds says that the sender holds the seat, Since when it took it.
	Holds bool  `json:"holds,omitempty"`
	Since int64 `json:"since,omitempty"`
	// Left says that the sender has gone.
	Left bool `json:"left,omitempty"`
}

func (*seatMessage) message() {}

// What a seat goes by.
const (
	seatBeat   = 500 * time.Millisecond
	seatSilent = 2500 * time.Millisecond
	// seatFirst is how long a candidate listens before it takes a seat that
	// nobody seems to have.
	seatFirst = 700 * time.Millisecond
)

// Stand makes a candidate for a role, any text. The context bounds the start
// only; Leave ends it.
func (b *Bus) Stand(ctx context.Context, role string) (*Seat, error) {
	s := &Seat{
		bus: b, logger: b.logger, id: uuid.NewString(), role: role, done: make(chan struct{}), changed: make(chan struct{}),
	}
	in := make(chan *nats.Msg, 1000)
	var err error
	if s.sub, err = b.nc.ChanSubscribe(s.subject(), in); err == nil {
		err = b.flush(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("stand for %s: %w", role, err)
	}
	run, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.run(run, in)
	return s, nil
}

func (s *Seat) subject() string { return s.bus.subjects.on("seat", s.role) }

// Held reports whether this candidate holds the seat. The channel is closed when
// that changes.
func (s *Seat) Held() (held bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, s.changed
}

// Leave gives the seat up, if it is held, and ends the candidacy. It may be
// called more than once.
func (s *Seat) Leave() {
	s.cancel()
	<-s.done
}

func (s *Seat) say(m seatMessage) {
	m.ID = s.id
	b, err := json.Marshal(m)
	if err == nil {
		err = s.bus.nc.Publish(s.subject(), b)
	}
	if err != nil {
		s.logger.Debug("mesh: seat", "role", s.role, "err", err)
	}
}

func (s *Seat) turn(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == held {
		return
	}
	s.held, s.since = held, time.Now().UnixNano()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Seat) run(ctx context.Context, in <-chan *nats.Msg) {
	defer close(s.done)
	tick := time.NewTicker(seatBeat - rand.N(seatBeat/10))
	defer tick.Stop()
	r := rivals{me: s.id, waiting: map[string]time.Time{}, from: time.Now().Add(seatFirst)}
	tell := func() {
		held, _ := s.Held()
		s.say(seatMessage{Holds: held, Since: s.since})
	}
	tell()
	for {
		select {
		case m := <-in:
			var other seatMessage
			if Decode(m.Data, &other) != nil || other.ID == s.id || other.ID == "" {
				continue
			}
			held, _ := s.Held()
			if r.hear(&other, time.Now()) && held && (other.Since < s.since || other.Since == s.since && other.ID < s.id) {
				s.turn(false)
			}
			if held && !other.Holds && !other.Left {
				tell() // who waits learns at once
			}
		case <-tick.C:
			if held, _ := s.Held(); !held && r.mine(time.Now()) {
				s.turn(true)
			}
			tell()
		case <-ctx.Done():
			_ = s.sub.Unsubscribe() // the connection may be gone
			s.turn(false)
			s.say(seatMessage{Left: true})
			return
		}
	}
}

// rivals is what a candidate knows of the others.
type rivals struct {
	me      string
	from    time.Time // not before
	holder  string
	heard   time.Time
	waiting map[string]time.Time
}

// hear takes in what another said, and reports whether it holds the seat.
func (r *rivals) hear(m *seatMessage, now time.Time) bool {
	delete(r.waiting, m.ID)
	switch {
	case m.Holds:
		r.holder, r.heard = m.ID, now
		return true
	case r.holder == m.ID:
		r.holder = "" // it gave way, or has left
	}
	if !m.Left && len(r.waiting) < 10_000 {
		r.waiting[m.ID] = now
	}
	return false
}

// mine reports whether the seat is to be taken.
func (r *rivals) mine(now time.Time) bool {
	if now.Before(r.from) || r.holder != "" && now.Sub(r.heard) < seatSilent {
		return false
	}
	for id, heard := range r.waiting {
		if now.Sub(heard) >= seatSilent {
			delete(r.waiting, id)
		} else if id < r.me {
			return false
		}
	}
	return true
}
