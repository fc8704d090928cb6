package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/internal/redact"
)

// Options say how to connect. The zero value is a good one.
type Options struct {
	// TLS is used for rediss:// URLs.
	TLS *tls.Config
	// Buffer is how many messages may wait to be taken; more are dropped, and a
	// loss is told. Defaults to 10,000, of at most 64 MB together.
	Buffer int
	// Silence is after how long without a sign of life the subscribing
	// connection is given up. Defaults to 6 s.
	Silence time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Broker is a bridge.Broker over Redis.
type Broker struct {
	client *goredis.Client
	o      Options
	url    string
	id     string                 // of what it claims
	runID  atomic.Pointer[string] // of the server
	lost   chan bridge.Loss
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	overflows, reconnects, unheard atomic.Uint64
}

var (
	_ bridge.Broker     = (*Broker)(nil)
	_ bridge.Claimer    = (*Broker)(nil)
	_ bridge.Identifier = (*Broker)(nil)
)

const (
	bufferBytes = 64 << 20
	// claimFor is how long a claim is remembered.
	claimFor = time.Minute
	// KeyPrefix is what the keys of claims begin with.
	KeyPrefix = "fsmesh:claim:"
)

// Open connects to a server: redis://[user[:password]@]host[:port][/db], or
// rediss:// for TLS. Its errors hold no password.
func Open(ctx context.Context, url string, o Options) (*Broker, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Buffer <= 0 {
		o.Buffer = 10_000
	}
	if o.Silence <= 0 {
		o.Silence = 6 * time.Second
	}
	opts, err := goredis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis: %s: %w", redact.URL(url), redact.Error(err, url))
	}
	if opts.TLSConfig != nil && o.TLS != nil {
		c := o.TLS.Clone()
		if c.ServerName == "" {
			c.ServerName = opts.TLSConfig.ServerName
		}
		opts.TLSConfig = c
	}
	// Never twice by itself: a repeated PUBLISH would be a second message.
	opts.MaxRetries = -1
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = 2*time.Second, 3*time.Second, 3*time.Second
	opts.DialerRetries = 1
	opts.DisableIdentity = true
	opts.ContextTimeoutEnabled = true
	b := &Broker{client: goredis.NewClient(opts), o: o, url: url, id: uuid.NewString(), lost: make(chan bridge.Loss, 1)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if err := b.Identify(ctx); err != nil {
		b.cancel()
		_ = b.client.Close()
		return nil, fmt.Errorf("redis: connect to %s: %w", redact.URL(url), redact.Error(err, url))
	}
	return b, nil
}

// Identify implements bridge.Identifier.
func (b *Broker) Identify(ctx context.Context) error {
	info, err := b.client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	var runID string
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(line, "run_id:"); ok {
			runID = strings.TrimSpace(id)
		}
	}
	b.runID.Store(&runID)
	return nil
}

// The library writes lines of its own to the standard error of whoever uses it. They
// go where all else goes, unless the program gives it another logger.
func init() { goredis.SetLogger(libraryLog{}) }

type libraryLog struct{}

func (libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l := slog.Default(); l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, "go-redis: "+fmt.Sprintf(format, args...))
	}
}

// Identity implements bridge.Broker: the run_id of the server, which a restart
// changes.
func (b *Broker) Identity() string { return "redis " + *b.runID.Load() }

// Lost implements bridge.Broker.
func (b *Broker) Lost() <-chan bridge.Loss { return b.lost }

// Guarantees implements bridge.Broker.
func (b *Broker) Guarantees() bridge.Guarantees { return bridge.Guarantees{Order: true} }

// Counters implements bridge.Broker.
func (b *Broker) Counters() map[string]uint64 {
	return map[string]uint64{
		"overflows": b.overflows.Load(), "reconnects": b.reconnects.Load(), "published_unheard": b.unheard.Load(),
	}
}

// Close implements bridge.Broker.
func (b *Broker) Close(ctx context.Context) error {
	if b.ctx.Err() != nil {
		return nil
	}
	b.cancel()
	err := b.client.Close()
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
	}
	return err
}

// lose tells a loss; one that waits already stands for this one too.
func (b *Broker) lose(reason string) {
	select {
	case b.lost <- bridge.Loss{Reason: reason}:
	default:
	}
}

// Publish implements bridge.Broker: all frames in one go.
func (b *Broker) Publish(ctx context.Context, frames []bridge.Frame) (int, error) {
	if len(frames) == 0 {
		return 0, nil
	}
	p := b.client.Pipeline()
	cmds := make([]*goredis.IntCmd, len(frames))
	for i, f := range frames {
		cmds[i] = p.Publish(ctx, f.Channel, f.Body)
	}
	_, err := p.Exec(ctx)
	n := 0
	for _, c := range cmds {
		if c.Err() != nil {
			break
		}
		if c.Val() == 0 {
			b.unheard.Add(1)
		}
		n++
	}
	if err == nil {
		return n, nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || errors.Is(err, goredis.ErrClosed) {
		return n, fmt.Errorf("redis: publish: %w: %v", bridge.ErrNotSent, redact.Error(err, b.url))
	}
	return n, fmt.Errorf("redis: publish: %w", redact.Error(err, b.url))
}

// Claim implements bridge.Claimer.
func (b *Broker) Claim(ctx context.Context, key string) (bool, error) {
	err := b.client.SetArgs(ctx, KeyPrefix+key, b.id, goredis.SetArgs{Mode: "NX", TTL: claimFor}).Err()
	if errors.Is(err, goredis.Nil) {
		// It may be one's own: the answer to a first try was lost, or what it was
		// claimed for did not succeed.
		var owner string
		owner, err = b.client.Get(ctx, KeyPrefix+key).Result()
		if err == nil {
			return owner == b.id, nil
		}
		if _, refused := errors.AsType[goredis.Error](err); refused {
			return false, nil // it is gone, or of somebody else who put no text there
		}
	}
	if err != nil {
		return false, fmt.Errorf("redis: claim: %w", redact.Error(err, b.url))
	}
	return true, nil
}

// Subscribe implements bridge.Broker. Shared is not honoured.
func (b *Broker) Subscribe(ctx context.Context, s bridge.Subscription, f func(*bridge.Message)) error {
	sub := &subscriber{b: b, channels: s.Channels, in: make(chan *goredis.Message, b.o.Buffer)}
	ps, err := sub.open(ctx)
	if err != nil {
		return fmt.Errorf("redis: subscribe: %w", redact.Error(err, b.url))
	}
	b.wg.Go(func() { sub.deliver(f) })
	b.wg.Go(func() { sub.run(ps) })
	return nil
}

// A subscriber is one subscribing connection. It does not use the library's
// channel, which drops in silence, nor its reconnection, which hides that
// something was missed.
type subscriber struct {
	b        *Broker
	channels []string
	in       chan *goredis.Message
	bytes    atomic.Int64
	dropped  bool // of the receiving goroutine
}

// open subscribes, and returns once the server has said so for all channels.
func (s *subscriber) open(ctx context.Context) (*goredis.PubSub, error) {
	ps := s.b.client.Subscribe(ctx)
	if err := ps.Subscribe(ctx, s.channels...); err != nil {
		return nil, errors.Join(err, ps.Close())
	}
	for n := 0; n < len(s.channels); {
		m, err := ps.ReceiveTimeout(ctx, 3*time.Second)
		if err != nil {
			return nil, errors.Join(err, ps.Close())
		}
		switch m := m.(type) {
		case *goredis.Subscription:
			n++
		case *goredis.Message:
			s.take(m) // of a channel that is subscribed already
		}
	}
	return ps, nil
}

// run receives until the broker is closed, over as many connections as it takes.
func (s *subscriber) run(ps *goredis.PubSub) {
	defer close(s.in)
	for {
		err := s.receive(ps)
		_ = ps.Close() // it is broken, or the end
		if s.b.ctx.Err() != nil {
			return
		}
		s.b.o.Logger.Warn("redis: subscription lost", "err", redact.Error(err, s.b.url))
		for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
			select {
			case <-time.After(wait + rand.N(wait/4)):
			case <-s.b.ctx.Done():
				return
			}
			ctx, cancel := context.WithTimeout(s.b.ctx, 5*time.Second)
			if err = s.b.Identify(ctx); err == nil {
				ps, err = s.open(ctx)
			}
			cancel()
			if err == nil {
				break
			}
		}
		s.b.reconnects.Add(1)
		s.b.lose("the connection was away")
	}
}

// receive takes messages until the connection breaks or is silent for too long.
func (s *subscriber) receive(ps *goredis.PubSub) error {
	stop := context.AfterFunc(s.b.ctx, func() { _ = ps.Close() })
	defer stop()
	heard := time.Now()
	for {
		m, err := ps.ReceiveTimeout(s.b.ctx, s.b.o.Silence/3)
		if err == nil {
			heard = time.Now()
			switch m := m.(type) {
			case *goredis.Message:
				s.take(m)
			case *goredis.Subscription:
				// The library has reconnected behind our back.
				return errors.New("subscribed anew")
			}
			continue
		}
		if t, ok := errors.AsType[net.Error](err); !ok || !t.Timeout() || errors.Is(err, io.EOF) {
			return err
		}
		if time.Since(heard) > s.b.o.Silence {
			return fmt.Errorf("no sign of life for %v", s.b.o.Silence)
		}
		if err := ps.Ping(s.b.ctx); err != nil {
			return err
		}
	}
}

// take puts a message where it waits to be delivered. When there is no room it is
// dropped, and a loss is told once there is room again.
func (s *subscriber) take(m *goredis.Message) {
	full := s.bytes.Load()+int64(len(m.Payload)) > bufferBytes
	if !full {
		select {
		case s.in <- m:
			s.bytes.Add(int64(len(m.Payload)))
			if s.dropped {
				s.dropped = false
				s.b.lose("messages came faster than they were taken")
			}
			return
		default:
		}
	}
	if !s.dropped {
		s.dropped = true
		s.b.lose("messages come faster than they are taken")
	}
	s.b.overflows.Add(1)
}

// done is what becomes of a message that the server does not remember.
func done(error) {}

func (s *subscriber) deliver(f func(*bridge.Message)) {
	for m := range s.in {
		s.bytes.Add(-int64(len(m.Payload)))
		// The text is nobody else's, and bodies are not changed: no copy is needed.
		body := unsafe.Slice(unsafe.StringData(m.Payload), len(m.Payload))
		f(&bridge.Message{Frame: bridge.Frame{Channel: m.Channel, Body: body}, Done: done})
	}
}
