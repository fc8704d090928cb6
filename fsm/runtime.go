package fsm

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Runtime runs the instances of one or more components. All its methods may
// be called from any goroutine.
type Runtime struct {
	cfg       Config
	limits    Limits
	comps     map[string]*component
	list      []*component
	numbers   []*numbering // by component.index
	shards    []*shard
	seed      maphash.Seed
	clock     *steadyClock
	log       Log // nil without a store
	claim     Claim
	born      uint64 // ms; the epoch of a runtime without a store
	waits     bool   // commits take time
	committer *committer
	workers   crew
	watchers  watchers
	places    places
	ended     endedSet
	outbox    outbox
	intake    intake
	order     atomic.Uint64
	work      workload
	waiters   sync.Pool
	restored  []RestoreReport

	// ctx ends when the runtime does; hooks and the store see it.
	ctx    context.Context
	cancel context.CancelFunc

	phase   atomic.Int32
	started chan struct{} // closed when Start has returned
	halted  atomic.Bool   // nothing is taken up any more
	dead    chan struct{} // closed then
	halt    sync.Once
	close   sync.Once // of the log

	mu          sync.Mutex // guards all below
	err         error
	goroutines  int
	isQuiet     bool
	quiet       chan struct{} // closed when goroutines gets to 0 after a halt
	retries     map[*time.Timer]struct{}
	quarantined map[string]*Instance
}

// Phases of a runtime's life.
const (
	phaseNew int32 = iota
	phaseRestoring
	phaseRunning
	phaseStopping
	phaseStopped
)

// NewRuntime checks the configuration and compiles the components. It reports
// all that is wrong at once: ErrConfig, ErrDefinition, ErrEntryMachine. Nothing
// runs until Start.
func NewRuntime(c Config) (*Runtime, error) {
	rt := &Runtime{
		comps: map[string]*component{}, seed: maphash.MakeSeed(), places: newPlaces(),
		dead: make(chan struct{}), quiet: make(chan struct{}), started: make(chan struct{}),
		retries: map[*time.Timer]struct{}{}, quarantined: map[string]*Instance{},
	}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, &Error{Code: CodeConfig, Detail: fmt.Sprintf(format, args...)})
	}
	if len(c.Components) == 0 {
		wrong("Components is empty: give at least one")
	}
	for i, def := range c.Components {
		if def == nil {
			wrong("Components[%d] is nil", i)
			continue
		}
		comp, err := compile(def, i, c.Hooks)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if rt.comps[comp.name] != nil {
			wrong("component %q is given twice", comp.name)
		}
		rt.comps[comp.name] = comp
		rt.list = append(rt.list, comp)
		rt.numbers = append(rt.numbers, &numbering{})
	}
	if c.Name == "" && len(c.Components) > 1 {
		wrong("Name is empty: a runtime with %d components needs one", len(c.Components))
	}
	for what, n := range map[string]int{
		"Shards": c.Shards, "Inbox": c.Inbox, "HookWorkers": c.HookWorkers, "SnapshotEvery": c.SnapshotEvery,
		"HookTimeout": int(c.HookTimeout), "Limits.DataBytes": c.Limits.DataBytes, "Limits.Hops": c.Limits.Hops,
		"Limits.Events": c.Limits.Events, "Limits.Held": c.Limits.Held, "Limits.Ended": c.Limits.Ended,
		"Limits.EffectAge": int(c.Limits.EffectAge),
	} {
		if n < 0 {
			wrong("%s is negative", what)
		}
	}
	if c.Limits.DataBytes > 3<<20 {
		wrong("Limits.DataBytes is %d: at most %d", c.Limits.DataBytes, 3<<20)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	linkRules(rt.comps)
	c.setDefaults()
	rt.cfg, rt.limits = c, c.Limits
	rt.clock = newSteadyClock(c.Clock)
	rt.workers = crew{rt: rt, most: c.HookWorkers, stuck: map[string]int{}}
	rt.ended = endedSet{most: c.Limits.Ended, byID: map[string]*slot{}, forget: func(in *Instance) {
		if rt.log == nil {
			rt.places.forget(in)
		}
	}}
	rt.waiters.New = func() any { return &waiter{make(chan answer, 1)} }
	rt.outbox = outbox{rt: rt, lowest: 1, open: map[uint64]struct{}{}, lanes: map[string]*lane{}}
	rt.intake = intake{known: map[RemoteID]*takenEffect{}}
	rt.born = uint64(rt.clock.now() / 1e6)
	rt.ctx, rt.cancel = context.WithCancel(context.Background())
	for n := range c.Shards {
		rt.shards = append(rt.shards, newShard(rt, n))
	}
	return rt, nil
}

func (c *Config) setDefaults() {
	if c.Name == "" {
		c.Name = c.Components[0].Name
	}
	setDefault(&c.SnapshotEvery, 10)
	setDefault(&c.Shards, 32*runtime.GOMAXPROCS(0))
	setDefault(&c.Inbox, 1024)
	setDefault(&c.HookWorkers, 256)
	setDefault(&c.HookTimeout, 30*time.Second)
	setDefault(&c.Limits.DataBytes, 512_000)
	setDefault(&c.Limits.Hops, 1000)
	setDefault(&c.Limits.Events, 1_000_000)
	setDefault(&c.Limits.Held, 1000)
	setDefault(&c.Limits.Ended, 10_000)
	setDefault(&c.Limits.EffectAge, 24*time.Hour)
	if c.Clock == nil {
		c.Clock = newSystemClock()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Name returns the name under which the runtime's log is kept.
func (rt *Runtime) Name() string { return rt.cfg.Name }

// Components returns the definitions that the runtime hosts.
func (rt *Runtime) Components() []*Component { return rt.cfg.Components }

// Start claims the log, restores what it holds, and begins to take events. It
// returns once the runtime runs. The context bounds the start only. A runtime
// is started once.
func (rt *Runtime) Start(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("start runtime %s: %w", rt.cfg.Name, err)
	}
	if !rt.phase.CompareAndSwap(phaseNew, phaseRestoring) {
		return &Error{Code: CodeConfig, Detail: "a runtime is started once"}
	}
	defer close(rt.started)
	rt.logMissingHooks()
	if err := rt.start(ctx); err != nil {
		rt.phase.Store(phaseStopped)
		rt.stopWork()
		err = errors.Join(err, rt.closeLog())
		return fmt.Errorf("start runtime %s: %w", rt.cfg.Name, err)
	}
	return nil
}

func (rt *Runtime) start(ctx context.Context) error {
	if rt.cfg.Store != nil {
		log, err := rt.cfg.Store.Open(ctx, rt.cfg.Name)
		if err != nil {
			return fmt.Errorf("open its log: %w", err)
		}
		rt.log, rt.waits = log, log.Waits()
		if rt.waits {
			rt.committer = newCommitter(rt)
			rt.spawn(rt.committer.run)
		}
		restored, err := rt.claimAndRestore(ctx)
		if err != nil {
			return err
		}
		if err := rt.resume(ctx, restored); err != nil {
			return err
		}
	}
	if !rt.phase.CompareAndSwap(phaseRestoring, phaseRunning) {
		return rt.notRunning() // it was stopped meanwhile
	}
	return rt.createEntryPoints(ctx)
}

// epoch grows with each start.
func (rt *Runtime) epoch() uint64 {
	if rt.log != nil {
		return rt.claim.Epoch
	}
	return rt.born
}

// by names this process to whoever is fenced by it.
func by() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, process %d", host, os.Getpid())
}

// createEntryPoints creates those that are due, in the order of components.
func (rt *Runtime) createEntryPoints(ctx context.Context) error {
	for _, c := range rt.list {
		if c.entry == nil || !c.auto || rt.hasEntryPoint(c) {
			continue
		}
		d := &delivery{kind: deliverCreate, machine: c.entry, state: c.entry.initial, origin: &origin{entryPoint: true}, target: newID()}
		if _, err := rt.create(ctx, d, true); err != nil {
			return fmt.Errorf("create the entry point of %s: %w", c.name, err)
		}
	}
	return nil
}

func (rt *Runtime) hasEntryPoint(c *component) bool {
	for in := range rt.Instances(Filter{Component: c.name, Machine: c.entry.name}) {
		if in.origin.entryPoint || c.singleton {
			return true
		}
	}
	return false
}

func (rt *Runtime) logMissingHooks() {
	seen := map[string]bool{}
	note := func(m method) {
		if m.name != "" && m.run == nil && !seen[m.name] {
			seen[m.name] = true
			rt.cfg.Logger.Info("method has no hook and does nothing", "method", m.name)
		}
	}
	for _, c := range rt.list {
		for _, m := range c.list {
			for _, s := range m.list {
				note(s.onEntry)
				note(s.onExit)
			}
			for _, t := range m.trs {
				note(t.method)
			}
		}
	}
}

// Stop refuses what is new, waits until what was accepted has been handled and
// stored, and ends the runtime. When the context ends first, it ends the
// runtime at once and returns the context's error: callers that still wait get
// ErrNotRunning, and what was not stored did not happen. Stop may be called
// more than once, and before Start. Hooks that never return are left behind.
func (rt *Runtime) Stop(ctx context.Context) error {
	if rt.phase.CompareAndSwap(phaseNew, phaseStopped) {
		rt.stopWork()
		return nil
	}
	if rt.phase.CompareAndSwap(phaseRestoring, phaseStopped) {
		// Start finds out, and closes what it has opened.
		rt.stopWork()
		select {
		case <-rt.started:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	rt.phase.CompareAndSwap(phaseRunning, phaseStopping)
	var err error
	if !rt.halted.Load() {
		if err = rt.Idle(ctx, 0); ErrorCode(err) == CodeNotRunning {
			err = nil // another Stop has ended it
		}
	}
	rt.phase.Store(phaseStopped)
	rt.stopWork()
	select {
	case <-rt.quiet:
	case <-ctx.Done():
		// What runs now ends soon by itself but for hooks: wait for the
		// others only.
		err = context.Cause(ctx)
	}
	return errors.Join(err, rt.closeLog())
}

func (rt *Runtime) closeLog() (err error) {
	rt.close.Do(func() {
		if rt.log != nil {
			err = rt.log.Close()
		}
	})
	return err
}

// stopWork makes everything that runs end.
func (rt *Runtime) stopWork() {
	rt.halt.Do(func() {
		rt.halted.Store(true)
		rt.cancel()
		close(rt.dead)
		rt.mu.Lock()
		defer rt.mu.Unlock()
		for t := range rt.retries {
			t.Stop()
		}
		rt.retries = nil
		rt.checkQuiet()
	})
	for _, sh := range rt.shards {
		sh.wake()
		sh.timers.cancel()
	}
}

// fenced stops the runtime for good: somebody else has claimed its log.
func (rt *Runtime) fenced(err error) {
	rt.mu.Lock()
	if rt.err == nil {
		rt.err = err
		rt.cfg.Logger.Error("fenced: another process has claimed the log; this runtime has stopped", "runtime", rt.cfg.Name, "err", err)
	}
	rt.mu.Unlock()
	rt.phase.Store(phaseStopped)
	rt.stopWork()
}

// Done is closed when the runtime has ended, by Stop or by itself.
func (rt *Runtime) Done() <-chan struct{} { return rt.dead }

// Err returns why the runtime ended by itself (ErrFenced), or nil.
func (rt *Runtime) Err() error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.err
}

// notRunning is what callers get when the runtime does not take events.
func (rt *Runtime) notRunning() error {
	if err := rt.Err(); err != nil {
		return err
	}
	return &Error{Code: CodeNotRunning}
}

func (rt *Runtime) running() error {
	if rt.phase.Load() == phaseRunning {
		return nil
	}
	return rt.notRunning()
}

// spawn runs f on a goroutine that Stop waits for. It returns false once the
// runtime has ended.
func (rt *Runtime) spawn(f func()) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.isQuiet {
		return false
	}
	rt.goroutines++
	go func() {
		defer func() {
			rt.mu.Lock()
			defer rt.mu.Unlock()
			rt.goroutines--
			rt.checkQuiet()
		}()
		f()
	}()
	return true
}

// checkQuiet notes the end of the last goroutine after a halt; the caller holds
// the lock.
func (rt *Runtime) checkQuiet() {
	if rt.halted.Load() && rt.goroutines == 0 && !rt.isQuiet {
		rt.isQuiet = true
		close(rt.quiet)
	}
}

// after calls f after a while, unless the runtime ends before. It uses real
// time: what it is for are the failures of others.
func (rt *Runtime) after(d time.Duration, f func()) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.retries == nil {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		rt.mu.Lock()
		_, live := rt.retries[t]
		delete(rt.retries, t)
		rt.mu.Unlock()
		if live {
			f()
		}
	})
	rt.retries[t] = struct{}{}
}

func (rt *Runtime) shardOf(id string) *shard {
	return rt.shards[maphash.String(rt.seed, id)%uint64(len(rt.shards))]
}

func (rt *Runtime) addQuarantined(in *Instance) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.quarantined[in.id] = in
}
