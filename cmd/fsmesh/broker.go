package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/bridge"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/redact"
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
	c.Flags().StringVar(&b.tokenFile, "token-file", "", "file that holds the token the node asks for (default: FSMESH_TOKEN or FSMESH_TOKEN_FILE in the environment)")
}

// hostPort is an address, which has no password in it.
var hostPort = regexp.MustCompile(`^[A-Za-z0-9.-]+:\d{1,5}$`)

// connect connects to the mesh, and says in words why it could not. The URL is
// never repeated as it was given: it may hold a password.
func (p *program) connect(ctx context.Context, b broker, name string, log *slog.Logger) (*mesh.Bus, error) {
	if adapters.IsBroker(b.url) {
		return nil, usage("%s is no mesh but a broker, which needs a bridge: run fsmesh bridge beside a node and give the nats:// URL of that", redact.URL(b.url))
	}
	if strings.Contains(b.mesh, "://") {
		return nil, usage("the name of the mesh is %s, which is a URL: where the mesh is reached is said with --url or --broker", redact.URL(b.mesh))
	}
	if hostPort.MatchString(b.url) {
		return nil, usage("%s is not a mesh URL; did you mean nats://%s?", b.url, b.url)
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
		return nil, usage("%w: %s: it begins with nats:// or tls://, or for a broker with redis://, rediss://, amqp:// or amqps://", mesh.ErrURL, shown(b.url))
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf("%w; the node asks for another token: give it with --token-file, FSMESH_TOKEN or FSMESH_TOKEN_FILE", err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return nil, fmt.Errorf("%w; nobody answers there: is a node running? (fsmesh node starts one)", err)
	}
	if _, away := errors.AsType[net.Error](err); away {
		return nil, fmt.Errorf("%w; nobody answers there as a node does: is the address right?", err)
	}
	return nil, err
}

// A membership is the place of a process on a mesh, with the runtimes that it
// has there.
type membership struct {
	log      *slog.Logger
	node     *mesh.Node // the mesh itself, where it is inside the process
	bus      *mesh.Bus
	bridges  []*bridge.Bridge
	runtimes []*fsm.Runtime
	store    *adapters.Store // nil where there are no runtimes
	joined   atomic.Bool     // all runtimes run and are on the mesh
	ready    atomic.Bool     // and shown

	mu   sync.Mutex // guards atts
	atts []*mesh.Attachment
}

// meshWait is how long who joins a mesh waits for it to be there.
const meshWait = 5 * time.Second

// joinTime bounds connecting and attaching, leaveTime each step of leaving.
const (
	joinTime  = 10 * time.Second
	leaveTime = 500 * time.Millisecond
)

// join connects to the mesh, or starts one inside the process, and bridges it to
// the brokers. Nobody else reaches one inside the process but over them.
func (p *program) join(ctx context.Context, b broker, outside *brokers, name string, log *slog.Logger) (*membership, error) {
	m, err := p.joinMesh(ctx, b, name, log)
	if err != nil {
		return nil, err
	}
	if err := m.bridge(ctx, outside); err != nil {
		return nil, errors.Join(err, m.leave())
	}
	return m, nil
}

func (p *program) joinMesh(ctx context.Context, b broker, name string, log *slog.Logger) (*membership, error) {
	if b.url != "" && b.url != "memory" {
		return p.joinShared(ctx, b, name, log)
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	m := &membership{log: log}
	var err error
	if m.node, err = mesh.Start(ctx, mesh.Config{Logger: log}); err != nil {
		return nil, err
	}
	if m.bus, err = m.node.Connect(mesh.BusOptions{Mesh: b.mesh, Logger: log}); err != nil {
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
	bus, err := p.await(ctx, b, name, log)
	if err != nil {
		return nil, err
	}
	return &membership{log: log, bus: bus}, nil
}

// await is connect for what is started beside the mesh, and may be a moment
// ahead of it: while nobody answers it is tried again for meshWait.
func (p *program) await(ctx context.Context, b broker, name string, log *slog.Logger) (*mesh.Bus, error) {
	const again = 100 * time.Millisecond
	begin, waits := time.Now(), false
	for {
		bus, err := p.connect(ctx, b, name, log)
		if !errors.Is(err, nats.ErrNoServers) {
			return bus, err
		}
		if time.Since(begin) >= meshWait {
			return nil, fmt.Errorf("%w; waited %v for it", err, meshWait)
		}
		if !waits {
			waits = true
			log.Info("waiting for the mesh: nobody answers there yet", "url", shown(b.url), "most", meshWait)
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// attach makes a runtime part of the mesh; host and port are shown with it.
func (m *membership) attach(ctx context.Context, rt *fsm.Runtime, host string, port int) error {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	att, err := mesh.Attach(ctx, rt, m.bus, mesh.AttachOptions{Host: host, Port: port, Store: m.store.Durability, Logger: m.log})
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
// if not, why. Once they do it is ready for good, but for when the mesh is away and
// nothing can be sent to them: what else comes later is told by each answer.
func (m *membership) readiness(view *mesh.View) api.Readiness {
	if m.bus != nil && !m.bus.Connected() {
		return api.Readiness{Reason: "the mesh cannot be reached"}
	}
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
			Name: rt.Name(), Phase: string(s.Phase), Instances: s.Instances, Records: s.Records, Quarantined: s.Quarantined, Counts: rt.Counts(),
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
		if rt.Err() == nil { // its start has failed, which says why
			<-ctx.Done()
			return nil
		}
		return fmt.Errorf("runtime %s has stopped by itself: %w", rt.Name(), rt.Err())
	case <-ctx.Done():
		return nil
	}
}

// leave says goodbye for all runtimes, stops them, and ends the connection, and
// the node where there is one. Where the bus is away there is nobody to say
// goodbye to, and where it is slow it learns from the silence: neither is a failure
// of this program.
func (m *membership) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	var err error
	var gone []string
	for _, att := range m.atts {
		for _, id := range att.RuntimeIDs() {
			gone = append(gone, id)
		}
		if e := att.Close(ctx); e != nil && !m.bus.Connected() {
			m.log.Warn("the mesh is away, so it was not told that a runtime stops", "err", e)
		} else {
			err = errors.Join(err, m.unlessLate("the mesh is slow: it may not have been told that a runtime stops", e))
		}
	}
	err = errors.Join(err, m.leaveBridges(gone), stopAll(m.runtimes))
	if m.store != nil {
		err = errors.Join(err, m.store.Close())
	}
	last, done := context.WithTimeout(context.Background(), leaveTime)
	defer done()
	if m.bus != nil {
		err = errors.Join(err, m.unlessLate("the mesh is slow: what was said last may not have reached it", m.bus.Close(last)))
	}
	if m.node != nil {
		err = errors.Join(err, m.unlessLate("the node of this process is slow to end, and ends with it", m.node.Stop(last)))
	}
	return err
}

// unlessLate warns of a step of leaving that took too long. It is no failure: all
// that was acknowledged is with the runtimes and their store, which end on their
// own time.
func (m *membership) unlessLate(what string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		m.log.Warn(what, "err", err)
		return nil
	}
	return err
}
