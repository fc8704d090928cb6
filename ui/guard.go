package ui

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
)

// maxBody bounds what is read of a request. What is in it has to fit into one
// message of the mesh, which has a megabyte.
const maxBody = 900 << 10

// policy lets a page load what this server has, and nothing else run or load.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard checks what holds for all requests, before anything is looked at. Who may
// ask, and under which names, is the business of what stands before the pages:
// package access, or the application that they are mounted in.
func (d *Dashboard) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.show(w, r, d.problem(r, http.StatusForbidden, "Refused: this came from another site", "Open the page here and send the form from it."))
	}))
	next = origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// A formError is a form that can't be read, with the status that says so.
type formError struct {
	status int
	text   string
}

// Error returns the text.
func (e *formError) Error() string { return e.text }

// readForm reads the body as a form.
func readForm(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return &formError{http.StatusUnsupportedMediaType, fmt.Sprintf("the content type is %q; a form (application/x-www-form-urlencoded) is expected", r.Header.Get("Content-Type"))}
	}
	if err := r.ParseForm(); err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &formError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the form has more than %d bytes", tooLarge.Limit)}
		}
		return &formError{http.StatusBadRequest, "the form can't be read: " + err.Error()}
	}
	return nil
}
