package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A roster is who is on the mesh.
type roster struct {
	// sum tells one list of runtimes from another.
	sum uint64
	// live have answered, or are connected and silent. gone were heard within
	// the last minute by others, said no goodbye, and are not connected: they
	// may come back, with their instances.
	live, gone []Identity
	ago        map[string]time.Duration // that they were heard, of those that are gone
}

// Neighbours answers an attachment's question whom another one has heard of.
type Neighbours struct {
	Neighbours []Neighbour `json:"neighbours"`
}

func (*Neighbours) message() {}

// A Neighbour is a runtime that was heard of some time ago.
type Neighbour struct {
	Identity
	Ago int64 `json:"ago"` // ms
}

const (
	// A discovery ends when nothing more has come for discoverQuiet, or after
	// discoverMost.
	discoverQuiet = 200 * time.Millisecond
	discoverMost  = 2 * time.Second
	// discoverAgain is how long nobody has to have answered to be asked again.
	discoverAgain = 500 * time.Millisecond
	// probeWait is how long a silent runtime is given to show that it is there.
	probeWait = 200 * time.Millisecond
	// neighboursAsked is how many are asked whom they have heard of until one
	// tells, neighboursWait how long each is given.
	neighboursAsked = 5
	neighboursWait  = time.Second
	// maxNeighbours bounds the runtimes that an attachment remembers to have
	// heard of; more are not taken up.
	maxNeighbours = 1000
)

// discover asks everybody who is there and gathers the answers until none has
// come for a while. So that one that does not answer is not taken for none at
// all, one that did (with all, each) is asked whom it has heard of. The error is the context's or
// the connection's; never is somebody left out because time ran out.
func (b *Bus) discover(ctx context.Context, all bool) (*roster, error) {
	answered, err := b.announced(ctx)
	if err != nil || len(answered) == 0 {
		return &roster{}, err
	}
	neighbours, err := b.neighboursOf(ctx, answered, all)
	if err != nil {
		return nil, err
	}
	r := &roster{live: answered, ago: map[string]time.Duration{}}
	known := map[string]bool{}
	for _, id := range answered {
		known[id.RuntimeID] = true
	}
	var silent []Identity
	for _, n := range neighbours {
		if !known[n.RuntimeID] && !superseded(&n.Identity, answered) && n.good() {
			known[n.RuntimeID] = true
			silent = append(silent, n.Identity)
			r.ago[n.RuntimeID] = time.Duration(max(0, n.Ago)) * time.Millisecond
		}
	}
	ids := make([]string, len(silent))
	for i := range silent {
		ids[i] = silent[i].RuntimeID
	}
	absent := make(chan string, len(ids))
	b.lookFor(ctx, ids, absent)
	close(absent)
	gone := map[string]bool{}
	for id := range absent {
		gone[id] = true
	}
	for _, id := range silent {
		if gone[id.RuntimeID] {
			r.gone = append(r.gone, id)
		} else {
			r.live = append(r.live, id)
		}
	}
	for known := range known {
		r.sum += idSum(known)
	}
	return r, context.Cause(ctx)
}

// idSum is what a runtime adds to the sum of a list.
func idSum(runtimeID string) uint64 {
	f := fnv.New64a()
	f.Write([]byte(runtimeID)) // never fails
	return f.Sum64()
}

// announced gathers who answers.
func (b *Bus) announced(ctx context.Context) ([]Identity, error) {
	inbox := b.nc.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	q, err := json.Marshal(&Discover{Type: "discover", Timestamp: time.Now().UnixMilli()})
	if err != nil {
		return nil, err
	}
	ask := func() error { return b.nc.PublishRequest(b.subjects.discover(), inbox, q) }
	if err := ask(); err != nil {
		return nil, err
	}
	end := time.Now().Add(discoverMost)
	var found []Identity
	met := map[string]bool{}
	for {
		wait := min(time.Until(end), discoverAgain)
		if len(found) > 0 {
			wait = min(wait, discoverQuiet)
		}
		quiet, stop := context.WithTimeout(ctx, wait)
		m, err := sub.NextMsgWithContext(quiet)
		stop()
		switch {
		case err == nil:
			var a Announce
			if len(m.Data) > 0 && Decode(m.Data, &a) == nil && a.good() {
				if !met[a.RuntimeID] {
					found = append(found, a.Identity)
				}
				met[a.RuntimeID] = true
			}
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded) && len(found) == 0 && time.Now().Before(end):
			if err := ask(); err != nil { // the request may have been lost
				return nil, err
			}
		case errors.Is(err, context.DeadlineExceeded) && len(found) == 0:
			return nil, errSilent
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return found, nil
		default:
			return nil, err
		}
	}
}

// neighboursOf asks runtimes whom they have heard of: one after the other until
// one of them tells, or all at once. Some do not know what that is.
func (b *Bus) neighboursOf(ctx context.Context, ids []Identity, all bool) ([]Neighbour, error) {
	var mu sync.Mutex // guards both below
	var told []Neighbour
	var answered, silent bool
	one := func(id *Identity) {
		m, err := b.ask(ctx, id.RuntimeID, neighboursWait)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			told, answered = append(told, m.Neighbours...), true
		case errors.Is(err, context.DeadlineExceeded):
			silent = true
		}
	}
	if all {
		var wg sync.WaitGroup
		slots := make(chan struct{}, 16)
		for i := range ids {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				one(&ids[i])
			})
		}
		wg.Wait()
	}
	for i := 0; i < min(neighboursAsked, len(ids)) && !answered && !all; i++ {
		one(&ids[i])
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case silent && !answered:
		return nil, errSilent
	}
	return told, nil
}

// errSilent says that there are runtimes and that they did not say which.
var errSilent = fmt.Errorf("there are runtimes on the mesh, and they do not answer: %w", ErrNoAnswer)

func (b *Bus) ask(ctx context.Context, runtimeID string, wait time.Duration) (*Neighbours, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := b.nc.RequestWithContext(ctx, b.subjects.runtime(runtimeID, "neighbours"), nil)
	if err != nil {
		return nil, err
	}
	var n Neighbours
	return &n, Decode(m.Data, &n)
}

// lookFor tells which of the runtimes are not there any more, and returns when it has
// asked for all. The channel has room for them.
func (b *Bus) lookFor(ctx context.Context, ids []string, gone chan<- string) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := b.ask(ctx, id, probeWait); errors.Is(err, nats.ErrNoResponders) {
				gone <- id
			}
		})
	}
	wg.Wait()
}

// superseded reports whether one of the others has a runtime's instances.
func superseded(id *Identity, others []Identity) bool {
	for i := range others {
		if o := &others[i]; o.Name == id.Name && o.Component == id.Component && o.Log == id.Log && o.Epoch > id.Epoch {
			return true
		}
	}
	return false
}

// neighbours is whom an attachment has heard of.
type neighbours struct {
	own []Identity // of the process

	mu      sync.Mutex // guards all below
	list    map[string]neighbour
	total   uint64    // of the idSum of all
	expired time.Time // when it was last looked who has to go
}

type neighbour struct {
	Identity
	at time.Time
}

// heard takes in that a runtime was there at a time.
func (n *neighbours) heard(id Identity, at time.Time) {
	if !id.good() || id.Name == "" || id.Component == "" || superseded(&id, n.own) ||
		slices.ContainsFunc(n.own, func(o Identity) bool { return o.RuntimeID == id.RuntimeID }) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.list[id.RuntimeID]; !known {
		n.expire(at)
		if len(n.list) >= maxNeighbours {
			return
		}
		if n.list == nil {
			n.list = map[string]neighbour{}
		}
		for other, o := range n.list {
			if o.Log != "" && superseded(&id, []Identity{o.Identity}) {
				return // it does not know yet
			}
			if superseded(&o.Identity, []Identity{id}) {
				n.drop(other)
			}
		}
		n.total += idSum(id.RuntimeID)
	}
	n.list[id.RuntimeID] = neighbour{id, at}
}

// left takes in that a runtime said goodbye.
func (n *neighbours) left(runtimeID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(runtimeID)
}

func (n *neighbours) drop(runtimeID string) {
	if _, known := n.list[runtimeID]; known {
		delete(n.list, runtimeID)
		n.total -= idSum(runtimeID)
	}
}

// expire forgets who was not heard of for as long as makes one lost.
func (n *neighbours) expire(now time.Time) {
	if now.Sub(n.expired) < time.Second {
		return
	}
	n.expired = now
	for id, o := range n.list {
		if now.Sub(o.at) > lostAfter {
			n.drop(id)
		}
	}
}

// sum tells whether somebody else knows of the same runtimes.
func (n *neighbours) sum(now time.Time) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire(now)
	return n.total
}

func (n *neighbours) all(now time.Time) []Neighbour {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.expire(now)
	out := make([]Neighbour, 0, len(n.list))
	for _, o := range n.list {
		out = append(out, Neighbour{o.Identity, now.Sub(o.at).Milliseconds()})
	}
	return out
}

// known is the sum of all that the attachment knows of, itself included.
func (a *Attachment) known() uint64 {
	sum := a.others.sum(time.Now())
	for _, p := range a.parts {
		sum += idSum(p.id.RuntimeID)
	}
	return sum
}

func (a *Attachment) neighbours(m *nats.Msg) {
	if m.Reply != "" {
		a.send(m.Reply, &Neighbours{a.others.all(time.Now())})
	}
}

// heard takes in an announce, and wakes what waits for a component of which a
// runtime has come.
func (a *Attachment) heard(m *nats.Msg) {
	var other Announce
	if err := Decode(m.Data, &other); err != nil {
		return // directories count it
	}
	a.others.heard(other.Identity, time.Now())
	if a.parts[other.Component] == nil {
		a.rt.RetryEffects(other.Component)
	}
}

func (a *Attachment) beaconed(m *nats.Msg) {
	var b Beacon
	if err := Decode(m.Data, &b); err != nil || len(b.Runtimes) > maxEntries {
		return
	}
	for i := range b.Runtimes {
		a.others.heard(b.Runtimes[i].Identity, time.Now())
	}
}

func (a *Attachment) left(m *nats.Msg) {
	var g Goodbye
	if err := Decode(m.Data, &g); err == nil {
		a.others.left(g.RuntimeID)
	}
}
