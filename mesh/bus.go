package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/internal/redact"
)

// A Bus is a connection to a mesh: what runtimes are attached to, and what
// clients and directories work over. All methods may be called from any
// goroutine.
type Bus struct {
	nc       *nats.Conn
	subjects subjects
	logger   *slog.Logger
	release  func(context.Context) error // gives a shared node back
}

// BusOptions says how to connect. The zero value is a good one.
type BusOptions struct {
	// Mesh is the name of the mesh: runtimes, directories and bridges of one
	// name see each other only. It keeps apart what should not meet by
	// accident; against ill will it takes accounts of the server. Defaults to
	// "xcomponent".
	Mesh string
	// Name is shown in the server's list of connections. Defaults to "fsmesh".
	Name string
	// Token is sent to the server. A token or a user and password may be in
	// the URL as well.
	Token string
	// TLS is used for tls:// URLs.
	TLS *tls.Config
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// ErrURL is returned for a URL that Connect does not take.
var ErrURL = errors.New("not a mesh URL")

// Connect connects to the mesh at a URL:
//
//	memory, memory:NAME   a bus inside this process; all who give the same name share it
//	nats://HOST:PORT      a node that listens, or any NATS server; also tls://, and lists with commas
//
// The context bounds the connecting only. A connection that breaks later comes
// back by itself.
func Connect(ctx context.Context, rawURL string, o BusOptions) (*Bus, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case rawURL == "memory" || strings.HasPrefix(rawURL, "memory:"):
		return connectMemory(ctx, strings.TrimPrefix(strings.TrimPrefix(rawURL, "memory"), ":"), o)
	case strings.HasPrefix(rawURL, "nats://"), strings.HasPrefix(rawURL, "tls://"):
		if err := readableURLs(rawURL); err != nil {
			return nil, err
		}
		return connectURL(ctx, rawURL, o)
	}
	return nil, fmt.Errorf("%w: %s: it begins with memory, nats:// or tls://", ErrURL, redact.URLs(rawURL))
}

// readableURLs checks what the client would refuse with an error that has the URL,
// and so its password, in it.
func readableURLs(list string) error {
	for i, one := range strings.Split(list, ",") {
		if one = strings.TrimSpace(one); !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil {
			return fmt.Errorf("%w: number %d of the URLs cannot be read; the form is nats://HOST:PORT, with special characters of a password escaped", ErrURL, i+1)
		}
		if port := u.Port(); port != "" {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return fmt.Errorf("%w: %s: port %s is out of range; 1 to 65535 are allowed", ErrURL, redact.URL(one), port)
			}
		}
	}
	return nil
}

// Connect connects to the node without going over the network. The bus does not
// end the node.
func (n *Node) Connect(o BusOptions) (*Bus, error) {
	if o.Logger == nil {
		o.Logger = n.logger
	}
	b := newBus(o)
	var err error
	if b.nc, err = n.connect(b.natsOptions(o)...); err != nil {
		return nil, fmt.Errorf("connect to node %s: %w", n.Name(), err)
	}
	return b, nil
}

func newBus(o BusOptions) *Bus {
	return &Bus{subjects: newSubjects(o.Mesh), logger: o.Logger, release: func(context.Context) error { return nil }}
}

func connectURL(ctx context.Context, rawURL string, o BusOptions) (*Bus, error) {
	b := newBus(o)
	opts := b.natsOptions(o)
	if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(max(time.Millisecond, time.Until(deadline))))
	}
	var err error
	if b.nc, err = nats.Connect(rawURL, opts...); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", redact.URLs(rawURL), err)
	}
	return b, nil
}

// pendingMessages and pendingBytes bound what waits for a subscriber of ours
// that is slow. What does not fit is lost, counted, and healed.
const (
	pendingMessages = 100_000
	pendingBytes    = 64 << 20
)

func (b *Bus) natsOptions(o BusOptions) []nats.Option {
	if o.Name == "" {
		o.Name = "fsmesh"
	}
	opts := []nats.Option{
		nats.Name(o.Name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond), nats.ReconnectBufSize(1 << 20),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.logger.Warn("bus connection lost", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.logger.Info("bus connection is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			b.logger.Warn("bus", "subject", subject, "err", err)
		}),
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token))
	}
	return opts
}

// Connected reports whether the bus is connected right now.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// away is an error while the bus is not connected: what is sent then would wait for
// the connection, and nobody answers it in time.
func (b *Bus) away() error {
	if b.Connected() {
		return nil
	}
	return nats.ErrDisconnected
}

// Mesh returns the name of the mesh.
func (b *Bus) Mesh() string {
	name, _ := TokenName(b.subjects.mesh)
	return name
}

// Close closes the connection once what was published has been sent, and ends
// the node of a memory bus with its last user. It may be called more than once.
func (b *Bus) Close(ctx context.Context) error {
	if b.nc.IsClosed() {
		return nil
	}
	err := b.drain(ctx)
	b.nc.Close()
	return errors.Join(err, b.release(ctx))
}

// flush waits until the server has what was published.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return b.nc.FlushWithContext(ctx)
}

// drain waits until the server has what was published, if there is a server: it
// is for what ends, which does not wait for one to come back.
func (b *Bus) drain(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return nil
	}
	err := b.flush(ctx) // fails at once if the connection breaks
	if !b.nc.IsConnected() {
		return nil
	}
	return err
}

// memoryNodes are the nodes of memory buses: one for each name in this process,
// counted by its users. It is the one thing that the package keeps globally,
// since that is what "memory" means.
var memoryNodes = struct {
	mu    sync.Mutex // guards nodes, held while one starts
	nodes map[string]*memoryNode
}{nodes: map[string]*memoryNode{}}

type memoryNode struct {
	node  *Node
	users int
}

func connectMemory(ctx context.Context, name string, o BusOptions) (*Bus, error) {
	memoryNodes.mu.Lock()
	defer memoryNodes.mu.Unlock()
	m := memoryNodes.nodes[name]
	if m == nil {
		n, err := Start(ctx, Config{Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		m = &memoryNode{node: n}
		memoryNodes.nodes[name] = m
	}
	b, err := m.node.Connect(o)
	if err != nil && m.users > 0 {
		return nil, err
	}
	m.users++
	leave := func(ctx context.Context) error {
		memoryNodes.mu.Lock()
		defer memoryNodes.mu.Unlock()
		if m.users--; m.users > 0 {
			return nil
		}
		delete(memoryNodes.nodes, name)
		return m.node.Stop(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, leave(ctx))
	}
	b.release = leave
	return b, nil
}
