package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/internal/jsonobject"
)

// An object is the body of a request. Its numbers are as they were written.
type object map[string]any

// readObject reads a body that has to be one JSON object with the fields of the
// operation's schema.
func (a *API) readObject(w http.ResponseWriter, r *http.Request) (object, error) {
	given := r.Header.Get("Content-Type")
	kind, params, err := mime.ParseMediaType(given)
	charset := strings.ToLower(params["charset"])
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") || charset != "" && charset != "utf-8" {
		return nil, wrong(CodeMediaType, "the content type is %q; application/json in UTF-8 is expected", given)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.c.MaxBody))
	if err != nil {
		if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, wrong(CodeBodyTooLarge, "the body has more than the %d bytes that are allowed", large.Limit)
		}
		return nil, wrong(CodeBadBody, "the body cannot be read to its end: %v", err)
	}
	if !utf8.Valid(b) {
		return nil, wrong(CodeBadBody, "the body is not UTF-8")
	}
	// Some editors begin a file with a byte order mark.
	o, err := jsonobject.Read(strings.TrimPrefix(string(b), "\ufeff"))
	if err != nil {
		return nil, wrong(CodeBadBody, "the body is not a JSON object: %v", err)
	}
	return o, object(o).only(operationOf(r).fields)
}

// only refuses a field that is not known: left out of account, a misspelt one would
// not do what it was sent for.
func (o object) only(known []string) error {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, name) {
			return wrong(CodeBadBody, "there is no field %q here%s", name, suggest(name, known))
		}
	}
	return nil
}

// text returns a field that has to be a string if it is there; null counts as
// absent.
func (o object) text(name string) (string, error) {
	v, ok := o[name]
	if !ok || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", wrong(CodeBadBody, "%q is %s; a string is expected", name, kindOf(v))
	}
	return s, nil
}

// object returns a field that has to be an object if it is there.
func (o object) object(name string) (map[string]any, error) {
	v, ok := o[name]
	if !ok || v == nil {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, wrong(CodeBadBody, "%q is %s; an object is expected", name, kindOf(v))
	}
	return m, nil
}

func (o object) yes(name string) (bool, error) {
	v, ok := o[name]
	if !ok || v == nil {
		return false, nil
	}
	b, ok := v.(bool)
	if !ok {
		return false, wrong(CodeBadBody, "%q is %s; true or false is expected", name, kindOf(v))
	}
	return b, nil
}

func (o object) count(name string) (uint64, error) {
	v, ok := o[name]
	if !ok || v == nil {
		return 0, nil
	}
	if n, ok := v.(json.Number); ok {
		if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
			return u, nil
		}
	}
	return 0, wrong(CodeBadBody, "%q is %s; a whole number from 0 is expected", name, kindOf(v))
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		return "the number " + v.String()
	case []any:
		return "a list"
	}
	return "an object"
}

// An eventBody is what the addresses that send take.
type eventBody struct {
	kind      string
	payload   map[string]any
	ifVersion uint64
	body      object
}

// noEventType is what the ancestor says, word for word.
const noEventType = `Missing event type. Send { event: "NAME" } or { type: "NAME" }`

// readEvent reads an event. What else the operation takes is in the body.
func (a *API) readEvent(w http.ResponseWriter, r *http.Request) (*eventBody, error) {
	o, err := a.readObject(w, r)
	if err != nil {
		return nil, err
	}
	kind, errType := o.text("type")
	event, errEvent := o.text("event")
	payload, errPayload := o.object("payload")
	version, errVersion := o.count("ifVersion")
	if err := errors.Join(errType, errEvent, errPayload, errVersion); err != nil {
		return nil, firstOf(err, errType, errEvent, errPayload, errVersion)
	}
	switch {
	case kind == "":
		kind = event
	case event != "" && event != kind:
		return nil, wrong(CodeBadBody, `"type" is %q and "event" is %q; give one of them`, kind, event)
	}
	if kind == "" {
		return nil, &Error{Code: CodeNoEventType, Detail: noEventType, Ancestor: noEventType}
	}
	return &eventBody{kind, payload, version, o}, nil
}

// firstOf is the first of several errors, with the texts of all.
func firstOf(all error, errs ...error) error {
	for _, err := range errs {
		if e, ok := errors.AsType[*Error](err); ok {
			one := *e
			one.Detail = strings.ReplaceAll(all.Error(), "\n", "; ")
			return &one
		}
	}
	return all
}

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

// eventID returns the Idempotency-Key of a request.
func eventID(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	v := values[0]
	if len(values) > 1 || v == "" || len(v) > maxKey {
		return "", wrong(CodeBadParameter, "Idempotency-Key is given %d times, with %d bytes; one of 1 to %d bytes is expected", len(values), len(v), maxKey)
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return "", wrong(CodeBadParameter, "Idempotency-Key has byte %s at %d; printable ASCII is expected", fmt.Sprintf("0x%02x", v[i]), i+1)
		}
	}
	return v, nil
}
