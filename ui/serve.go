package ui

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// stopTime bounds how long a server waits for its requests to end.
const stopTime = 1500 * time.Millisecond

// writeWithin is how long a reader may take for one piece of an answer.
const writeWithin = 30 * time.Second

// Serve answers requests that come to a listener until the context ends, which is
// no error, or serving fails. Reading of a request is bounded, and writing of each
// piece of its answer: what takes long to make, and streams, go on. When the context ends it calls each of end, such as
// [Dashboard.EndStreams], so that streams end too; whoever keeps a connection
// busy for 1.5 s after that is cut. It returns when all requests have ended, and
// the listener is closed then.
func Serve(ctx context.Context, l net.Listener, h http.Handler, end ...func()) error {
	server := newServer(h, writeWithin)
	for _, f := range end {
		server.RegisterOnShutdown(f)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var err error
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
	}
	shut, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	if server.Shutdown(shut) != nil {
		err = server.Close()
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// newServer returns a server whose readers have so long for each piece of an
// answer.
func newServer(h http.Handler, within time.Duration) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&pieceWriter{ResponseWriter: w, control: http.NewResponseController(w), within: within}, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		// Of a request, until the first piece of its answer: it undoes what the
		// request before has set.
		WriteTimeout:   within,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
}

// A pieceWriter gives a reader its time for each piece of an answer. The server's
// own bound is for an answer as a whole, with the time that it takes to make it: a
// page that had to wait for a busy machine would end as a connection that is cut.
type pieceWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	within  time.Duration
	own     bool // the handler sets deadlines itself
}

func (w *pieceWriter) begin() {
	if !w.own {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.within)) // a connection that has gone says so when it is written to
	}
}

// WriteHeader sends the status.
func (w *pieceWriter) WriteHeader(status int) {
	w.begin()
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a piece.
func (w *pieceWriter) Write(b []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(b)
}

// SetWriteDeadline is for http.ResponseController.
func (w *pieceWriter) SetWriteDeadline(at time.Time) error {
	w.own = true
	return w.control.SetWriteDeadline(at)
}

// Unwrap is for http.ResponseController.
func (w *pieceWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
