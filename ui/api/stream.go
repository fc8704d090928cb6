package api

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// streamKinds are what ?kind= takes.
var streamKinds = []string{
	string(mesh.KindCreated), string(mesh.KindStateChange), string(mesh.KindCompleted), string(mesh.KindQuarantined),
	string(mesh.KindIgnored), string(mesh.KindHookError), string(mesh.KindDeadLetter), string(mesh.KindFenced),
}

// A stream is one reader of the hub.
type stream struct {
	component, machine, instance, kind string

	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	buf     bytes.Buffer
}

func (s *stream) wants(e *entry) bool {
	return e.all || (s.component == "" || s.component == e.component) && (s.machine == "" || s.machine == e.machine) &&
		(s.instance == "" || s.instance == e.instance) && (s.kind == "" || s.kind == e.event)
}

// getStream writes notices as server-sent events until the reader goes.
func (a *API) getStream(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	s := &stream{
		component: q.text("component"), machine: q.text("machine"), instance: q.text("instance"), kind: q.text("kind"),
		w: w, control: http.NewResponseController(w), timeout: a.c.WriteTimeout,
	}
	if s.kind != "" && !slices.Contains(streamKinds, s.kind) {
		return wrong(CodeBadParameter, "kind is %q%s", s.kind, suggest(s.kind, streamKinds))
	}
	if !a.hub.join(a.c.Streams) {
		return wrong(fsm.CodeOverloaded, "%d streams are open, more are not allowed", a.c.Streams)
	}
	defer a.hub.leave()
	after, missed := a.hub.resume(r.Header.Get("Last-Event-ID"))
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies would hold it back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	s.buf.WriteString("retry: 2000\n")
	if missed != "" {
		s.frame(a.hub.eventID(after), missedEvent, missedData(0, missed))
	} else {
		s.alive(a.hub.eventID(after))
	}
	a.follow(r, s, after)
	return nil
}

// follow writes until the reader goes, is too slow, or the hub ends.
func (a *API) follow(r *http.Request, s *stream, after uint64) {
	alive := time.NewTicker(a.c.KeepAlive)
	defer alive.Stop()
	for {
		some, upTo, gone, more := a.hub.read(after)
		if gone > 0 {
			s.frame(a.hub.eventID(upTo-uint64(len(some))), missedEvent, missedData(gone, "they are not remembered any more"))
		}
		for i := range some {
			if s.wants(&some[i]) {
				s.frame(a.hub.eventID(upTo-uint64(len(some)-1-i)), some[i].event, some[i].data)
			}
		}
		after = upTo
		if s.flush() != nil {
			return
		}
		if len(some) == readPiece {
			continue
		}
		select {
		case <-more:
		case <-alive.C:
			s.alive(a.hub.eventID(after))
		case <-a.hub.done:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// alive writes a comment, so that proxies and readers see that there is
// somebody, and an id without an event: a reader that has asked for little need
// not come back to where it began.
func (s *stream) alive(id string) {
	s.buf.WriteString(": alive\nid: " + id + "\n\n")
}

// frame writes one event. Whatever is in the data, each of its lines is a data
// line: nothing in it can end the event or forge another.
func (s *stream) frame(id, event string, data []byte) {
	s.buf.WriteString("id: " + oneLine(id) + "\nevent: " + oneLine(event) + "\n")
	for line := range lines(data) {
		s.buf.WriteString("data: ")
		s.buf.Write(line)
		s.buf.WriteByte('\n')
	}
	s.buf.WriteByte('\n')
}

// lines yields the lines of a text, which end at \r\n, \n or \r as a reader of
// events sees it. What follows the last end is a line only if it is not empty.
func lines(b []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			i := bytes.IndexAny(b, "\r\n")
			if i < 0 {
				yield(b)
				return
			}
			line, rest := b[:i], b[i+1:]
			if b[i] == '\r' && len(rest) > 0 && rest[0] == '\n' {
				rest = rest[1:]
			}
			if !yield(line) {
				return
			}
			b = rest
		}
	}
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, s)
}

// flush sends what is buffered; a reader that takes too long is dropped.
func (s *stream) flush() error {
	if s.buf.Len() == 0 {
		return nil
	}
	defer s.buf.Reset()
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return err
	}
	return s.control.Flush()
}
