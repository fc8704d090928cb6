package api

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/mesh"
)

// A condition is one comparison of a filter: amount >= 10.
type condition struct {
	path  []string
	op    string
	value any // as JSON gives it, numbers as json.Number
}

// The operators, longest first, each with what it means. The ancestor's are
// among them.
var operators = []struct{ text, op string }{
	{"===", "="}, {"!==", "!="}, {"==", "="}, {"!=", "!="}, {">=", ">="}, {"<=", "<="}, {"=", "="}, {">", ">"}, {"<", "<"},
}

const (
	// maxFilter bounds a filter, in bytes; maxConditions what is in all of a
	// request.
	maxFilter     = 4096
	maxConditions = 32
)

// parseFilter reads conditions with "and" between them:
//
//	path operator value and …
//
// A path is names with dots between, a value JSON (12, true, "text", null) or a
// word. Errors name the position, in characters from 1.
func parseFilter(text string) ([]condition, error) {
	p := filterParser{text: text}
	if len(text) > maxFilter {
		return nil, p.fault(0, "a filter has at most %d bytes, this has %d", maxFilter, len(text))
	}
	if !utf8.ValidString(text) {
		return nil, p.fault(0, "it is not UTF-8")
	}
	var out []condition
	for {
		c, err := p.condition()
		if err != nil {
			return nil, err
		}
		if out = append(out, c); len(out) > maxConditions {
			return nil, p.fault(p.at, "at most %d conditions are allowed", maxConditions)
		}
		p.blank()
		if p.at == len(text) {
			return out, nil
		}
		rest := p.text[p.at:]
		switch {
		case strings.HasPrefix(rest, "&&"):
			p.at += 2
		case len(rest) > 3 && strings.EqualFold(rest[:3], "and") && isBlank(rest[3]):
			p.at += 3
		default:
			return nil, p.fault(p.at, `"and" or the end is expected`)
		}
	}
}

type filterParser struct {
	text string
	at   int
}

func (p *filterParser) fault(at int, format string, args ...any) error {
	position := utf8.RuneCountInString(p.text[:min(at, len(p.text))]) + 1
	e := wrong(CodeBadFilter, format, args...)
	e.Position = position
	e.Detail = wrong("", "filter, position %d: %s; a filter is PATH OPERATOR VALUE, as amount >= 10", position, e.Detail).Detail
	return e
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func (p *filterParser) blank() {
	for p.at < len(p.text) && isBlank(p.text[p.at]) {
		p.at++
	}
}

func (p *filterParser) condition() (c condition, err error) {
	p.blank()
	from := p.at
	for p.at < len(p.text) && !strings.ContainsRune("=!<> \t&\"", rune(p.text[p.at])) {
		p.at++
	}
	path := p.text[from:p.at]
	if path == "" {
		return c, p.fault(from, "the name of a property is expected")
	}
	if c.path = strings.Split(path, "."); strings.Contains("."+path+".", "..") {
		return c, p.fault(from, "the path %q has an empty name", path)
	}
	p.blank()
	for _, o := range operators {
		if strings.HasPrefix(p.text[p.at:], o.text) {
			c.op = o.op
			p.at += len(o.text)
			break
		}
	}
	if c.op == "" {
		return c, p.fault(p.at, "an operator is expected: = != > < >= <= === !==")
	}
	p.blank()
	c.value, err = p.value()
	return c, err
}

// value reads JSON, or a word.
func (p *filterParser) value() (any, error) {
	rest := p.text[p.at:]
	if rest == "" {
		return nil, p.fault(p.at, "a value is expected")
	}
	if strings.ContainsRune(`"{[`, rune(rest[0])) {
		d := json.NewDecoder(strings.NewReader(rest))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, p.fault(p.at, "the value is not JSON: %v", err)
		}
		p.at += int(d.InputOffset())
		return v, nil
	}
	end := strings.IndexAny(rest, " \t&")
	if end < 0 {
		end = len(rest)
	}
	word := rest[:end]
	if strings.ContainsAny(word, "=<>!\"") || word == "" {
		return nil, p.fault(p.at, "the value %q has to be in double quotes", word)
	}
	p.at += end
	d := json.NewDecoder(strings.NewReader(word))
	d.UseNumber()
	var v any
	if d.Decode(&v) == nil && int(d.InputOffset()) == len(word) {
		return v, nil
	}
	return word, nil
}

// holds reports whether the property of one of the documents is so. What is not
// there is different from everything, and not more or less than anything.
func (c *condition) holds(documents ...json.RawMessage) bool {
	for _, d := range documents {
		v, ok := lookUp(d, c.path)
		if !ok {
			continue
		}
		return c.compare(v)
	}
	return c.op == "!="
}

func (c *condition) compare(v any) bool {
	switch c.op {
	case "=":
		return same(v, c.value)
	case "!=":
		return !same(v, c.value)
	}
	n, ok := order(v, c.value)
	switch c.op {
	case ">":
		return ok && n > 0
	case "<":
		return ok && n < 0
	case ">=":
		return ok && n >= 0
	}
	return ok && n <= 0
}

// order compares two numbers or two texts.
func order(a, b any) (int, bool) {
	if x, ok := a.(string); ok {
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	}
	x, okX := number(a)
	y, okY := number(b)
	if !okX || !okY {
		return 0, false
	}
	return x.Cmp(y), true
}

// number reads a number exactly, unless its exponent would make it huge.
func number(v any) (*big.Rat, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	s := n.String()
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(strings.TrimLeft(s[i+1:], "+-0")) > 3 {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// same compares two values of JSON, numbers by value.
func same(a, b any) bool {
	switch x := a.(type) {
	case json.Number:
		if n, ok := order(a, b); ok {
			return n == 0
		}
		return a == b
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

// lookUp finds the value at a path.
func lookUp(doc json.RawMessage, path []string) (any, bool) {
	for _, name := range path {
		// Most contexts that lack a name do not hold it anywhere.
		if !bytes.Contains(doc, []byte(name)) && !bytes.ContainsRune(doc, '\\') {
			return nil, false
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(doc, &fields) != nil {
			return nil, false
		}
		var ok bool
		if doc, ok = fields[name]; !ok {
			return nil, false
		}
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err == nil
}

// exact gives the condition to the view where that can decide it: an equality
// that is not about a number beyond its reach.
func (c *condition) exact() (mesh.Property, bool) {
	if c.op != "=" {
		return mesh.Property{}, false
	}
	switch c.value.(type) {
	case string, bool:
		b, err := json.Marshal(c.value)
		return mesh.Property{Path: strings.Join(c.path, "."), Value: b}, err == nil
	}
	return mesh.Property{}, false
}
