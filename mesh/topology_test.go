package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/freeport"
)

// Three nodes in a cluster and a leaf: a runtime on the first and one on the
// leaf, directories on the third and the leaf, commands through the second. Two
// meshes on the same cluster do not see each other.
func TestTopologies(t *testing.T) {
	t.Parallel()
	first, hub := freeport.Address(t), freeport.Address(t)
	var nodes []*Node
	for i := range 3 {
		c := Config{Cluster: ClusterConfig{Listen: "127.0.0.1:0", Routes: []string{"nats-route://" + first}}, Logger: quiet()}
		if i == 0 {
			c.Cluster.Listen, c.Leaf.Listen = first, hub
		}
		nodes = append(nodes, startNode(t, c))
	}
	leaf := startNode(t, Config{Leaf: LeafConfig{Remotes: []string{"nats-leaf://" + hub}}, Logger: quiet()})
	for _, n := range nodes {
		waitFor(t, func() bool { return n.ClusterSize() == 3 })
	}
	carries(t, connect(t, leaf, BusOptions{}), connect(t, nodes[2], BusOptions{}))

	shop, branch, other := startRuntime(t, "shop", nil), startRuntime(t, "branch", nil), startRuntime(t, "other", nil)
	shopID := attach(t, shop, connect(t, nodes[0], BusOptions{})).RuntimeIDs()["Shop"]
	branchID := attach(t, branch, connect(t, leaf, BusOptions{})).RuntimeIDs()["Shop"]
	otherID := attach(t, other, connect(t, nodes[1], BusOptions{Mesh: "other"})).RuntimeIDs()["Shop"]
	third, onLeaf, onOther := watch(t, connect(t, nodes[2], BusOptions{})), watch(t, connect(t, leaf, BusOptions{})), watch(t, connect(t, nodes[2], BusOptions{Mesh: "other"}))
	for _, rt := range []*fsm.Runtime{shop, branch, other} {
		load(t, rt, 50)
	}
	c := NewClient(connect(t, nodes[1], BusOptions{}), ClientOptions{})
	waitFor(t, func() bool { ids, err := c.Runtimes(t.Context()); return err == nil && len(ids) == 2 })
	for _, rt := range []*fsm.Runtime{shop, branch} {
		in, err := rt.Create(t.Context(), "Order", nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Send(t.Context(), Target{ID: in.ID()}, fsm.Event{Type: "PLACE"}, SendOptions{})
		if err != nil || out.State != "Placed" {
			t.Errorf("through the second node to %s: %+v, %v", rt.Name(), out, err)
		}
	}
	stranger, err := other.Create(t.Context(), "Order", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), Target{ID: stranger.ID()}, fsm.Event{Type: "PLACE"}, SendOptions{}); !errors.Is(err, fsm.ErrUnknownInstance) {
		t.Errorf("to an instance of another mesh: %v", err)
	}
	for _, v := range []*View{third, onLeaf} {
		exactly(t, v, shop, shopID)
		exactly(t, v, branch, branchID)
		sees(t, v, 2)
	}
	exactly(t, onOther, other, otherID)
	sees(t, onOther, 1)
}

func sees(t *testing.T, v *View, n int) {
	t.Helper()
	v.Read(func(d *Directory) {
		if got := d.Runtimes(time.Now()); len(got) != n {
			t.Errorf("%d runtimes are seen, want %d", len(got), n)
		}
	})
}

// A line to a leaf that is cut: each side goes on as a mesh by itself, the other
// says that it knows nothing any more, and is exact again when the line is back.
func TestLeafIsCutOff(t *testing.T) {
	t.Parallel()
	addr := freeport.Address(t)
	hub := startNode(t, Config{Leaf: LeafConfig{Listen: addr}, Logger: quiet()})
	line := newProxy(t, addr)
	leaf := startNode(t, Config{Leaf: LeafConfig{Remotes: []string{"nats-leaf://" + line.l.Addr().String()}}, Logger: quiet()})
	carries(t, connect(t, leaf, BusOptions{}), connect(t, hub, BusOptions{}))
	rt := startRuntime(t, "branch", nil)
	id := attach(t, rt, connect(t, leaf, BusOptions{})).RuntimeIDs()["Shop"]
	near, far := watch(t, connect(t, leaf, BusOptions{})), watch(t, connect(t, hub, BusOptions{}))
	load(t, rt, 30)
	exactly(t, far, rt, id)
	line.cut(true)
	load(t, rt, 30)
	exactly(t, near, rt, id)
	waitFor(t, func() bool { return lags(far, id) })
	line.open()
	exactly(t, far, rt, id) // a leaf comes back within a second or so
}

// A leaf hands its token to its remotes, from the URL or beside it; a wrong one
// is refused, and none gets into a log or an error.
func TestLeafToken(t *testing.T) {
	t.Parallel()
	const token = "s3cret/+:@tok"
	addr := freeport.Address(t)
	hub := startNode(t, Config{Token: token, Leaf: LeafConfig{Listen: addr}, Logger: quiet()})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bare, inURL := "nats-leaf://"+addr, &url.URL{Scheme: "nats-leaf", Host: addr, User: url.User(token)}
	log := &lockedBuffer{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for name, c := range map[string]LeafConfig{
		"token":      {Remotes: []string{bare}, Token: token},
		"token file": {Remotes: []string{bare}, TokenFile: file},
		"in the URL": {Remotes: []string{inURL.String()}, Token: "another"},
		"user":       {Remotes: []string{(&url.URL{Scheme: "nats-leaf", Host: addr, User: url.UserPassword("fsmesh", token)}).String()}},
	} {
		leaf := startNode(t, Config{Leaf: c, Logger: logger})
		t.Log(name)
		carries(t, connect(t, leaf, BusOptions{}), connect(t, hub, BusOptions{}))
	}
	wrong := startNode(t, Config{Leaf: LeafConfig{Remotes: []string{bare}, Token: "wr0ng-t0ken"}, Logger: logger})
	waitFor(t, func() bool { return strings.Contains(log.String(), "uthorization") })
	if n := wrong.server.NumLeafNodes(); n != 0 {
		t.Errorf("%d leaf connections with a wrong token", n)
	}
	for _, secret := range []string{token, url.QueryEscape(token), url.PathEscape(token), "s3cret", "wr0ng"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	_, err := Start(t.Context(), Config{Leaf: LeafConfig{Token: token, TokenFile: file}, Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "leaf.token") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("token and file, and no remotes: %v", err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// All that can be closed is, in each order, twice, and from several goroutines,
// while events and requests flow: nothing hangs, fails or stays. Guards that no
// request begins once an attachment has ended.
func TestCloseInEachOrder(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2, 3}, {0, 3, 2, 1}, {1, 0, 3, 2}, {1, 2, 3, 0}, {2, 0, 1, 3}, {2, 3, 1, 0}, {3, 0, 1, 2}, {3, 2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			n := startNode(t, Config{Logger: quiet()})
			b := connect(t, n, BusOptions{})
			rt := startRuntime(t, "one", nil)
			a := attach(t, rt, b)
			v := watch(t, b)
			s := startStream(t, rt, 50, 100*time.Microsecond)
			id := a.RuntimeIDs()["Shop"]
			run, stop := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			flood := connect(t, n, BusOptions{})
			c := NewClient(flood, ClientOptions{Timeout: time.Second})
			wg.Go(func() {
				for run.Err() == nil {
					_ = flood.nc.PublishRequest(flood.subjects.runtime(id, "page"), "nowhere", []byte(`{"runtimeId":"`+id+`"}`))
					_ = flood.nc.PublishRequest(flood.subjects.runtime(id, "repair"), "nowhere", []byte(`{"runtimeId":"`+id+`","missing":[[1,9]]}`))
					if _, err := c.Query(run, Query{Limit: 10}); err != nil && typed(err) == "" && !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
			})
			waitFor(t, func() bool { return s.sent.Load() > 100 && !lags(v, id) })
			closers := []func(context.Context) error{a.Close, n.Stop, v.Close, b.Close}
			begin := time.Now()
			for range 2 {
				for _, i := range order {
					var both sync.WaitGroup
					for range 2 {
						both.Go(func() {
							if err := closers[i](context.Background()); err != nil {
								t.Errorf("closing %d: %v", i, err)
							}
						})
					}
					both.Wait()
				}
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("closing took %v", took)
			}
			stop()
			wg.Wait()
			s.end()
		})
	}
}

// An attachment ends with its runtime, and says so.
func TestAttachmentEndsWithItsRuntime(t *testing.T) {
	t.Parallel()
	b := memoryBus(t)
	rt := startRuntime(t, "one", nil)
	a := attach(t, rt, b)
	id := a.RuntimeIDs()["Shop"]
	v := watch(t, b)
	waitFor(t, func() bool { return !lags(v, id) })
	if err := rt.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		var info RuntimeInfo
		v.Read(func(d *Directory) { info, _ = d.Runtime(id, time.Now()) })
		return info.Status == Stopped
	})
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
	a.spawn(func() { t.Error("something began after the attachment had ended") })
	a.wg.Wait()
}
