package ui

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveWithin serves a handler, whose readers have so long for a piece, and
// returns its address.
func serveWithin(t *testing.T, within time.Duration, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, served := newServer(h, within), make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestLongAnswers has answers that take longer than a reader may: to be made, and as
// a whole.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	const within = 300 * time.Millisecond
	address := serveWithin(t, within, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/made":
			time.Sleep(2 * within)
			_, _ = io.WriteString(w, "made")
		case "/led":
			time.Sleep(2 * within)
			w.WriteHeader(http.StatusSeeOther)
		case "/nothing": // a deadline of the answer before must not be in force
		default:
			for range 8 {
				_, _ = io.WriteString(w, "piece ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(within / 4)
			}
		}
	})
	client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	for _, tt := range []struct {
		path   string
		status int
		body   string
	}{{"/made", 200, "made"}, {"/led", 303, ""}, {"/pieces", 200, strings.Repeat("piece ", 8)}, {"/nothing", 200, ""}} {
		res, err := client.Get("http://" + address + tt.path)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tt.status || string(body) != tt.body {
			t.Errorf("%s: status %d, %q, %v; want %d, %q", tt.path, res.StatusCode, body, err, tt.status, tt.body)
		}
		time.Sleep(within + within/2) // on one connection, after the deadline of the last
	}
}

// TestSlowReader cuts who does not read, also where the handler gives less time of
// its own.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]time.Duration{"the server's bound": 0, "the handler's bound": 200 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within := 200 * time.Millisecond
			if own > 0 {
				within = time.Hour
			}
			ended := make(chan error, 1)
			address := serveWithin(t, within, func(w http.ResponseWriter, _ *http.Request) {
				piece := make([]byte, 1<<20)
				for {
					if own > 0 {
						_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(own))
					}
					if _, err := w.Write(piece); err != nil {
						ended <- err
						return
					}
				}
			})
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
					t.Errorf("it ended with %v, want a deadline", err)
				}
			case <-time.After(30 * time.Second):
				t.Error("it waits for ever")
			}
		})
	}
}
