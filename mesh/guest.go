package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
)

// GuestOptions say who a guest is, and who answers for it.
type GuestOptions struct {
	// Identity is what it is announced as: RuntimeID, Component and Name are
	// needed.
	Identity Identity
	// Announce has what else is announced: Definition, Host, Port, Protocol.
	Announce Announce
	// Source answers what directories ask. Its Seq is told every second.
	Source Source
	// Command does what a command asks for. It is called by up to 256
	// goroutines at a time; more commands are refused as overloaded. The
	// context ends with the guest.
	Command func(ctx context.Context, c *Command) *Outcome
	// Refresh, where given, brings the Source up to date before a query is
	// answered from it; where it fails the query is not answered, and who asked
	// names the guest as missing. The context ends with the guest.
	Refresh func(ctx context.Context) error
	// Logger defaults to that of the bus.
	Logger *slog.Logger
}

// A Guest is a runtime of another system that somebody speaks for, a bridge
// for example. To all others on the mesh it is a runtime like any other. Its
// methods may be called from any goroutine.
type Guest struct {
	bus    *Bus
	o      GuestOptions
	cancel context.CancelFunc
	wg     sync.WaitGroup // commands and queries under way
	beats  sync.WaitGroup
	subs   []*nats.Subscription
	once   sync.Once

	mu       sync.Mutex // guards all below
	announce Announce
	ended    bool // nothing is announced and nothing begins any more

	telling sync.Mutex // guards encoder, held while what it wrote is published
	encoder encoder
}

// Host announces a guest and answers for it, until Close or Leave. The context
// bounds the start only.
func (b *Bus) Host(ctx context.Context, o GuestOptions) (*Guest, error) {
	if !o.Identity.good() || o.Identity.Component == "" || o.Identity.Name == "" {
		return nil, fmt.Errorf("host a guest: its runtimeId, component or name is missing or has characters that are not allowed")
	}
	if o.Logger == nil {
		o.Logger = b.logger
	}
	g := &Guest{bus: b, o: o}
	g.announce = o.Announce
	g.announce.Identity = o.Identity
	run, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	err := g.subscribe(run)
	if err == nil {
		err = b.flush(ctx)
	}
	if err != nil {
		g.Leave()
		return nil, fmt.Errorf("host guest %s: %w", o.Identity.RuntimeID, err)
	}
	g.say("")
	g.beats.Go(func() { g.beat(run) })
	return g, nil
}

// Describe announces the guest anew, with another definition or address. After Close
// or Leave it does nothing.
func (g *Guest) Describe(a Announce) {
	g.mu.Lock()
	a.Identity = g.o.Identity
	g.announce = a
	g.mu.Unlock()
	g.say("")
}

// Tell publishes notices of the guest. They are numbered by whoever keeps its
// Source, in ascending order.
func (g *Guest) Tell(notices []Notice) {
	subject := g.bus.subjects.notices(g.o.Identity.Component)
	g.telling.Lock()
	defer g.telling.Unlock()
	for len(notices) > 0 {
		g.encoder.begin(formNotices)
		g.encoder.runtimeID(g.o.Identity.RuntimeID)
		n := 0
		for n < len(notices) && n < noticesPerMessage && g.encoder.size() < noticesBytes {
			g.encoder.notice(&notices[n])
			n++
		}
		g.sent(subject, g.bus.nc.Publish(subject, g.encoder.end()))
		notices = notices[n:]
	}
}

// Close says goodbye for the guest: it has stopped, for good. It does not wait for
// what is under way, of which the context has ended; Wait does. It may be called more
// than once.
func (g *Guest) Close() {
	g.end(func() {
		seq := g.o.Source.Seq()
		g.send(g.bus.subjects.shutdown(), &Goodbye{Identity: g.o.Identity, Seq: &seq, Timestamp: time.Now().UnixMilli()})
	})
}

// Leave ends it without a goodbye: somebody else may speak for the guest, or it
// is not known what became of it. Like Close it does not wait, and may be called more
// than once.
func (g *Guest) Leave() { g.end(func() {}) }

func (g *Guest) end(last func()) {
	g.once.Do(func() {
		g.cancel()
		g.mu.Lock()
		g.ended = true
		g.mu.Unlock()
		for _, s := range g.subs {
			_ = s.Unsubscribe() // the connection may be gone
		}
		g.beats.Wait() // none may come after the goodbye
		last()
	})
}

// Wait waits, after Close or Leave, until no command and no query of the guest is
// under way.
func (g *Guest) Wait() { g.wg.Wait() }

// begin does f beside the caller, or not at all once the guest has ended: what is
// being handed over then would begin after Wait.
func (g *Guest) begin(slots <-chan struct{}, f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		<-slots
		return
	}
	g.wg.Go(func() {
		defer func() { <-slots }()
		f()
	})
}

func (g *Guest) subscribe(ctx context.Context) error {
	slots, queries := make(chan struct{}, maxCommands), make(chan struct{}, maxGuestQueries)
	s, id := g.bus.subjects, g.o.Identity
	on := func(subject, queue string, f func(*nats.Msg)) error {
		sub, err := g.bus.nc.QueueSubscribe(subject, queue, f)
		if err == nil {
			g.subs = append(g.subs, sub)
			err = sub.SetPendingLimits(pendingMessages, pendingBytes)
		}
		return err
	}
	command := func(m *nats.Msg) { g.command(ctx, slots, m) }
	return errors.Join(
		on(s.discover(), "", g.discovered),
		on(s.runtime(id.RuntimeID, "repair"), "", g.repair),
		on(s.runtime(id.RuntimeID, "page"), "", g.page),
		on(s.runtime(id.RuntimeID, "command"), "", command),
		on(s.runtime(id.RuntimeID, "query"), "", func(m *nats.Msg) { g.query(ctx, queries, m) }),
		on(s.runtime(id.RuntimeID, "neighbours"), "", g.neighbours),
		on(s.component(id.Component, "all"), "", command),
		on(s.on("locate"), "", command),
		on(s.component(id.Component, "one"), "one", command),
	)
}

// neighbours says that the guest is there, and that others are to be asked whom
// they have heard of.
func (g *Guest) neighbours(m *nats.Msg) {
	if m.Reply != "" {
		g.sent(m.Subject, g.bus.nc.Publish(m.Reply, nil))
	}
}

// TellBridge publishes what a bridge says of itself.
func (b *Bus) TellBridge(s *BridgeStatus) error {
	body, err := json.Marshal(s)
	if err == nil {
		err = b.nc.Publish(b.subjects.bridge(), body)
	}
	if err != nil {
		return fmt.Errorf("tell of bridge %s: %w", s.ID, err)
	}
	return nil
}

func (g *Guest) send(subject string, body Message) {
	b, err := json.Marshal(body)
	if err == nil {
		err = g.bus.nc.Publish(subject, b)
	}
	g.sent(subject, err)
}

func (g *Guest) sent(subject string, err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		g.o.Logger.Warn("mesh: could not send for a guest", "subject", subject, "err", err)
	}
}

func (g *Guest) say(reply string) {
	seq := g.o.Source.Seq()
	g.mu.Lock() // also while it is sent: none may come after the goodbye
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	body := g.announce
	body.Seq, body.Timestamp = &seq, time.Now().UnixMilli()
	if reply == "" {
		reply = g.bus.subjects.announce()
	}
	g.send(reply, &body)
}

func (g *Guest) discovered(m *nats.Msg) {
	var q Discover
	if Decode(m.Data, &q) == nil && (q.RuntimeID == "" || q.RuntimeID == g.o.Identity.RuntimeID) {
		g.say(m.Reply)
	}
}

func (g *Guest) beat(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			g.send(g.bus.subjects.beacon(), &Beacon{
				Runtimes: []BeaconEntry{{g.o.Identity, g.o.Source.Seq()}}, Timestamp: time.Now().UnixMilli(),
			})
		case <-ctx.Done():
			return
		}
	}
}

func (g *Guest) repair(m *nats.Msg) {
	var q RepairRequest
	if Decode(m.Data, &q) != nil || m.Reply == "" || q.RuntimeID != g.o.Identity.RuntimeID {
		return
	}
	r, err := AnswerRepair(g.o.Source, g.o.Identity, &q, MaxReply)
	if err != nil {
		g.o.Logger.Warn("mesh: could not answer for a guest", "runtime", q.RuntimeID, "err", err)
		return
	}
	g.send(m.Reply, r)
}

func (g *Guest) page(m *nats.Msg) {
	var q PageRequest
	if Decode(m.Data, &q) != nil || m.Reply == "" || q.RuntimeID != g.o.Identity.RuntimeID {
		return
	}
	r, err := AnswerPage(g.o.Source, g.o.Identity, &q, MaxReply)
	if err != nil {
		g.o.Logger.Warn("mesh: could not answer for a guest", "runtime", q.RuntimeID, "err", err)
		return
	}
	g.send(m.Reply, r)
}

func (g *Guest) command(ctx context.Context, slots chan struct{}, m *nats.Msg) {
	if m.Reply == "" {
		return
	}
	answer := func(o *Outcome) {
		o.RuntimeID, o.Component = g.o.Identity.RuntimeID, g.o.Identity.Component
		g.send(m.Reply, o)
	}
	var c Command
	if err := Decode(m.Data, &c); err != nil {
		answer(&Outcome{Code: fsm.CodeBadValue, Message: err.Error()})
		return
	}
	select {
	case slots <- struct{}{}:
	default:
		answer(&Outcome{Code: fsm.CodeOverloaded, Message: "the runtime has too many commands under way; try again later"})
		return
	}
	g.begin(slots, func() { answer(g.o.Command(ctx, &c)) })
}

// What a command asks for, in Command.Do.
const (
	DoSend      = doSend
	DoCreate    = doCreate
	DoBroadcast = doBroadcast
	DoLocate    = doLocate
	DoGet       = doGet
	DoHistory   = doHistory
	DoEffect    = doEffect
)

// Do sends a command to one runtime and returns its outcome: for who has chosen
// the runtime itself. It fails with the errors of fsm.Runtime (as *fsm.Error,
// so errors.Is works), or with ErrNoAnswer.
func (c *Client) Do(ctx context.Context, runtimeID string, cmd *Command) (*Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	return c.request(ctx, c.bus.subjects.runtime(runtimeID, "command"), cmd)
}
