package ui

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// errGone says that there is no page at an address any more.
var errGone = errors.New("the page is gone")

const (
	// patchEvery is the least time between two patches of a page.
	patchEvery = 100 * time.Millisecond
	// crowd is how many readers of one page have it patched half as often:
	// what each of them costs is writing its patches.
	crowd      = 20
	crowdEvery = 2 * patchEvery
	// quietEvery is how often a page is made although nothing has changed:
	// what it shows of time goes on.
	quietEvery = time.Second
	// renderShare bounds the time that making one page takes, to one part in
	// so many, but for pages that take longer than restAtMost allows for.
	renderShare = 10
	// restAtMost bounds the pause after making a page. Browsers take a stream for
	// dead that says nothing for 5 s.
	restAtMost = 2 * time.Second
	// renderTime bounds making a page once.
	renderTime = 5 * time.Second
	// maxReaders bounds the streams of all pages together, and so the pages
	// that are made. More are refused.
	maxReaders = 1000
	// readerBuffer is how many patches may wait for a reader. One that falls
	// further behind is dropped.
	readerBuffer = 8
)

// A patch is what has changed of a page, as a server-sent event whose data is
// JSON: the parts by id. It is made once for all who read it.
type patch string

// A hub makes the live parts of pages for whoever reads them: each page once,
// in a goroutine of its own that begins with its first reader and ends with
// its last.
type hub struct {
	changed func() <-chan struct{}
	render  func(context.Context, string) ([]part, error)
	logger  *slog.Logger
	ctx     context.Context // of the hub's own life
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards rooms and what is in them, and readers
	rooms   map[string]*room
	readers int
}

// A room is the readers of one page.
type room struct {
	address string
	readers map[*reader]bool
	last    map[string]string // the parts as they were sent
	order   []string
	leave   context.CancelFunc
}

// A reader is one stream. Its channel is closed when it is dropped, when the
// page has gone, or when the hub ends.
type reader struct {
	patches chan patch
	gone    bool // set before the channel is closed
}

func newHub(changed func() <-chan struct{}, render func(context.Context, string) ([]part, error), logger *slog.Logger) *hub {
	ctx, end := context.WithCancel(context.Background())
	return &hub{changed: changed, render: render, logger: logger, ctx: ctx, end: end, rooms: map[string]*room{}}
}

// join adds a reader of the page at an address; its first patch is the whole
// page. ok is false where there are too many, or the hub has ended.
func (h *hub) join(address string) (r *reader, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers >= maxReaders || h.ctx.Err() != nil {
		return nil, false
	}
	h.readers++
	r = &reader{patches: make(chan patch, readerBuffer)}
	at := h.rooms[address]
	if at == nil {
		ctx, leave := context.WithCancel(h.ctx)
		at = &room{address: address, readers: map[*reader]bool{}, leave: leave}
		h.rooms[address] = at
		h.running.Go(func() { h.run(ctx, at) })
	} else if at.last != nil {
		r.patches <- at.whole()
	}
	at.readers[r] = true
	return r, true
}

// leave takes a reader out; its room ends with the last one.
func (h *hub) leave(address string, r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := h.rooms[address]; at != nil && at.readers[r] {
		h.drop(at, r)
	}
}

// drop is called with the lock held.
func (h *hub) drop(at *room, r *reader) {
	delete(at.readers, r)
	close(r.patches)
	h.readers--
	if len(at.readers) == 0 {
		at.leave()
		if h.rooms[at.address] == at {
			delete(h.rooms, at.address)
		}
	}
}

// run makes one page again and again.
func (h *hub) run(ctx context.Context, at *room) {
	var took time.Duration
	for ctx.Err() == nil {
		// Asked for before reading, so that no change is missed.
		changed := h.changed()
		begin := time.Now()
		bounded, cancel := context.WithTimeout(ctx, renderTime)
		parts, err := h.render(bounded, at.address)
		cancel()
		switch {
		case errors.Is(err, errGone):
			h.close(at, true)
			return
		case ctx.Err() != nil:
			return
		case err != nil:
			h.logger.Warn("live page not made", "page", at.address, "err", err)
		default:
			h.send(at, parts)
		}
		// What was slow once may have been held up: what takes long takes long again.
		last := took
		took = time.Since(begin)
		rest := min(renderShare*min(last, took), restAtMost)
		if !wait(ctx, max(h.pause(at), rest), nil) || !wait(ctx, quietEvery, changed) {
			return
		}
	}
}

// pause is the least time until the next patch.
func (h *hub) pause(at *room) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(at.readers) >= crowd {
		return crowdEvery
	}
	return patchEvery
}

// wait waits for a while, or a change. It returns false if the context ends.
func wait(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// send gives the readers what has changed.
func (h *hub) send(at *room, parts []part) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := at.last == nil
	if first {
		at.last = map[string]string{}
	}
	diff := map[string]string{}
	at.order = at.order[:0]
	for _, p := range parts {
		at.order = append(at.order, p.id)
		if was, had := at.last[p.id]; !had || was != p.html {
			diff[p.id], at.last[p.id] = p.html, p.html
		}
	}
	if len(diff) == 0 {
		return
	}
	b := encodePatch(diff)
	for r := range at.readers {
		select {
		case r.patches <- b:
		default:
			h.drop(at, r)
		}
	}
}

// whole is a patch with all parts.
func (at *room) whole() patch {
	all := map[string]string{}
	for _, id := range at.order {
		all[id] = at.last[id]
	}
	return encodePatch(all)
}

// encodePatch writes the event.
func encodePatch(parts map[string]string) patch {
	b, _ := json.Marshal(parts) // strings
	return patch(streamEvent("patch", string(b)))
}

// close drops all readers of a room.
func (h *hub) close(at *room, gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range at.readers {
		r.gone = gone
		h.drop(at, r)
	}
}

// stop ends all streams and waits for what makes pages. It may be called more
// than once.
func (h *hub) stop() {
	h.mu.Lock()
	h.end()
	for _, at := range h.rooms {
		for r := range at.readers {
			h.drop(at, r)
		}
	}
	h.mu.Unlock()
	h.running.Wait()
}
