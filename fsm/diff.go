package fsm

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Change is one difference between two values of Data.
type Change struct {
	// Path is as Data.Path takes it.
	Path string `json:"path"`
	// Before and After are the values; nil, too, where there is none on that
	// side, which Added and Removed tell from null.
	Before  any  `json:"before,omitempty"`
	After   any  `json:"after,omitempty"`
	Added   bool `json:"added,omitempty"`
	Removed bool `json:"removed,omitempty"`
}

// Diff returns what differs between two values, in the order of paths. It goes
// into maps, and into lists of the same length; other lists are one change.
func Diff(before, after Data) []Change {
	var d differ
	d.maps("", before.shallow(), after.shallow())
	return d.changes
}

// shallow is the data as a map that is only read.
func (d Data) shallow() map[string]any {
	m := make(map[string]any, len(d.fields))
	for _, f := range d.fields {
		m[f.key] = f.value
	}
	return m
}

type differ struct{ changes []Change }

func (d *differ) maps(path string, before, after map[string]any) {
	names := slices.Sorted(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b, was := before[name]
		a, is := after[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case !was:
			d.changes = append(d.changes, Change{Path: at, After: cloneValue(a), Added: true})
		case !is:
			d.changes = append(d.changes, Change{Path: at, Before: cloneValue(b), Removed: true})
		default:
			d.values(at, b, a)
		}
	}
}

func (d *differ) values(path string, before, after any) {
	if deepEqual(before, after) {
		return
	}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			d.maps(path, b, a)
			return
		}
	case []any:
		if a, ok := after.([]any); ok && len(a) == len(b) {
			for i := range b {
				d.values(path+"."+strconv.Itoa(i), b[i], a[i])
			}
			return
		}
	}
	d.changes = append(d.changes, Change{Path: path, Before: cloneValue(before), After: cloneValue(after)})
}
