package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

// Config says what a bridge joins, and how. Bus and Open are needed; for all
// else the zero value is a good one.
type Config struct {
	// Bus is the mesh. The bridge does not close it.
	Bus *mesh.Bus
	// Open connects to the broker. It is called at the start, and again when
	// the bridge has been on stand-by and what it held was given up.
	Open func(ctx context.Context) (Broker, error)
	// URL is shown, redacted.
	URL string
	// Off switches dialects off, by Dialect.
	Off [2]bool
	// Only are the kinds to be mirrored; nil is all.
	Only []Kind
	// NoNotices leaves out what only a directory has use for: an application
	// that sends and creates, and shows nothing, need not hear of every
	// transition of everybody else. Its mesh then knows no instances behind the
	// bridge, until somebody asks it for some: from then on it hears of all.
	NoNotices bool
	// External takes in the external API channels and publishes events on
	// theirs.
	External bool
	// DryRun publishes nothing and changes nothing on the mesh; what would be
	// published is given to it.
	DryRun func(Frame)
	// Host and Process are shown with the bridge on the mesh: the machine, and
	// the process that its runtimes are announced with. Both may be empty.
	Host, Process string
	// Heartbeat is how often the mesh's runtimes are said to be there. Defaults
	// to 30 s, give or take a tenth.
	Heartbeat time.Duration
	// Silence is after how long a runtime that says nothing is given up. Defaults
	// to 75 s.
	Silence time.Duration
	// Requery is how often runtimes that do not number what they tell are asked
	// for all their instances. Defaults to 60 s.
	Requery time.Duration
	// Confirm is how long a command waits for the answer of its runtime or, where
	// that gives none, for the change it leads to. Defaults to 2 s.
	Confirm time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Faults leaves mechanisms out, for tests that show what they are for.
	Faults Faults
}

// Faults are mechanisms that are left out.
type Faults struct{ NoGuard, NoElection, NoClaims bool }

func (c *Config) withDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Heartbeat, 30*time.Second)
	def(&c.Silence, 75*time.Second)
	def(&c.Requery, time.Minute)
	def(&c.Confirm, 2*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// A Bridge mirrors channels between a mesh and a broker. Its methods may be
// called from any goroutine.
type Bridge struct {
	c        Config
	id       string
	dialects dialects
	client   *mesh.Client
	counts   *counts
	cancel   context.CancelFunc
	done     chan struct{}

	mu      sync.Mutex // guards all below
	session *session   // nil on stand-by
	broker  Broker
	role    string
}

// Start begins to bridge. It fails if the broker cannot be reached; later the
// bridge waits for it. If another bridge of the mesh serves the same broker, this
// one stands by. The context bounds the start only; Close ends it.
func Start(ctx context.Context, c Config) (*Bridge, error) {
	c.withDefaults()
	b := &Bridge{c: c, id: uuid.NewString(), client: mesh.NewClient(c.Bus, mesh.ClientOptions{}), counts: newCounts(), done: make(chan struct{})}
	b.dialects = dialects{off: c.Off, only: c.Only, purposes: [4]bool{true, !c.NoNotices, true, c.External}}
	if c.Off[Documented] && c.Off[Package] {
		return nil, errors.New("bridge: both dialects are switched off")
	}
	broker, err := c.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("bridge to %s: %w", redact.URL(c.URL), redact.Error(err, c.URL))
	}
	b.broker, b.role = broker, roleOf(broker)
	seat, err := b.stand(ctx)
	if err != nil {
		return nil, errors.Join(err, broker.Close(ctx))
	}
	run, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go func() {
		defer close(b.done)
		var telling sync.WaitGroup
		telling.Go(func() { b.tellMesh(run) })
		b.run(run, seat)
		telling.Wait()
	}()
	return b, nil
}

// roleOf is the role of who bridges to a broker.
func roleOf(b Broker) string { return "bridge " + b.Identity() }

// A seat is what the bridge needs of mesh.Seat.
type seat interface {
	Held() (bool, <-chan struct{})
	Leave()
}

// always is the seat of a bridge that asks nobody.
type always struct{}

func (always) Held() (bool, <-chan struct{}) { return true, nil }
func (always) Leave()                        {}

func (b *Bridge) stand(ctx context.Context) (seat, error) {
	// A dry run stands for nothing: those that really bridge must not wait for it.
	if b.c.Faults.NoElection || b.c.DryRun != nil {
		return always{}, nil
	}
	s, err := b.c.Bus.Stand(ctx, b.role)
	if err != nil {
		return nil, fmt.Errorf("bridge to %s: %w", redact.URL(b.c.URL), err)
	}
	return s, nil
}

// run holds a session whenever the bridge is the active one.
func (b *Bridge) run(ctx context.Context, s seat) {
	defer func() { s.Leave() }()
	broker := b.broker
	for {
		for held, changed := s.Held(); !held; held, changed = s.Held() {
			select {
			case <-changed:
			case <-ctx.Done():
				b.closeBroker(broker)
				return
			}
		}
		if !b.identified(ctx, broker) {
			b.closeBroker(broker)
			if broker = b.reopen(ctx); broker == nil {
				return
			}
		}
		if roleOf(broker) != b.role {
			s = b.move(ctx, s, broker)
			continue
		}
		b.counts.add(countTakeovers, 1)
		b.c.Logger.Info("bridge is active", "broker", redact.URL(b.c.URL))
		var err error
		s, err = b.serve(ctx, broker, s)
		b.closeBroker(broker)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			b.c.Logger.Warn("bridge", "broker", redact.URL(b.c.URL), "err", redact.Error(err, b.c.URL))
		}
		if broker = b.reopen(ctx); broker == nil {
			return
		}
	}
}

// identified asks the server anew who it is: another may be there since the bridge
// began to stand by. It reports false if that fails.
func (b *Bridge) identified(ctx context.Context, broker Broker) bool {
	i, ok := broker.(Identifier)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return i.Identify(ctx) == nil
}

// move leaves a seat and stands for that of the server that the broker is connected
// to now. It returns the new one, or the old if the context ends or the mesh is away.
func (b *Bridge) move(ctx context.Context, old seat, broker Broker) seat {
	before := b.role
	b.role = roleOf(broker)
	next, err := b.stand(ctx)
	if err != nil {
		b.role = before
		b.c.Logger.Warn("bridge", "err", err)
		pause(ctx, time.Second)
		return old
	}
	old.Leave()
	return next
}

// serve runs one session until the context ends or the seat is lost. It returns the
// seat that is held or stood for then.
func (b *Bridge) serve(ctx context.Context, broker Broker, at seat) (seat, error) {
	s, err := startSession(ctx, b, broker)
	if err != nil {
		return at, err
	}
	b.set(s, broker)
	defer func() {
		b.set(nil, broker)
		s.stop()
	}()
	for {
		held, changed := at.Held()
		if !held {
			return at, nil
		}
		select {
		case <-changed:
		case <-s.back:
			if roleOf(broker) == b.role {
				continue
			}
			// Another server, or the same started anew: there is a seat for that,
			// which others may hold. The session goes on if it can be had.
			at = b.move(ctx, at, broker)
			b.await(ctx, at)
		case <-ctx.Done():
			return at, nil
		}
	}
}

// seatWait is how long a seat takes that nobody holds.
const seatWait = 3 * time.Second

// await waits until a seat is held, or should be if it were free.
func (b *Bridge) await(ctx context.Context, s seat) {
	ctx, cancel := context.WithTimeout(ctx, seatWait)
	defer cancel()
	for held, changed := s.Held(); !held; held, changed = s.Held() {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func (b *Bridge) set(s *session, broker Broker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.session, b.broker = s, broker
}

func (b *Bridge) closeBroker(broker Broker) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := broker.Close(ctx); err != nil {
		b.c.Logger.Debug("bridge: close", "err", redact.Error(err, b.c.URL))
	}
}

// reopen connects again, however long it takes.
func (b *Bridge) reopen(ctx context.Context) Broker {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		select {
		case <-time.After(wait + rand.N(wait/4)):
		case <-ctx.Done():
			return nil
		}
		broker, err := b.c.Open(ctx)
		if err == nil {
			b.set(nil, broker)
			return broker
		}
		b.c.Logger.Debug("bridge: connect", "err", redact.Error(err, b.c.URL))
	}
}

// Close ends the bridge. What it still had to publish is published first, as far
// as the context allows. It may be called more than once.
func (b *Bridge) Close(ctx context.Context) error {
	b.cancel()
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A Status is how it stands with a bridge.
type Status struct {
	// Broker is its URL without secrets.
	Broker string `json:"broker"`
	ID     string `json:"id"`
	// Active is false on stand-by.
	Active bool `json:"active"`
	// Behind are the runtimes on the broker, Mirrored those of the mesh that are
	// shown there.
	Behind   []Behind `json:"behind"`
	Mirrored []string `json:"mirrored"`
	// Queued is how many frames wait to be published.
	Queued int `json:"queued"`
	// Counters are by the names of the function Counters, since the start.
	Counters map[string]uint64 `json:"counters"`
	// Drops are the last ones.
	Drops []Drop `json:"drops,omitempty"`
}

// Behind is a runtime on the broker.
type Behind struct {
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName"`
	Instances int    `json:"instances"`
	// Numbered says that the runtime numbers what it tells, so that what is lost
	// is noticed. Else it is followed, as of the last answer.
	Numbered bool      `json:"numbered"`
	AsOf     time.Time `json:"asOf"`
}

// Status returns how it stands.
func (b *Bridge) Status() Status {
	b.mu.Lock()
	s, broker := b.session, b.broker
	b.mu.Unlock()
	st := Status{Broker: redact.URL(b.c.URL), ID: b.id, Active: s != nil}
	st.Counters, st.Drops = b.counts.all()
	for k, v := range broker.Counters() {
		st.Counters[brokerPrefix+k] = v
	}
	if s != nil {
		s.status(&st)
	}
	return st
}

// ErrStandby is returned by a bridge that is not the active one.
var ErrStandby = errors.New("the bridge is on stand-by")

// Query asks all runtimes behind the bridge for their instances, and returns who
// answered until all have or the context ends. It fails with ErrStandby.
func (b *Bridge) Query(ctx context.Context) (answered, missing []string, err error) {
	b.mu.Lock()
	s := b.session
	b.mu.Unlock()
	if s == nil {
		return nil, nil, ErrStandby
	}
	answered, missing = s.queryAll(ctx)
	return answered, missing, nil
}
