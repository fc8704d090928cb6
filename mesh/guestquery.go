package mesh

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
)

// maxGuestQueries bounds the queries that one guest answers at a time. More are
// not answered.
const maxGuestQueries = 16

// query answers a query from the source, once GuestOptions.Refresh is content.
func (g *Guest) query(ctx context.Context, slots chan struct{}, m *nats.Msg) {
	if m.Reply == "" {
		return
	}
	var q queryRequest
	if err := Decode(m.Data, &q); err != nil {
		g.send(m.Reply, &queryReply{Identity: g.o.Identity, Bad: err.Error()})
		return
	}
	select {
	case slots <- struct{}{}:
	default:
		return // who asked names the guest as one that did not answer
	}
	g.begin(slots, func() {
		if g.o.Refresh != nil && q.Cursor == "" && g.o.Refresh(ctx) != nil {
			return
		}
		r, err := answerQuery(g.o.Source, g.o.Identity, &q)
		if err != nil {
			g.o.Logger.Warn("mesh: could not answer for a guest", "runtime", g.o.Identity.RuntimeID, "err", err)
			return
		}
		g.send(m.Reply, r)
	})
}

// answerQuery answers a query from a source, piece by piece; ids are looked up.
func answerQuery(s Source, id Identity, q *queryRequest) (*queryReply, error) {
	r := &queryReply{Identity: id}
	w := &rowGatherer{q: q, props: properties(q.Filter.Properties), limit: min(max(q.Limit, 1), maxPage), room: MaxReply - envelope, r: r}
	shard, slot, ok := parseCursor(q.Cursor)
	switch {
	case len(q.IDs)+len(q.Keys) > maxSought:
		r.Bad = "too many ids and keys"
		return r, nil
	case !ok:
		r.Bad = ErrCursor.Error()
		return r, nil
	case len(q.IDs) > 0 && len(q.Keys) == 0:
		for n, f := range s.Look(q.IDs[min(slot, len(q.IDs)):]) {
			if f.Instance == nil {
				continue
			}
			if full, err := w.take(f.Instance); full || err != nil {
				r.Next = cursor(0, slot+n)
				return r, err
			}
		}
		return r, nil
	}
	for looked := 0; shard < s.Shards(); {
		if looked >= looks {
			r.Next = cursor(shard, slot)
			break
		}
		piece := s.Piece(shard, slot, pieceMost)
		looked += len(piece.Slots) + 1
		for _, at := range piece.Slots {
			if full, err := w.take(at.Instance); full || err != nil {
				r.Next = cursor(shard, at.Number)
				return r, err
			}
		}
		if slot = piece.Next; slot < 0 {
			shard, slot = shard+1, 0
		}
	}
	return r, nil
}

// A rowGatherer collects the rows of one reply.
type rowGatherer struct {
	q     *queryRequest
	props []property
	limit int
	room  int
	r     *queryReply
}

// take looks at one more instance. It returns true if there is no room for it, so
// that the next reply begins with it.
func (w *rowGatherer) take(in Rower) (full bool, err error) {
	row, err := in.Row()
	if err != nil || !w.wants(&row) {
		return false, err
	}
	size := row.size()
	if len(w.r.Rows) == w.limit || size > w.room && len(w.r.Rows) > 0 {
		return true, nil
	}
	w.room -= size
	w.r.Rows = append(w.r.Rows, row)
	return false, nil
}

func (w *rowGatherer) wants(r *Row) bool {
	f, live := &w.q.Filter, r.Status == "" || r.Status == Active
	if f.Machine != "" && f.Machine != r.Machine || f.State != "" && f.State != r.State || f.Live && !live || f.Ended && (live || r.Status == Quarantined) ||
		f.Prefix != "" && !strings.HasPrefix(r.ID, f.Prefix) && !strings.HasPrefix(r.Key, f.Prefix) {
		return false
	}
	if len(w.q.IDs)+len(w.q.Keys) > 0 && !w.sought(r) {
		return false
	}
	for i := range w.props {
		if !w.props[i].holdsFor(r) {
			return false
		}
	}
	return true
}

func (w *rowGatherer) sought(r *Row) bool {
	for _, id := range w.q.IDs {
		if id == r.ID {
			return true
		}
	}
	for _, key := range w.q.Keys {
		if key == r.Key {
			return true
		}
	}
	return false
}
