package mesh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

func startNode(t *testing.T, c Config) *Node {
	t.Helper()
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func connect(t *testing.T, n *Node, o BusOptions) *Bus {
	t.Helper()
	b, err := n.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

func TestNodeWithoutListenerIsReachableInProcessOnly(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{})
	if n.URL() != "" {
		t.Errorf("URL() = %q, want none", n.URL())
	}
	a, b := connect(t, n, BusOptions{}), connect(t, n, BusOptions{})
	carries(t, a, b)
}

// carries checks that what one publishes reaches the other.
func carries(t *testing.T, from, to *Bus) {
	t.Helper()
	sub, err := to.nc.SubscribeSync("probe")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	if err := to.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	// Interest crosses a cluster in its own time.
	for deadline := time.Now().Add(60 * time.Second); ; {
		if err := from.nc.Publish("probe", []byte("x")); err != nil {
			t.Fatal(err)
		}
		_, err := sub.NextMsg(50 * time.Millisecond)
		if err == nil {
			return
		}
		if !errors.Is(err, nats.ErrTimeout) || time.Now().After(deadline) {
			t.Fatalf("nothing arrived: %v", err)
		}
	}
}

func TestNodeListens(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Listen: "127.0.0.1:0", Token: "s3cret"})
	if !strings.HasPrefix(n.URL(), "nats://127.0.0.1:") {
		t.Fatalf("URL() = %q", n.URL())
	}
	if _, err := Connect(t.Context(), n.URL(), BusOptions{}); err == nil {
		t.Error("a connection without the token was taken")
	}
	b, err := Connect(t.Context(), n.URL(), BusOptions{Token: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	carries(t, b, connect(t, n, BusOptions{}))
}

func TestCluster(t *testing.T) {
	t.Parallel()
	var nodes []*Node
	first := freeport.Address(t)
	for i := range 3 {
		c := Config{Cluster: ClusterConfig{Listen: "127.0.0.1:0", Routes: []string{"nats-route://" + first}}}
		if i == 0 {
			c.Cluster.Listen = first
		}
		nodes = append(nodes, startNode(t, c))
	}
	carries(t, connect(t, nodes[1], BusOptions{}), connect(t, nodes[2], BusOptions{}))
	for _, n := range nodes {
		waitFor(t, func() bool { return n.ClusterSize() == 3 })
	}
}

func TestLeaf(t *testing.T) {
	t.Parallel()
	addr := freeport.Address(t)
	hub := startNode(t, Config{Leaf: LeafConfig{Listen: addr}})
	leaf := startNode(t, Config{Leaf: LeafConfig{Remotes: []string{"nats-leaf://" + addr}}})
	carries(t, connect(t, leaf, BusOptions{}), connect(t, hub, BusOptions{}))
	carries(t, connect(t, hub, BusOptions{}), connect(t, leaf, BusOptions{}))
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not become true")
		}
	}
}

func TestMemoryBusIsSharedAndEndsWithItsLastUser(t *testing.T) {
	t.Parallel()
	url := "memory:" + t.Name()
	a, err := Connect(t.Context(), url, BusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Connect(t.Context(), url, BusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	carries(t, a, b)
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if !b.Connected() {
		t.Error("the bus ended while it had a user")
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	memoryNodes.mu.Lock()
	defer memoryNodes.mu.Unlock()
	if memoryNodes.nodes[t.Name()] != nil {
		t.Error("the node outlived its last user")
	}
}

func TestDataFolderIsForOneNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startNode(t, Config{Data: dir})
	if _, err := Start(t.Context(), Config{Data: dir}); !errors.Is(err, ErrDataInUse) {
		t.Errorf("second node on the folder: %v, want %v", err, ErrDataInUse)
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	busy := startNode(t, Config{Listen: "127.0.0.1:0"})
	for _, c := range []struct {
		name string
		c    Config
		want string
	}{
		{"open to the network", Config{Listen: "0.0.0.0:0"}, "listen: 0.0.0.0:0 is reachable from other machines"},
		{"no port", Config{Listen: "127.0.0.1"}, `"127.0.0.1" is not host:port`},
		{"port out of range", Config{Listen: "127.0.0.1:99999"}, `port "99999" is not a number`},
		{"port taken", Config{Listen: strings.TrimPrefix(busy.URL(), "nats://")}, "address already in use"},
		{"token and user", Config{Token: "a", User: "b", Password: "c"}, "not both"},
		{"user alone", Config{User: "b"}, "a user needs a password"},
		{"route scheme", Config{Cluster: ClusterConfig{Listen: "127.0.0.1:0", Routes: []string{"http://x:1"}}}, `scheme "http"`},
		{"secret in a bad URL", Config{Leaf: LeafConfig{Remotes: []string{"nats-leaf://u:s3cret@ho st"}}}, "cannot be read"},
		{"missing token file", Config{TokenFile: "/does/not/exist"}, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Start(t.Context(), c.c)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Start: %v, want it to say %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestBadURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "redis://u:s3cret@h", "nats", "memories", "://"} {
		_, err := Connect(t.Context(), u, BusOptions{})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Connect(%q): %v", u, err)
		}
	}
}
