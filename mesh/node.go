package mesh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A Node is a NATS server inside this process. By default it does not listen:
// only connections made with Connect reach it. All methods may be called from
// any goroutine.
type Node struct {
	server *server.Server
	logger *slog.Logger
	lock   *flock.Flock
	hidden bool          // it listens, but for nobody
	auth   []nats.Option // what the node asks of its own connections

	mu      sync.Mutex // guards stopped
	stopped bool
}

// ErrDataInUse is returned by Start when another process uses the data folder.
var ErrDataInUse = errors.New("data folder in use")

// startTimeout bounds how long a server may take to get ready; it is up in some
// milliseconds, but for a JetStream folder that has to be read again.
const startTimeout = 2 * time.Minute

// Start runs a node. It returns once clients can connect; the context bounds
// the start only. Errors: *ConfigError for each key that is wrong, ErrDataInUse,
// or that an address cannot be listened on.
func Start(ctx context.Context, c Config) (*Node, error) {
	c, err := c.resolve()
	if err != nil {
		return nil, err
	}
	n, given := &Node{logger: c.Logger}, c
	if c.Cluster.Listen != "" && c.Listen == "" {
		// The server begins to talk to others only once it listens for
		// clients: give it a port that nobody else can use.
		c.Listen = "127.0.0.1:0"
		if c.Token == "" && c.User == "" {
			c.Token = rand.Text()
		}
		n.hidden = true
	}
	switch {
	case c.Token != "":
		n.auth = append(n.auth, nats.Token(c.Token))
	case c.User != "":
		n.auth = append(n.auth, nats.UserInfo(c.User, c.Password))
	}
	opts, err := c.options(given)
	if err != nil {
		return nil, err
	}
	if c.Data != "" {
		if n.lock, err = lockFolder(c.Data); err != nil {
			return nil, err
		}
	}
	if n.server, err = server.NewServer(opts); err != nil {
		n.unlock()
		return nil, fmt.Errorf("node: %w", err)
	}
	log := &serverLog{logger: c.Logger, failed: make(chan string, 1)}
	n.server.SetLoggerV2(log, false, false, false)
	go n.server.Start()
	if err := n.ready(ctx, log); err != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.unlock()
		return nil, err
	}
	return n, nil
}

// lockFolder makes sure that one process at a time uses the folder: the server
// itself takes no lock, and two on one folder overwrite each other.
func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("node: data folder: %w", err)
	}
	l := flock.New(filepath.Join(dir, "lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("node: lock the data folder: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("node: %w: %s is used by another process", ErrDataInUse, dir)
	}
	return l, nil
}

func (n *Node) unlock() {
	if n.lock != nil {
		_ = n.lock.Unlock() // the process may end with it held
	}
}

func (n *Node) ready(ctx context.Context, log *serverLog) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !n.server.ReadyForConnections(10 * time.Millisecond) {
		select {
		case problem := <-log.failed:
			return fmt.Errorf("node: %s", problem)
		case <-ctx.Done():
			return fmt.Errorf("node: not ready: %w", context.Cause(ctx))
		default:
		}
	}
	return nil
}

// options are the server's own. What nodes ask of each other is as it was given.
func (c Config) options(given Config) (*server.Options, error) {
	o := &server.Options{
		ServerName: c.Name, NoSigs: true, NoLog: true, DontListen: true,
		MaxPayload: int32(c.MaxPayload), MaxPending: 64 << 20,
		Authorization: c.Token, Username: c.User, Password: c.Password,
		JetStream: c.Data != "", StoreDir: c.Data, SyncAlways: true,
		DisableJetStreamBanner: true,
	}
	var err error
	if c.Listen != "" {
		o.DontListen = false
		if o.Host, o.Port, err = listenAddress(c.Listen); err != nil {
			return nil, err
		}
	}
	if c.Cluster.Listen != "" {
		o.Cluster.Name = c.Cluster.Name
		if o.Cluster.Host, o.Cluster.Port, err = listenAddress(c.Cluster.Listen); err != nil {
			return nil, err
		}
		o.Cluster.Username, o.Cluster.Password = given.clusterCredentials()
	}
	for _, r := range c.Cluster.Routes {
		u, err := url.Parse(r)
		if err != nil {
			return nil, &ConfigError{"cluster.routes", "one of the URLs cannot be read"}
		}
		if user, password := given.clusterCredentials(); user != "" && u.User == nil {
			u.User = url.UserPassword(user, password)
		}
		o.Routes = append(o.Routes, u)
	}
	if c.Leaf.Listen != "" {
		if o.LeafNode.Host, o.LeafNode.Port, err = listenAddress(c.Leaf.Listen); err != nil {
			return nil, err
		}
		o.LeafNode.Username, o.LeafNode.Password = given.clusterCredentials()
	}
	for _, r := range c.Leaf.Remotes {
		u, err := url.Parse(r)
		if err != nil {
			return nil, &ConfigError{"leaf.remotes", "one of the URLs cannot be read"}
		}
		o.LeafNode.Remotes = append(o.LeafNode.Remotes, &server.RemoteLeafOpts{URLs: []*url.URL{u}})
	}
	return o, nil
}

// clusterCredentials are what nodes ask of each other: the same as of clients.
func (c Config) clusterCredentials() (user, password string) {
	if c.Token != "" {
		return "fsmesh", c.Token
	}
	return c.User, c.Password
}

func listenAddress(addr string) (string, int, error) {
	host, port, err := splitAddress(addr)
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, err
}

// URL returns the address at which clients reach the node, or "" if it does not
// listen.
func (n *Node) URL() string {
	if a := n.server.Addr(); a != nil && !n.hidden {
		return "nats://" + a.String()
	}
	return ""
}

// Name returns the node's name.
func (n *Node) Name() string { return n.server.Name() }

// ClusterSize returns the number of nodes that this one sees, itself included.
func (n *Node) ClusterSize() int { return n.server.NumRoutes()/max(1, routesPerPeer) + 1 }

// routesPerPeer is how many connections the server holds to each other node.
const routesPerPeer = server.DEFAULT_ROUTE_POOL_SIZE + 1

// connect opens a connection without going over the network.
func (n *Node) connect(opts ...nats.Option) (*nats.Conn, error) {
	opts = append(append(opts, n.auth...), nats.InProcessServer(n.server))
	return nats.Connect("", opts...)
}

// Stop ends the node: connections are closed, and with Data what was
// acknowledged is on disk. It may be called more than once. The context bounds
// how long it waits.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	stopped := n.stopped
	n.stopped = true
	n.mu.Unlock()
	if stopped {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.unlock()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node: stop: %w", context.Cause(ctx))
	}
}
