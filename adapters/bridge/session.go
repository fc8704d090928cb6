package bridge

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

// A session is a bridge while it is active.
type session struct {
	b      *Bridge
	c      *Config
	broker Broker
	guard  *guard
	outbox *outbox
	// held is what of the broker's runtimes is held, commands what of commands.
	held, commands *budget
	view           *mesh.View
	ctx            context.Context // ends with the session
	cancel         context.CancelFunc
	work           context.Context // ends a moment later: what is begun is brought to its end
	wg             sync.WaitGroup
	// publishing is waited for once all else has ended and said what it had to say,
	// which endPublishing then tells it.
	publishing    sync.WaitGroup
	endPublishing context.CancelFunc
	lanes         []chan func()
	due           chan struct{} // room for one: there is something to ask
	back          chan struct{} // room for one: the broker was away and is back
	// follows says that notices are listened to; following is held while that begins.
	follows   atomic.Bool
	following sync.Mutex
	// taking counts the messages that are being taken in.
	taking atomic.Int32
	// role is that of the bridge as the session began, crossed counts the
	// cross-component events from the broker.
	role    string
	crossed atomic.Uint64
	began   time.Time
	// checkedAt is when it was last looked who is silent; of the tending goroutine.
	checkedAt time.Time

	mu sync.Mutex // guards all below
	// behind are the runtimes on the broker that the bridge speaks for, nil once the
	// session ends, routes over whom a runtime was heard on the broker.
	behind map[string]*behind
	routes map[string]heardRoute
	// strangers are the components of runtimes that are on the broker themselves and
	// were heard of, but not who they are: no more than behindMost.
	strangers map[string]bool
	// outer are the runtimes of the mesh that are shown on the broker.
	outer  map[string]*outer
	shared map[string]bool // components whose creations are listened to
	// components has the channels of components whose broadcasts are; subscribed says
	// that those of later ones are to be added to what is listened to.
	components map[string]bool
	subscribed bool
	// asked and answered join queries: at most one a second each way.
	wantQuery, wantDiscover, wantAnswer, wantAnnounce bool
	askedAt, answeredAt                               time.Time
	// answering says that an answer is on its way into the outbox.
	answering bool
	// correlations are those of the queries to be answered.
	correlations []string
	queries      map[string]*openQuery
	// nextQuery gathers who wants all to be queried, until it is sent.
	nextQuery *openQuery
	// oweSince is when all were last noted to owe an answer.
	oweSince    time.Time
	waits       map[string]chan *Body // commands, by correlationId
	effects     map[string]*sentEffect
	effectOrder []string
	attempts    tries
	expected    expected
	makers      makers
}

type heardRoute struct {
	route
	at time.Time
}

// An outer is a runtime of the mesh that is shown on the broker.
type outer struct {
	info      mesh.RuntimeInfo
	first     time.Time
	shown     bool
	hops      int
	heartbeat time.Time // the next
}

// startSession subscribes, and asks who is there.
func startSession(ctx context.Context, b *Bridge, broker Broker) (*session, error) {
	view, err := mesh.Watch(ctx, b.c.Bus, mesh.ViewOptions{Logger: b.c.Logger})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	s := &session{
		b: b, c: &b.c, began: time.Now(), broker: broker, role: roleOf(broker), guard: newGuard(b.id, b.counts), held: newBudget(heldBytes), commands: newBudget(commandBytes), view: view, ctx: run, cancel: cancel,
		behind: map[string]*behind{}, routes: map[string]heardRoute{}, strangers: map[string]bool{}, outer: map[string]*outer{}, shared: map[string]bool{}, components: map[string]bool{},
		queries: map[string]*openQuery{}, waits: map[string]chan *Body{}, effects: map[string]*sentEffect{},
		wantQuery: true, wantDiscover: true, due: make(chan struct{}, 1), back: make(chan struct{}, 1), oweSince: time.Now(),
	}
	s.follows.Store(!b.c.NoNotices)
	s.outbox = newOutbox(b, broker, s.tellAnew)
	s.startLanes()
	s.lookAround(ctx)
	// Who is there is shown before the first message comes: a command that waited for
	// this bridge would be taken for one for somebody else.
	s.present(time.Now())
	notices, err := b.c.Bus.NoticeBatches(run, "")
	if err == nil {
		err = s.subscribe(ctx)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("bridge to %s: %w", redact.URL(b.c.URL), err)
	}
	publish, end := context.WithCancel(context.WithoutCancel(run))
	s.endPublishing = end
	s.publishing.Go(func() { s.outbox.run(publish) })
	s.wg.Go(func() { s.mirror(notices) })
	s.wg.Go(func() { s.tend(run) })
	return s, nil
}

// lookAround waits until the picture of the mesh has all runtimes that are there:
// else one of them that is heard on the broker would be taken for one from there.
func (s *session) lookAround(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	there, err := s.b.client.Runtimes(ctx)
	if err != nil {
		s.c.Logger.Warn("bridge: who is on the mesh", "err", err)
	}
	for ctx.Err() == nil {
		changed, missing := s.view.Changed(), false
		s.view.Read(func(d *mesh.Directory) {
			for _, id := range there {
				info, ok := d.Runtime(id.RuntimeID, time.Now())
				missing = missing || !ok || len(info.Definition) == 0
			}
		})
		if !missing {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (s *session) subscribe(ctx context.Context) error {
	// Answers to commands come by themselves: who reads what comes waits at times for
	// commands to be done, and some of those wait for such an answer.
	without := []Kind{CommandResponse}
	if c := of(CommandResponse); s.b.dialects.wants(c) && len(s.b.dialects.names(c)) > 0 {
		if err := s.broker.Subscribe(ctx, Subscription{Channels: s.b.dialects.names(c), Passing: true}, s.receive); err != nil {
			return err
		}
	}
	if s.broker.Guarantees().Shared {
		without = append(without, CreateInstance) // component by component, later
	}
	channels := s.b.dialects.in(without...)
	s.mu.Lock()
	channels = append(channels, slices.Sorted(maps.Keys(s.components))...)
	s.subscribed = true
	s.mu.Unlock()
	if len(channels) == 0 {
		return nil
	}
	return s.broker.Subscribe(ctx, Subscription{Channels: channels}, s.receive)
}

// follow begins to listen to the notices of the broker, where it was left out as
// nobody had use for them, and waits a while for the answers of those who are there.
func (s *session) follow(ctx context.Context) error {
	s.following.Lock()
	defer s.following.Unlock()
	channels := s.b.dialects.notices()
	if s.follows.Load() || len(channels) == 0 {
		return nil
	}
	if err := s.broker.Subscribe(ctx, Subscription{Channels: channels}, s.receive); err != nil {
		return &fsm.Error{Code: fsm.CodeNotRunning, Detail: "the instances behind the bridge are not known: " + redact.Error(err, s.c.URL).Error()}
	}
	s.follows.Store(true)
	s.mu.Lock()
	s.wantQuery, s.oweSince = true, time.Now()
	for _, r := range s.behind {
		r.owes.Store(true)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, refreshMost)
	defer cancel()
	s.queryAll(ctx) // who is silent is known by what is shown of it
	return nil
}

// stop ends the session without a word: another bridge may go on with it.
func (s *session) stop() {
	before := s.b.counts.of(countStopped)
	s.cancel()
	s.mu.Lock()
	gone := s.behind
	s.behind = nil
	s.mu.Unlock()
	for _, r := range gone {
		r.guest.Leave()
	}
	for _, r := range gone {
		r.guest.Wait()
		r.table.release()
	}
	s.wg.Wait()
	if s.endPublishing != nil {
		s.endPublishing()
	}
	s.publishing.Wait()
	if n := s.b.counts.of(countStopped) - before; n > 0 {
		s.c.Logger.Warn("bridge: commands are lost, as the bridge stops before they are done", "broker", redact.URL(s.c.URL), "commands", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.view.Close(ctx)
}

// Commands from the broker are done in lanes, those for one instance in the same.
const (
	laneCount = 16
	laneRoom  = 64
)

// workFor is how long commands that are under way when the session ends may take: one
// without an id would be done twice if it were broken off and given to another bridge.
const workFor = 500 * time.Millisecond

func (s *session) startLanes() {
	work, end := context.WithCancel(context.WithoutCancel(s.ctx))
	s.work = work
	context.AfterFunc(s.ctx, func() { time.AfterFunc(workFor, end) })
	for range laneCount {
		lane := make(chan func(), laneRoom)
		s.lanes = append(s.lanes, lane)
		s.wg.Go(func() {
			for s.ctx.Err() == nil {
				select {
				case f := <-lane:
					f()
				case <-s.ctx.Done():
				}
			}
			if s.broker.Guarantees().Redelivered {
				return // the broker gives what waits to the next
			}
			for {
				select {
				case f := <-lane:
					f()
				default:
					return
				}
			}
		})
	}
}

// inLane does f after what came before it for the same instance. When the lane
// is full it waits, so that the broker holds back. It reports false if the session
// ends before.
func (s *session) inLane(name string, f func()) bool {
	if s.ctx.Err() != nil {
		return false
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	select {
	case s.lanes[h.Sum32()%laneCount] <- f:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// tend does what is due by time.
func (s *session) tend(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	requery := time.NewTicker(s.c.Requery)
	defer requery.Stop()
	for {
		changed := s.view.Changed()
		now := time.Now()
		s.present(now)
		s.check(now)
		s.owing(now)
		s.ask(now)
		s.reply(now)
		select {
		case l := <-s.broker.Lost():
			s.lost(l)
		case <-requery.C:
			s.mu.Lock()
			s.wantQuery = true
			s.mu.Unlock()
		case <-changed:
			pause(ctx, 20*time.Millisecond) // changes come in bursts
		case <-s.due:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lost takes in that something may be missing, on either side of the broker.
func (s *session) lost(l Loss) {
	s.b.counts.add(countLost, 1)
	select {
	case s.back <- struct{}{}:
	default:
	}
	s.c.Logger.Warn("bridge: messages may be missing; asking anew", "broker", redact.URL(s.c.URL), "reason", l.Reason)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantQuery, s.wantDiscover, s.wantAnswer = true, true, true
	s.oweSince = time.Now()
	for _, r := range s.behind {
		r.owes.Store(true)
	}
}

// tellAnew has those on the broker told all again: some of it was lost on the way
// there.
func (s *session) tellAnew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wantAnswer = true
}

// publish sends a body in all dialects that have the kind.
func (s *session) publish(k Kind, body *Body) {
	frames, err := s.frames(k, body)
	if err != nil {
		s.c.Logger.Warn("bridge: could not encode", "kind", k, "err", err)
		return
	}
	s.outbox.push(frames...)
}

// frames makes the frames of a body: the same in both dialects, but that the
// one in the package dialect says that it is a copy.
func (s *session) frames(k Kind, body *Body) ([]Frame, error) {
	c := of(k)
	if c == nil || !c.Out || !s.b.dialects.mirrors(c) {
		return nil, nil
	}
	if body.ID == "" {
		body.ID = newID()
	}
	if body.Timestamp == 0 {
		body.Timestamp = time.Now().UnixMilli()
	}
	body.Origin = s.b.id
	var frames []Frame
	for d, name := range c.Names {
		if name == "" || s.b.dialects.off[d] || body.only(Dialect(d)) {
			continue
		}
		if k == ComponentBroadcast {
			name = ComponentChannel(body.TargetComponent)
		}
		body.Copy = len(frames) > 0 || body.Merged && !s.b.dialects.off[Documented]
		raw, err := body.Encode()
		if err != nil {
			return nil, err
		}
		frames = append(frames, Frame{name, raw})
	}
	if s.c.DryRun != nil {
		for _, f := range frames {
			s.c.DryRun(f)
		}
		return nil, nil
	}
	return frames, nil
}

// only reports whether a body is not for a dialect: answers are merged in the
// package dialect, and in chunks in the other.
func (b *Body) only(d Dialect) bool {
	return b.Type == "instances" && b.Merged != (d == Package)
}

func (s *session) status(st *Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.behind {
		st.Behind = append(st.Behind, r.status())
	}
	for id, o := range s.outer {
		if o.shown {
			st.Mirrored = append(st.Mirrored, id)
		}
	}
	slices.SortFunc(st.Behind, func(a, b Behind) int { return strings.Compare(a.RuntimeID, b.RuntimeID) })
	slices.Sort(st.Mirrored)
	st.Queued = s.outbox.waiting()
}
