package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A View is a Directory kept up to date from a bus: one goroutine takes in what
// the mesh tells, and asks for what is missing. It also sends itself a message
// twice a second, whose way back shows how old what comes is: a process that was
// paused, a line that is too thin and a directory that is too slow are known by it.
type View struct {
	bus    *Bus
	logger *slog.Logger
	cancel context.CancelFunc
	done   chan struct{} // closed once nothing of it runs any more
	subs   []*nats.Subscription
	inbox  string
	began  time.Time
	echoed time.Time // the last message to itself was sent; the goroutine's own
	// waiting is what the goroutine has not taken in yet.
	waiting *backlog
	// notices are those of the message that the goroutine is taking in.
	notices Notices

	mu        sync.RWMutex // guards directory; held for writing by the goroutine only
	directory *Directory
	changed   chan struct{} // closed at the next change, then replaced
	invalid   uint64        // messages that could not be decoded
}

// ViewOptions says how a view is kept. The zero value is a good one.
type ViewOptions struct {
	Directory DirectoryConfig
	// Logger defaults to that of the bus.
	Logger *slog.Logger
}

// Watch begins to follow the mesh of a bus. It knows nothing at first, and says
// so. The context bounds the start only; Close ends it.
func Watch(ctx context.Context, bus *Bus, o ViewOptions) (*View, error) {
	if o.Logger == nil {
		o.Logger = bus.logger
	}
	if o.Directory.Seed == 0 {
		o.Directory.Seed = rand.Uint64()
	}
	v := &View{
		bus: bus, logger: o.Logger, done: make(chan struct{}), directory: NewDirectory(o.Directory), notices: Notices{rowsOnly: true},
		inbox: bus.nc.NewInbox(), changed: make(chan struct{}), began: time.Now(), waiting: newBacklog(o.Logger),
	}
	v.directory.Apply(&Echo{Sent: v.began}, v.began) // the bus has nothing for it yet
	run, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	kinds := v.kinds()
	for subject := range kinds {
		if subject == v.inbox {
			subject += ".*"
		}
		sub, err := bus.nc.ChanSubscribe(subject, v.waiting.in)
		if err != nil {
			cancel()
			v.unsubscribe()
			return nil, fmt.Errorf("watch the mesh: %w", err)
		}
		v.subs = append(v.subs, sub)
	}
	go func() {
		defer close(v.done)
		var wg sync.WaitGroup
		wg.Go(func() { v.waiting.fill(run) })
		v.run(run)
		wg.Wait()
	}()
	if err := bus.flush(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the mesh: %w", err), v.Close(ctx))
	}
	v.ask(Ask{Message: &Discover{Type: "discover", Timestamp: time.Now().UnixMilli()}})
	return v, nil
}

// kinds says what a message on each subject is.
func (v *View) kinds() map[string]func() Message {
	s := v.bus.subjects
	return map[string]func() Message{
		s.announce():  func() Message { return new(Announce) },
		s.heartbeat(): func() Message { return new(Heartbeat) },
		s.shutdown():  func() Message { return new(Goodbye) },
		s.beacon():    func() Message { return new(Beacon) },
		s.bridge():    func() Message { return new(BridgeStatus) },
		// The directory copies what it keeps, so its room is used again.
		s.allNotices(): func() Message { return &v.notices },
		v.inbox:        nil,
	}
}

func (v *View) run(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	kinds := v.kinds()
	for {
		select {
		case <-v.waiting.ready:
			if m := v.waiting.take(); m != nil && v.apply(kinds, m) {
				v.tick()
			}
		case <-tick.C:
			v.tick()
		case <-ctx.Done():
			return
		}
	}
}

// apply takes in one message, and reports whether it was a reply.
func (v *View) apply(kinds map[string]func() Message, m *nats.Msg) (reply bool) {
	var body Message
	if m.Subject == v.inbox+".echo" {
		v.echo(m.Data)
		return false
	}
	if empty := kinds[m.Sub.Subject]; empty != nil {
		body = empty()
	} else {
		// A reply says by its subject what it answers.
		reply = true
		switch m.Subject {
		case v.inbox + ".page":
			body = new(PageReply)
		case v.inbox + ".repair":
			body = new(RepairReply)
		case v.inbox + ".announce":
			body = new(Announce)
		default:
			return false
		}
	}
	if len(m.Data) == 0 {
		return false // nobody is there to answer
	}
	if err := Decode(m.Data, body); err != nil {
		v.unreadable(m.Subject, err)
		return false
	}
	v.take(body)
	return reply
}

// take has the directory take in one message, and wakes who waits for a change.
func (v *View) take(body Message) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.directory.Revision()
	v.directory.Apply(body, time.Now())
	if v.directory.Revision() != before {
		close(v.changed)
		v.changed = make(chan struct{})
	}
}

func (v *View) unreadable(subject string, err error) {
	v.logger.Debug("mesh: message dropped", "subject", subject, "err", err)
	v.mu.Lock()
	v.invalid++
	v.mu.Unlock()
}

// tick lets time pass.
func (v *View) tick() {
	now := time.Now()
	v.mu.Lock()
	asks, late := v.directory.Tick(now), now.Sub(v.directory.leastOld()) > tellWithin
	v.mu.Unlock()
	for _, a := range asks {
		v.ask(a)
	}
	if pause := now.Sub(v.echoed); pause >= echoEvery || late && pause >= echoLate {
		v.echoed = now
		v.publish(v.inbox+".echo", "", echoBody(v.began, now))
	}
}

// echo takes in a message of the view's own.
func (v *View) echo(body []byte) {
	e, ok := echoFrom(v.began, body)
	if !ok {
		v.unreadable(v.inbox+".echo", errEcho)
		return
	}
	v.take(e)
}

var errEcho = errors.New("it is none of its own")

// ask sends a request; its reply comes to the view's inbox.
func (v *View) ask(a Ask) {
	var subject, reply string
	switch a.Message.(type) {
	case *Discover:
		subject, reply = v.bus.subjects.discover(), v.inbox+".announce"
	case *PageRequest:
		subject, reply = v.bus.subjects.runtime(a.To, "page"), v.inbox+".page"
	case *RepairRequest:
		subject, reply = v.bus.subjects.runtime(a.To, "repair"), v.inbox+".repair"
	}
	b, err := Encode(a.Message)
	if err != nil {
		v.logger.Warn("mesh: could not ask", "subject", subject, "err", err)
		return
	}
	v.publish(subject, reply, b)
}

func (v *View) publish(subject, reply string, body []byte) {
	err := v.bus.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: body})
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		v.logger.Warn("mesh: could not ask", "subject", subject, "err", err)
	}
}

// Read runs f with the directory as it is, which does not change meanwhile. f
// must be quick, must not change it, and must not keep it.
func (v *View) Read(f func(*Directory)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	f(v.directory)
}

// Changed returns a channel that is closed once the directory has changed. It
// is asked for before reading, so that no change is missed.
func (v *View) Changed() <-chan struct{} {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.changed
}

// Invalid returns how many messages could not be decoded.
func (v *View) Invalid() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.invalid
}

// Dropped returns how many messages were left out since too many waited: more than
// 10,000, or 64 MB. What they told was asked for since.
func (v *View) Dropped() uint64 { return v.waiting.lost() }

// Close ends the view. It may be called more than once.
func (v *View) Close(ctx context.Context) error {
	v.cancel()
	v.unsubscribe()
	select {
	case <-v.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v *View) unsubscribe() {
	for _, s := range v.subs {
		_ = s.Unsubscribe() // the connection may be gone
	}
}
