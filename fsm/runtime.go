package fsm

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
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
	commits   commitCounts
	seed      maphash.Seed
	clock     *steadyClock
	log       Log // nil without a store
	claim     Claim
	born      uint64  // ms; the epoch of a runtime without a store
	waits     bool    // commits take time
	borrows   bool    // the log is done with plain records once they are stored
	encoder   Encoder // the log, if it wants plain records encoded
	committer *committer
	ails      ailing
	workers   crew
	watchers  watchers
	places    places
	correlate [][]string // paths
	ended     endedSet
	outbox    outbox
	intake    intake
	order     atomic.Uint64
	work      workload
	waiters   sync.Pool
	flights   sync.Pool
	restored  []RestoreReport

	// ctx ends when the runtime does; hooks and the store see it.
	ctx    context.Context
	cancel context.CancelFunc

	phase    lifePhase
	progress restoreProgress

	started chan struct{} // closed when Start has returned
	halted  atomic.Bool   // nothing is taken up any more
	dead    chan struct{} // closed then
	// deads are closed with dead. Callers that wait are spread over them: each
	// takes the lock of its channel to begin and to end.
	deads    [64]chan struct{}
	halt     sync.Once
	close    sync.Once // of the log
	flushing sync.Once // of checkpoints

	mu          sync.Mutex // guards all below
	err         error      // why it ended by itself
	failed      error      // why its start failed
	heldBy      string     // whoever it stands by for
	measure     func() (done, total uint64)
	goroutines  int
	isQuiet     bool
	quiet       chan struct{} // closed when goroutines gets to 0 after a halt
	retries     map[*time.Timer]struct{}
	quarantined map[string]*quarantined
}

// NewRuntime checks the configuration and compiles the components. It reports
// all that is wrong at once: ErrConfig, ErrDefinition, ErrEntryMachine. Nothing
// runs until Start.
func NewRuntime(c Config) (*Runtime, error) {
	rt := &Runtime{
		comps: map[string]*component{}, seed: maphash.MakeSeed(), places: newPlaces(),
		dead: make(chan struct{}), quiet: make(chan struct{}), started: make(chan struct{}),
		retries: map[*time.Timer]struct{}{}, quarantined: map[string]*quarantined{},
	}
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, &Error{Code: CodeConfig, Detail: fmt.Sprintf(format, args...)})
	}
	if len(c.Components) == 0 {
		wrong("Components is empty: give at least one")
	}
	machines := 0
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
		for _, m := range comp.list {
			m.at = machines
			machines++
		}
		rt.numbers = append(rt.numbers, &numbering{})
	}
	if c.Name == "" && len(c.Components) > 1 {
		wrong("Name is empty: a runtime with %d components needs one", len(c.Components))
	}
	if bad := badName(c.Name); bad != "" {
		wrong("Name %q cannot be used: %s", cut(c.Name), bad)
	}
	for what, n := range map[string]int{
		"Shards": c.Shards, "Inbox": c.Inbox, "HookWorkers": c.HookWorkers, "SnapshotEvery": c.SnapshotEvery,
		"HookTimeout": int(c.HookTimeout), "Limits.DataBytes": c.Limits.DataBytes, "Limits.Hops": c.Limits.Hops,
		"Limits.Events": c.Limits.Events, "Limits.Held": c.Limits.Held, "Limits.Ended": c.Limits.Ended,
		"Limits.EffectAge": int(c.Limits.EffectAge), "Retention.Ended": int(c.Retention.Ended), "Retention.Records": int(c.Retention.Records),
	} {
		if n < 0 {
			wrong("%s is negative", what)
		}
	}
	for of, r := range c.RetentionOf {
		name, machine, _ := strings.Cut(of, "/")
		if comp := rt.comps[name]; comp != nil && machine != "" && comp.machines[machine] == nil {
			wrong("RetentionOf %q: component %q has no machine %q", of, name, machine)
		}
		if min(r.Ended, r.Records) < 0 {
			wrong("RetentionOf %q is negative", of)
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
	for _, field := range c.Correlate {
		rt.correlate = append(rt.correlate, strings.Split(field, "."))
	}
	rt.cfg, rt.limits = c, c.Limits
	rt.clock = newSteadyClock(c.Clock)
	rt.phase.since.Store(rt.clock.now())
	rt.workers = crew{rt: rt, most: c.HookWorkers, stuck: map[string]int{}}
	rt.ended = endedSet{most: c.Limits.Ended, byID: map[string]*slot{}, forget: rt.places.forget}
	rt.flights.New = func() any { return new(flight) }
	for i := range rt.deads {
		rt.deads[i] = make(chan struct{})
	}
	rt.waiters.New = func() any { return &waiter{make(chan answer, 1), rt.deads[rand.IntN(len(rt.deads))]} }
	rt.outbox = outbox{rt: rt, lowest: 1, open: map[uint64]struct{}{}, lanes: map[string]*lane{}}
	rt.intake = intake{senders: map[senderID]*sender{}}
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
	if c.Store != nil {
		setDefault(&c.Shards, 4*runtime.GOMAXPROCS(0))
	}
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
	if c.Correlate == nil {
		c.Correlate = defaultCorrelate
	}
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
// returns once the runtime runs. While another process is alive with the log it
// stands by, see Config.Takeover and Status. The context bounds the start only.
// A runtime is started once.
func (rt *Runtime) Start(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("start runtime %s: %w", rt.cfg.Name, err)
	}
	if !rt.enter(phaseNew, phaseRestoring) {
		return &Error{Code: CodeConfig, Detail: "a runtime is started once"}
	}
	defer close(rt.started)
	rt.logMissingHooks()
	// Stop ends a start, too.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(rt.ctx, func() { cancel(&Error{Code: CodeNotRunning, Detail: "it was stopped"}) })()
	if err := rt.start(ctx); err != nil {
		rt.mu.Lock()
		rt.failed = err
		rt.mu.Unlock()
		rt.end(phaseStopped)
		rt.stopWork()
		err = errors.Join(err, rt.closeLog())
		return fmt.Errorf("start runtime %s: %w", rt.cfg.Name, err)
	}
	return nil
}

func (rt *Runtime) start(ctx context.Context) error {
	if rt.cfg.Store != nil {
		if err := rt.openLog(ctx); err != nil {
			return err
		}
		restored, err := rt.claimAndRestore(ctx)
		if err != nil {
			return err
		}
		if err := rt.holdLease(ctx); err != nil {
			return err
		}
		if err := rt.resume(ctx, restored); err != nil {
			return err
		}
		rt.checkpoints()
	}
	if !rt.enter(phaseRestoring, phaseRunning) {
		return rt.notRunning() // it was stopped meanwhile
	}
	if rt.log != nil {
		rt.retain()
	}
	return rt.createEntryPoints(ctx)
}

func (rt *Runtime) openLog(ctx context.Context) error {
	log, err := rt.cfg.Store.Open(ctx, rt.cfg.Name)
	if err != nil {
		return fmt.Errorf("open its log: %w", err)
	}
	rt.log, rt.waits = log, log.Waits()
	if b, ok := log.(Borrower); ok {
		rt.borrows = b.Borrows()
		rt.encoder, _ = log.(Encoder)
	}
	if p, ok := log.(interface{ Progress() (done, total uint64) }); ok {
		rt.mu.Lock()
		rt.measure = p.Progress
		rt.mu.Unlock()
	}
	if rt.waits {
		rt.committer = newCommitter(rt)
		rt.spawn(rt.committer.run)
	}
	return nil
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

// hasEntryPoint counts one that is quarantined, too.
func (rt *Runtime) hasEntryPoint(c *component) bool {
	for _, sh := range rt.shards {
		for _, s := range sh.tab.all() {
			in := s.cur.Load()
			if in.st.m == c.entry && (in.origin.entryPoint || c.singleton && in.status == StatusActive) {
				return true
			}
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
//
// A log that keeps checkpoints brings them up to date meanwhile, in at most half
// of the time that is left then, and the lease is given up.
func (rt *Runtime) Stop(ctx context.Context) error {
	if rt.enter(phaseNew, phaseStopped) {
		rt.stopWork()
		return nil
	}
	if rt.enter(phaseRestoring, phaseStopped) || rt.enter(phaseStandingBy, phaseStopped) || rt.enter(phaseRestoring, phaseStopped) {
		// Start finds out, and closes what it has opened.
		rt.stopWork()
		select {
		case <-rt.started:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	rt.enter(phaseRunning, phaseStopping)
	var err error
	if !rt.halted.Load() {
		switch err = rt.Idle(ctx, 0); {
		case err == nil:
			rt.flushing.Do(func() { rt.flush(ctx) })
		case ErrorCode(err) == CodeNotRunning:
			err = nil // another Stop has ended it
		}
	}
	rt.end(phaseStopped)
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
			ctx, cancel := context.WithTimeout(context.Background(), leaseRenewal)
			defer cancel()
			rt.releaseLease(ctx)
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
		for _, dead := range rt.deads {
			close(dead)
		}
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
	rt.end(phaseFenced)
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
	rt.mu.Lock()
	defer rt.mu.Unlock()
	switch {
	case rt.err != nil:
		return rt.err
	case rt.failed != nil:
		return &Error{Code: CodeNotRunning, Detail: "its start failed", Err: rt.failed}
	}
	return &Error{Code: CodeNotRunning}
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

func (rt *Runtime) shardOf(id string) *shard { return rt.shards[rt.shardNumber(id)] }

func (rt *Runtime) shardNumber(id string) int {
	return int(maphash.String(rt.seed, id) % uint64(len(rt.shards)))
}
