package fsm

import (
	"crypto/sha256"
	"slices"
)

// maxSeen is how many events with an id an instance remembers.
const maxSeen = 64

// seenEvents are the ids of the last events that an instance accepted, as
// hashes, with the outcome of each. Only instances that are sent ids have one.
type seenEvents struct {
	ring []SeenEvent
	next int // the oldest, once the ring is full
	// open is one of the batch that is not stored yet.
	open *SeenEvent
}

func eventHash(id string) (h [16]byte) {
	sum := sha256.Sum256([]byte(id))
	copy(h[:], sum[:])
	return h
}

// expect notes an event of the open batch: a snapshot in it holds its id, too.
func (s *slot) expect(e SeenEvent) {
	if s.seen == nil {
		s.seen = &seenEvents{}
	}
	s.seen.open = &e
}

func (s *slot) remember(e SeenEvent) {
	if s.seen == nil {
		s.seen = &seenEvents{}
	}
	if len(s.seen.ring) < maxSeen {
		s.seen.ring = append(s.seen.ring, e)
		return
	}
	s.seen.ring[s.seen.next] = e
	s.seen.next = (s.seen.next + 1) % maxSeen
}

// repeated returns the first outcome of an event that was accepted before.
func (s *slot) repeated(id string) (Result, bool) {
	if s.seen == nil {
		return Result{}, false
	}
	h := eventHash(id)
	for _, e := range s.seen.ring {
		if e.Hash == h {
			r := Result{Repeated: true, Record: RecordID{s.id, e.Version}, Version: e.Version, State: e.State, Seq: s.cur.Load().seq}
			if in := s.cur.Load(); in.version == e.Version {
				r.Instance = in
			}
			return r, true
		}
	}
	return Result{}, false
}

// seenList returns what is remembered, oldest first, with what is about to be.
func (s *slot) seenList(open bool) []SeenEvent {
	if s.seen == nil {
		return nil
	}
	out := append(append([]SeenEvent(nil), s.seen.ring[s.seen.next:]...), s.seen.ring[:s.seen.next]...)
	if open && s.seen.open != nil {
		out = append(out, *s.seen.open)
	}
	return out
}

// rememberAll takes what a snapshot remembers. The list stays the store's.
func (s *slot) rememberAll(list []SeenEvent) {
	if len(list) > 0 {
		s.seen = &seenEvents{ring: slices.Clone(list[max(0, len(list)-maxSeen):])}
	}
}
