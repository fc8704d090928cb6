package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// A search goes through all that a runtime keeps, which may be more than memory
// holds. So its answer is many messages, and each comes when the one before has
// been taken.

const (
	// pieceRows is the most instances of one message of a search's answer.
	pieceRows = 2000
	// stillSearching is how often a runtime that has found nothing more yet says
	// that it is at it, and takenWithin how long it waits until what it found is
	// taken.
	stillSearching = time.Second
	takenWithin    = 45 * time.Second
	// stopSearch answers a piece where no more is wanted; an empty answer asks for
	// the next.
	stopSearch = "stop"
)

// Search yields the instances of all runtimes that are looked for, live or
// ended, as far back as they are kept: limit of them at most, 0 is all. It yields
// an error and ends where ctx does; at the end a *MissingError names the runtimes
// that did not answer, or not to the end. Only silence is bounded by
// ClientOptions.Timeout, not the whole. A runtime waits 45 s for the caller to
// take what it found.
func (c *Client) Search(ctx context.Context, s fsm.Search, limit int) iter.Seq2[Instance, error] {
	return c.searched(ctx, s.Component, &searchRequest{Search: s, Limit: limit})
}

// Correlated yields the instances of all runtimes, live or ended, that have a
// value in one of the fields of their fsm.Config.Correlate, as Search does. A
// number is given as its text.
func (c *Client) Correlated(ctx context.Context, value string, limit int) iter.Seq2[Instance, error] {
	return c.searched(ctx, "", &searchRequest{Correlated: value, Limit: limit})
}

func (c *Client) searched(ctx context.Context, component string, q *searchRequest) iter.Seq2[Instance, error] {
	return func(taker func(Instance, error) bool) {
		// What the caller takes over each instance is not the mesh's time.
		begin, failed := time.Now(), error(nil)
		defer func() { c.did(CallSearch, begin, &failed) }()
		yield := func(in Instance, err error) bool {
			if err != nil {
				failed = err
			}
			given := time.Now()
			defer func() { begin = begin.Add(time.Since(given)) }()
			return taker(in, err)
		}
		first, cancel := context.WithTimeout(ctx, c.o.Timeout)
		hosts, err := c.hosts(first, component, time.Now())
		cancel()
		if err != nil {
			yield(Instance{}, err)
			return
		}
		var missing []string
		for _, h := range hosts.gone {
			missing = append(missing, h.label())
		}
		left := *q
		for i := range hosts.live {
			n, err := c.searchOne(ctx, &hosts.live[i], &left, yield)
			switch {
			case errors.Is(err, errEnough):
				return
			case ctx.Err() != nil:
				yield(Instance{}, context.Cause(ctx))
				return
			case fsm.ErrorCode(err) == fsm.CodeBadValue:
				yield(Instance{}, err)
				return
			case err != nil:
				missing = append(missing, hosts.live[i].label())
			}
			if left.Limit > 0 {
				if left.Limit -= n; left.Limit <= 0 {
					break
				}
			}
		}
		if len(missing) > 0 {
			slices.Sort(missing)
			yield(Instance{}, &MissingError{missing})
		}
	}
}

// errEnough: who was yielded to wants no more.
var errEnough = errors.New("enough")

// searchOne yields what one runtime finds, and returns how much that was.
func (c *Client) searchOne(ctx context.Context, h *Identity, q *searchRequest, yield func(Instance, error) bool) (n int, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return 0, &fsm.Error{Code: fsm.CodeBadValue, Err: err}
	}
	inbox, in := c.bus.nc.NewInbox(), make(chan *nats.Msg, 128)
	sub, err := c.bus.nc.ChanSubscribe(inbox, in)
	if err != nil {
		return 0, err
	}
	defer sub.Unsubscribe()
	if err := c.bus.nc.PublishRequest(c.bus.subjects.runtime(h.RuntimeID, "search"), inbox, b); err != nil {
		return 0, err
	}
	silent := time.NewTimer(c.o.Timeout)
	defer silent.Stop()
	for {
		var m *nats.Msg
		select {
		case m = <-in:
		case <-silent.C:
			return n, ErrNoAnswer
		case <-ctx.Done():
			return n, context.Cause(ctx)
		}
		var p searchPiece
		if m.Header.Get("Status") == noResponders {
			return n, ErrGone
		}
		if err := Decode(m.Data, &p); err != nil {
			return n, err
		}
		if p.Failed != nil {
			return n, p.Failed.err()
		}
		for _, row := range p.Rows {
			n++
			if !yield(Instance{Row: row, RuntimeID: h.RuntimeID, Name: h.Name, Component: h.Component}, nil) {
				if m.Reply != "" {
					_ = c.bus.nc.Publish(m.Reply, []byte(stopSearch)) // else it stops when it has waited
				}
				return n, errEnough
			}
		}
		if p.End {
			return n, nil
		}
		if m.Reply != "" {
			if err := c.bus.nc.Publish(m.Reply, nil); err != nil {
				return n, err
			}
		}
		silent.Reset(c.o.Timeout)
	}
}

// A searchRequest asks one runtime for what it finds.
type searchRequest struct {
	Search fsm.Search `json:"search"`
	// Correlated is looked for in the fields of correlation in place of that.
	Correlated string `json:"correlated,omitempty"`
	Limit      int    `json:"limit,omitempty"`
}

func (*searchRequest) message() {}

// A searchPiece is a part of the answer. One without a reply subject is not
// waited for.
type searchPiece struct {
	Rows   []Row    `json:"rows,omitempty"`
	End    bool     `json:"end,omitempty"`
	Failed *Outcome `json:"failed,omitempty"`
}

func (*searchPiece) message() {}

func (a *Attachment) search(ctx context.Context, p *part, m *nats.Msg) {
	if m.Reply == "" {
		return
	}
	var q searchRequest
	if err := Decode(m.Data, &q); err != nil {
		a.send(m.Reply, &searchPiece{Failed: outcome(nil, &fsm.Error{Code: fsm.CodeBadValue, Detail: "the search cannot be read", Err: err})})
		return
	}
	a.serve(ctx, p.searches, func() { a.searchFor(ctx, p, m.Reply, &q) })
}

// searchFor sends what is found, piece by piece.
func (a *Attachment) searchFor(ctx context.Context, p *part, to string, q *searchRequest) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sending atomic.Bool
	a.spawn(func() {
		tick := time.NewTicker(stillSearching)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if !sending.Load() {
					a.send(to, &searchPiece{})
				}
			case <-ctx.Done():
				return
			}
		}
	})
	var rows []Row
	room, n := MaxReply-envelope, 0
	flush := func() error {
		b, err := Encode(&searchPiece{Rows: rows})
		if err != nil {
			return err
		}
		sending.Store(true)
		defer sending.Store(false)
		wait, done := context.WithTimeout(ctx, takenWithin)
		defer done()
		rows, room = rows[:0], MaxReply-envelope
		taken, err := a.bus.nc.RequestMsgWithContext(wait, &nats.Msg{Subject: to, Data: b})
		if err == nil && len(taken.Data) > 0 {
			return errEnough
		}
		return err
	}
	for in, err := range a.found(ctx, p.id.Component, q) {
		var row Row
		if err == nil {
			row, err = rower{in}.Row()
		}
		if err != nil {
			a.answer(p, to, &searchPiece{Failed: outcome(nil, err)}, nil)
			return
		}
		if len(rows) == pieceRows || len(rows) > 0 && row.size() > room {
			if flush() != nil {
				return // who asked is gone
			}
		}
		room -= row.size()
		rows = append(rows, row)
		if n++; q.Limit > 0 && n >= q.Limit {
			break
		}
	}
	a.answer(p, to, &searchPiece{Rows: rows, End: true}, nil)
}

// found is what a component of the runtime has of what is looked for.
func (a *Attachment) found(ctx context.Context, component string, q *searchRequest) iter.Seq2[*fsm.Instance, error] {
	if q.Correlated == "" {
		s := q.Search
		if s.Component != "" && s.Component != component {
			return func(func(*fsm.Instance, error) bool) {}
		}
		s.Component = component
		return a.rt.Search(ctx, s)
	}
	return func(yield func(*fsm.Instance, error) bool) {
		most := 1_000_000
		if q.Limit > 0 && len(a.parts) == 1 {
			most = q.Limit
		}
		c, err := a.rt.Correlated(ctx, q.Correlated, most)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, in := range c.Instances {
			if in.Component() == component && !yield(in, nil) {
				return
			}
		}
	}
}
