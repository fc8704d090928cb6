package fsm

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
)

// Data is an immutable map from names to values: an instance's context, its
// public member, or an event's payload. The zero value is the empty map.
//
// Values have one form each: nil, bool, string, float64, json.Number (for
// integers beyond 2^53 only), []any and map[string]any. NewData brings other
// Go values to these forms, so what a restart gives back has the same types as
// what was put in. Data may be shared between goroutines and is read without a
// lock; what it hands out of nested maps and lists are copies.
type Data struct {
	// fields is sorted by key and never changed after it was built. A slice
	// costs a third less memory than a map and is faster to read up to some
	// eight keys, which is what contexts have.
	fields []field
}

type field struct {
	key   string
	value any
}

// Len returns the number of keys.
func (d Data) Len() int { return len(d.fields) }

// Get returns the value of a key, and whether the key is there: null is a
// value, and not the same as a missing key.
func (d Data) Get(key string) (any, bool) {
	v, ok := d.get(key)
	return cloneValue(v), ok
}

// Path returns the value at a path whose steps are split at dots. A step goes
// into a map by key or into a list by decimal index; anything else is missing.
func (d Data) Path(path string) (any, bool) {
	v, ok := d.lookup(strings.Split(path, "."))
	return cloneValue(v), ok
}

// All iterates over the keys in sorted order.
func (d Data) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, f := range d.fields {
			if !yield(f.key, cloneValue(f.value)) {
				return
			}
		}
	}
}

// Map returns a copy as a plain map, never nil.
func (d Data) Map() map[string]any {
	m := make(map[string]any, len(d.fields))
	for _, f := range d.fields {
		m[f.key] = cloneValue(f.value)
	}
	return m
}

// Decode fills v, usually a pointer to a struct with json tags, from the data.
// It returns what encoding/json returns.
func (d Data) Decode(v any) error {
	b, err := d.MarshalJSON()
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// Equal reports whether both hold the same keys with the same values, numbers
// compared by value.
func (d Data) Equal(o Data) bool {
	return slices.EqualFunc(d.fields, o.fields, func(a, b field) bool {
		return a.key == b.key && deepEqual(a.value, b.value)
	})
}

// get is Get without the copy, for code that does not change what it gets.
func (d Data) get(key string) (any, bool) {
	fs := d.fields
	if len(fs) > 8 {
		i, ok := slices.BinarySearchFunc(fs, key, func(f field, k string) int { return strings.Compare(f.key, k) })
		if !ok {
			return nil, false
		}
		return fs[i].value, true
	}
	for i := range fs {
		if fs[i].key == key {
			return fs[i].value, true
		}
	}
	return nil, false
}

// lookup is Path on a path that is split already, without the copy.
func (d Data) lookup(path []string) (any, bool) {
	v, ok := d.get(path[0])
	for _, step := range path[1:] {
		if !ok {
			return nil, false
		}
		switch c := v.(type) {
		case map[string]any:
			v, ok = c[step]
		case []any:
			i, isIndex := listIndex(step)
			if !isIndex || i >= len(c) {
				return nil, false
			}
			v = c[i]
		default:
			return nil, false
		}
	}
	return v, ok
}

// listIndex reads a decimal index without sign or leading zeros, so that one
// element has one spelling.
func listIndex(s string) (int, bool) {
	if s == "" || len(s) > 9 || (len(s) > 1 && s[0] == '0') {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// merge returns d with the keys of o set: shallow, null is a value, and what is
// nested is replaced whole. Neither is changed; if o is empty it is d itself.
func (d Data) merge(o Data) Data {
	switch {
	case len(o.fields) == 0:
		return d
	case len(d.fields) == 0:
		return o
	}
	a, b := d.fields, o.fields
	n := len(a) + d.missing(b)
	if n == len(a) {
		// No new key, as mostly.
		out := make([]field, n)
		copy(out, a)
		for i, j := 0, 0; j < len(b); i++ {
			if out[i].key == b[j].key {
				out[i].value = b[j].value
				j++
			}
		}
		return Data{out}
	}
	out := make([]field, 0, n)
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch c := strings.Compare(a[i].key, b[j].key); {
		case c < 0:
			out = append(out, a[i])
			i++
		case c > 0:
			out = append(out, b[j])
			j++
		default:
			// The older string is kept: instances made from one definition
			// then share their keys instead of holding one each.
			out = append(out, field{a[i].key, b[j].value})
			i++
			j++
		}
	}
	out = append(out, a[i:]...)
	out = append(out, b[j:]...)
	return Data{out}
}

// missing counts the keys of fs that d lacks.
func (d Data) missing(fs []field) int {
	n, i := 0, 0
	for j := range fs {
		for i < len(d.fields) && d.fields[i].key < fs[j].key {
			i++
		}
		if i == len(d.fields) || d.fields[i].key != fs[j].key {
			n++
		}
	}
	return n
}

// cloneValue copies nested maps and lists; scalars are immutable.
func cloneValue(v any) any {
	switch c := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(c))
		for k, e := range c {
			m[k] = cloneValue(e)
		}
		return m
	case []any:
		l := make([]any, len(c))
		for i, e := range c {
			l[i] = cloneValue(e)
		}
		return l
	}
	return v
}
