package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// AttachOptions says how a runtime is attached. The zero value is a good one.
type AttachOptions struct {
	// Host and Port are shown with the runtime; they default to "localhost"
	// and 0.
	Host string
	Port int
	// Store says in words where the instances are kept and when what is
	// acknowledged is on disk, for whoever looks at the runtime. Defaults to
	// nothing.
	Store string
	// Heartbeat is how often the runtime says that it is there. Defaults to
	// 30 s, give or take a tenth.
	Heartbeat time.Duration
	// Logger defaults to that of the bus.
	Logger *slog.Logger
}

// ErrNameTaken is returned by Attach where another live process runs a
// component under the same Name on a log of its own: give one of them another
// name.
var ErrNameTaken = errors.New("a runtime of this name is on the mesh already, with a log of its own")

// An Attachment makes a runtime part of a mesh: it announces each of its
// components, tells what happens, and answers what directories ask.
type Attachment struct {
	rt     *fsm.Runtime
	bus    *Bus
	o      AttachOptions
	parts  map[string]*part // by component
	cancel context.CancelFunc
	subs   []*nats.Subscription
	others neighbours
	close  sync.Once
	jobs   chan func()
	closed chan struct{} // closed once nothing of it runs any more

	mu    sync.Mutex // guards ended, and that nothing is added to wg after it
	ended bool
	wg    sync.WaitGroup
}

// spawn runs f on a goroutine that Close waits for, unless the attachment has
// ended.
func (a *Attachment) spawn(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		a.wg.Go(f)
	}
}

// A part is one component of an attached runtime: a runtime of its own to the
// mesh.
type part struct {
	id         Identity
	definition json.RawMessage
	source     *runtimeSource
	// Of each kind of request two are served at a time, of searches four; others
	// wait.
	pages, repairs, queries, searches chan struct{}

	mu sync.Mutex // guards told
	// told is the number of the last notice handed to the bus or left out for
	// good.
	told uint64
}

func (p *part) tell(seq uint64) {
	p.mu.Lock()
	p.told = max(p.told, seq)
	p.mu.Unlock()
}

func (p *part) lastTold() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// Attach attaches a running runtime to a mesh. It fails with ErrNameTaken, and
// where the bus cannot be reached. The context bounds the attaching only; Close
// ends it.
func Attach(ctx context.Context, rt *fsm.Runtime, bus *Bus, o AttachOptions) (*Attachment, error) {
	if o.Heartbeat <= 0 {
		o.Heartbeat = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = bus.logger
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	a := &Attachment{rt: rt, bus: bus, o: o, parts: map[string]*part{}, jobs: make(chan func()), closed: make(chan struct{})}
	run, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	process := uuid.NewString()
	for _, c := range rt.Components() {
		definition, err := json.Marshal(c)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("attach %s: its definition: %w", c.Name, err)
		}
		a.parts[c.Name] = &part{
			id: Identity{
				RuntimeID: uuid.NewString(), Component: c.Name, Name: rt.Name(), Epoch: rt.Epoch(), Log: rt.LogID(), Process: process,
			},
			definition: definition, source: &runtimeSource{run, rt, c.Name},
			pages: make(chan struct{}, 2), repairs: make(chan struct{}, 2), queries: make(chan struct{}, 2), searches: make(chan struct{}, 4),
		}
	}
	for _, p := range a.parts {
		a.others.own = append(a.others.own, p.id)
	}
	if err := a.checkNames(ctx); err != nil {
		cancel()
		return nil, err
	}
	// Watched before anything is announced: what happens from now on is told.
	notices := rt.WatchBatches(run, fsm.WatchOptions{Buffer: noticeBuffer})
	if err := a.subscribe(run); err != nil {
		a.end()
		return nil, fmt.Errorf("attach %s: %w", rt.Name(), err)
	}
	a.spawn(func() {
		a.publish(notices)
		a.leaveWith(run)
	})
	a.spawn(func() { a.beat(run) })
	return a, nil
}

// leaveWith says goodbye for a runtime that has ended, or was fenced: what it has
// is not live any more.
func (a *Attachment) leaveWith(run context.Context) {
	if run.Err() != nil {
		return // closed before
	}
	go func() { // Close waits for the caller; who calls it too waits for this
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = a.Close(ctx) // the bus may be gone
	}()
}

// What a runtime calls its instances is what a directory can hold.
var _ [maxName]byte = [fsm.MaxName]byte{}

// noticeBuffer is how many notices may wait for the bus. What does not fit is
// left out, and repaired by those who miss it.
const noticeBuffer = 65_536

// RuntimeIDs returns the runtimeId of each component, fixed for the life of the
// attachment.
func (a *Attachment) RuntimeIDs() map[string]string {
	out := map[string]string{}
	for name, p := range a.parts {
		out[name] = p.id.RuntimeID
	}
	return out
}

// checkNames asks who is there, and refuses a name that a live process uses
// with another log.
func (a *Attachment) checkNames(ctx context.Context) error {
	present, err := a.bus.discover(ctx, false)
	if errors.Is(err, errSilent) {
		// One that is stuck must not keep others away. Who has its name is shown
		// beside it.
		a.o.Logger.Warn("mesh: it is not known whether the name is taken", "runtime", a.rt.Name(), "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("attach %s: %w", a.rt.Name(), err)
	}
	now := time.Now()
	for _, other := range present.gone {
		a.others.heard(other, now.Add(-present.ago[other.RuntimeID]))
	}
	for _, other := range present.live {
		a.others.heard(other, now)
	}
	for _, other := range present.live {
		p := a.parts[other.Component]
		if p != nil && other.Name == p.id.Name && (other.Log != p.id.Log || other.Log == "") && other.Process != p.id.Process {
			return fmt.Errorf("attach %s of component %s: %w", p.id.Name, other.Component, ErrNameTaken)
		}
	}
	return nil
}

func (a *Attachment) subscribe(ctx context.Context) error {
	on := func(subject string, messages, bytes int, f func(*nats.Msg)) error {
		sub, err := a.bus.nc.Subscribe(subject, f)
		if err != nil {
			return err
		}
		a.subs = append(a.subs, sub)
		return sub.SetPendingLimits(messages, bytes)
	}
	told := func(subject string, f func(*nats.Msg)) error { return on(subject, pendingMessages, pendingBytes, f) }
	s := a.bus.subjects
	err := errors.Join(told(s.discover(), a.discovered), told(s.announce(), a.heard), told(s.beacon(), a.beaconed), told(s.shutdown(), a.left))
	for _, p := range a.parts {
		asked := func(what string, f func(*nats.Msg)) error {
			return on(s.runtime(p.id.RuntimeID, what), pendingRequests, pendingRequestBytes, f)
		}
		err = errors.Join(err,
			asked("repair", func(m *nats.Msg) { a.repair(ctx, p, m) }),
			asked("page", func(m *nats.Msg) { a.page(ctx, p, m) }),
			asked("query", func(m *nats.Msg) { a.query(ctx, p, m) }),
			asked("search", func(m *nats.Msg) { a.search(ctx, p, m) }),
			asked("neighbours", a.neighbours))
	}
	if err := errors.Join(err, a.subscribeCommands(ctx)); err != nil {
		return err
	}
	for _, p := range a.parts {
		a.announce(p, "")
		a.announce(p, s.on("locate")) // see command
	}
	return a.bus.flush(ctx)
}

// discovered answers who asks who is there: on the reply subject if there is
// one, and to everybody, so that all directories learn of it.
func (a *Attachment) discovered(m *nats.Msg) {
	var q Discover
	if err := Decode(m.Data, &q); err != nil {
		a.o.Logger.Debug("mesh: discover", "err", err)
		return
	}
	for _, p := range a.parts {
		if q.RuntimeID == "" || q.RuntimeID == p.id.RuntimeID {
			a.announce(p, m.Reply)
		}
	}
}

func (a *Attachment) announce(p *part, to string) {
	seq := p.lastTold()
	body := &Announce{
		Identity: p.id, Definition: p.definition, Host: a.o.Host, Port: a.o.Port, Store: a.o.Store, Protocol: 1,
		Seq: &seq, Timestamp: time.Now().UnixMilli(),
	}
	a.send(cmp.Or(to, a.bus.subjects.announce()), body)
}

func (a *Attachment) send(subject string, body Message) {
	b, err := Encode(body)
	if err == nil {
		err = a.bus.nc.Publish(subject, b)
	}
	a.sent(subject, err)
}

// sent tells of what could not be sent. Who waits for it asks again.
func (a *Attachment) sent(subject string, err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		a.o.Logger.Warn("mesh: could not send", "subject", subject, "err", err)
	}
}

// beat says that the runtime is there: a beacon every second, a heartbeat now
// and then.
func (a *Attachment) beat(ctx context.Context) {
	beacon := time.NewTicker(time.Second)
	defer beacon.Stop()
	heartbeat := time.NewTimer(jittered(a.o.Heartbeat))
	defer heartbeat.Stop()
	for {
		select {
		case <-beacon.C:
			b := &Beacon{Timestamp: time.Now().UnixMilli()}
			for _, p := range a.parts {
				b.Runtimes = append(b.Runtimes, BeaconEntry{p.id, p.lastTold()})
			}
			a.send(a.bus.subjects.beacon(), b)
		case <-heartbeat.C:
			for _, p := range a.parts {
				seq := p.lastTold()
				a.send(a.bus.subjects.heartbeat(), &Heartbeat{Identity: p.id, Seq: &seq, Timestamp: time.Now().UnixMilli()})
			}
			heartbeat.Reset(jittered(a.o.Heartbeat))
		case <-ctx.Done():
			return
		}
	}
}

// jittered varies a time by a tenth, so that runtimes do not speak in chorus.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// pendingRequests and pendingRequestBytes bound the requests of one kind that
// wait for a runtime. More are lost; who asked asks again.
const (
	pendingRequests     = 1000
	pendingRequestBytes = 4 << 20
)

func (a *Attachment) repair(ctx context.Context, p *part, m *nats.Msg) {
	var q RepairRequest
	if err := Decode(m.Data, &q); err != nil || m.Reply == "" || q.RuntimeID != p.id.RuntimeID {
		return
	}
	a.serve(ctx, p.repairs, func() {
		r, err := AnswerRepair(p.source, p.id, &q, MaxReply)
		a.answer(p, m.Reply, r, err)
	})
}

func (a *Attachment) page(ctx context.Context, p *part, m *nats.Msg) {
	var q PageRequest
	if err := Decode(m.Data, &q); err != nil || m.Reply == "" || q.RuntimeID != p.id.RuntimeID {
		return
	}
	a.serve(ctx, p.pages, func() {
		r, err := AnswerPage(p.source, p.id, &q, MaxReply)
		a.answer(p, m.Reply, r, err)
	})
}

// serve answers a request beside others, as many at a time as there are slots.
// It waits for one, so that later requests of the kind wait in their
// subscription.
func (a *Attachment) serve(ctx context.Context, slots chan struct{}, f func()) {
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	a.spawn(func() {
		defer func() { <-slots }()
		f()
	})
}

// answer sends a reply, unless the runtime ended while it was made: what it
// says then would be wrong.
func (a *Attachment) answer(p *part, reply string, body Message, err error) {
	if p.source.ctx.Err() != nil {
		return
	}
	select {
	case <-a.rt.Done():
		return
	default:
	}
	if err != nil {
		a.o.Logger.Warn("mesh: could not answer", "component", p.id.Component, "err", err)
		return
	}
	a.send(reply, body)
}

// Close says goodbye, where the bus is still there, and ends the attachment; the
// runtime goes on. It may be called more than once. The context bounds how long
// it waits.
func (a *Attachment) Close(ctx context.Context) error {
	var err error
	a.close.Do(func() {
		for _, p := range a.parts {
			seq := p.lastTold()
			a.send(a.bus.subjects.shutdown(), &Goodbye{Identity: p.id, Seq: &seq, Timestamp: time.Now().UnixMilli()})
		}
		err = a.bus.drain(ctx)
		a.end()
		go func() {
			a.wg.Wait()
			close(a.closed)
		}()
	})
	select {
	case <-a.closed:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}

func (a *Attachment) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.cancel()
	for _, s := range a.subs {
		_ = s.Unsubscribe() // the connection may be gone
	}
}
