package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/jsonobject"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
)

// A remote is a command against a running mesh: what they all share.
type remote struct {
	p       *program
	broker  broker
	context string
	timeout time.Duration
	form    *oneOf
}

// A session is a remote command while it is connected.
type session struct {
	*remote
	bus      *mesh.Bus
	client   *mesh.Client
	runtimes []mesh.RuntimeInfo // see defined
}

// newRemote adds the flags that commands against a running mesh share.
func (p *program) newRemote(c *cobra.Command) *remote {
	r := &remote{p: p}
	c.Flags().StringVar(&r.broker.url, "url", "", "URL of the mesh (default: FSMESH_URL, else BROKER_URL in the environment, else that of the context, else nats://"+defaultNode+")")
	r.broker.flags(c)
	c.Flags().StringVar(&r.context, "context", "", "name of the context to use (default: FSMESH_CONTEXT in the environment, else the selected one)")
	c.Flags().DurationVar(&r.timeout, "timeout", 4*time.Second, "how long to wait for answers")
	r.form = outputFlag(c, "table", "json", "yaml")
	c.PreRunE = plainWords
	return r
}

// with connects, does something and leaves. The timeout bounds it all; unless
// it goes on until it is told to end: then it bounds the connecting.
func (r *remote) with(ctx context.Context, endless bool, do func(context.Context, *session) error) (err error) {
	if r.timeout <= 0 {
		return usage("--timeout %v is out of range; say 5s", r.timeout)
	}
	if err := r.resolve(); err != nil {
		return err
	}
	if strings.HasPrefix(r.broker.url, "memory") {
		return usage("a mesh at %q is inside one process, nobody else reaches it; give the nats:// URL of a node", "memory")
	}
	bounded, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	log := slog.New(slog.NewTextHandler(r.p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	bus, err := r.p.connect(bounded, r.broker, "fsmesh", log)
	if err != nil {
		return err
	}
	defer func() {
		leave, done := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer done()
		// All that counted was answered before: a connection that is gone now
		// is no failure.
		_ = bus.Close(leave)
	}()
	if !endless {
		ctx = bounded
	}
	s := &session{remote: r, bus: bus, client: mesh.NewClient(bus, mesh.ClientOptions{Timeout: r.timeout})}
	return s.explain(ctx, do(ctx, s))
}

// resolve settles where the mesh is: flags over environment over context.
func (r *remote) resolve() error {
	chosen, err := r.p.context(r.context)
	if err != nil {
		return err
	}
	fromEnv := cmp.Or(r.p.env("FSMESH_URL"), r.p.env("BROKER_URL"))
	if r.context != "" && r.broker.url == "" && fromEnv != "" {
		fmt.Fprintln(r.p.stderr, "fsmesh: the URL of the environment is used, not that of the context "+r.context)
	}
	r.broker.url = cmp.Or(r.broker.url, fromEnv, chosen.URL, "nats://"+defaultNode)
	r.broker.mesh = cmp.Or(r.broker.mesh, chosen.Mesh)
	if r.broker.tokenFile == "" && r.p.env("FSMESH_TOKEN") == "" && r.p.env("FSMESH_TOKEN_FILE") == "" {
		r.broker.tokenFile = chosen.TokenFile
	}
	return nil
}

// unanswered is for what only asks: where nobody answers for an instance there
// is none to be found. A command may have been done all the same.
func unanswered(err error) error {
	if errors.Is(err, mesh.ErrNoAnswer) || errors.Is(err, context.DeadlineExceeded) {
		return &exitError{exitNotFound, err}
	}
	return err
}

// explain adds to an error of the mesh what it means for the command.
func (s *session) explain(ctx context.Context, err error) error {
	if _, done := errors.AsType[*exitError](err); done || err == nil {
		return err
	}
	if missing, ok := errors.AsType[*mesh.MissingError](err); ok {
		return fmt.Errorf("nobody who answered has it: %w%s", err, s.whoIsLost(ctx, missing.Runtimes))
	}
	if errors.Is(err, fsm.ErrUnknownInstance) {
		if live, _, e := s.client.Members(ctx); e == nil && len(live) == 0 {
			return fmt.Errorf("%w: no runtime is on the mesh", err)
		}
		quarantined := strings.Contains(err.Error(), " is quarantined") // which is not told as a code
		if e, ok := errors.AsType[*fsm.Error](err); ok && e.Instance != "" && e.Key == "" && !quarantined {
			return fmt.Errorf("%w; if that is a key, give it with --key", err)
		}
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("the runtime that had it has just gone: %w", err)
	}
	if errors.Is(err, fsm.ErrUnknownComponent) {
		return fmt.Errorf("no runtime on the mesh has it: %w", err)
	}
	return err
}

// whoIsLost says which of the runtimes that did not answer have most likely been
// killed, and what to do.
func (s *session) whoIsLost(ctx context.Context, missing []string) string {
	_, lost, err := s.client.Members(ctx)
	if err != nil {
		return ""
	}
	var said []string
	for _, r := range lost {
		if slices.Contains(missing, r.Label()) {
			said = append(said, fmt.Sprintf("; runtime %s of component %s is lost: it was last heard at %s and said no goodbye", r.Name, r.Component, r.Heard.Format(time.TimeOnly)))
		}
	}
	if len(said) == 0 {
		return ""
	}
	return strings.Join(said, "") + "; what is in its store is there again once it is started again, and a minute after it was heard it is not asked for any more"
}

// again adds what to do where it is not known whether an event or a creation
// took effect.
func again(err error) error {
	if errors.Is(err, mesh.ErrNoAnswer) {
		return fmt.Errorf("%w; it may have happened all the same: with --event-id it can be repeated safely", err)
	}
	return err
}

// A targetFlag names an instance by something else than its id.
type targetFlag struct{ key, component string }

func (f *targetFlag) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", "", "business key of the instance, in place of its id")
	c.Flags().StringVar(&f.component, "component", "", "component of the instance; needed where several have the key")
}

// split takes the id off the arguments, unless --key stands for it, and checks
// how many are left.
func (f *targetFlag) split(c *cobra.Command, words []string, low, high int) (mesh.Target, []string, error) {
	t := mesh.Target{Component: f.component, Key: f.key}
	if f.key == "" {
		if err := args(1+low, 1+high)(c, words); err != nil {
			return t, nil, err
		}
		if t.ID, words = words[0], words[1:]; t.ID == "" {
			return t, nil, usage("the id is empty")
		}
		return t, words, nil
	}
	if len(words) > high {
		return t, nil, usage("%s takes an id or --key, not both: %s", c.CommandPath(), c.UseLine())
	}
	return t, words, args(low, high)(c, words)
}

// object reads the JSON object that is the last of the words, if there is one.
func object(what string, words []string) (map[string]any, error) {
	if len(words) == 0 {
		return nil, nil
	}
	data, err := jsonobject.Read(words[0])
	if err != nil {
		return nil, usage("the %s is not a JSON object: %w", what, err)
	}
	return data, nil
}

// watch opens a view and waits until it is exact about all that are on the mesh,
// or the context ends. It returns what the view knows of them; who never showed
// up is among them, as unknown.
func (s *session) watch(ctx context.Context) (*mesh.View, []mesh.RuntimeInfo, error) {
	return s.watchUntil(ctx, func(i mesh.RuntimeInfo) bool { return inexact(i) && i.Status != mesh.Lost })
}

// watchUntil waits until of no runtime more is needed.
func (s *session) watchUntil(ctx context.Context, needed func(mesh.RuntimeInfo) bool) (*mesh.View, []mesh.RuntimeInfo, error) {
	v, err := mesh.Watch(ctx, s.bus, mesh.ViewOptions{})
	if err != nil {
		return nil, nil, err
	}
	present, lost, err := s.client.Members(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, v.Close(ctx))
	}
	// Time alone makes a view exact or not, too.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := v.Changed()
		infos := known(v, present, lost)
		if !slices.ContainsFunc(infos, needed) {
			return v, infos, nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return v, infos, nil
		}
	}
}

// defined returns the runtimes with what they run, looked up once a session. One
// that does not say what it runs takes no more than half of the time.
func (s *session) defined(ctx context.Context) ([]mesh.RuntimeInfo, error) {
	if s.runtimes != nil {
		return s.runtimes, nil
	}
	looking, cancel := context.WithTimeout(ctx, s.timeout/2)
	defer cancel()
	v, infos, err := s.watchUntil(looking, func(i mesh.RuntimeInfo) bool { return undefined(i) && i.Status != mesh.Lost })
	if err != nil {
		return nil, err
	}
	closeView(v)
	s.runtimes = infos
	return infos, nil
}

// known is what a view knows of the runtimes, with those that it has not met.
func known(v *mesh.View, present []mesh.Identity, lost []mesh.LostRuntime) []mesh.RuntimeInfo {
	var infos []mesh.RuntimeInfo
	v.Read(func(d *mesh.Directory) { infos = d.Runtimes(time.Now()) })
	for _, id := range present {
		if !slices.ContainsFunc(infos, func(i mesh.RuntimeInfo) bool { return i.RuntimeID == id.RuntimeID }) {
			infos = append(infos, mesh.RuntimeInfo{Identity: id, Exactness: mesh.Exactness{Reason: mesh.ReasonUnknown}})
		}
	}
	for _, r := range lost {
		// Who has its name is the same, started again.
		if !slices.ContainsFunc(infos, func(i mesh.RuntimeInfo) bool { return i.Name == r.Name && i.Component == r.Component }) {
			infos = append(infos, mesh.RuntimeInfo{Identity: r.Identity, Status: mesh.Lost, Since: r.Heard, Heard: r.Heard, Exactness: mesh.Exactness{Reason: mesh.ReasonLost, Since: r.Heard}})
		}
	}
	slices.SortStableFunc(infos, func(a, b mesh.RuntimeInfo) int {
		return strings.Compare(a.Component+"\x00"+a.Name, b.Component+"\x00"+b.Name)
	})
	return infos
}

// inexact reports whether rows of the runtime may be wrong or lacking. One that has
// stopped has none.
func inexact(i mesh.RuntimeInfo) bool {
	return !i.Exactness.Exact && i.Status != mesh.Stopped && i.Status != mesh.Superseded
}

// undefined reports whether it is not known what a runtime runs.
func undefined(i mesh.RuntimeInfo) bool {
	return i.Definition == nil && i.Status != mesh.Stopped && i.Status != mesh.Superseded
}

// closeView ends a view; what it knew has been used.
func closeView(v *mesh.View) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	_ = v.Close(ctx)
}

// componentOf finds the one component that has a machine, from the definitions
// that the runtimes announce.
func (s *session) componentOf(ctx context.Context, machine, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	infos, err := s.defined(ctx)
	if err != nil {
		return "", err
	}
	var having, machines []string
	for _, i := range infos {
		for _, m := range machinesOf(i.Definition) {
			if m.Name == machine && !slices.Contains(having, i.Component) {
				having = append(having, i.Component)
			}
			machines = append(machines, m.Name)
		}
	}
	switch len(having) {
	case 1:
		return having[0], nil
	case 0:
		if near, ok := nearest.Match(machine, machines); ok {
			return "", notFound("no component on the mesh has a machine %q; did you mean %q?", machine, near)
		}
		for _, i := range infos {
			if undefined(i) {
				return "", notFound("no component that is known has a machine %q; what %s of component %s has is not known, as it does not answer", machine, i.Name, i.Component)
			}
		}
		return "", notFound("no component on the mesh has a machine %q", machine)
	}
	return "", usage("the components %s have a machine %q each; say which with --component", strings.Join(having, ", "), machine)
}

// An announcedMachine is what of a definition on the mesh is used here.
type announcedMachine struct {
	Name   string `json:"name"`
	States []struct {
		Name string `json:"name"`
	} `json:"states"`
}

func machinesOf(definition json.RawMessage) []announcedMachine {
	var c struct {
		StateMachines []announcedMachine `json:"stateMachines"`
	}
	if json.Unmarshal(definition, &c) != nil {
		return nil // it comes from outside and may be broken
	}
	return c.StateMachines
}
