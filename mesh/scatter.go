package mesh

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Query asks the runtimes themselves for instances, without a View. The zero
// value is for all that are live.
type Query struct {
	// Filter says which are meant. Ended ones are found by IDs and Keys only.
	Filter Filter
	// IDs and Keys, where given, are those that are looked for: 1,000 at most.
	IDs, Keys []string
	// Limit is the most instances of a page. Defaults to 100; 10,000 at most.
	Limit int
	// Cursor is "" for the first page, then the Next of the last one.
	Cursor string
}

// A QueryPage is some of the instances that a query is for.
type QueryPage struct {
	// Instances are in no particular order. Each is as its runtime had it at one
	// moment; those of one runtime that are there all the while are met once.
	Instances []Instance
	// Next is where to go on, "" if there are no more. A page may be short, or
	// empty, and still have a Next: so much is looked at per call and no more.
	Next string
	// Missing names the runtimes that did not answer, for this page or an
	// earlier one: theirs are not among the instances.
	Missing []string
}

// maxSought bounds the ids and keys of one query.
const maxSought = 1000

// Query returns a page of the instances that a query is for, from all runtimes
// that are there when the first page is asked for. It fails with ErrCursor, and
// with fsm.ErrBadValue for more ids and keys than may be asked for; runtimes
// that do not answer are named in the page. Runtimes that come meanwhile are not
// asked.
func (c *Client) Query(ctx context.Context, q Query) (_ *QueryPage, err error) {
	defer c.did(CallQuery, time.Now(), &err)
	if n := len(q.IDs) + len(q.Keys); n > maxSought {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Count: maxSought, Detail: "too many ids and keys are asked for at once"}
	}
	for _, p := range q.Filter.Properties {
		if !json.Valid(p.Value) {
			return nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: fmt.Sprintf("property %.40q: %.40q is no JSON", p.Path, p.Value)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	at, err := c.queried(ctx, &q)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, maxPage)
	// Where there are more runtimes than a page has room for, the others wait.
	turn, rest := at.Open, []queryPlace(nil)
	if len(turn) > limit {
		turn, rest = turn[:limit], turn[limit:]
	}
	replies := make([]*queryReply, len(turn))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, place := range turn {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			replies[i] = c.askQuery(ctx, place, &q, limit/len(turn))
		})
	}
	wg.Wait()
	page := &QueryPage{}
	next := queryCursor{Open: slices.Clone(rest), Missing: at.Missing}
	for i, r := range replies {
		place := turn[i]
		if r == nil || r.Bad != "" {
			next.Missing = append(next.Missing, place.Label)
			continue
		}
		for _, row := range r.Rows {
			page.Instances = append(page.Instances, Instance{Row: row, RuntimeID: place.ID, Name: r.Name, Component: r.Component})
		}
		if r.Next != "" {
			place.Cursor = r.Next
			next.Open = append(next.Open, place)
		}
	}
	slices.Sort(next.Missing)
	page.Missing = next.Missing
	if len(next.Open) > 0 {
		page.Next = next.String()
	}
	return page, nil
}

// All goes through the instances of a query, page by page. It yields an error
// and ends where a page fails; at the end a *MissingError names the runtimes
// that did not answer, if there are any.
func (c *Client) All(ctx context.Context, q Query) iter.Seq2[Instance, error] {
	return func(yield func(Instance, error) bool) {
		for {
			page, err := c.Query(ctx, q)
			if err != nil {
				yield(Instance{}, err)
				return
			}
			for _, in := range page.Instances {
				if !yield(in, nil) {
					return
				}
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				if len(page.Missing) > 0 {
					yield(Instance{}, &MissingError{page.Missing})
				}
				return
			}
		}
	}
}

// A queryCursor says how far a query has got in each runtime.
type queryCursor struct {
	Open    []queryPlace `json:"o"`
	Missing []string     `json:"m,omitempty"`
}

type queryPlace struct {
	ID     string `json:"i"`
	Label  string `json:"l"`
	Cursor string `json:"c,omitempty"`
}

func (c *queryCursor) String() string {
	b, _ := json.Marshal(c) // texts only
	return base64.RawURLEncoding.EncodeToString(b)
}

// queried is where a query goes on, or begins.
func (c *Client) queried(ctx context.Context, q *Query) (*queryCursor, error) {
	if q.Cursor != "" {
		var at queryCursor
		b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
		if err != nil || json.Unmarshal(b, &at) != nil || len(at.Open) == 0 {
			return nil, ErrCursor
		}
		return &at, nil
	}
	hosts, err := c.hosts(ctx, q.Filter.Component, time.Now())
	if err != nil {
		return nil, err
	}
	at := &queryCursor{}
	wanted := func(id *Identity) bool {
		return (q.Filter.RuntimeID == "" || q.Filter.RuntimeID == id.RuntimeID) && (q.Filter.Name == "" || q.Filter.Name == id.Name)
	}
	for _, h := range hosts.live {
		if wanted(&h) {
			at.Open = append(at.Open, queryPlace{ID: h.RuntimeID, Label: h.label()})
		}
	}
	for _, h := range hosts.gone {
		if wanted(&h) {
			at.Missing = append(at.Missing, h.label())
		}
	}
	return at, nil
}

// askQuery asks one runtime, again where a request or reply was lost.
func (c *Client) askQuery(ctx context.Context, place queryPlace, q *Query, limit int) *queryReply {
	b, err := json.Marshal(&queryRequest{Filter: q.Filter, IDs: q.IDs, Keys: q.Keys, Limit: limit, Cursor: place.Cursor})
	if err != nil {
		return nil
	}
	for range 2 {
		once, cancel := context.WithTimeout(ctx, c.o.Timeout*2/5)
		m, err := c.bus.nc.RequestWithContext(once, c.bus.subjects.runtime(place.ID, "query"), b)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		var r queryReply
		if err != nil || Decode(m.Data, &r) != nil || r.RuntimeID != place.ID {
			return nil
		}
		return &r
	}
	return nil
}

// A queryRequest asks one runtime for some of the instances of a query.
type queryRequest struct {
	Filter Filter   `json:"filter"`
	IDs    []string `json:"ids,omitempty"`
	Keys   []string `json:"keys,omitempty"`
	Limit  int      `json:"limit"`
	Cursor string   `json:"cursor,omitempty"`
}

func (*queryRequest) message() {}

type queryReply struct {
	Identity
	Rows []Row  `json:"rows,omitempty"`
	Next string `json:"next,omitempty"`
	// Bad says what is wrong with the request.
	Bad string `json:"bad,omitempty"`
}

func (*queryReply) message() {}

func (a *Attachment) query(ctx context.Context, p *part, m *nats.Msg) {
	if m.Reply == "" {
		return
	}
	var q queryRequest
	if err := Decode(m.Data, &q); err != nil {
		a.send(m.Reply, &queryReply{Identity: p.id, Bad: err.Error()})
		return
	}
	a.serve(ctx, p.queries, func() {
		r, err := p.source.query(p.id, &q)
		a.answer(p, m.Reply, r, err)
	})
}

// looks bounds the instances that one request for a query has a runtime look at.
const looks = 20_000

// query answers a request: from the table, piece by piece, or from what is known
// of ids and keys.
func (s *runtimeSource) query(id Identity, q *queryRequest) (*queryReply, error) {
	r := &queryReply{Identity: id}
	g := &gatherer{q: q, props: properties(q.Filter.Properties), limit: min(max(q.Limit, 1), maxPage), room: MaxReply - envelope}
	if len(q.IDs)+len(q.Keys) > maxSought {
		r.Bad = "too many ids and keys"
		return r, nil
	}
	if len(q.IDs)+len(q.Keys) > 0 {
		return r, s.sought(r, g)
	}
	shard, slot, ok := parseCursor(q.Cursor)
	if !ok {
		r.Bad = ErrCursor.Error()
		return r, nil
	}
	for looked := 0; shard < s.Shards(); {
		if looked >= looks {
			r.Next = cursor(shard, slot)
			break
		}
		piece, err := s.rt.Piece(s.ctx, s.component, shard, slot, pieceMost)
		if err != nil {
			return nil, err
		}
		looked += len(piece.Slots) + 1
		for _, at := range piece.Slots {
			full, err := g.take(at.Instance)
			if err != nil {
				return nil, err
			}
			if full {
				r.Rows, r.Next = g.rows, cursor(shard, at.Number)
				return r, nil
			}
		}
		if slot = piece.Next; slot < 0 {
			shard, slot = shard+1, 0
		}
	}
	r.Rows = g.rows
	return r, nil
}

// sought answers for ids and keys: the cursor counts them.
func (s *runtimeSource) sought(r *queryReply, g *gatherer) error {
	begin := 0
	if g.q.Cursor != "" {
		_, n, ok := parseCursor(g.q.Cursor)
		if !ok {
			r.Bad = ErrCursor.Error()
			return nil
		}
		begin = n
	}
	met := map[string]bool{} // an id and a key may be those of one instance
	for n := 0; n < len(g.q.IDs)+len(g.q.Keys); n++ {
		in := s.soughtAt(g.q, n)
		if in == nil || met[in.ID()] {
			continue
		}
		met[in.ID()] = true
		if n < begin {
			continue
		}
		full, err := g.take(in)
		if err != nil {
			return err
		}
		if full {
			r.Next = cursor(0, n)
			break
		}
	}
	r.Rows = g.rows
	return nil
}

func (s *runtimeSource) soughtAt(q *queryRequest, n int) *fsm.Instance {
	var in *fsm.Instance
	var err error
	if n < len(q.IDs) {
		in, err = s.rt.Get(q.IDs[n])
	} else {
		in, err = s.rt.GetByKey(s.component, q.Keys[n-len(q.IDs)])
	}
	if err != nil || in.Component() != s.component {
		return nil
	}
	return in
}

// A gatherer collects the rows of one reply.
type gatherer struct {
	q     *queryRequest
	props []property
	limit int
	room  int
	rows  []Row
}

// take looks at one more instance. It returns true if there is no room for it,
// so that the next reply begins with it.
func (g *gatherer) take(in *fsm.Instance) (full bool, err error) {
	f := &g.q.Filter
	live := in.Status() == fsm.StatusActive
	if f.Machine != "" && f.Machine != in.Machine() || f.State != "" && f.State != in.State() || f.Live && !live || f.Ended && (live || in.Status() == fsm.StatusQuarantined) ||
		f.Prefix != "" && !strings.HasPrefix(in.ID(), f.Prefix) && !strings.HasPrefix(in.Key(), f.Prefix) {
		return false, nil
	}
	if len(g.rows) == g.limit {
		return true, nil
	}
	row, err := rower{in}.Row()
	if err != nil {
		return false, err
	}
	for i := range g.props {
		if !g.props[i].holdsFor(&row) {
			return false, nil
		}
	}
	size := row.size()
	if size > g.room && len(g.rows) > 0 {
		return true, nil
	}
	g.room -= size
	g.rows = append(g.rows, row)
	return false, nil
}

// holdsFor reports whether a row has the property.
func (p *property) holdsFor(r *Row) bool {
	return !p.bad && (p.in(r.Context) || p.in(r.PublicMember))
}
