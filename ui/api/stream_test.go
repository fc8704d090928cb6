package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A frame is an event as a browser would see it.
type frame struct{ id, event, data string }

// readFrames reads events as the specification says, and hands over those with
// data.
func readFrames(r *bufio.Reader, take func(frame) bool) error {
	var f frame
	var data []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			f.data = strings.Join(data, "\n")
			if data != nil && !take(f) {
				return nil
			}
			f.event, data = "", nil
		case name == "id":
			f.id = value
		case name == "event":
			f.event = value
		case name == "data":
			data = append(data, value)
		}
	}
}

// open opens the stream, and returns the next event at each call.
func (w *world) open(query, last string) (next func() frame, end func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", w.server.URL+"/api/stream?"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != 200 {
		w.t.Fatalf("stream: %v, %v", res, err)
	}
	frames := make(chan frame)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		_ = readFrames(bufio.NewReader(res.Body), func(f frame) bool {
			select {
			case frames <- f:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	w.t.Cleanup(cancel)
	return func() frame {
			w.t.Helper()
			select {
			case f := <-frames:
				return f
			case <-time.After(60 * time.Second):
				w.t.Fatal("no event within 10 s")
				return frame{}
			}
		}, func() {
			cancel()
			<-done
		}
}

func TestStream(t *testing.T) {
	w := newWorld(t, nil)
	next, end := w.open("component=Orders", "")
	id := w.order(map[string]any{"orderId": "A\r\nevent: forged\ndata: x", "amount": 1})
	f := next()
	var n notice
	if err := json.Unmarshal([]byte(f.data), &n); err != nil || f.event != "instance_created" || n.Data.Instance != id || n.Data.Current != "Draft" || n.Seq == 0 {
		t.Fatalf("got %+v, %v", f, err)
	}
	w.want(200, "POST /api/instances/"+id+"/events", `{"event": "PLACE"}`)
	f = next()
	if err := json.Unmarshal([]byte(f.data), &n); err != nil || f.event != "state_change" || n.Data.New != "AwaitingPayment" || *n.Data.Previous != "Draft" || n.Data.Event.Type != "PLACE" {
		t.Fatalf("got %+v, %v", f, err)
	}
	end()
	// What happens meanwhile is told to who comes back.
	w.want(200, "POST /api/instances/"+id+"/events", `{"event": "INVOICE_PAID"}`)
	w.refused(409, "event_ignored", "POST /api/instances/"+id+"/events", `{"event": "NOPE"}`)
	next, end = w.open("component=Orders", f.id)
	if f = next(); f.event != "state_change" || !strings.Contains(f.data, `"newState":"Paid"`) {
		t.Errorf("after coming back: %+v", f)
	}
	if f = next(); f.event != "event_ignored" {
		t.Errorf("after coming back: %+v", f)
	}
	end()
	// An id of another run of the server: something may be missing.
	next, end = w.open("", "0badc0de-17")
	if f = next(); f.event != missedEvent || !strings.Contains(f.data, "no event of this run") {
		t.Errorf("with an id that is not ours: %+v", f)
	}
	end()
}

func TestStreamSaysWhatItForgot(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Remembered = 10 })
	next, end := w.open("component=Orders", "")
	w.order(map[string]any{"orderId": "A", "amount": 1})
	last := next()
	end()
	for i := range 25 {
		w.order(map[string]any{"orderId": fmt.Sprint(i), "amount": 1})
	}
	next, end = w.open("component=Orders", last.id)
	defer end()
	if f := next(); f.event != missedEvent || !strings.Contains(f.data, `"count":15`) {
		t.Errorf("got %+v, want 15 missed", f)
	}
	for i := range 10 {
		if f := next(); f.event != "instance_created" || !strings.Contains(f.data, fmt.Sprintf(`"orderId":"%d"`, 15+i)) {
			t.Errorf("got %+v, want order %d", f, 15+i)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Streams = 1; c.KeepAlive = 20 * time.Millisecond })
	_, end := w.open("", "")
	eventually(t, "one reads", func() bool { return w.api.hub.count() == 1 })
	if r := w.refused(429, "overloaded", "GET /api/stream", nil); r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	end()
	eventually(t, "none reads", func() bool { return w.api.hub.count() == 0 })
	_, end = w.open("", "")
	defer end()
	if err := w.api.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream has ended", func() bool { return w.api.hub.count() == 0 })
}

// Numbers that never come are missed, those that come late are not.
func TestGaps(t *testing.T) {
	g := gaps{of: map[string]*runtimeGaps{}}
	now := time.Now()
	for _, seq := range []uint64{5, 6, 9, 8, 12} {
		if n := g.saw("r", seq, now); n != 0 {
			t.Fatalf("%d at once", n)
		}
	}
	if n := g.sweep(now.Add(gapAge - 1)); n != 0 {
		t.Errorf("%d too early", n)
	}
	g.saw("r", 11, now)
	if n := g.sweep(now.Add(gapAge)); n != 2 { // 7 and 10
		t.Errorf("%d missed, want 2", n)
	}
	if n := g.saw("r", 12+maxOpen+2, now); n != maxOpen+1 {
		t.Errorf("%d missed at once, want %d", n, maxOpen+1)
	}
	if n := g.sweep(now.Add(2 * gapAge)); n != 0 {
		t.Errorf("%d missed twice", n)
	}
}

// Whatever is in the data of an event, a reader gets it as one event with that
// data, its line ends as \n.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{"", "x", "a\nb", "a\rb", "a\r\nb", "\r\n\r\nevent: forged\r\ndata: x\r\n\r\n", "id: 1\n\n", "\n\nx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		s := &stream{}
		s.frame("h-1", "state_change", []byte(data))
		s.frame("h-2", "end", []byte("x"))
		// Readers take \r for the end of a line, too.
		wire := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s.buf.String())
		var got []frame
		_ = readFrames(bufio.NewReader(strings.NewReader(wire)), func(f frame) bool {
			got = append(got, f)
			return true
		})
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)
		want = strings.TrimSuffix(want, "\n")
		if data == "" {
			if len(got) != 1 || got[0].event != "end" {
				t.Fatalf("%q gives %+v", data, got)
			}
			return
		}
		if len(got) != 2 || got[0] != (frame{"h-1", "state_change", want}) || got[1] != (frame{"h-2", "end", "x"}) {
			t.Fatalf("%q gives %+v", data, got)
		}
	})
}

// Markup, line ends and bidirectional marks in names and contexts are text in
// the stream and in lists.
func TestTextIsText(t *testing.T) {
	w := newWorld(t, nil)
	next, end := w.open("", "")
	defer end()
	bad := "<script>alert(1)</script>\r\n\u2028\u202eabc\x00" + strings.Repeat("x", 100_000)
	id := w.order(map[string]any{"orderId": bad, "amount": 1})
	f := next()
	var n notice
	if err := json.Unmarshal([]byte(f.data), &n); err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(n.Data.Context, &c); err != nil || c["orderId"] != bad {
		t.Errorf("in the stream: %v, %.40q", err, c["orderId"])
	}
	if got := w.want(200, "GET /api/instances/"+id, nil); got.body["context"].(map[string]any)["orderId"] != bad || !bytes.HasPrefix(got.raw, []byte("{")) {
		t.Errorf("in the answer: %.80q", got.raw)
	}
	if got := w.want(200, "GET /api/instances?q="+"%3Cscript", nil); got.header.Get("X-Content-Type-Options") != "nosniff" || len(got.body["instances"].([]any)) != 1 {
		t.Errorf("in the list: %v, %.80s", got.header, got.raw)
	}
}
