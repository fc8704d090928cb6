package mesh

import (
	"cmp"
	"container/heap"
	"errors"
	"slices"
	"strconv"
	"time"
)

// ErrCursor is returned for a cursor that no list has given.
var ErrCursor = errors.New("the cursor is none that a list has given")

const (
	// fewRows is up to how many rows are sorted for one page. Where more are
	// of the machine and state asked for, they are met often enough in the
	// order of entry.
	fewRows = 20_000
	// lookRows is the most rows that are looked at for one page.
	lookRows = 100_000
	// maxPage is the most rows of a page.
	maxPage = 10_000
)

// An Instance is a row with whose it is.
type Instance struct {
	Row
	RuntimeID string `json:"runtimeId"`
	Name      string `json:"name"`
	Component string `json:"componentName"`
	// Stale says that the row is what was known when its runtime was last
	// heard, or from before the runtime was taken over.
	Stale bool `json:"stale,omitempty"`
}

// A Page is some of the instances that a filter is for.
type Page struct {
	Instances []Instance
	// Next is the cursor to go on from, "" if there are no more. A page may be
	// short, or empty, and still have a Next: so much is looked at per call and
	// no more.
	Next string
}

// List returns up to limit instances in the order in which the directory first
// met them, or in the reverse order, from where the cursor points; "" is the
// beginning. Limits are brought into 1 to 10,000. Who goes from cursor to
// cursor meets every instance once that is there all the while, wherever it
// moves. It fails with ErrCursor.
func (d *Directory) List(f Filter, newestFirst bool, cursor string, limit int) (Page, error) {
	return d.page(f, newestFirst, cursor, limit, fewRows)
}

// page makes a page, by sorting up to few rows.
func (d *Directory) page(f Filter, newestFirst bool, cursor string, limit, few int) (Page, error) {
	l := lister{f: f, props: properties(f.Properties), limit: min(max(limit, 1), maxPage), reverse: newestFirst}
	if cursor != "" {
		n, err := strconv.ParseUint(cursor, 36, 64)
		if err != nil {
			return Page{}, ErrCursor
		}
		l.from = n
	} else if newestFirst {
		l.from = d.order
	}
	var members []*member
	for _, m := range d.list {
		if f.wantsRuntime(m) {
			members = append(members, m)
		}
	}
	if n := l.eligible(members); n <= few {
		l.sorted(members, n)
	} else {
		l.scan(members)
	}
	return l.page, nil
}

// A lister makes one page.
type lister struct {
	f       Filter
	props   []property
	limit   int
	reverse bool
	from    uint64 // the order to begin with
	looked  int
	page    Page
}

// eligible counts the rows of the machine and state asked for.
func (l *lister) eligible(members []*member) int {
	n := 0
	for _, m := range members {
		if l.f.Machine == "" && l.f.State == "" {
			n += len(m.table.byID)
			continue
		}
		for p := range l.populations(m) {
			n += len(p.entries)
		}
	}
	return n
}

// populations yields those of the machine and state asked for.
func (l *lister) populations(m *member) func(func(*population) bool) {
	return func(yield func(*population) bool) {
		for _, mc := range m.table.machines {
			if l.f.Machine != "" && l.f.Machine != mc.name {
				continue
			}
			for _, p := range mc.states {
				if (l.f.State == "" || l.f.State == p.name) && !yield(p) {
					return
				}
			}
		}
	}
}

// whose is an entry with its runtime.
type whose struct {
	m *member
	e *entry
}

// sorted takes the page from few rows.
func (l *lister) sorted(members []*member, n int) {
	all := make([]whose, 0, n)
	for _, m := range members {
		for p := range l.populations(m) {
			for _, e := range p.entries {
				if e.order >= l.from && !l.reverse || e.order <= l.from && l.reverse {
					all = append(all, whose{m, e})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b whose) int {
		if l.reverse {
			a, b = b, a
		}
		return cmp.Compare(a.e.order, b.e.order)
	})
	for _, w := range all {
		if !l.take(w.m, w.e) {
			return
		}
	}
}

// take looks at one more row. It returns false when the page is full, and the
// next one begins with that row.
func (l *lister) take(m *member, e *entry) bool {
	if len(l.page.Instances) == l.limit || l.looked == lookRows {
		l.page.Next = strconv.FormatUint(e.order, 36)
		return false
	}
	l.looked++
	if l.f.wants(e, l.props) {
		l.page.Instances = append(l.page.Instances, m.instance(e))
	}
	return true
}

// scan takes the page from the rows in the order of entry.
func (l *lister) scan(members []*member) {
	h := &walkers{reverse: l.reverse}
	for _, m := range members {
		w := walker{m: m, at: m.table.from(l.from)}
		if l.reverse {
			w.at = m.table.from(l.from+1) - 1
		}
		if w.settle(l.reverse) {
			h.w = append(h.w, w)
		}
	}
	heap.Init(h)
	for len(h.w) > 0 {
		w := &h.w[0]
		if !l.take(w.m, w.m.table.places[w.at].e) {
			return
		}
		w.step(l.reverse)
		if w.settle(l.reverse) {
			heap.Fix(h, 0)
		} else {
			heap.Pop(h)
		}
	}
}

// A walker goes through the places of one runtime.
type walker struct {
	m  *member
	at int
}

func (w *walker) step(reverse bool) {
	if reverse {
		w.at--
	} else {
		w.at++
	}
}

// settle goes on to the next place that is no hole, and reports whether there
// is one.
func (w *walker) settle(reverse bool) bool {
	p := w.m.table.places
	for w.at >= 0 && w.at < len(p) && p[w.at].e == nil {
		w.step(reverse)
	}
	return w.at >= 0 && w.at < len(p)
}

// walkers is a heap of them, the one whose row is next on top.
type walkers struct {
	w       []walker
	reverse bool
}

func (h *walkers) order(i int) uint64 { return h.w[i].m.table.places[h.w[i].at].order }
func (h *walkers) Len() int           { return len(h.w) }
func (h *walkers) Less(i, j int) bool { return h.order(i) < h.order(j) != h.reverse }
func (h *walkers) Swap(i, j int)      { h.w[i], h.w[j] = h.w[j], h.w[i] }
func (h *walkers) Push(x any)         { h.w = append(h.w, x.(walker)) }
func (h *walkers) Pop() any {
	x := h.w[len(h.w)-1]
	h.w = h.w[:len(h.w)-1]
	return x
}

// Count returns how many instances a filter is for. It takes the kept counts
// where the filter is about runtimes, component, machine and state only, else
// it looks at all rows.
func (d *Directory) Count(f Filter) Count {
	var c Count
	l := lister{f: f, props: properties(f.Properties)}
	for _, m := range d.list {
		if !f.wantsRuntime(m) {
			continue
		}
		for p := range l.populations(m) {
			if !f.Live && !f.Ended && f.Prefix == "" && len(l.props) == 0 {
				c.add(p.count(m.status))
				continue
			}
			for _, e := range p.entries {
				switch {
				case !f.wants(e, l.props):
				case e.over():
					c.Ended++
				case !e.live():
					c.Quarantined++
				case m.status == Live:
					c.Active++
				default:
					c.Stale++
				}
			}
		}
	}
	return c
}

// Get returns the instance of that id in the runtime of that name and
// component; component may be "" for any. Where runtimes with different logs
// have one name, it is that of the highest epoch.
func (d *Directory) Get(name, component, id string) (Instance, bool) {
	var best whose
	for _, m := range d.list {
		if m.status == Superseded || m.Name != name || component != "" && m.Component != component {
			continue
		}
		if e := m.table.byID[id]; e != nil && (best.m == nil || m.Epoch > best.m.Epoch) {
			best = whose{m, e}
		}
	}
	if best.m == nil {
		return Instance{}, false
	}
	return best.m.instance(best.e), true
}

// Find returns the instances of that id in all runtimes.
func (d *Directory) Find(id string) []Instance {
	var out []Instance
	for _, m := range d.list {
		if e := m.table.byID[id]; e != nil && m.status != Superseded {
			out = append(out, m.instance(e))
		}
	}
	return out
}

// instance returns an entry as it is handed out.
func (m *member) instance(e *entry) Instance {
	in := Instance{
		RuntimeID: m.RuntimeID, Name: m.Name, Component: m.Component,
		Stale: m.status != Live || e.generation != m.table.generation,
		Row: Row{
			ID: e.id, Key: e.key, Machine: e.machine.name, State: e.machine.states[e.state].name, Status: statusCodes[e.status],
			Context: e.context, Version: e.version, Part: int(e.part), Seq: uint64(max(0, m.table.seqOf(e))),
			CreatedAt: e.created, UpdatedAt: e.updated,
		},
	}
	if e.rare != nil {
		in.Parent, in.PublicMember, in.PendingTimeouts = e.rare.parent, e.rare.public, e.rare.timeouts
	}
	return in
}

// Ended returns when the directory learned that the instance ended. ok is
// false if it has not, as one that is quarantined has not for good, or is not known.
func (d *Directory) Ended(runtimeID, id string) (at time.Time, ok bool) {
	m := d.byID[runtimeID]
	if m == nil {
		return time.Time{}, false
	}
	e := m.table.byID[id]
	if e == nil || !e.over() {
		return time.Time{}, false
	}
	q := &e.machine.ended
	i, found := slices.BinarySearchFunc(q.items[q.head:], e.end, func(x ended, end uint64) int { return cmp.Compare(x.end, end) })
	if !found {
		return time.Time{}, false
	}
	return time.UnixMilli(q.items[q.head+i].at), true
}
