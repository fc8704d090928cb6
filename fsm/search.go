package fsm

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
)

// A Search says which instances are looked for, live or ended: those for which
// all holds that is set.
type Search struct {
	Component, Machine, State string
	// Text is in the id, the key or the data, whatever the case.
	Text string
	// Field is a name in the data, or a path, and Value what it has to be. A
	// number and its text are taken for the same value. An empty Field is any.
	Field string
	Value string
}

// Search yields the instances that are looked for, each once: those in the
// tables first, then those that ended, as far back as they are kept. It looks at
// all, a part at a time and without holding up their shards; the memory that it
// takes is a bit for each instance. What is created or ends meanwhile may be left
// out or shown as it was before. It ends with an error where the store cannot be
// read.
func (rt *Runtime) Search(ctx context.Context, s Search) iter.Seq2[*Instance, error] {
	return func(yield func(*Instance, error) bool) {
		if err := rt.Ready(ctx); err != nil {
			yield(nil, err)
			return
		}
		w := searching{rt: rt, Search: s, path: strings.Split(s.Field, "."), yield: yield, met: map[uint64]uint64{}}
		w.Text = strings.ToLower(w.Text)
		if err := w.all(ctx); err != nil && !w.left {
			yield(nil, err)
		}
	}
}

// Find returns an instance as Get does, and looks into the store for one that
// ended long ago.
func (rt *Runtime) Find(ctx context.Context, id string) (*Instance, error) {
	in, err := rt.Get(id)
	if ErrorCode(err) != CodeUnknownInstance || rt.log == nil {
		return in, err
	}
	return rt.stored(ctx, id)
}

// Stores reports whether the runtime has a store, so that what is not in memory
// may still be kept.
func (rt *Runtime) Stores() bool { return rt.cfg.Store != nil }

// searching is a Search under way.
type searching struct {
	Search
	rt    *Runtime
	path  []string
	yield func(*Instance, error) bool
	left  bool // the caller wants no more
	// met has the orders of creation of those that were looked at, as bits: one
	// that ends during the search is in the table and among the ended.
	met map[uint64]uint64
}

func (w *searching) all(ctx context.Context) error {
	for _, sh := range w.rt.shards {
		if err := w.table(ctx, sh); err != nil || w.left {
			return err
		}
	}
	for _, s := range w.rt.ended.all() {
		if w.first(s.order) && !w.look(s.cur.Load()) {
			return nil
		}
	}
	if w.rt.log == nil {
		return nil
	}
	for snap, err := range w.rt.log.Ended(ctx) {
		if err != nil {
			return err
		}
		if w.Component != "" && w.Component != snap.Component || w.Machine != "" && w.Machine != snap.Machine || w.State != "" && w.State != snap.State {
			continue // not worth building
		}
		if !w.first(snap.Origin.Order) {
			continue
		}
		in, err := w.rt.rebuild(snap)
		if err != nil {
			in = w.rt.undefined(snap)
		}
		if !w.look(in) {
			return nil
		}
	}
	return nil
}

// table looks through a shard. It holds the table's lock, for reading, only to
// copy which slots there are.
func (w *searching) table(ctx context.Context, sh *shard) error {
	var part []*slot
	for from, size := 0, 1; from < size; from += pieceSlots {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		sh.tab.mu.RLock()
		if size = len(sh.tab.slots); from < size {
			part = append(part[:0], sh.tab.slots[from:min(size, from+pieceSlots)]...)
		}
		sh.tab.mu.RUnlock()
		if from >= size {
			return nil
		}
		for _, s := range part {
			if s != nil && w.first(s.order) && !w.look(s.cur.Load()) {
				return nil
			}
		}
	}
	return nil
}

// first reports whether an instance is met for the first time.
func (w *searching) first(order uint64) bool {
	bit := uint64(1) << (order % 64)
	if w.met[order/64]&bit != 0 {
		return false
	}
	w.met[order/64] |= bit
	return true
}

// look hands over an instance that is looked for. It returns false if no more
// is wanted.
func (w *searching) look(in *Instance) bool {
	if !w.wants(in) {
		return true
	}
	w.left = !w.yield(in, nil)
	return !w.left
}

func (w *searching) wants(in *Instance) bool {
	if w.Component != "" && w.Component != in.Component() || w.Machine != "" && w.Machine != in.Machine() || w.State != "" && w.State != in.State() {
		return false
	}
	if w.Field != "" && !w.has(in.Data()) && !w.has(in.Context()) {
		return false
	}
	return w.Text == "" || holdsText(in.ID(), w.Text) || holdsText(in.Key(), w.Text) || w.inValue(in.Data().Map()) || w.inValue(in.Context().Map())
}

func (w *searching) has(d Data) bool {
	v, ok := d.lookup(w.path)
	return ok && valueText(v) == w.Value
}

// valueText is what a value is compared as: a text or number as itself, all else
// as JSON.
func valueText(v any) string {
	if t := idText(v); t != "" {
		return t
	}
	if t, ok := v.(string); ok {
		return t
	}
	b, _ := json.Marshal(v) // normalized data is JSON
	return string(b)
}

// inValue looks for the text in names and values, however deep.
func (w *searching) inValue(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			if holdsText(name, w.Text) || w.inValue(x) {
				return true
			}
		}
		return false
	case []any:
		for _, x := range v {
			if w.inValue(x) {
				return true
			}
		}
		return false
	}
	return holdsText(valueText(v), w.Text)
}

func holdsText(s, lower string) bool { return strings.Contains(strings.ToLower(s), lower) }
