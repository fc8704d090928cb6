package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A hub listens to the notices of the mesh once, however many read the stream,
// and remembers the last ones. Readers have no queues of their own: each reads
// from where it is. Who is too slow finds that what it wanted has gone, and is
// told.
type hub struct {
	id     string // new at every start, part of event ids
	cancel context.CancelFunc
	wg     sync.WaitGroup
	most   int
	done   chan struct{} // closed when nothing comes any more

	mu      sync.Mutex // guards all below
	entries []entry
	first   uint64 // number of entries[0]; the next one's if there are none
	bytes   int
	more    chan struct{} // closed at the next entry, then replaced
	gaps    gaps
	readers int
}

// An entry is something that readers are told.
type entry struct {
	event                        string
	component, machine, instance string
	data                         []byte
	all                          bool // whatever a reader has asked for
}

// maxHubBytes bounds the memory of what is remembered.
const maxHubBytes = 32 << 20

func newHub(ctx context.Context, from Notices, most int) (*hub, error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	seq, err := from.Notices(run, "")
	if err != nil {
		cancel()
		return nil, err
	}
	h := &hub{id: uuid.NewString()[:8], cancel: cancel, most: most, done: make(chan struct{}), first: 1, more: make(chan struct{}), gaps: gaps{of: map[string]*runtimeGaps{}}}
	h.wg.Go(func() {
		defer cancel()
		defer close(h.done)
		for told, err := range seq {
			if err != nil {
				h.lost(err)
				continue
			}
			h.take(&told, time.Now())
		}
	})
	h.wg.Go(func() {
		tick := time.NewTicker(gapAge / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.mu.Lock()
				if n := h.gaps.sweep(time.Now()); n > 0 {
					h.missed(n, "some notices did not get here")
				}
				h.mu.Unlock()
			case <-run.Done():
				return
			}
		}
	})
	return h, nil
}

func (h *hub) close() {
	h.cancel()
	h.wg.Wait()
}

// take remembers a notice.
func (h *hub) take(t *mesh.Told, now time.Time) {
	b, err := encode(noticeOf(t))
	if err != nil {
		h.lost(err) // a context that is no JSON: it comes from outside
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.Kind.Numbered() && t.Seq > 0 {
		if n := h.gaps.saw(t.RuntimeID, t.Seq, now); n > 0 {
			h.missed(n, "some notices did not get here")
		}
	}
	h.add(entry{event: string(t.Kind), component: t.Component, machine: t.Machine, instance: t.Instance, data: b})
}

// lost tells all readers that something was left out.
func (h *hub) lost(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e, ok := errors.AsType[*fsm.Error](err); ok && e.Code == fsm.CodeLagged {
		h.missed(uint64(max(0, e.Count)), "the server was too slow for the mesh")
		return
	}
	h.missed(1, "a message could not be read")
}

// missed tells it; the caller holds the lock.
func (h *hub) missed(n uint64, reason string) {
	h.add(entry{event: missedEvent, data: missedData(n, reason), all: true})
}

// missedEvent is the event that says that others were left out.
const missedEvent = "missed"

// missedData says how many were left out, 0 where that is not known.
func missedData(n uint64, reason string) []byte {
	v := map[string]any{"count": nil, "reason": reason}
	if n > 0 {
		v["count"] = n
	}
	b, _ := json.Marshal(v) // a number and a text
	return b
}

// add remembers an entry and wakes readers; the caller holds the lock.
func (h *hub) add(e entry) {
	h.entries = append(h.entries, e)
	h.bytes += len(e.data)
	for len(h.entries) > h.most || h.bytes > maxHubBytes && len(h.entries) > 1 {
		h.bytes -= len(h.entries[0].data)
		h.entries[0] = entry{}
		h.entries = h.entries[1:]
		h.first++
	}
	close(h.more)
	h.more = make(chan struct{})
}

// last is the number of the last entry.
func (h *hub) last() uint64 { return h.first + uint64(len(h.entries)) - 1 }

// readPiece is how many entries a reader takes at a time.
const readPiece = 256

// read returns what comes after a number: entries, of which the last has the
// number upTo; how many have gone that would have come before; and a channel
// that is closed when there is more.
func (h *hub) read(after uint64) (some []entry, upTo, gone uint64, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after+1 < h.first {
		gone = h.first - 1 - after
		after = h.first - 1
	}
	some = append(some, h.entries[after+1-h.first:]...)
	if len(some) > readPiece {
		some = some[:readPiece]
	}
	return some, after + uint64(len(some)), gone, h.more
}

// eventID is what a reader gives back as Last-Event-ID.
func (h *hub) eventID(n uint64) string { return h.id + "-" + strconv.FormatUint(n, 10) }

// resume returns where to go on for a reader that has seen an event. missed is
// why something may be missing, "" if nothing is.
func (h *hub) resume(last string) (after uint64, missed string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last == "" {
		return h.last(), ""
	}
	id, number, ok := strings.Cut(last, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	switch {
	case !ok || err != nil || id != h.id:
		return h.last(), fmt.Sprintf("%.40q is no event of this run of the server", last)
	case n > h.last():
		return h.last(), fmt.Sprintf("event %d has not been yet", n)
	}
	return n, "" // what has gone meanwhile is counted by read
}

// join counts a reader, unless there are most already.
func (h *hub) join(most int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers >= most {
		return false
	}
	h.readers++
	return true
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers--
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.readers
}
