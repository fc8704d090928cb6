package bridge

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// queryEvery is how often the broker is queried at most, and how often queries
// from it are answered: those in between are joined.
const queryEvery = time.Second

// An openQuery waits for the answers of the runtimes that were known when it was
// sent.
type openQuery struct {
	correlation string            // "" until it is sent
	waiting     map[string]string // runtimeId to what is shown of it
	answered    []string
	done        chan struct{} // closed when nobody is waited for
}

// want notes that the runtimes on the broker are to be queried, or asked who they
// are.
func (s *session) want(query, discover bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantQuery = s.wantQuery || query
	s.wantDiscover = s.wantDiscover || discover
}

// owe notes that a runtime is to answer a query: until it has, it is asked again.
func (s *session) owe(r *behind, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantQuery = true
	if !r.owes.Swap(true) {
		s.oweSince = now
	}
}

// owing asks again where a runtime has not answered since the last loss: it may
// not have been connected itself when it was asked. The pauses grow with the time
// that it takes.
func (s *session) owing(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wantQuery || !s.follows.Load() || now.Sub(s.askedAt) < max(queryEvery, min(now.Sub(s.oweSince)/2, s.c.Requery)) {
		return
	}
	for _, r := range s.behind {
		if r.owes.Load() {
			s.wantQuery = true
			s.wantDiscover = true
			return
		}
	}
}

// ask sends what is wanted, at most once a second: who wants a query meanwhile
// waits for the next, and shares it.
func (s *session) ask(now time.Time) {
	s.mu.Lock()
	query, discover := (s.wantQuery && s.follows.Load()) || s.nextQuery != nil, s.wantDiscover
	if !query && !discover || now.Sub(s.askedAt) < queryEvery {
		s.mu.Unlock()
		return
	}
	s.askedAt = now
	s.wantQuery, s.wantDiscover = false, false
	id := newID()
	if q := s.nextQuery; q != nil && query {
		s.nextQuery = nil
		q.correlation = id
		for _, r := range s.behind {
			q.waiting[r.id] = r.id + " (" + r.component() + ")"
		}
		if len(q.waiting) == 0 {
			close(q.done)
		} else {
			s.queries[id] = q
			time.AfterFunc(queryOpen, func() { s.closeQuery(id) })
		}
	}
	s.mu.Unlock()
	if discover {
		s.publish(Discover, &Body{Type: "discover"})
	}
	if query {
		s.b.counts.add(countQueries, 1)
		s.publish(Query, &Body{Type: "query_all_instances", CorrelationID: id})
	}
}

// queryOpen is how long the answers of a query are gathered at most.
const queryOpen = time.Minute

func (s *session) closeQuery(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.queries, id)
}

// join has all runtimes on the broker queried, together with whoever else wants
// that.
func (s *session) join() *openQuery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nextQuery == nil {
		s.nextQuery = &openQuery{waiting: map[string]string{}, done: make(chan struct{})}
		select {
		case s.due <- struct{}{}:
		default:
		}
	}
	return s.nextQuery
}

// queryAll has all queried and gathers who answers, until all have or the context
// ends.
func (s *session) queryAll(ctx context.Context) (answered, missing []string) {
	q := s.join()
	select {
	case <-q.done:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	answered = slices.Clone(q.answered)
	for _, name := range q.waiting {
		missing = append(missing, name)
	}
	if q.correlation == "" { // it was not sent in time
		for _, r := range s.behind {
			missing = append(missing, r.id+" ("+r.component()+")")
		}
	}
	slices.Sort(missing)
	slices.Sort(answered)
	return answered, missing
}

// refreshMost is how long a query of the mesh waits for the answer of a runtime on
// the broker: less than who asks waits for the bridge.
const refreshMost = 1800 * time.Millisecond

// errSilent says that a runtime on the broker did not answer in time.
var errSilent = errors.New("the runtime on the broker did not answer in time")

// refresh has the runtime answer a query of the mesh. One that numbers what it
// tells is not asked while nothing of it is missing.
func (r *behind) refresh(ctx context.Context) error {
	if err := r.s.follow(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	exact := r.numbered() && r.own.behind == 0 && !r.asOf.IsZero() && !r.owes.Load()
	r.mu.Unlock()
	if exact {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, refreshMost)
	defer cancel()
	answer, leave := r.await()
	defer leave()
	r.s.join()
	select {
	case <-answer:
		return nil
	case <-ctx.Done():
	case <-r.s.ctx.Done():
	}
	return errSilent
}

// answered takes in an answer of runtimes on the broker. A merged one that comes
// here has not come in the documented dialect.
func (s *session) answered(b *Body, now time.Time) {
	for _, part := range b.parts() {
		s.answeredFor(part, now)
	}
}

func (s *session) answeredFor(b *Body, now time.Time) {
	r := s.known(QueryResponse, b, now)
	if r == nil || b.Hops > r.route.hops || !r.take(b, now) {
		return
	}
	s.b.counts.add(countAnswered, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, q := range s.queries {
		// The ancestor's answers name no query: any of them will do, as all are
		// as of now.
		if _, waits := q.waiting[r.id]; waits && (b.CorrelationID == "" || b.CorrelationID == id) {
			delete(q.waiting, r.id)
			q.answered = append(q.answered, r.id)
			if len(q.waiting) == 0 {
				close(q.done)
				delete(s.queries, id)
			}
		}
	}
}

// correlationsMost is how many queries are answered each with its own correlationId,
// at a time.
const correlationsMost = 16

// asked takes in that somebody on the broker wants to know who is there, or what
// there is.
func (s *session) asked(b *Body, instances bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if instances {
		s.wantAnswer = true
		if b.CorrelationID != "" {
			s.correlate(b.CorrelationID)
		}
	}
	s.wantAnnounce = true
}

// correlate notes whom the next answer is for. Each costs a whole answer, so there
// are only so many; the others get one without a correlationId, which is as good for
// whoever takes what comes. The caller holds mu.
func (s *session) correlate(id string) {
	if slices.Contains(s.correlations, id) {
		return
	}
	if id != "" && len(s.correlations) >= correlationsMost {
		s.b.counts.add(countTogether, 1)
		s.correlate("")
		return
	}
	s.correlations = append(s.correlations, id)
}

// reply answers for the runtimes of the mesh, at most once a second: first who
// they are, then their instances. An answer that waits for room holds up nobody but
// the next answer.
func (s *session) reply(now time.Time) {
	s.mu.Lock()
	answer := s.wantAnswer && !s.answering
	if !s.wantAnnounce && !answer || now.Sub(s.answeredAt) < queryEvery {
		s.mu.Unlock()
		return
	}
	s.answeredAt = now
	s.wantAnnounce = false
	var correlations []string
	if answer {
		s.wantAnswer, s.answering = false, true
		correlations, s.correlations = s.correlations, nil
	}
	var list []outer
	for _, o := range s.outer {
		if o.shown {
			list = append(list, *o)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b outer) int { return a.first.Compare(b.first) })
	for i := range list {
		s.publish(Announce, list[i].announce())
	}
	if answer {
		s.wg.Go(func() {
			s.answerAll(list, correlations)
			s.mu.Lock()
			s.answering = false
			s.mu.Unlock()
		})
	}
}

// answerAll tells the instances of runtimes of the mesh.
func (s *session) answerAll(list []outer, correlations []string) {
	if len(correlations) == 0 {
		correlations = []string{""}
	}
	components := map[string]bool{}
	for i := range list {
		s.answerFor(&list[i], correlations)
		if c := list[i].info.Component; !components[c] {
			components[c] = true
			s.answerMerged(&list[i], list)
		}
	}
}

func (s *session) answerFor(o *outer, correlations []string) {
	rows, floors := s.rows(mesh.Filter{RuntimeID: o.info.RuntimeID, Live: true}, []outer{*o})
	if floors[0] < 0 {
		s.mu.Lock()
		s.wantAnswer = true // again, once it is read
		for _, id := range correlations {
			if id != "" || len(correlations) > 1 {
				s.correlate(id)
			}
		}
		s.mu.Unlock()
		return
	}
	s.answerWith(o, rows, uint64(floors[0]), correlations)
}

// answerWith tells rows of a runtime to each who asked.
func (s *session) answerWith(o *outer, rows []mesh.Instance, asOf uint64, correlations []string) {
	chunks := answer(&o.info, rows, asOf)
	for _, id := range correlations {
		for _, chunk := range chunks {
			b := *chunk // with an id of its own
			b.CorrelationID, b.Hops = id, o.hops
			if !s.publishAnswer(&b) {
				return
			}
		}
	}
	s.b.counts.add(countAnswers, 1)
}

// publishAnswer publishes a piece of an answer once there is room for it: an answer
// with a piece missing is of no use. It reports false if the session ends before.
func (s *session) publishAnswer(b *Body) bool {
	frames, err := s.frames(QueryResponse, b)
	if err != nil {
		s.c.Logger.Warn("bridge: could not encode", "kind", QueryResponse, "err", err)
		return true
	}
	for _, f := range frames {
		if !s.outbox.wait(s.ctx, len(f.Body)) {
			return false
		}
		s.outbox.push(f)
	}
	return true
}

// answerMerged tells the instances of all runtimes of a component, wherever they
// are, to those who keep only one answer. It is given for those that are shown here.
func (s *session) answerMerged(o *outer, shown []outer) {
	// Who keeps only one answer numbers nothing: it is made when it can go at once, so
	// that what is told meanwhile is not undone by it.
	if !s.outbox.wait(s.ctx, 2*mergedBytes) {
		return
	}
	rows, floors := s.rows(mesh.Filter{Component: o.info.Component, Live: true}, shown)
	var runtimes []Answering
	for i := range shown {
		if one := &shown[i]; one.info.Component == o.info.Component && floors[i] >= 0 {
			asOf := uint64(floors[i])
			runtimes = append(runtimes, Answering{RuntimeID: one.info.RuntimeID, Hops: one.hops, AsOf: &asOf})
		}
	}
	b := mergedAnswer(&o.info, rows, runtimes)
	b.Hops = o.hops
	s.publishAnswer(b)
}

// rows returns rows of the mesh, with the numbers as of which those of the given
// runtimes are: less than 0 for one of which that is not known exactly.
func (s *session) rows(f mesh.Filter, of []outer) (rows []mesh.Instance, floors []int64) {
	s.view.Read(func(d *mesh.Directory) {
		for i := range of {
			floors = append(floors, d.Floor(of[i].info.RuntimeID))
		}
		cursor := ""
		for {
			page, err := d.List(f, false, cursor, 10_000)
			if err != nil {
				return
			}
			rows = append(rows, page.Instances...)
			if cursor = page.Next; cursor == "" || len(rows) > maxRows {
				break
			}
		}
	})
	return rows, floors
}
