// Package jsonobject reads JSON objects that people write: contexts and
// payloads, from the command line and from forms.
package jsonobject

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds how deep objects and lists may be nested. It is that of
// fsm.Data.
const maxDepth = 100

// Read reads one JSON object. Numbers are json.Number, so that big integers
// stay what they are. A key that is there twice is refused: one of the two
// values would be lost. The error says what is wrong and where, in words that
// go after "the payload is not a JSON object: ".
func Read(text string) (map[string]any, error) {
	r := reader{text: text, dec: json.NewDecoder(strings.NewReader(text))}
	r.dec.UseNumber()
	tok, err := r.dec.Token()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, r.fault(err)
	}
	if tok != json.Delim('{') {
		return nil, fmt.Errorf("it is %s; an object is {\"key\": value, …}", kindOf(tok))
	}
	m, err := r.object(1)
	if err != nil {
		return nil, err
	}
	if strings.TrimLeft(text[r.dec.InputOffset():], " \t\r\n") != "" {
		return nil, fmt.Errorf("there is text after it, at %s", r.position())
	}
	return m, nil
}

type reader struct {
	text string
	dec  *json.Decoder
}

// object reads what follows "{".
func (r *reader) object(depth int) (map[string]any, error) {
	m := map[string]any{}
	for r.dec.More() {
		tok, err := r.dec.Token()
		if err != nil {
			return nil, r.fault(err)
		}
		key, ok := tok.(string)
		if !ok {
			return nil, fmt.Errorf("a key is not a string, at %s", r.position())
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("key %q is there twice, at %s", key, r.position())
		}
		if m[key], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.Token()
	return m, r.fault(err)
}

// list reads what follows "[".
func (r *reader) list(depth int) ([]any, error) {
	l := []any{}
	for r.dec.More() {
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	_, err := r.dec.Token()
	return l, r.fault(err)
}

func (r *reader) value(depth int) (any, error) {
	tok, err := r.dec.Token()
	if err != nil {
		return nil, r.fault(err)
	}
	d, nested := tok.(json.Delim)
	switch {
	case !nested:
		return tok, nil
	case depth >= maxDepth:
		return nil, fmt.Errorf("it is nested deeper than %d levels, at %s", maxDepth, r.position())
	case d == '{':
		return r.object(depth + 1)
	}
	return r.list(depth + 1)
}

// fault puts an error of the decoder into words.
func (r *reader) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early: a bracket or a quote is not closed")
	}
	return fmt.Errorf("%w, at %s", err, r.position())
}

// position is where the decoder is, as line:column.
func (r *reader) position() string {
	before := r.text[:min(int(r.dec.InputOffset()), len(r.text))]
	line := 1 + strings.Count(before, "\n")
	column := 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
	return fmt.Sprintf("%d:%d", line, column)
}

func kindOf(tok json.Token) string {
	switch tok.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Delim:
		return "a list"
	}
	return "a number"
}
