package mesh

import (
	"encoding/json"
	"fmt"
)

// MaxBody is the most bytes that a message may have: one row at the largest
// that a runtime can be configured for, and what is around it.
const MaxBody = 8 << 20

// A DecodeError says that a message from outside could not be read.
type DecodeError struct {
	// Into is the Go type that it should have become.
	Into string
	// Size is that of the body in bytes.
	Size int
	// Err is what was wrong, nil if it was the size.
	Err error
}

func (e *DecodeError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("a message of %d bytes is too large, %d are allowed", e.Size, MaxBody)
	}
	return fmt.Sprintf("decode %s of %d bytes: %v", e.Into, e.Size, e.Err)
}

func (e *DecodeError) Unwrap() error { return e.Err }

// Decode reads one message from JSON into m, a pointer to the type of message
// that the channel carries. Fields that m does not know are ignored. It fails
// with a *DecodeError if the body is larger than MaxBody, is no JSON object,
// has the wrong type in a field, or has anything after the object; m may be
// half filled then. It does not look at values: Directory.Apply and the answers
// to requests do.
func Decode(body []byte, m Message) error {
	wrong := &DecodeError{Into: fmt.Sprintf("%T", m), Size: len(body)}
	if len(body) > MaxBody {
		return wrong
	}
	if !isObject(body) {
		wrong.Err = fmt.Errorf("a message is a JSON object, got %.20q", body)
		return wrong
	}
	if wrong.Err = json.Unmarshal(body, m); wrong.Err != nil {
		return wrong
	}
	return nil
}

// isObject reports whether a JSON text begins as an object does.
func isObject(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == '{'
	}
	return false
}
