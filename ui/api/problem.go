package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/fsmesh/fsmesh/mesh"
)

// An Error is what is wrong with a request.
type Error struct {
	Code fsm.Code
	// Detail says what was asked for, what was found, and what is allowed.
	Detail string
	// Ancestor is the text of the "error" field where scripts may know it;
	// Detail otherwise.
	Ancestor string
	// Position is where the fault is in a filter or body, from 1; 0 where it
	// does not apply.
	Position int
	// Faults are all values of a context that its schema does not allow.
	Faults []fsm.ContextFault
	// Allow are the methods that an address takes.
	Allow []string
}

// Error returns the detail.
func (e *Error) Error() string { return e.Detail }

func wrong(code fsm.Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// A Problem is the body of an answer that is an error (RFC 9457), in the
// content type application/problem+json.
type Problem struct {
	// Type is "urn:fsmesh:problem:" and the code.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is the text for people; Error is what the ancestor's scripts read.
	Detail string   `json:"detail"`
	Code   fsm.Code `json:"code"`
	Error  string   `json:"error"`
	// What the error is about; left out where it does not apply.
	Component string   `json:"componentName,omitempty"`
	Instance  string   `json:"instanceId,omitempty"`
	State     string   `json:"state,omitempty"`
	Version   uint64   `json:"version,omitempty"`
	Accepted  []string `json:"accepted,omitempty"`
	// Missing names the runtimes that did not answer.
	Missing  []string           `json:"missing,omitempty"`
	Faults   []fsm.ContextFault `json:"faults,omitempty"`
	Position int                `json:"position,omitempty"`
	// Count is how many had been reached when some did not answer.
	Count *int `json:"count,omitempty"`
}

// problemOf puts an error into the form of answers.
func problemOf(err error) (Problem, Meaning) {
	m := Mean(CodeOf(err))
	p := Problem{Type: "urn:fsmesh:problem:" + string(m.Code), Title: m.Title, Status: m.Status, Code: m.Code, Detail: err.Error()}
	if e, ok := errors.AsType[*Error](err); ok {
		p.Faults, p.Position, p.Error = e.Faults, e.Position, e.Ancestor
	} else if e, ok := errors.AsType[*fsm.Error](err); ok {
		p.Component, p.Instance, p.State, p.Version, p.Accepted = e.Component, e.Instance, e.State, e.Version, e.Accepted
	}
	if e, ok := errors.AsType[*mesh.MissingError](err); ok {
		p.Missing = e.Runtimes
	}
	if e, ok := errors.AsType[*partialError](err); ok {
		p.Count = &e.count
	}
	switch m.Code {
	case CodeNoAnswer:
		p.Detail += "; it may have happened all the same: the same request with the same Idempotency-Key is safe"
	case CodeInternal:
		p.Detail = "something went wrong here; the log of the server says what" // no inner words to outside
	}
	if p.Error == "" {
		p.Error = p.Detail
	}
	return p, m
}

// A partialError is one of a broadcast that reached some.
type partialError struct {
	count int
	err   error
}

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

// Meant adds to the refusal of an event the accepted one that was probably meant.
func Meant(err error, event string) error {
	e, ok := errors.AsType[*fsm.Error](err)
	if !ok || e.Code != fsm.CodeEventIgnored {
		return err
	}
	if near, ok := nearest.Match(event, e.Accepted); ok && near != event {
		return fmt.Errorf("%w; did you mean %q?", err, near)
	}
	return err
}

// retryAfter is how long, in seconds, who is told to come back is told to wait.
const retryAfter = 1

func (a *API) problem(w http.ResponseWriter, r *http.Request, err error) {
	p, m := problemOf(err)
	if m.Status >= http.StatusInternalServerError && m.Code == CodeInternal {
		a.c.Logger.Error("api: request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	h := w.Header()
	if m.Retry {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if e, ok := errors.AsType[*Error](err); ok {
		for _, method := range e.Allow {
			h.Add("Allow", method)
		}
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who asked may be gone
}
