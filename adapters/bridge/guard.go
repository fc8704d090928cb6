package bridge

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A guard knows what this bridge has published by its mark, and what it has seen, so
// that nothing goes round or comes twice.
type guard struct {
	me     string
	mark   []byte // how a body of this bridge says so
	counts *counts
	// Bounds: equalMost, seenMost and seenEver.
	equal, most, ever int

	mu   sync.Mutex             // guards all below
	seen [2]map[string]struct{} // ids, in two generations
	turn time.Time
	// arrivals counts equal bodies without an id, within equalFor.
	arrivals map[[32]byte][]time.Time
	counted  int // of them
	swept    time.Time
}

const (
	// equalFor is how long equal bodies without an id are counted.
	equalFor = 10 * time.Second
	// equalMost is how many are: beyond that it begins anew, which is counted.
	equalMost = 100_000
	// seenFor is how long an id is known, if there are no more than seenMost: for more
	// than seenLeast in any case, but where there would be more than seenEver. What is
	// forgotten before is counted.
	seenFor   = 5 * time.Minute
	seenLeast = equalFor
	seenMost  = 200_000
	seenEver  = 1_000_000
)

func newGuard(me string, c *counts) *guard {
	return &guard{
		me: me, counts: c, equal: equalMost, most: seenMost, ever: seenEver, mark: []byte(`"origin":"` + me + `"`), arrivals: map[[32]byte][]time.Time{},
		seen: [2]map[string]struct{}{{}, {}},
	}
}

// echo reports whether a body, as it came, is one that this bridge published: the
// many that come back are told by that without being read. What holds such a body
// within another is none: after the mark of a body itself there are no objects,
// and only the brace that ends it.
func (g *guard) echo(body []byte) bool {
	i := bytes.LastIndex(body, g.mark)
	return i >= 0 && flat(body[i:])
}

// flat reports whether the rest of an object has no objects in it.
func flat(rest []byte) bool {
	return bytes.IndexByte(rest, '{') < 0 && bytes.IndexByte(rest, '}') == len(rest)-1
}

// copied reports whether a body, as it came, says that it came in the documented
// dialect as well.
func copied(body []byte) bool {
	i := bytes.LastIndex(body, []byte(`,"copy":true`))
	return i >= 0 && flat(body[i:])
}

// arrival counts a body without an id: the first within 10 s is 1.
func (g *guard) arrival(body []byte, now time.Time) (hash [32]byte, nth int) {
	h := sha256.Sum256(body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	if g.counted++; g.counted > g.equal {
		g.counts.add(countForgotten, g.equal)
		g.arrivals, g.counted = map[[32]byte][]time.Time{}, 1
	}
	times := append(recent(g.arrivals[h], now), now)
	g.arrivals[h] = times
	return h, len(times)
}

// again reports whether an id was seen before, and notes it.
func (g *guard) again(id string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	// The older generation is from before the younger began.
	age := now.Sub(g.turn)
	if len(g.seen[0]) >= g.ever/2 || len(g.seen[0]) >= g.most/2 && age > seenLeast || age > seenFor {
		if age <= seenLeast {
			g.counts.add(countForgotten, len(g.seen[1]))
		}
		g.seen[0], g.seen[1], g.turn = map[string]struct{}{}, g.seen[0], now
	}
	_, young := g.seen[0][id]
	_, old := g.seen[1][id]
	g.seen[0][id] = struct{}{}
	return young || old
}

// forget takes an id back: what it stood for is to come again.
func (g *guard) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seen[0], id)
	delete(g.seen[1], id)
}

// sweep drops what is older than 10 s, now and then.
func (g *guard) sweep(now time.Time) {
	if now.Sub(g.swept) < equalFor {
		return
	}
	g.swept = now
	g.counted = 0
	for h, times := range g.arrivals {
		if times = recent(times, now); len(times) == 0 {
			delete(g.arrivals, h)
		} else {
			g.arrivals[h] = times
			g.counted += len(times)
		}
	}
}

func recent(times []time.Time, now time.Time) []time.Time {
	for len(times) > 0 && now.Sub(times[0]) > equalFor {
		times = times[1:]
	}
	return times
}

// newID makes an id of a message: it has to be new, not hard to guess.
func newID() string { return string(appendID(nil)) }

// appendID writes a new id.
func appendID(w []byte) []byte {
	var id uuid.UUID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4
	for i, c := range id {
		switch i {
		case 4, 6, 8, 10:
			w = append(w, '-')
		}
		w = append(w, hexDigits[c>>4], hexDigits[c&15])
	}
	return w
}

const hexDigits = "0123456789abcdef"
