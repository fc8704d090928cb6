package fsm

import (
	"context"
	"fmt"
)

// How a directory of instances is kept exact: by what it is told (Watch), by
// asking for just the notices that it missed (Changes), and by reading the whole
// table piece by piece (Page). The runtime keeps no state of any of this.

// Seq returns the number of the last notice of a component. Who reads that it
// is n and then asks Changes or Page finds every change up to n.
func (rt *Runtime) Seq(component string) (uint64, error) {
	c := rt.comps[component]
	if c == nil {
		return 0, &Error{Code: CodeUnknownComponent, Component: component}
	}
	return rt.numbers[c.index].last(), nil
}

// A SeqRange is the numbers from First to Last, both included.
type SeqRange struct{ First, Last uint64 }

// A Change is an instance that some notices were about, as it is now.
type Change struct {
	// Instance is nil if it is gone and not remembered any more.
	Instance *Instance
	ID       string
	// Gone is true if the instance is not in the table. Seq is then the number
	// of the component's last notice at the moment of looking, else that of
	// the instance.
	Gone bool
	Seq  uint64
}

// Changes returns the instances that the notices of the ranges were about, each
// once, in no order. Ranges that reach beyond the last notice are cut. The
// second result is true if some are not remembered any more: at least the last 100,000 notices
// are, and as many as there are live instances. It fails with
// ErrUnknownComponent, and ErrNotRunning.
func (rt *Runtime) Changes(ctx context.Context, component string, ranges []SeqRange) ([]Change, bool, error) {
	c := rt.comps[component]
	if c == nil {
		return nil, false, &Error{Code: CodeUnknownComponent, Component: component}
	}
	num := rt.numbers[c.index]
	slots, tooOld := num.slots(ranges)
	if tooOld {
		return nil, true, nil
	}
	byShard := map[*shard][]*slot{}
	for _, s := range slots {
		sh := rt.shardOf(s.id)
		byShard[sh] = append(byShard[sh], s)
	}
	var changes []Change
	for sh, slots := range byShard {
		err := sh.visit(ctx, func() {
			last := num.last()
			for _, s := range slots {
				ch := Change{Instance: s.cur.Load(), ID: s.id}
				if ch.Gone = sh.tab.get(s.id) != s; ch.Gone {
					ch.Seq = last
				} else {
					ch.Seq = ch.Instance.seq
				}
				changes = append(changes, ch)
			}
		})
		if err != nil {
			return nil, false, err
		}
	}
	return changes, false, nil
}

// slots returns the slots of the notices in the ranges, each once.
func (n *numbering) slots(ranges []SeqRange) (out []*slot, tooOld bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	size := uint64(len(n.ring))
	seen := map[*slot]bool{}
	for _, r := range ranges {
		r.First, r.Last = max(r.First, 1), min(r.Last, n.seq)
		if r.First > r.Last {
			continue
		}
		if r.First+size <= n.seq {
			return nil, true
		}
		for seq := r.First; seq <= r.Last; seq++ {
			if s := n.ring[seq%size]; !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out, false
}

// A Page is a piece of a component's table.
type Page struct {
	Rows []*Instance
	// Next is the cursor of the next page, "" after the last.
	Next string
	// AsOf is the number of the component's last notice before the page was
	// read: every change up to it is in the rows.
	AsOf uint64
}

// pageSlots is how many places of a table one page looks at, at most.
const pageSlots = 2000

// Page returns the piece of a component's table that a cursor names, "" for the
// first, with at most limit rows (1,000 if that is 0). An instance keeps its
// place for life, so whatever is there during a whole reading from "" to "" is
// in one of its pages. Pages may be empty. It fails with ErrUnknownComponent,
// ErrBadValue for a cursor that is none, and ErrNotRunning.
func (rt *Runtime) Page(ctx context.Context, component, cursor string, limit int) (Page, error) {
	c := rt.comps[component]
	if c == nil {
		return Page{}, &Error{Code: CodeUnknownComponent, Component: component}
	}
	if limit <= 0 {
		limit = 1000
	}
	var n, at int
	if cursor != "" {
		if _, err := fmt.Sscanf(cursor, "%d.%d", &n, &at); err != nil || n < 0 || n >= len(rt.shards) || at < 0 {
			return Page{}, &Error{Code: CodeBadValue, Detail: fmt.Sprintf("cursor %q", cursor)}
		}
	}
	sh := rt.shards[n]
	p := Page{}
	err := sh.visit(ctx, func() {
		p.AsOf = rt.numbers[c.index].last()
		sh.tab.mu.RLock()
		defer sh.tab.mu.RUnlock()
		end := min(len(sh.tab.slots), at+pageSlots)
		for ; at < end && len(p.Rows) < limit; at++ {
			if s := sh.tab.slots[at]; s != nil {
				if in := s.cur.Load(); in.st.m.comp == c {
					p.Rows = append(p.Rows, in)
				}
			}
		}
		if at >= len(sh.tab.slots) {
			n, at = n+1, 0
		}
	})
	if err != nil {
		return Page{}, err // p may still be written to
	}
	if n < len(rt.shards) {
		p.Next = fmt.Sprintf("%d.%d", n, at)
	}
	return p, nil
}

// visit runs f as the shard's owner and waits for it. A shard that was visited
// has made visible all that had been numbered before.
func (sh *shard) visit(ctx context.Context, f func()) error {
	done := make(chan struct{})
	sh.post(item{f: func() {
		defer close(done)
		f()
	}})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		// f may be running: what it writes to is not to be read any more.
		return context.Cause(ctx)
	case <-sh.rt.dead:
		return sh.rt.notRunning()
	}
}
