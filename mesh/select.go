package mesh

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
)

// An Order is one in which instances are selected.
type Order int

// The orders.
const (
	// Newest is those first that the directory met last.
	Newest Order = iota
	// Unchanged is those first that have not changed for longest.
	Unchanged
	// Oldest is those first that the directory met first.
	Oldest
	// Recent is those first that have changed last.
	Recent
)

// A Selection is a part of the instances that a filter is for, in an order. It
// is what a table of a page shows; who wants all goes through Directory.List.
type Selection struct {
	Filter Filter
	// Text, if set, has to be in the id or the key, whatever the case.
	Text string
	// Quarantined leaves out all but those that are.
	Quarantined bool

	Order Order
	// Skip is how many are left out at the front, Limit how many are returned
	// at most. Skip is brought into 0 to 10,000 and Limit into 1 to 1,000: who
	// looks further needs a narrower filter.
	Skip, Limit int
}

// MaxSkip is how far into a selection can be looked.
const MaxSkip = 10_000

// Selected is what Select found.
type Selected struct {
	Instances []Instance
	// Total is how many the selection is of.
	Total int
}

// Select returns a part of the instances, in order. It looks at all rows that
// the filter's component, machine and state leave, and needs memory for
// Skip + Limit of them only.
func (d *Directory) Select(s Selection) Selected {
	s.Skip, s.Limit = min(max(s.Skip, 0), MaxSkip), min(max(s.Limit, 1), 1000)
	l := lister{f: s.Filter, props: properties(s.Filter.Properties)}
	text := strings.ToLower(s.Text)
	h := &selected{order: s.Order}
	var out Selected
	for _, m := range d.list {
		if !s.Filter.wantsRuntime(m) {
			continue
		}
		for p := range l.populations(m) {
			for _, e := range p.entries {
				if s.Quarantined && e.status != quarantined || !s.Filter.wants(e, l.props) || text != "" && !e.has(text) {
					continue
				}
				out.Total++
				h.take(whose{m, e}, s.Skip+s.Limit)
			}
		}
	}
	slices.SortFunc(h.w, func(a, b whose) int { return h.compare(a, b) })
	for _, w := range h.w[min(s.Skip, len(h.w)):] {
		out.Instances = append(out.Instances, w.m.instance(w.e))
	}
	return out
}

// has reports whether a text, in lower case, is in what an entry is known by.
func (e *entry) has(text string) bool {
	return strings.Contains(strings.ToLower(e.key), text) || strings.Contains(strings.ToLower(e.id), text)
}

// selected is a heap of the first rows in an order, the last of them on top.
type selected struct {
	order Order
	w     []whose
}

// take keeps a row if it is among the first most.
func (h *selected) take(w whose, most int) {
	switch {
	case len(h.w) < most:
		heap.Push(h, w)
	case h.compare(w, h.w[0]) < 0:
		h.w[0] = w
		heap.Fix(h, 0)
	}
}

// compare is less than 0 if a comes before b. No two entries have one order.
func (h *selected) compare(a, b whose) int {
	switch h.order {
	case Unchanged:
		return cmp.Or(cmp.Compare(a.e.updated, b.e.updated), cmp.Compare(a.e.order, b.e.order))
	case Oldest:
		return cmp.Compare(a.e.order, b.e.order)
	case Recent:
		return cmp.Or(cmp.Compare(b.e.updated, a.e.updated), cmp.Compare(b.e.order, a.e.order))
	}
	return cmp.Compare(b.e.order, a.e.order)
}

func (h *selected) Len() int           { return len(h.w) }
func (h *selected) Less(i, j int) bool { return h.compare(h.w[i], h.w[j]) > 0 }
func (h *selected) Swap(i, j int)      { h.w[i], h.w[j] = h.w[j], h.w[i] }
func (h *selected) Push(x any)         { h.w = append(h.w, x.(whose)) }
func (h *selected) Pop() any {
	x := h.w[len(h.w)-1]
	h.w = h.w[:len(h.w)-1]
	return x
}
