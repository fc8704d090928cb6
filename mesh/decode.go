package mesh

import (
	"encoding/json"
	"errors"
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

// Decode reads one message, in binary form or as JSON, into m, a pointer to the
// type of message that the channel carries. Fields that m does not know are
// ignored. It fails with a *DecodeError if the body is larger than MaxBody, is
// in neither form, has the wrong type in a field, has more than 20,000 notices,
// rows or ranges, or has anything after the message; m may be half filled then.
// It does not look at values: Directory.Apply and the answers to requests do.
//
// What is told of instances in binary form shares the memory of the body, which
// must not be changed afterwards. Who keeps a part of it for long copies it, as
// a Directory does.
func Decode(body []byte, m Message) error {
	if err := decode(body, m); err != nil {
		return &DecodeError{Into: fmt.Sprintf("%T", m), Size: len(body), Err: err}
	}
	if len(body) > MaxBody {
		return &DecodeError{Into: fmt.Sprintf("%T", m), Size: len(body)}
	}
	return nil
}

func decode(body []byte, m Message) error {
	switch {
	case len(body) > MaxBody:
		return nil // the size is what is wrong
	case len(body) > 0 && body[0] == formBinary:
		return decodeBinary(body, m)
	case !isObject(body):
		return fmt.Errorf("a message is a JSON object or in binary form %d, got %.20q", formBinary, body)
	case longList(body):
		return errTooMany
	}
	if ns, ok := m.(*Notices); ok {
		*ns = Notices{rowsOnly: ns.rowsOnly} // JSON would leave in it what it held
	}
	return json.Unmarshal(body, m)
}

var errTooMany = fmt.Errorf("more than %d items", maxItems)

var errForm = errors.New("no message of that kind in binary form")

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

// longList reports whether a list in a JSON object has more than maxItems
// items: few bytes could become much memory. Lists in lists, and in objects in
// it, are as long as they like: they stay text, or are small.
func longList(b []byte) bool {
	depth, items, list := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			if depth++; depth == 2 {
				items, list = 0, b[i] == '['
			}
		case '}', ']':
			depth--
		case ',':
			if depth == 2 && list {
				if items++; items >= maxItems {
					return true
				}
			}
		}
	}
	return false
}
