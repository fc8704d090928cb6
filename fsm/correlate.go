package fsm

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
)

// Instances of several machines that are about one thing mostly say so in a
// field of their context: an order's number, a request's id.

// defaultCorrelate are the fields for Config.Correlate.
var defaultCorrelate = []string{"orderId", "requestId", "id", "transactionId", "correlationId"}

// A Correlation is the instances that Correlated found.
type Correlation struct {
	// Instances are in no order; those that ended are among them.
	Instances []*Instance
	// More is true if there are more than were asked for.
	More bool
}

// Correlated finds the instances, live and ended, that have a value in one of
// the fields of Config.Correlate, at most `most` of them (1,000 if that is 0).
// A field may be a path. A number and its text are taken for the same value, as
// machines differ in how they write down one id.
//
// It looks at all instances, a part at a time and without holding up their
// shards: a million takes about a second. With a store, those that ended are
// those that the store retains.
func (rt *Runtime) Correlated(ctx context.Context, value any, most int) (Correlation, error) {
	setDefault(&most, 1000)
	if err := rt.Ready(ctx); err != nil {
		return Correlation{}, err
	}
	v, err := normalize(value, 1)
	if err != nil {
		return Correlation{}, err
	}
	c := correlating{fields: rt.correlate, value: idText(v), most: most, seen: map[string]bool{}}
	if c.value == "" {
		return Correlation{}, &Error{Code: CodeBadValue, Detail: "instances are found by a text or a number"}
	}
	for _, sh := range rt.shards {
		if err := c.live(ctx, sh); err != nil {
			return Correlation{}, err
		}
	}
	for _, s := range rt.ended.all() {
		c.look(s.cur.Load())
	}
	if rt.log != nil && !c.More {
		for snap, err := range rt.log.Ended(ctx) {
			if err != nil {
				return Correlation{}, err
			}
			if !c.has(snap.Data, snap.Context) {
				continue
			}
			in, err := rt.rebuild(snap)
			if err != nil {
				in = rt.undefined(snap)
			}
			if c.look(in); c.More {
				break
			}
		}
	}
	return c.Correlation, nil
}

type correlating struct {
	Correlation
	fields [][]string
	value  string
	most   int
	seen   map[string]bool
}

// live looks through a shard. It holds the table's lock, for reading, only to
// copy which slots there are.
func (c *correlating) live(ctx context.Context, sh *shard) error {
	var part []*slot
	for from, size := 0, 1; from < size && !c.More; from += pieceSlots {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		sh.tab.mu.RLock()
		size = len(sh.tab.slots)
		if from < size {
			part = append(part[:0], sh.tab.slots[from:min(size, from+pieceSlots)]...)
		}
		sh.tab.mu.RUnlock()
		if from >= size {
			return nil
		}
		for _, s := range part {
			if s != nil {
				c.look(s.cur.Load())
			}
		}
	}
	return nil
}

func (c *correlating) look(in *Instance) {
	if c.More || !c.has(in.data, &in.ctx) || c.seen[in.id] {
		return
	}
	if len(c.Instances) >= c.most {
		c.More = true
		return
	}
	c.seen[in.id] = true
	c.Instances = append(c.Instances, in)
}

func (c *correlating) has(data Data, context *Data) bool {
	for _, path := range c.fields {
		if v, ok := data.lookup(path); ok && idText(v) == c.value {
			return true
		}
		if context != nil {
			if v, ok := context.lookup(path); ok && idText(v) == c.value {
				return true
			}
		}
	}
	return false
}

// idText is the text of a value that can be an id, else "".
func idText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case json.Number:
		return x.String()
	}
	return ""
}

// all returns the ended instances that are remembered.
func (e *endedSet) all() []*slot {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]*slot, 0, len(e.byID))
	for _, s := range e.byID {
		out = append(out, s)
	}
	return out
}

// of returns those of a shard.
func (e *endedSet) of(sh *shard) []*slot {
	return slices.DeleteFunc(e.all(), func(s *slot) bool { return sh.rt.shardOf(s.id) != sh })
}
