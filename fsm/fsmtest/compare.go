package fsmtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/fsm"
)

// keyOrder is the order in which the keys of an entry are printed; others
// follow, sorted.
var keyOrder = []string{"step", "seq", "kind", "inst", "component", "machine", "from", "to", "state", "status", "method", "hook", "event"}

// line prints an entry so that equal entries, and no others, give equal lines:
// numbers are printed by value, keys have one order.
func line(e entry) string {
	keys := slices.Sorted(maps.Keys(e))
	slices.SortStableFunc(keys, func(a, b string) int { return keyRank(a) - keyRank(b) })
	parts := make([]string, 0, len(keys))
	for _, k := range keys {
		parts = append(parts, k+": "+valueText(e[k]))
	}
	return strings.Join(parts, ", ")
}

func keyRank(key string) int {
	if i := slices.Index(keyOrder, key); i >= 0 {
		return i
	}
	return len(keyOrder)
}

func valueText(v any) string {
	d, err := fsm.NewData(map[string]any{"v": v})
	if err != nil {
		return "(" + err.Error() + ")"
	}
	b, err := d.MarshalJSON()
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(b), `{"v":`), "}")
}

func lines(entries []entry) []string {
	out := make([]string, 0, len(entries))
	for _, e := range entries {
		out = append(out, line(e))
	}
	return out
}

// sameLists fails the test if two lists of lines differ.
func sameLists(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s differ\n%s", what, sideBySide(got, want))
	}
}

// sameSets is sameLists for lists without order.
func sameSets(t *testing.T, what string, got, want []string) {
	t.Helper()
	sameLists(t, what, slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)))
}

// samePerInstance compares the entries of each instance in their order.
func samePerInstance(t *testing.T, what string, got, want []entry) {
	t.Helper()
	g, w := perInstance(got), perInstance(want)
	names := slices.Concat(slices.Collect(maps.Keys(g)), slices.Collect(maps.Keys(w)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		sameLists(t, fmt.Sprintf("%s of %s", what, name), g[name], w[name])
	}
}

func perInstance(entries []entry) map[string][]string {
	out := map[string][]string{}
	for _, e := range entries {
		name := fmt.Sprint(e["inst"])
		out[name] = append(out[name], line(e))
	}
	return out
}

// sideBySide prints what was got to the left and what was wanted to the right,
// lines that are in both beside each other.
func sideBySide(got, want []string) string {
	width := utf8.RuneCountInString("got")
	for _, s := range got {
		width = max(width, utf8.RuneCountInString(s))
	}
	var b strings.Builder
	row := func(left, mark, right string) {
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(left))
		fmt.Fprintf(&b, "  %s%s %s %s\n", left, pad, mark, right)
	}
	row("got", " ", "want")
	common := commonLines(got, want)
	for i, j := 0, 0; i < len(got) || j < len(want); {
		switch {
		case i < len(got) && j < len(want) && got[i] == want[j]:
			row(got[i], "=", want[j])
			i, j = i+1, j+1
		case j == len(want) || i < len(got) && common[i+1][j] >= common[i][j+1]:
			row(got[i], "<", "")
			i++
		default:
			row("", ">", want[j])
			j++
		}
	}
	return b.String()
}

// commonLines returns for each pair of places the length of the longest list
// that is in what follows in both.
func commonLines(a, b []string) [][]int {
	n := make([][]int, len(a)+1)
	for i := range n {
		n[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				n[i][j] = n[i+1][j+1] + 1
			} else {
				n[i][j] = max(n[i+1][j], n[i][j+1])
			}
		}
	}
	return n
}
