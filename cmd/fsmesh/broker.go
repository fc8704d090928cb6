package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/api"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// A broker is where a mesh is reached: what the commands against one and the
// hosts of runtimes have in common.
type broker struct {
	url       string
	mesh      string
	tokenFile string
}

// flags adds all but the URL, whose flag has another name in each.
func (b *broker) flags(c *cobra.Command) {
	c.Flags().StringVar(&b.mesh, "mesh", "", "name of the mesh: only what has the same one meets (default "+mesh.DefaultMesh+")")
	c.Flags().StringVar(&b.tokenFile, "token-file", "", "file that holds the token the node asks for (default: FSMESH_TOKEN in the environment)")
}

// token is that of the file, else that of the environment.
func (p *program) token(file string) (string, error) {
	if file == "" {
		return p.env("FSMESH_TOKEN"), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--token-file %q: %w", file, unwrapPath(err))
	}
	return strings.TrimSpace(string(data)), nil
}

// connect connects to the mesh, and says in words why it could not. The URL is
// never repeated as it was given: it may hold a password.
func (p *program) connect(ctx context.Context, b broker, name string, log *slog.Logger) (*mesh.Bus, error) {
	switch scheme, _, _ := strings.Cut(b.url, ":"); scheme {
	case "redis", "rediss", "amqp", "amqps":
		return nil, usage("a %s:// URL needs a bridge, and bridges are not there yet; give the nats:// URL of a mesh", scheme)
	}
	token, err := p.token(b.tokenFile)
	if err != nil {
		return nil, err
	}
	bus, err := mesh.Connect(ctx, b.url, mesh.BusOptions{Mesh: b.mesh, Name: name, Token: token, Logger: log})
	switch {
	case err == nil:
		return bus, nil
	case errors.Is(err, mesh.ErrURL):
		return nil, &exitError{exitUsage, err}
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf("%w; the node asks for another token: give it with --token-file or FSMESH_TOKEN", err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return nil, fmt.Errorf("%w; nobody answers there: is a node running? (fsmesh node starts one)", err)
	}
	return nil, err
}

// A membership is the place of a process on a mesh, with the runtimes that it
// has there.
type membership struct {
	log      *slog.Logger
	node     *mesh.Node // the mesh itself, where it is inside the process
	bus      *mesh.Bus
	runtimes []*fsm.Runtime
	store    *adapters.Store // nil where there are no runtimes
	joined   atomic.Bool     // all runtimes run and are on the mesh
	ready    atomic.Bool     // and shown

	mu   sync.Mutex // guards atts
	atts []*mesh.Attachment
}

// joinTime bounds connecting and attaching, leaveTime each step of leaving.
const (
	joinTime  = 10 * time.Second
	leaveTime = 500 * time.Millisecond
)

// join connects to the mesh, or starts one inside the process that nobody else
// can reach.
func (h *host) join(ctx context.Context, log *slog.Logger) (*membership, error) {
	if h.broker.url != "" && h.broker.url != "memory" {
		return h.p.joinShared(ctx, h.broker, "fsmesh serve", log)
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	m := &membership{log: log}
	var err error
	if m.node, err = mesh.Start(ctx, mesh.Config{Logger: log}); err != nil {
		return nil, err
	}
	if m.bus, err = m.node.Connect(mesh.BusOptions{Mesh: h.broker.mesh, Logger: log}); err != nil {
		return nil, errors.Join(err, m.leave())
	}
	return m, nil
}

// joinShared connects to a mesh that others are on, too.
func (p *program) joinShared(ctx context.Context, b broker, name string, log *slog.Logger) (*membership, error) {
	if strings.HasPrefix(b.url, "memory") {
		return nil, usage("a mesh at %q is inside one process, nobody else reaches it; give the nats:// URL of a node", "memory")
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	bus, err := p.connect(ctx, b, name, log)
	if err != nil {
		return nil, err
	}
	return &membership{log: log, bus: bus}, nil
}

// attach makes a runtime part of the mesh; host and port are shown with it.
func (m *membership) attach(ctx context.Context, rt *fsm.Runtime, host string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	att, err := mesh.Attach(ctx, rt, m.bus, mesh.AttachOptions{Host: host, Port: port, Logger: m.log})
	if err != nil {
		if errors.Is(err, mesh.ErrNameTaken) {
			return fmt.Errorf("%w: give this one another with --name", err)
		}
		return err
	}
	m.mu.Lock()
	m.atts = append(m.atts, att)
	m.mu.Unlock()
	return nil
}

// readiness says whether all runtimes run and the view shows them exactly, and
// if not, why. Once they do it is ready for good: what comes later is told by
// each answer.
func (m *membership) readiness(view *mesh.View) api.Readiness {
	if m.ready.Load() || m.joined.Load() && m.shown(view) {
		m.ready.Store(true)
		return api.Readiness{Ready: true}
	}
	var r api.Readiness
	for _, rt := range m.runtimes {
		s := rt.Status()
		r.Done, r.Total = r.Done+s.Done, r.Total+s.Total
		if s.Phase == fsm.PhaseRunning {
			continue
		}
		why := fmt.Sprintf("runtime %s is %s", rt.Name(), s.Phase)
		if s.Why != "" {
			why += ": " + s.Why
		}
		if r.Reason != "" {
			r.Reason += "; "
		}
		r.Reason += why
	}
	if r.Reason == "" {
		r.Reason = "the runtimes are about to join the mesh"
	}
	return r
}

// shown reports whether a view is exact about all runtimes of this process.
func (m *membership) shown(view *mesh.View) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := true
	view.Read(func(d *mesh.Directory) {
		for _, att := range m.atts {
			for _, id := range att.RuntimeIDs() {
				exact, _ := d.Exact(id, time.Now())
				all = all && exact
			}
		}
	})
	return all
}

// statuses are those of the runtimes in this process.
func (m *membership) statuses() []api.RuntimeStatus {
	var out []api.RuntimeStatus
	for _, rt := range m.runtimes {
		s := rt.Status()
		out = append(out, api.RuntimeStatus{
			Name: rt.Name(), Phase: string(s.Phase), Instances: s.Instances, Records: s.Records, Quarantined: s.Quarantined,
		})
	}
	return out
}

// watch returns when the context ends, or with why a runtime has stopped by
// itself.
func (m *membership) watch(ctx context.Context) error {
	ended := make(chan *fsm.Runtime)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, rt := range m.runtimes {
		go func() {
			select {
			case <-rt.Done():
			case <-ctx.Done():
				return
			}
			select {
			case ended <- rt:
			case <-ctx.Done():
			}
		}()
	}
	select {
	case rt := <-ended:
		return fmt.Errorf("runtime %s has stopped by itself: %w", rt.Name(), rt.Err())
	case <-ctx.Done():
		return nil
	}
}

// leave says goodbye for all runtimes, stops them, and ends the connection, and
// the node where there is one. Where the bus is away there is nobody to say
// goodbye to, which is no failure of this program.
func (m *membership) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	var err error
	for _, att := range m.atts {
		away := !m.bus.Connected()
		e := att.Close(ctx)
		if e != nil && away {
			m.log.Warn("the mesh is away, so it was not told that a runtime stops", "err", e)
			continue
		}
		err = errors.Join(err, e)
	}
	err = errors.Join(err, stopAll(m.runtimes))
	if m.store != nil {
		err = errors.Join(err, m.store.Close())
	}
	last, done := context.WithTimeout(context.Background(), leaveTime)
	defer done()
	if m.bus != nil {
		err = errors.Join(err, m.bus.Close(last))
	}
	if m.node != nil {
		err = errors.Join(err, m.node.Stop(last))
	}
	return err
}
