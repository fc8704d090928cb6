package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// route makes the router from the table.
func (a *API) route() {
	a.mux = http.NewServeMux()
	methods, known := map[string][]string{}, schemas()
	for i := range a.table {
		op := &a.table[i]
		methods[op.path] = append(methods[op.path], op.method)
		if body, ok := known[op.body].(schema); ok {
			op.fields = slices.Sorted(maps.Keys(body["properties"].(schema)))
		}
		a.mux.HandleFunc(op.method+" "+op.path, a.serve(op.path, func(w http.ResponseWriter, r *http.Request) error {
			return op.do(w, r.WithContext(context.WithValue(r.Context(), operationKey{}, op)))
		}))
	}
	for path, takes := range methods {
		if slices.Contains(takes, http.MethodGet) {
			takes = append(takes, http.MethodHead)
		}
		slices.Sort(takes)
		a.mux.HandleFunc(path, a.serve(path, func(_ http.ResponseWriter, r *http.Request) error {
			e := wrong(CodeBadMethod, "%s is not taken here; %s is", r.Method, strings.Join(takes, ", "))
			e.Allow = takes
			return e
		}))
	}
	a.mux.HandleFunc("/", a.serve("other", func(_ http.ResponseWriter, r *http.Request) error {
		return wrong(CodeNoRoute, "there is nothing at %q; GET /api/openapi.json says what there is", r.URL.Path)
	}))
}

// serve makes a handler of a function that may fail. What it does is counted
// under the path of the table, so that ids do not make labels.
func (a *API) serve(path string, do func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		o := &observed{ResponseWriter: w}
		defer func() { a.c.Metrics.served(path, path == streamPath, r.Method, o.status, time.Since(begin)) }()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		ready := a.c.Ready()
		err := do(o, r)
		switch {
		case err == nil, r.Context().Err() != nil && o.status == 0:
			// Done, or nobody is left to be told.
		case o.status != 0:
			// The answer has begun: cutting it is the one way to say that it is
			// not whole.
			if r.Context().Err() == nil {
				a.c.Logger.Warn("api: answer cut off", "path", path, "err", err)
			}
			panic(http.ErrAbortHandler)
		default:
			a.problem(o, r, notYet(ready, err))
		}
	}
}

// notYet says it where something was not found because this process had not got
// that far when it was asked: who asks may ask again, and must not take it for
// gone.
func notYet(ready Readiness, err error) error {
	switch CodeOf(err) {
	case fsm.CodeUnknownInstance, fsm.CodeUnknownComponent, fsm.CodeUnknownMachine:
		if err != nil && !ready.Ready {
			return &fsm.Error{Code: fsm.CodeNotRunning, Detail: ready.Reason}
		}
	}
	return err
}

// An observed writer remembers the status.
type observed struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (o *observed) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write notes that the status is 200 where none was given.
func (o *observed) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// answer writes a value as JSON.
func answer(w http.ResponseWriter, v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // who asked may be gone
	return nil
}

// encode writes JSON as people write it: without escapes for HTML, as it is
// never part of a page.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return buf.Bytes(), err
}

// A lister writes {"name":[…],…} piece by piece, so that it is never held
// whole.
type lister struct {
	w       http.ResponseWriter
	name    string
	timeout time.Duration
	begun   bool
	n       int
}

// add writes some elements. The first call begins the answer.
func (l *lister) add(elements []any) error {
	var buf bytes.Buffer
	l.begin(&buf)
	for _, e := range elements {
		b, err := encode(e)
		if err != nil {
			return err
		}
		if l.n > 0 {
			buf.WriteByte(',')
		}
		l.n++
		buf.Write(bytes.TrimSuffix(b, []byte{'\n'}))
	}
	return l.write(buf.Bytes())
}

func (l *lister) begin(buf *bytes.Buffer) {
	if l.begun {
		return
	}
	l.begun = true
	l.w.Header().Set("Content-Type", "application/json")
	buf.WriteString(`{"` + l.name + `":[`)
}

// end writes what follows the list.
func (l *lister) end(fields map[string]any) error {
	var buf bytes.Buffer
	l.begin(&buf)
	buf.WriteByte(']')
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		b, err := encode(fields[k])
		if err != nil {
			return err
		}
		buf.WriteString(`,"` + k + `":`)
		buf.Write(bytes.TrimSuffix(b, []byte{'\n'}))
	}
	buf.WriteString("}\n")
	return l.write(buf.Bytes())
}

// write gives the reader its time for each piece, not for the whole.
func (l *lister) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	c := http.NewResponseController(l.w)
	if err := c.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := l.w.Write(b)
	return err
}
