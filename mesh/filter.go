package mesh

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A Filter says which instances are meant: those for which everything holds
// that is set.
type Filter struct {
	RuntimeID, Name           string // of the runtime
	Component, Machine, State string
	// Live leaves out what has ended, Ended what has not. What is quarantined is
	// neither: both leave it out.
	Live, Ended bool
	// Prefix is what the id or the key begins with.
	Prefix string
	// Properties are those of the context, and of the public member where
	// there is one.
	Properties []Property
}

// A Property is one that an instance has to have.
type Property struct {
	// Path is a name, or several with dots between for what is nested.
	Path string
	// Value is what it has to be, as JSON.
	Value json.RawMessage
}

// wantsRuntime reports whether instances of the runtime may be meant.
func (f *Filter) wantsRuntime(m *member) bool {
	return m.status != Superseded && (f.RuntimeID == "" || f.RuntimeID == m.RuntimeID) &&
		(f.Name == "" || f.Name == m.Name) && (f.Component == "" || f.Component == m.Component)
}

// wants reports whether an entry of such a runtime is meant.
func (f *Filter) wants(e *entry, props []property) bool {
	if f.Machine != "" && f.Machine != e.machine.name || f.State != "" && f.State != e.machine.states[e.state].name {
		return false
	}
	if f.Live && !e.live() || f.Ended && !e.over() {
		return false
	}
	if f.Prefix != "" && !strings.HasPrefix(e.id, f.Prefix) && !strings.HasPrefix(e.key, f.Prefix) {
		return false
	}
	for i := range props {
		if !props[i].holds(e) {
			return false
		}
	}
	return true
}

// A property is one that is ready to be compared.
type property struct {
	path  []string
	raw   []byte
	value any
	plain bool // the value is without escapes
	bad   bool // the value is no JSON: nothing is equal to it
}

func properties(ps []Property) []property {
	out := make([]property, len(ps))
	for i, p := range ps {
		out[i] = property{path: strings.Split(p.Path, "."), raw: bytes.TrimSpace(p.Value)}
		out[i].plain = !bytes.Contains(p.Value, []byte{'\\'})
		out[i].bad = decodeValue(p.Value, &out[i].value) != nil
	}
	return out
}

func (p *property) holds(e *entry) bool {
	if p.bad {
		return false
	}
	return p.in(e.context) || e.rare != nil && p.in(e.rare.public)
}

func (p *property) in(doc json.RawMessage) bool {
	for _, name := range p.path {
		if doc = field(doc, name); doc == nil {
			return false
		}
	}
	if bytes.Equal(doc, p.raw) {
		return true
	}
	switch a, b := doc[0], p.raw[0]; {
	case a == '"' && b == '"' && p.plain && !bytes.Contains(doc, []byte{'\\'}):
		return false
	case a != b && (a == '"' || b == '"' || a == '{' || b == '{'):
		return false // of another kind, not worth decoding
	}
	var v any
	return decodeValue(doc, &v) == nil && equal(v, p.value)
}

func decodeValue(b []byte, v *any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

// equal compares two values of JSON. Numbers are equal if they are the same
// text or the same float64; integers that a float64 cannot hold only as text.
func equal(a, b any) bool {
	switch x := a.(type) {
	case json.Number:
		y, ok := b.(json.Number)
		if !ok {
			return false
		}
		if x == y {
			return true
		}
		f, errX := x.Float64()
		g, errY := y.Float64()
		return errX == nil && errY == nil && f == g && f > -1<<53 && f < 1<<53
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
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
			if w, ok := y[k]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case json.Number, []any, map[string]any:
		return false
	}
	return a == b
}
