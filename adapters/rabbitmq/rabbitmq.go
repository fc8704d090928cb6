package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/internal/redact"
)

// Names on the server.
const (
	// Exchange is where everything goes through.
	Exchange = "xcomponent.events"
	// DeadExchange and DeadQueue have what could not be taken.
	DeadExchange = "xcomponent.dead"
	DeadQueue    = "fsmesh.dead-letters"
)

// Options say how to connect. The zero value is a good one.
type Options struct {
	// Queue is the name of a durable queue to consume from: what is published
	// while nobody does comes later. "" is a queue that goes with the connection.
	Queue string
	// Prefetch is how many messages may be unacknowledged. Defaults to 500.
	Prefetch int
	// TLS is used for amqps:// URLs.
	TLS *tls.Config
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Broker is a bridge.Broker over RabbitMQ.
type Broker struct {
	o        Options
	url      string
	identity string
	lost     chan bridge.Loss
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex // guards all below
	link  *link      // nil while there is none
	ready chan struct{}
	subs  []*subscription
	kept  *subscription // the one of subs that consumes from Options.Queue

	reconnects, returned, blocked, dead, redelivered, nacked atomic.Uint64
}

var (
	_ bridge.Broker = (*Broker)(nil)
	_ bridge.Sender = (*Broker)(nil)
)

// A link is one connection with its two channels.
type link struct {
	conn    *amqp.Connection
	publish *amqp.Channel
	consume *amqp.Channel
	acks    *acks // of what is consumed
	closed  chan struct{}
	// declaring is held while something is declared: the library gives an answer of
	// the server to whoever waits on the channel.
	declaring sync.Mutex

	mu      sync.Mutex // guards open
	open    chan struct{}
	isOpen  bool
	drained sync.WaitGroup
}

// A subscription has a queue and its one consumer.
type subscription struct {
	shared, queue string // queue is that of a name, "" without

	mu     sync.RWMutex // guards all below
	routes map[string]listener
	other  func(*bridge.Message) // for what the queue is bound to and nobody listens for
}

// A listener takes what comes with a routing key.
type listener struct {
	channel string
	f       func(*bridge.Message)
}

// listen adds channels, and returns what takes those out again that are new.
func (s *subscription) listen(channels []string, f func(*bridge.Message)) (undo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := maps.Clone(s.routes)
	for _, c := range channels {
		s.routes[RoutingKey(c)] = listener{c, f}
	}
	if s.other == nil {
		s.other = f
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range channels {
			if _, there := before[RoutingKey(c)]; !there {
				delete(s.routes, RoutingKey(c))
			}
		}
	}
}

// listener returns who takes what comes with a routing key.
func (s *subscription) listener(key string) listener {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l, ok := s.routes[key]; ok {
		return l
	}
	return listener{key, s.other}
}

func (s *subscription) keys() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.routes))
}

// Open connects to a server: amqp://[user:password@]host[:port][/vhost], or
// amqps:// for TLS. Its errors hold no password.
func Open(ctx context.Context, url string, o Options) (*Broker, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Prefetch <= 0 {
		o.Prefetch = 500
	}
	b := &Broker{o: o, url: url, lost: make(chan bridge.Loss, 1), ready: make(chan struct{})}
	uri, err := amqp.ParseURI(url)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: %s: %w", redact.URL(url), redact.Error(err, url))
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	l, err := b.connect(ctx)
	if err != nil {
		b.cancel()
		return nil, fmt.Errorf("rabbitmq: connect to %s: %w", redact.URL(url), redact.Error(err, url))
	}
	cluster, _ := l.conn.Properties["cluster_name"].(string)
	b.identity = "rabbitmq " + cluster + " " + uri.Vhost
	b.use(l)
	b.wg.Go(func() { b.keep(l) })
	return b, nil
}

// dialTimeout bounds a connection attempt, heartbeat how long a dead server goes
// unnoticed: twice that.
const (
	dialTimeout = 5 * time.Second
	heartbeat   = 3 * time.Second
)

// connect makes a connection and declares what is needed.
func (b *Broker) connect(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c := amqp.Config{
		Heartbeat: heartbeat, Locale: "en_US", TLSClientConfig: b.o.TLS,
		Properties: amqp.Table{"connection_name": "fsmesh bridge"},
		Dial: func(network, addr string) (net.Conn, error) {
			d := net.Dialer{}
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			deadline, _ := ctx.Deadline()
			return conn, conn.SetDeadline(deadline)
		},
	}
	conn, err := amqp.DialConfig(b.url, c)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, closed: make(chan struct{}), open: make(chan struct{}), isOpen: true}
	close(l.open)
	if err := b.declare(l); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	b.drain(l)
	return l, nil
}

// declare makes the channels and the topology; it finds what is there already.
func (b *Broker) declare(l *link) (err error) {
	if l.publish, err = l.conn.Channel(); err != nil {
		return err
	}
	if err = l.publish.Confirm(false); err != nil {
		return err
	}
	if l.consume, err = l.conn.Channel(); err != nil {
		return err
	}
	// An error says that the channel is gone: then the server gives all again.
	l.acks = newAcks(func(tag uint64, multiple bool) { _ = l.consume.Ack(tag, multiple) })
	if err = l.consume.Qos(b.o.Prefetch, 0, false); err != nil {
		return err
	}
	if err = l.consume.ExchangeDeclare(Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return err
	}
	return l.declareDead()
}

func (l *link) declareDead() error {
	if err := l.consume.ExchangeDeclare(DeadExchange, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return err
	}
	if _, err := l.consume.QueueDeclare(DeadQueue, true, false, false, false, nil); err != nil {
		return err
	}
	return l.consume.QueueBind(DeadQueue, "", DeadExchange, false, nil)
}

// drain reads the channels that the library would else block on, as long as the
// connection lives.
func (b *Broker) drain(l *link) {
	closed := l.conn.NotifyClose(make(chan *amqp.Error, 1))
	publishClosed := l.publish.NotifyClose(make(chan *amqp.Error, 1))
	consumeClosed := l.consume.NotifyClose(make(chan *amqp.Error, 1))
	blocked := l.conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	returned := l.publish.NotifyReturn(make(chan amqp.Return, 1024))
	l.drained.Go(func() {
		defer close(l.closed)
		for {
			select {
			case <-closed:
				return
			case <-publishClosed: // the server closes a channel for what it holds a mistake
				return
			case <-consumeClosed:
				return
			case x, ok := <-blocked:
				if !ok {
					blocked = nil
					continue
				}
				if x.Active {
					b.blocked.Add(1)
					b.o.Logger.Warn("rabbitmq: the server has blocked publishing", "reason", x.Reason)
				}
				l.block(x.Active)
			case _, ok := <-returned:
				if !ok {
					returned = nil
					continue
				}
				b.returned.Add(1)
			}
		}
	})
}

func (l *link) block(active bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case active && l.isOpen:
		l.isOpen, l.open = false, make(chan struct{})
	case !active && !l.isOpen:
		l.isOpen = true
		close(l.open)
	}
}

func (l *link) unblocked() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// use makes a connection the current one.
func (b *Broker) use(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.link = l
	close(b.ready)
}

// keep sees that there is a connection, until the broker is closed.
func (b *Broker) keep(l *link) {
	for {
		select {
		case <-l.closed:
		case <-b.ctx.Done():
		}
		b.mu.Lock()
		b.link, b.ready = nil, make(chan struct{})
		b.mu.Unlock()
		l.acks.flush()
		_ = l.conn.CloseDeadline(time.Now().Add(time.Second)) // it may be broken
		l.drained.Wait()
		if b.ctx.Err() != nil {
			return
		}
		b.o.Logger.Warn("rabbitmq: connection lost", "broker", redact.URL(b.url))
		if l = b.reconnect(); l == nil {
			return
		}
		b.reconnects.Add(1)
		b.use(l)
		b.lose("the connection was away")
	}
}

// reconnect connects and subscribes, however long it takes. It returns nil when
// the broker is closed.
func (b *Broker) reconnect() *link {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		select {
		case <-time.After(wait - wait/4 + rand.N(wait/2)):
		case <-b.ctx.Done():
			return nil
		}
		l, err := b.connect(b.ctx)
		if err != nil {
			b.o.Logger.Debug("rabbitmq: connect", "err", redact.Error(err, b.url))
			continue
		}
		b.mu.Lock()
		subs := append([]*subscription(nil), b.subs...)
		b.mu.Unlock()
		l.declaring.Lock()
		for _, s := range subs {
			if err = b.consume(l, s); err != nil {
				break
			}
		}
		l.declaring.Unlock()
		if err == nil {
			return l
		}
		b.o.Logger.Debug("rabbitmq: subscribe", "err", redact.Error(err, b.url))
		_ = l.conn.CloseDeadline(time.Now().Add(time.Second))
		l.drained.Wait()
	}
}

// lose tells a loss; one that waits already stands for this one too.
func (b *Broker) lose(reason string) {
	select {
	case b.lost <- bridge.Loss{Reason: reason}:
	default:
	}
}

// Identity implements bridge.Broker: cluster name and virtual host.
func (b *Broker) Identity() string { return b.identity }

// Lost implements bridge.Broker.
func (b *Broker) Lost() <-chan bridge.Loss { return b.lost }

// Guarantees implements bridge.Broker.
func (b *Broker) Guarantees() bridge.Guarantees {
	return bridge.Guarantees{
		Order: true, Confirmed: true, Kept: b.o.Queue != "", Redelivered: true, DeadLetters: true, Shared: true,
	}
}

// Counters implements bridge.Broker.
func (b *Broker) Counters() map[string]uint64 {
	return map[string]uint64{
		"reconnects": b.reconnects.Load(), "returned": b.returned.Load(), "blocked": b.blocked.Load(),
		"dead_letters": b.dead.Load(), "redelivered": b.redelivered.Load(), "nacked": b.nacked.Load(),
	}
}

// Close implements bridge.Broker.
func (b *Broker) Close(ctx context.Context) error {
	b.cancel()
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// current waits for a connection on which may be published.
func (b *Broker) current(ctx context.Context) (*link, error) {
	for {
		b.mu.Lock()
		l, ready := b.link, b.ready
		b.mu.Unlock()
		wait := ready
		if l != nil {
			open := l.unblocked()
			select {
			case <-open:
				return l, nil
			default:
			}
			select {
			case <-open:
				continue
			case <-l.closed:
				// The next one, once it is there.
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			case <-ctx.Done():
			case <-b.ctx.Done():
			}
		} else {
			select {
			case <-wait:
			case <-ctx.Done():
			case <-b.ctx.Done():
			}
		}
		if ctx.Err() != nil || b.ctx.Err() != nil {
			return nil, fmt.Errorf("rabbitmq: publish: %w", bridge.ErrNotSent)
		}
	}
}

// RoutingKey is the routing key of a channel.
func RoutingKey(channel string) string { return strings.ReplaceAll(channel, ":", ".") }

// Publish implements bridge.Broker. It waits for a connection, and for the server
// while that has blocked publishing.
func (b *Broker) Publish(ctx context.Context, frames []bridge.Frame) (int, error) {
	return b.Send(ctx, frames)(ctx)
}

// Send implements bridge.Sender. It waits as Publish does, but for the confirms.
func (b *Broker) Send(ctx context.Context, frames []bridge.Frame) func(context.Context) (int, error) {
	l, err := b.current(ctx)
	if err != nil {
		return func(context.Context) (int, error) { return 0, err }
	}
	confirms := make([]*amqp.DeferredConfirmation, 0, len(frames))
	for _, f := range frames {
		var c *amqp.DeferredConfirmation
		c, err = l.publish.PublishWithDeferredConfirmWithContext(ctx, Exchange, RoutingKey(f.Channel), true, false, amqp.Publishing{
			Headers: amqp.Table{}, DeliveryMode: amqp.Persistent, Body: f.Body,
		})
		if err != nil {
			break
		}
		confirms = append(confirms, c)
	}
	return func(ctx context.Context) (int, error) {
		n, missing := b.confirmed(ctx, l, confirms)
		if err := errors.Join(err, missing); err != nil {
			return n, fmt.Errorf("rabbitmq: publish: %w", redact.Error(err, b.url))
		}
		return n, nil
	}
}

// confirmed waits for confirms, and returns how many came before the first that did
// not.
func (b *Broker) confirmed(ctx context.Context, l *link, confirms []*amqp.DeferredConfirmation) (n int, err error) {
	for _, c := range confirms {
		select {
		case <-c.Done():
		case <-l.closed:
			err = amqp.ErrClosed
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if !c.Acked() {
			b.nacked.Add(1)
			if err == nil {
				err = errors.New("the server refused it")
			}
			return n, err
		}
		n++
	}
	return n, err
}

// errMoved says that a connection was lost while something was subscribed to on it.
var errMoved = errors.New("the connection was lost meanwhile")

// Subscribe implements bridge.Broker. All that is kept in Options.Queue has one
// consumer, which a later call gives more to listen for: of several, the server would
// give each what is meant for another.
func (b *Broker) Subscribe(ctx context.Context, s bridge.Subscription, f func(*bridge.Message)) error {
	l, err := b.current(ctx)
	if err != nil {
		return err
	}
	sub := &subscription{shared: s.Shared, routes: map[string]listener{}}
	if s.Shared == "" && !s.Passing {
		sub.queue = b.o.Queue
	}
	l.declaring.Lock()
	defer l.declaring.Unlock()
	b.mu.Lock()
	kept := b.kept
	b.mu.Unlock()
	if sub.queue != "" && kept != nil {
		undo := kept.listen(s.Channels, f)
		if err := l.bind(kept.queue, s.Channels); err != nil {
			undo()
			return fmt.Errorf("rabbitmq: subscribe: %w", redact.Error(err, b.url))
		}
		return nil
	}
	sub.listen(s.Channels, f)
	if err := b.consume(l, sub); err != nil {
		return fmt.Errorf("rabbitmq: subscribe: %w", redact.Error(err, b.url))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != l { // the next one was made without it
		return fmt.Errorf("rabbitmq: subscribe: %w", errMoved)
	}
	b.subs = append(b.subs, sub)
	if sub.queue != "" {
		b.kept = sub
	}
	return nil
}

// bind has a queue get what is published on channels. The caller holds declaring.
func (l *link) bind(queue string, channels []string) error {
	for _, c := range channels {
		if err := l.consume.QueueBind(queue, RoutingKey(c), Exchange, false, nil); err != nil {
			return err
		}
	}
	return nil
}

// consume declares the queue of a subscription and consumes from it. The caller holds
// declaring.
func (b *Broker) consume(l *link, s *subscription) error {
	name, durable, autoDelete, exclusive := "fsmesh.bridge."+uuid.NewString(), false, true, true
	args := amqp.Table{}
	switch {
	case s.shared != "" && b.o.Queue != "":
		name, durable, autoDelete, exclusive = "fsmesh."+s.shared, true, false, false
	case s.shared != "":
		name, durable, exclusive = "fsmesh."+s.shared+".transient", true, false
	case s.queue != "":
		name, durable, autoDelete, exclusive = s.queue, true, false, false
		args["x-single-active-consumer"] = true // else two bridges would take turns, and order is lost
	}
	if len(name) > 255 {
		return fmt.Errorf("the queue name %.40q… is longer than 255 bytes", name)
	}
	if _, err := l.consume.QueueDeclare(name, durable, autoDelete, exclusive, false, args); err != nil {
		return err
	}
	if err := l.bind(name, s.keys()); err != nil {
		return err
	}
	deliveries, err := l.consume.Consume(name, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	b.wg.Go(func() {
		for d := range deliveries {
			if b.ctx.Err() != nil {
				continue // it comes again to the next who listens
			}
			if d.Redelivered {
				b.redelivered.Add(1)
			}
			to := s.listener(d.RoutingKey)
			to.f(&bridge.Message{
				Frame: bridge.Frame{Channel: to.channel, Body: d.Body}, Redelivered: d.Redelivered,
				Done: func(err error) { b.done(l, &d, err) },
			})
		}
	})
	return nil
}

// done acknowledges a message, gives it back, or puts it to the dead ones. Where
// the connection it came over is gone, the server gives it to the next by itself.
func (b *Broker) done(l *link, d *amqp.Delivery, err error) {
	poison, ok := errors.AsType[*bridge.PoisonError](err)
	if ok {
		if err = b.bury(d, poison.Reason); err != nil {
			b.o.Logger.Warn("rabbitmq: dead letter", "err", redact.Error(err, b.url))
		}
	}
	if err != nil {
		_ = d.Nack(false, true) // an error says that the channel is gone
		l.acks.refused(d.DeliveryTag)
		return
	}
	l.acks.take(d.DeliveryTag)
}

// bury publishes a message to the dead ones, and waits until the server has it.
func (b *Broker) bury(d *amqp.Delivery, reason string) error {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	l, err := b.current(ctx)
	if err != nil {
		return err
	}
	c, err := l.publish.PublishWithDeferredConfirmWithContext(ctx, DeadExchange, d.RoutingKey, false, false, amqp.Publishing{
		Headers:      amqp.Table{"x-reason": reason, "x-routing-key": d.RoutingKey, "x-at": time.Now().UnixMilli()},
		DeliveryMode: amqp.Persistent, Body: d.Body,
	})
	if err != nil {
		return err
	}
	acked, err := c.WaitContext(ctx)
	if err == nil && !acked {
		err = errors.New("the server refused it")
	}
	if err == nil {
		b.dead.Add(1)
	}
	return err
}
