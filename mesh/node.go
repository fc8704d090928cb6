package mesh

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"sync"

	"github.com/fsmesh/fsmesh/internal/natsserver"
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
	revive *natsserver.Reviver // nil without Data
	hidden bool                // it listens, but for nobody
	auth   []nats.Option       // what the node asks of its own connections

	mu      sync.Mutex // guards stopped
	stopped bool
}

// ErrDataInUse is returned by Start when another process uses the data folder.
var ErrDataInUse = natsserver.ErrDataInUse

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
		if n.lock, err = natsserver.Lock(c.Data); err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
	}
	if n.server, err = natsserver.Run(ctx, opts, c.Logger); err != nil {
		n.unlock()
		return nil, fmt.Errorf("node: %w", err)
	}
	if c.Data != "" {
		n.revive = natsserver.Revive(n.server, c.Data, c.Logger)
	}
	return n, nil
}

func (n *Node) unlock() {
	if n.lock != nil {
		_ = n.lock.Unlock() // the process may end with it held
	}
}

// options are the server's own. What nodes ask of each other is as it was given.
func (c Config) options(given Config) (*server.Options, error) {
	o := natsserver.Base(c.Data)
	o.ServerName, o.MaxPayload = c.Name, int32(c.MaxPayload)
	o.Authorization, o.Username, o.Password = c.Token, c.User, c.Password
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
		if o.LeafNode.Username == "" && c.Token != "" {
			// The token is to keep clients out. Leafs give nothing.
			o.LeafNode.Users = []*server.User{{}}
		}
	}
	for _, r := range c.Leaf.Remotes {
		u, err := c.Leaf.remote(r)
		if err != nil {
			return nil, err
		}
		o.LeafNode.Remotes = append(o.LeafNode.Remotes, &server.RemoteLeafOpts{URLs: []*url.URL{u}})
	}
	return o, nil
}

// clusterCredentials are what nodes ask of each other: the same as of clients.
func (c Config) clusterCredentials() (user, password string) {
	if c.Token != "" {
		return nodeUser, c.Token
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
		if n.revive != nil {
			n.revive.Stop()
		}
		natsserver.End(n.server)
		n.unlock()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node: stop: %w", context.Cause(ctx))
	}
}
