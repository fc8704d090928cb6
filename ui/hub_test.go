package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A wheel is changes that come as often as they are made.
type wheel struct {
	mu sync.Mutex
	c  chan struct{}
}

func (w *wheel) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.c == nil {
		w.c = make(chan struct{})
	}
	return w.c
}

func (w *wheel) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.c != nil {
		close(w.c)
	}
	w.c = make(chan struct{})
}

// partsOf is the data of a patch.
func partsOf(p patch) string { return readEvents(string(p))[0].data }

// TestHubRendersOnce has many readers of one page, and changes without end.
func TestHubRendersOnce(t *testing.T) {
	t.Parallel()
	t.Run("few", func(t *testing.T) { t.Parallel(); rendersOnce(t, crowd-1, 100) })
	t.Run("many", func(t *testing.T) { t.Parallel(); rendersOnce(t, 3*crowd, 50) })
}

// rendersOnce wants a page to be made so often in ten seconds.
func rendersOnce(t *testing.T, readers, times int64) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		var renders atomic.Int64
		h := newHub(w.changed, func(context.Context, string) ([]part, error) {
			return []part{{"n", fmt.Sprint(renders.Add(1))}, {"still", "same"}}, nil
		}, quiet())
		counts := make([]atomic.Int64, readers)
		var slow *reader
		for i := range readers {
			r, ok := h.join("page")
			if !ok {
				t.Fatal("it was refused")
			}
			if i == 0 {
				slow = r
				continue
			}
			go func() {
				for range r.patches {
					counts[i].Add(1)
				}
			}()
		}
		for range 1000 { // ten seconds
			w.turn()
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if n := renders.Load(); n < times*9/10 || n > times+2 {
			t.Errorf("the page was made %d times in 10 s, want about %d", n, times)
		}
		for i := 1; i < int(readers); i++ {
			if n := counts[i].Load(); n < times*9/10 || n > times+2 {
				t.Errorf("reader %d got %d patches, want about %d", i, n, times)
			}
		}
		n := 0
		for range slow.patches {
			n++
		}
		if n > readerBuffer {
			t.Errorf("a reader that does not read got %d patches, want %d at most", n, readerBuffer)
		}
		// Who comes later begins with all of the page, also what stands still.
		late, _ := h.join("page")
		var first map[string]string
		if err := json.Unmarshal([]byte(partsOf(<-late.patches)), &first); err != nil || first["still"] != "same" {
			t.Errorf("the first patch is %v, %v; want the whole page", first, err)
		}
		var next map[string]string
		if err := json.Unmarshal([]byte(partsOf(<-late.patches)), &next); err != nil || len(next) != 1 || next["n"] == "" {
			t.Errorf("the next patch is %v, %v; want what has changed", next, err)
		}
		h.stop()
		if _, ok := h.join("page"); ok {
			t.Error("a hub that has ended took a reader")
		}
	})
}

// TestHubSlowPage bounds the share of the time that a page may take.
func TestHubSlowPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		renders := 0
		h := newHub(w.changed, func(context.Context, string) ([]part, error) {
			time.Sleep(100 * time.Millisecond)
			renders++
			return nil, nil
		}, quiet())
		r, _ := h.join("page")
		for range 1000 {
			w.turn()
			time.Sleep(10 * time.Millisecond)
		}
		h.leave("page", r)
		h.stop()
		if renders > 11 {
			t.Errorf("a page that takes 0.1 s was made %d times in 10 s, want 10 at most", renders)
		}
	})
}

// TestHubSlowPageIsNotSilent has a page that takes long say something before its
// readers take the stream for dead, which live.js does after 5 s.
func TestHubSlowPageIsNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		var renders atomic.Int32
		h := newHub(w.changed, func(context.Context, string) ([]part, error) {
			time.Sleep(1500 * time.Millisecond)
			return []part{{"clock", fmt.Sprint(renders.Add(1))}}, nil
		}, quiet())
		r, _ := h.join("page")
		for last := time.Now(); renders.Load() < 5; last = time.Now() {
			<-r.patches
			if took := time.Since(last); took > 5*time.Second {
				t.Errorf("nothing was said for %v", took)
			}
		}
		h.leave("page", r)
		h.stop()
	})
}

// TestHubSlowOnce has a page that was slow once not rest for it.
func TestHubSlowOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		var renders []time.Time
		h := newHub(w.changed, func(context.Context, string) ([]part, error) {
			renders = append(renders, time.Now())
			if len(renders) == 3 {
				time.Sleep(time.Second)
			}
			return nil, nil
		}, quiet())
		r, _ := h.join("page")
		for range 500 {
			w.turn()
			time.Sleep(10 * time.Millisecond)
		}
		h.leave("page", r)
		h.stop()
		if rest := renders[3].Sub(renders[2]) - time.Second; rest > crowdEvery {
			t.Errorf("after one slow making the page rests %v", rest)
		}
	})
}

// TestHubEnds ends what makes a page with its last reader, and when it is gone.
func TestHubEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		var renders atomic.Int64
		var fails atomic.Pointer[error]
		h := newHub(w.changed, func(context.Context, string) ([]part, error) {
			renders.Add(1)
			if err := fails.Load(); err != nil {
				return nil, *err
			}
			return nil, nil
		}, quiet())
		fail := func(err error) { fails.Store(&err) }
		r, _ := h.join("page")
		time.Sleep(time.Minute)
		h.leave("page", r)
		h.leave("page", r)
		synctest.Wait()
		n := renders.Load()
		time.Sleep(time.Minute)
		if renders.Load() != n || len(h.rooms) != 0 || h.readers != 0 {
			t.Errorf("made %d times after the last reader left; %d rooms, %d readers", renders.Load()-n, len(h.rooms), h.readers)
		}
		fail(errGone)
		r, _ = h.join("page")
		if _, more := <-r.patches; more || !r.gone {
			t.Errorf("the page is gone, and the reader was not told")
		}
		fail(errors.New("broken"))
		r, _ = h.join("page")
		time.Sleep(time.Minute)
		fails.Store(nil)
		h.leave("page", r)
		for i := range maxReaders {
			if _, ok := h.join(fmt.Sprint(i % 7)); !ok {
				t.Fatalf("reader %d was refused", i)
			}
		}
		if _, ok := h.join("one more"); ok {
			t.Error("there is no bound on readers")
		}
		h.stop()
		h.stop()
	})
}

// TestStream reads the stream of a page as a browser does.
func TestStream(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Order", map[string]any{"x": "a\r\nevent: gone\n\nb"}, fsm.WithKey("order:ORD-1")).ID()
	server := httptest.NewServer(s.pages)
	defer server.Close()
	defer s.pages.EndStreams()
	open := func(of string) (*http.Response, *bufio.Scanner) {
		res, err := server.Client().Get(server.URL + "/live?of=" + url.QueryEscape(of))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		return res, lines
	}
	next := func(lines *bufio.Scanner) map[string]string {
		for lines.Scan() {
			if lines.Text() == "event: gone" {
				t.Fatal("a value has forged an event")
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var parts map[string]string
				if err := json.Unmarshal([]byte(data), &parts); err != nil {
					t.Fatal(err)
				}
				return parts
			}
		}
		t.Fatalf("the stream has ended: %v", lines.Err())
		return nil
	}
	res, lines := open("instance?id=" + url.QueryEscape(id) + "&live=&done=1")
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, type %q", res.StatusCode, res.Header.Get("Content-Type"))
	}
	first := next(lines)
	page := s.get("/instance?id=" + url.QueryEscape(id)).Body.String()
	for name := range first {
		if !strings.Contains(page, `id="`+name+`"`) || !strings.HasPrefix(strings.TrimSpace(first[name]), "<") || !strings.Contains(first[name], "data-live") {
			t.Errorf("part %s is not an element of the page: %.80s", name, first[name])
		}
	}
	if n := strings.Count(page, "data-live"); n != len(first) {
		t.Errorf("the page has %d live elements, the stream %d parts", n, len(first))
	}
	if _, err := s.rt.Send(t.Context(), id, fsm.Event{Type: "SUBMIT"}); err != nil {
		t.Fatal(err)
	}
	for parts := next(lines); !strings.Contains(parts["state"], "Pending"); parts = next(lines) {
		continue
	}
	for _, of := range []string{"create", "nowhere", "http://evil.example/", "//evil.example/", strings.Repeat("x", 5000), "%zz"} {
		res, _ := open(of)
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("live?of=%.30s: status %d, want 404", of, res.StatusCode)
		}
	}
	res, lines = open("instance?id=nobody")
	defer res.Body.Close()
	gone := false
	for lines.Scan() {
		gone = gone || lines.Text() == "event: gone"
	}
	if !gone {
		t.Error("a page that is not there was not said to be gone")
	}
}

// TestEveryLiveElementIsAPart checks on all pages that what is marked as live
// is kept fresh, and the other way round.
func TestEveryLiveElementIsAPart(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	id := s.create("Letter", map[string]any{"to": "Ada"}).ID()
	for _, page := range []string{"", "machine?component=Orders&machine=Order", "instances", "instances?q=nothing", "instance?id=" + id, "runtimes"} {
		parts, err := s.pages.parts(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		body := s.get("/" + page).Body.String()
		if n := strings.Count(body, " data-live"); n != len(parts) {
			t.Errorf("%q has %d live elements and %d parts", page, n, len(parts))
		}
		for _, p := range parts {
			if strings.Count(body, `id="`+p.id+`"`) != 1 {
				t.Errorf("%q has not one element %q", page, p.id)
			}
		}
	}
}
