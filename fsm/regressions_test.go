package fsm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Each test here holds a fault that was found and mended.

// P6. A timer's event that was held back behind a hook and is void by then puts
// its instance back among the timers, but nobody sets the clock for it.
func TestRegressionTimerLostAfterAVoidOne(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	clock := NewManualClock(time.Unix(1000, 0))
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M",
			on("A", "GO", "B", calls("wait")), on("A", "T1", "X", timeout(1000)), on("B", "T2", "Y", timeout(1000))))},
		Hooks: Hooks{Methods: map[string]Hook{"wait": func(*Call) error { <-release; return nil }}},
		Clock: clock, Shards: 1,
	})
	id := mustCreate(t, rt, "M", nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustSend(t, rt, id, "GO")
	}()
	eventually(t, "hook runs", func() bool { return rt.work.hooks.Load() == 1 })
	idle := func() { rt.Idle(context.Background(), 1) }
	clock.Advance(time.Second, idle) // T1 fires and is held back
	close(release)
	<-done
	settle(t, rt)
	clock.Advance(time.Minute, func() { settle(t, rt) })
	settle(t, rt)
	if got := mustGet(t, rt, id).State(); got != "Y" {
		t.Errorf("state %s a minute later, want Y: T2 was due after a second", got)
	}
}

// P3. A creation that an effect asks for, taken again after a failed commit,
// finds its own reservation and is dropped.
func TestRegressionCreationLostAfterAFailedCommit(t *testing.T) {
	t.Parallel()
	for _, singleton := range []bool{false, true} {
		t.Run(fmt.Sprint("singleton ", singleton), func(t *testing.T) {
			t.Parallel()
			var fail atomic.Bool
			store := &scriptedStore{Store: NewMemoryStore(), script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
				for _, r := range b.Records {
					if r.Machine == "N" && fail.CompareAndSwap(true, false) {
						return errDiskFull
					}
				}
				return write(ctx, b)
			}}
			two := componentOf("D", fsmOf("N", on("A", "X", "B")))
			if singleton {
				no := false
				two.EntryMachine, two.AutoCreateEntryPoint = "N", &no
			}
			rt := started(t, Config{Name: "r", Components: []*Component{
				componentOf("C", fsmOf("M", on("A", "GO", "B", func(t *Transition) {
					t.Type, t.TargetComponent, t.TargetMachine = "cross_component", "D", "N"
				}))), two}, Store: store})
			id := mustCreate(t, rt, "M", nil)
			fail.Store(true)
			mustSend(t, rt, id, "GO")
			settle(t, rt)
			n := 0
			for range rt.Instances(Filter{Component: "D"}) {
				n++
			}
			if n != 1 {
				t.Errorf("%d instances created, want 1", n)
			}
		})
	}
}

// conflicting makes an instance of M with the key "k" that the store refuses.
func conflicting(t *testing.T, ms ...Machine) (*Runtime, string) {
	t.Helper()
	var bad atomic.Pointer[string]
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		for _, r := range b.Records {
			if s := bad.Load(); s != nil && *s == r.Instance {
				return &Error{Code: CodeConflict, Instance: r.Instance}
			}
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C", append(ms, fsmOf("M", on("A", "GO", "A")))...)}, Store: store, Shards: 1})
	id := mustCreate(t, rt, "M", nil, WithKey("k"))
	bad.Store(&id)
	return rt, id
}

// A creation with the key of a quarantined instance turns for ever, also after
// its context has ended.
func TestRegressionKeyOfAQuarantinedInstance(t *testing.T) {
	t.Parallel()
	rt, id := conflicting(t)
	_, err := rt.Send(t.Context(), id, Event{Type: "GO"})
	wantCode(t, "Send", err, CodeConflict)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, _, err := rt.GetOrCreate(ctx, "M", "k", nil)
		done <- err
	}()
	select {
	case err := <-done:
		wantCode(t, "GetOrCreate", err, CodeQuarantined)
	case <-time.After(60 * time.Second):
		t.Error("GetOrCreate never returns")
	}
}

// P3. An effect that was in one group with a quarantined instance is dropped,
// though its own instance is in order.
func TestRegressionEffectDroppedWithAQuarantinedInstance(t *testing.T) {
	t.Parallel()
	// S sends NEXT to X from a hook; X's transition cascades to M, which is the
	// one in conflict: X and M are in one group.
	x := cascading(fsmOf("X", on("A", "NEXT", "B")), "B", CascadingRule{TargetMachine: "M", TargetState: "A", Event: "GO"})
	s := fsmOf("S", on("A", "START", "B", func(t *Transition) { t.TriggeredMethod = "send" }))
	var to atomic.Pointer[string]
	var bad atomic.Pointer[string]
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		for _, r := range b.Records {
			if s := bad.Load(); s != nil && *s == r.Instance {
				return &Error{Code: CodeConflict, Instance: r.Instance}
			}
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{
		Components: []*Component{componentOf("C", x, s, fsmOf("M", on("A", "GO", "A")))}, Store: store, Shards: 2,
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error { return c.SendTo(*to.Load(), Event{Type: "NEXT"}) }}},
	})
	m := mustCreate(t, rt, "M", nil)
	xid := createIn(t, rt, "X", func(sh *shard) bool { return sh == rt.shardOf(m) })
	sid := createIn(t, rt, "S", func(sh *shard) bool { return sh != rt.shardOf(m) })
	bad.Store(&m)
	to.Store(&xid)
	// S is in another shard, so X is taken up after S was stored.
	mustSend(t, rt, sid, "START", Settled())
	settle(t, rt)
	if got := mustGet(t, rt, xid).State(); got != "B" {
		t.Errorf("X is in %s, want B: M alone is in conflict", got)
	}
}

// P3. A remote effect whose delivery outlasts the caller's context is applied
// again when the sender repeats it.
func TestRegressionReceiveAppliesTwiceAfterATimeout(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var ran atomic.Int32
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A", calls("wait"))))}, Shards: 1,
		Hooks: Hooks{Methods: map[string]Hook{"wait": func(*Call) error { ran.Add(1); <-release; return nil }}},
	})
	id := mustCreate(t, rt, "M", nil)
	e := RemoteEffect{From: "other", Log: "l", Seq: 1, Lowest: 1, Record: RecordID{"src", 2},
		Effect: Effect{Kind: EffectSend, Targets: []string{id}, Component: "C", Event: "E"}}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "hook runs", func() bool { return ran.Load() == 1 })
		cancel()
	}()
	if err := rt.Receive(ctx, e); err == nil {
		t.Fatal("Receive returned nil while the hook ran")
	}
	close(release)
	if err := rt.Receive(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	settle(t, rt)
	if v := mustGet(t, rt, id).Version(); v != 2 {
		t.Errorf("version %d, want 2: one effect, applied once", v)
	}
}

// P3. The receiver forgets what it took over when it restarts, so that an
// effect whose answer was lost is applied twice.
func TestRegressionReceiveAppliesTwiceOverARestart(t *testing.T) {
	t.Parallel()
	store := NewMemoryStore()
	cfg := Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Store: store}
	rt := started(t, cfg)
	id := mustCreate(t, rt, "M", nil)
	e := RemoteEffect{From: "other", Log: "l", Seq: 1, Lowest: 1, Record: RecordID{"src", 2},
		Effect: Effect{Kind: EffectSend, Targets: []string{id}, Component: "C", Event: "E"}}
	if err := rt.Receive(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	stopRuntime(t, rt)
	rt = started(t, cfg)
	if err := rt.Receive(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if v := mustGet(t, rt, id).Version(); v != 2 {
		t.Errorf("version %d, want 2", v)
	}
}

// P3. A sender that restarted numbers its open effects anew; the receiver takes
// an old number for a new one and forgets an effect that is still open.
func TestRegressionReceiveForgetsAfterTheSenderRestarts(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	e := RemoteEffect{From: "other", Log: "l", Seq: 1, Lowest: 1, Record: RecordID{"src", 2},
		Effect: Effect{Kind: EffectSend, Targets: []string{id}, Component: "C", Event: "E"}}
	if err := rt.Receive(t.Context(), e); err != nil { // the answer is lost
		t.Fatal(err)
	}
	// Restarted: another effect comes first now, and is done.
	e.Epoch, e.Seq, e.Lowest, e.Reopened = 1, 2, 2, 2
	if err := rt.Receive(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if v := mustGet(t, rt, id).Version(); v != 2 {
		t.Errorf("version %d, want 2", v)
	}
}

// P4, R7. What is to be taken again after a failed commit is put back in
// reverse order.
func TestRegressionOrderReversedAfterAFailedCommit(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	var armed atomic.Bool
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		if n := slices.IndexFunc(b.Records, func(r *Record) bool { return r.Machine == "T" && r.Event.Type == "E" }); n >= 0 && armed.Load() && fail.CompareAndSwap(true, false) {
			return errDiskFull
		}
		return write(ctx, b)
	}}
	var to atomic.Pointer[string]
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("S", on("A", "GO", "A", calls("send"))), fsmOf("T", on("A", "E", "A")))},
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error {
			for i := range 3 {
				if err := c.SendTo(*to.Load(), Event{Type: "E", Payload: map[string]any{"n": i}}); err != nil {
					return err
				}
			}
			return nil
		}}},
		Store: store, Shards: 2,
	})
	tid := mustCreate(t, rt, "T", nil)
	sid := createIn(t, rt, "S", func(sh *shard) bool { return sh != rt.shardOf(tid) })
	to.Store(&tid)
	fail.Store(true)
	armed.Store(true)
	mustSend(t, rt, sid, "GO", Settled())
	settle(t, rt)
	var got []any
	for r, err := range rt.History(t.Context(), tid, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := r.Event.Payload.Get("n"); ok {
			got = append(got, n)
		}
	}
	if fmt.Sprint(got) != "[0 1 2]" {
		t.Errorf("taken in the order %v, want [0 1 2]", got)
	}
}

// P2. A snapshot made in the same batch as an event with an id does not hold
// that id, so that a repeat after a restart takes effect again.
func TestRegressionSnapshotLacksEventIDsOfItsBatch(t *testing.T) {
	t.Parallel()
	mem := NewMemoryStore()
	store := &scriptedStore{Store: mem, waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		return write(ctx, b)
	}}
	cfg := Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A")))}, Store: store, Shards: 1, SnapshotEvery: 2}
	rt := started(t, cfg)
	id := mustCreate(t, rt, "M", nil)
	oneBatch(t, rt,
		func() { rt.Send(context.Background(), id, Event{Type: "TICK"}, WithEventID("x")) },
		func() { rt.Send(context.Background(), id, Event{Type: "TICK"}) })
	if v := mustGet(t, rt, id).Version(); v != 3 {
		t.Fatalf("version %d, want 3", v)
	}
	stopRuntime(t, rt)
	rt = started(t, cfg)
	r, err := rt.Send(t.Context(), id, Event{Type: "TICK"}, WithEventID("x"))
	if err != nil || !r.Repeated || r.Version != 2 {
		t.Errorf("the repeat gave %+v, %v; want the outcome of version 2", r, err)
	}
}

// P2. After a restart a repeat tells the state that the instance is in now, not
// that of the first outcome.
func TestRegressionRepeatedStateAfterARestart(t *testing.T) {
	t.Parallel()
	cfg := Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "B"), on("B", "GO", "D")))}, Store: NewMemoryStore()}
	rt := started(t, cfg)
	id := mustCreate(t, rt, "M", nil)
	mustSend(t, rt, id, "GO", WithEventID("x"))
	mustSend(t, rt, id, "GO")
	stopRuntime(t, rt)
	rt = started(t, cfg)
	r, err := rt.Send(t.Context(), id, Event{Type: "GO"}, WithEventID("x"))
	if err != nil || !r.Repeated || r.State != "B" {
		t.Errorf("got %+v, %v; want state B", r, err)
	}
}

// P2. A repeat of the event that ended the instance does not give the first
// outcome.
func TestRegressionRepeatOfTheLastEvent(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "End")))}})
	id := mustCreate(t, rt, "M", nil)
	mustSend(t, rt, id, "GO", WithEventID("x"))
	r, err := rt.Send(t.Context(), id, Event{Type: "GO"}, WithEventID("x"))
	if err != nil || !r.Repeated || r.State != "End" {
		t.Errorf("got %+v, %v; want the first outcome", r, err)
	}
}

// The id of a creation is forgotten over a restart where the instance has a key
// or has ended.
func TestRegressionCreateIDsOverARestart(t *testing.T) {
	t.Parallel()
	cfg := Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "End")))}, Store: NewMemoryStore()}
	rt := started(t, cfg)
	keyed := mustCreate(t, rt, "M", nil, WithKey("k"), WithCreateID("x"))
	ended := mustCreate(t, rt, "M", nil, WithCreateID("y"))
	mustSend(t, rt, ended, "GO")
	stopRuntime(t, rt)
	rt = started(t, cfg)
	in, err := rt.Create(t.Context(), "M", nil, WithKey("k"), WithCreateID("x"))
	if err != nil || in.ID() != keyed {
		t.Errorf("with a key: %v", err)
	}
	_, err = rt.Create(t.Context(), "M", nil, WithCreateID("y"))
	if ErrorCode(err) == CodeConflict {
		t.Errorf("ended: %v; want the instance, or ErrIDExists", err)
	}
}

// A hook that sends to another instance with a hook needs a second worker; with
// all workers in that position none is left and all wait for their deadlines.
func TestRegressionHooksThatSendUseUpTheWorkers(t *testing.T) {
	t.Parallel()
	var to atomic.Pointer[string]
	var rt *Runtime
	rt = started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "OUT", "A", calls("out")), on("A", "IN", "A", calls("in"))))},
		Hooks: Hooks{Methods: map[string]Hook{
			"out": func(c *Call) error {
				_, err := rt.Send(c.Context(), *to.Load(), Event{Type: "IN"})
				return err
			},
			"in": func(*Call) error { return nil },
		}},
		HookWorkers: 1, HookTimeout: time.Minute,
	})
	a, b := mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil)
	to.Store(&b)
	begin := time.Now()
	mustSend(t, rt, a, "OUT")
	if d := time.Since(begin); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

// tearingClock lets time pass between the two readings that make one.
type tearingClock struct {
	*ManualClock
	once atomic.Bool
}

func (c *tearingClock) Elapsed() time.Duration {
	d := c.ManualClock.Elapsed()
	if c.once.CompareAndSwap(true, false) {
		c.Advance(time.Hour, nil)
	}
	return d
}

// P6. A goroutine that is held up between reading the one clock and the other
// takes that for a jump ahead, and all timers fire early by as much.
func TestRegressionPauseWhileReadingTheClock(t *testing.T) {
	t.Parallel()
	c := &tearingClock{ManualClock: NewManualClock(time.Unix(1000, 0))}
	s := newSteadyClock(c)
	c.once.Store(true)
	s.now()
	if got, want := s.now(), time.Unix(1000, 0).Add(time.Hour).UnixNano(); got != want {
		t.Errorf("%v ahead after an hour", time.Duration(got-want))
	}
}

// The short way takes a payload of any size where matching rules keep it out of
// the data.
func TestRegressionPayloadLimitOnTheShortWay(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A", func(t *Transition) {
		t.MatchingRules = []MatchingRule{{EventProperty: "x", InstanceProperty: "x"}}
	})))}})
	id := mustCreate(t, rt, "M", nil)
	_, err := rt.Send(t.Context(), id, Event{Type: "GO", Payload: map[string]any{"x": strings.Repeat("x", 600_000)}})
	wantCode(t, "Send", err, CodeContextTooLarge)
}

// Idle, and with it a Stop that runs already, waits for ever once the runtime
// has ended with work under way.
func TestRegressionIdleAfterTheEnd(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	store := &scriptedStore{Store: NewMemoryStore(), script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		if fail.Load() {
			return errDiskFull
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "T", "B", timeout(1))))}, Store: store})
	mustCreate(t, rt, "M", nil)
	fail.Store(true)
	eventually(t, "the timer's commit is to be repeated", func() bool {
		rt.mu.Lock()
		defer rt.mu.Unlock()
		return len(rt.retries) > 0
	})
	first := make(chan error, 1)
	ctx, cancelFirst := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancelFirst()
	go func() { first <- rt.Stop(ctx) }()
	eventually(t, "the first Stop waits", func() bool { return rt.work.waiting.Load() > 0 })
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	rt.Stop(ended)
	select {
	case <-first:
	case <-time.After(30 * time.Second):
		t.Error("the first Stop goes on waiting after the second has ended the runtime")
		<-first
	}
}

// Keys that are not UTF-8 can become one key twice.
func TestRegressionKeysThatBecomeOne(t *testing.T) {
	t.Parallel()
	d, err := NewData(map[string]any{"a\xff": 1, "a\xfe": 2})
	if err != nil {
		t.Fatal(err)
	}
	if d.Len() != len(d.Map()) {
		t.Errorf("%d keys of which %d are different", d.Len(), len(d.Map()))
	}
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("merging such data panics: %v", p)
		}
	}()
	old, _ := NewData(map[string]any{"a\ufffd": 0})
	old.merge(d)
}

// Long numbers do not count towards the size of data.
func TestRegressionLongNumbersAreNotCounted(t *testing.T) {
	t.Parallel()
	m := map[string]any{}
	for i := range 2000 {
		m[fmt.Sprint(i)] = json.Number("1" + strings.Repeat("0", 390))
	}
	d, err := NewData(m)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := d.MarshalJSON(); !d.exceeds(512_000) {
		t.Errorf("%d bytes do not exceed 512,000", len(text))
	}
}

// A large float comes back from its JSON form as a json.Number.
func TestRegressionLargeFloatsChangeTheirForm(t *testing.T) {
	t.Parallel()
	d, _ := NewData(map[string]any{"x": 1e18})
	var back Data
	b, _ := d.MarshalJSON()
	if err := back.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	was, _ := d.Get("x")
	is, _ := back.Get("x")
	if was != is {
		t.Errorf("%T became %T", was, is)
	}
}

// One record that the store never takes makes the commits of strangers fail.
func TestRegressionOneBadRecordFailsStrangers(t *testing.T) {
	t.Parallel()
	g := &gate{}
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		g.pass(ctx)
		for _, r := range b.Records {
			if r.Event.Type == "BAD" {
				return errDiskFull
			}
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "BAD", "A"), on("A", "TICK", "A")))}, Store: store, Shards: 64})
	ids := map[*shard]string{}
	for len(ids) < 3 {
		id := mustCreate(t, rt, "M", nil)
		ids[rt.shardOf(id)] = id
	}
	var three []string
	for _, id := range ids {
		three = append(three, id)
	}
	g.close()
	var wg sync.WaitGroup
	send := func(id, event string) (err error) {
		_, err = rt.Send(context.Background(), id, Event{Type: event})
		return err
	}
	wg.Go(func() { send(three[0], "TICK") })
	eventually(t, "the first commit is on its way", func() bool { return g.waiting.Load() == 1 })
	var stranger error
	wg.Go(func() { send(three[1], "BAD") })
	wg.Go(func() { stranger = send(three[2], "TICK") })
	eventually(t, "both wait", func() bool {
		rt.committer.mu.Lock()
		defer rt.committer.mu.Unlock()
		return len(rt.committer.waiting) == 2
	})
	g.open()
	wg.Wait()
	if stranger != nil {
		t.Errorf("a stranger's event failed: %v", stranger)
	}
}

// P3. Effects that were marked done while their step was in a batch that failed
// stay marked, though they are taken again: a crash in between loses them.
func TestRegressionDoneMarkOfAFailedBatch(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	var mu sync.Mutex
	var done []EffectID
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		if len(b.Done) > 0 && fail.CompareAndSwap(true, false) {
			return errDiskFull
		}
		mu.Lock()
		done = append(done, b.Done...)
		mu.Unlock()
		return write(ctx, b)
	}}
	// S cascades to T, which ignores it: both are in one batch.
	s := cascading(fsmOf("S", on("A", "GO", "B"), on("B", "GO", "B")), "B", CascadingRule{TargetMachine: "T", TargetState: "A", Event: "NOTHING"})
	rt := started(t, Config{Components: []*Component{componentOf("C", s, fsmOf("T", on("A", "E", "A")))}, Store: store, Shards: 1})
	sid := mustCreate(t, rt, "S", nil)
	mustCreate(t, rt, "T", nil)
	fail.Store(true)
	_, err := rt.Send(t.Context(), sid, Event{Type: "GO"})
	wantCode(t, "Send", err, CodeStoreFailed)
	settle(t, rt)
	mu.Lock()
	defer mu.Unlock()
	if len(done) > 0 {
		t.Errorf("%v is marked done, of a record that was never stored", done)
	}
}

// R7. A batch grows with the sizes of what it holds up to a turn's steps: one
// append of hundreds of megabytes.
func TestRegressionBatchesOfAnySize(t *testing.T) {
	t.Parallel()
	var most atomic.Int64
	store := &scriptedStore{Store: NewMemoryStore(), waits: true, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		n := 0
		for _, r := range b.Records {
			n += r.size()
		}
		for old := most.Load(); int64(n) > old && !most.CompareAndSwap(old, int64(n)); old = most.Load() {
		}
		return write(ctx, b)
	}}
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A")))}, Store: store, Shards: 1, NoSnapshots: true})
	var sends []func()
	big := map[string]any{"x": strings.Repeat("x", 400_000)}
	for range 20 {
		id := mustCreate(t, rt, "M", nil)
		sends = append(sends, func() { rt.Send(context.Background(), id, Event{Type: "TICK", Payload: big}) })
	}
	oneBatch(t, rt, sends...)
	if n := most.Load(); n > 4<<20 {
		t.Errorf("one append of %d MB", n>>20)
	}
}

// Events that one cause may not lead to any more are led to after a restart.
func TestRegressionCutOffEventsComeBack(t *testing.T) {
	t.Parallel()
	store := NewMemoryStore()
	s := cascading(fsmOf("S", on("A", "GO", "B")), "B", CascadingRule{TargetMachine: "T", TargetState: "A", Event: "E"})
	cfg := Config{Components: []*Component{componentOf("C", s, cascading(fsmOf("T", on("A", "E", "A"), on("A", "U", "A")), "A", CascadingRule{TargetMachine: "U", TargetState: "A", Event: "F"}), fsmOf("U", on("A", "F", "A")))}, Store: store, Shards: 1, Limits: Limits{Events: 5}}
	rt := started(t, cfg)
	sid := mustCreate(t, rt, "S", nil)
	for range 3 {
		mustCreate(t, rt, "T", nil)
		mustCreate(t, rt, "U", nil)
	}
	sum := func() (n uint64) {
		for in := range rt.Instances(Filter{Machine: "U"}) {
			n += in.Version() - 1
		}
		return n
	}
	mustSend(t, rt, sid, "GO", Settled())
	before := sum()
	stopRuntime(t, rt)
	rt = started(t, cfg)
	settle(t, rt)
	if after := sum(); after != before {
		t.Errorf("%d events before the restart, %d after", before, after)
	}
}

// A start that is stopped meanwhile is taken for running.
func TestRegressionStopDuringStart(t *testing.T) {
	t.Parallel()
	claiming, goOn := make(chan struct{}), make(chan struct{})
	store := &slowOpen{NewMemoryStore(), claiming, goOn}
	rt, err := NewRuntime(Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Store: store, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	var startErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		startErr = rt.Start(context.Background())
	}()
	<-claiming
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	rt.Stop(ctx)
	close(goOn)
	<-done
	if startErr == nil {
		t.Error("Start returned nil for a runtime that was stopped")
	}
}

type slowOpen struct {
	Store
	opening, goOn chan struct{}
}

func (s *slowOpen) Open(ctx context.Context, name string) (Log, error) {
	close(s.opening)
	<-s.goOn
	return s.Store.Open(ctx, name)
}

// A transition that began before the call of Watch and was stored after it is
// not told, though its number is given after the call.
func TestRegressionWatchMissesWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "A", calls("wait")), on("A", "TICK", "A")))},
		Hooks:      Hooks{Methods: map[string]Hook{"wait": func(*Call) error { <-release; return nil }}}, Shards: 1,
	})
	id := mustCreate(t, rt, "M", nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		mustSend(t, rt, id, "GO")
	}()
	eventually(t, "hook runs", func() bool { return rt.work.hooks.Load() == 1 })
	seq := rt.Seq("C")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	notices := rt.Watch(ctx, WatchOptions{})
	close(release)
	<-done
	mustSend(t, rt, id, "TICK")
	for n, err := range notices {
		if errors.Is(err, ErrLagged) {
			break // told at least that something is missing
		}
		if err != nil {
			t.Fatal(err)
		}
		if n.Seq > 0 {
			if n.Seq != seq+1 {
				t.Errorf("the first notice after the call has number %d, want %d", n.Seq, seq+1)
			}
			break
		}
	}
}

// While instances are being restored, timers of those that are back already
// fire: a cascade of theirs misses the rest.
func TestRegressionTimersFireWhileRestoring(t *testing.T) {
	t.Parallel()
	mem := NewMemoryStore()
	clock := NewManualClock(time.Unix(1000, 0))
	s := cascading(fsmOf("S", on("A", "AUTO", "B", func(t *Transition) { t.Type, t.TimeoutMs = "auto", 1000 })), "B", CascadingRule{TargetMachine: "T", TargetState: "A", Event: "E"})
	cfg := Config{Components: []*Component{componentOf("C", s, fsmOf("T", on("A", "E", "B")))}, Store: mem, Clock: clock, Shards: 8}
	rt := started(t, cfg)
	for range 8 {
		mustCreate(t, rt, "S", nil)
	}
	const n = 20_000
	for range n {
		mustCreate(t, rt, "T", nil)
	}
	stopRuntime(t, rt)
	cfg.Clock = newSystemClock() // long after
	rt = started(t, cfg)
	eventually(t, "all S are in B", func() bool {
		p, _ := rt.Population("C", "S")
		return p["B"] == 8
	})
	settle(t, rt)
	if p, _ := rt.Population("C", "T"); p["B"] != n {
		t.Errorf("the cascade reached %d of %d", p["B"], n)
	}
}

// Taking effects out of the outbox costs as much as there are in it, with the
// outbox locked.
func TestRegressionOutboxIsQuadratic(t *testing.T) {
	t.Parallel()
	took := func(n int) time.Duration {
		d := dispatchFunc(func(context.Context, RemoteEffect) error { return nil })
		rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Dispatcher: d})
		rt.outbox.mu.Lock()
		begin := time.Now()
		rt.outbox.mu.Unlock()
		for i := range n {
			rt.outbox.add(RecordID{"x", uint64(i + 2)}, &Effect{Component: "D", Kind: EffectSend, Targets: []string{"y"}}, time.Now().UnixNano())
		}
		eventually(t, "all are out", func() bool {
			rt.outbox.mu.Lock()
			defer rt.outbox.mu.Unlock()
			return len(rt.outbox.open) == 0
		})
		return time.Since(begin)
	}
	// One time of several is enough: others want the processors too.
	for try := 1; ; try++ {
		a, b := took(2_000), took(20_000)
		if t.Logf("2,000: %v, 20,000: %v", a, b); b <= 40*a || b <= time.Second {
			return
		}
		if try == 5 {
			t.Fatalf("ten times as many take %v instead of %v", b, a)
		}
	}
}

type dispatchFunc func(context.Context, RemoteEffect) error

func (f dispatchFunc) Dispatch(ctx context.Context, e RemoteEffect) error { return f(ctx, e) }

// P3 between runtimes: events with rules, creations, sends and broadcasts of
// hooks, cascades, and the answers to them arrive exactly once and in order.
// Guards the ids of effects, what Receive remembers, and the lanes.
func TestEffectsBetweenRuntimes(t *testing.T) {
	t.Parallel()
	const n = 150
	w := newWire(true)
	var counter string
	here := componentOf("Here",
		cascading(fsmOf("M",
			on("A", "EVENT", "A", func(t *Transition) {
				t.Type, t.TargetComponent, t.TargetMachine, t.TargetEvent = "cross_component", "There", "Matched", "HIT"
				t.MatchingRules = []MatchingRule{{EventProperty: "n", InstanceProperty: "n"}}
			}),
			on("A", "CREATE", "A", func(t *Transition) {
				t.Type, t.TargetComponent, t.TargetMachine = "cross_component", "There", "Created"
			}),
			on("A", "SEND", "A", calls("send")), on("A", "CASCADE", "B"), on("B", "BACK", "A")), "B",
			CascadingRule{TargetComponent: "There", TargetMachine: "Counter", TargetState: "A", Event: "COUNT"}),
		fsmOf("Answers", on("A", "ANSWER", "A")))
	a := started(t, Config{Components: []*Component{here}, Dispatcher: w, Store: NewMemoryStore(), Shards: 2,
		Hooks: Hooks{Methods: map[string]Hook{"send": func(c *Call) error {
			return c.SendToComponent("There", counter, Event{Type: "SENT", Payload: c.Event().Payload.Map()})
		}}}})
	var order []any
	var mu sync.Mutex
	answers := mustCreate(t, a, "Answers", nil)
	b := started(t, Config{Components: []*Component{componentOf("There",
		fsmOf("Matched", on("A", "HIT", "A")), fsmOf("Created", on("A", "X", "A")),
		fsmOf("Counter", on("A", "COUNT", "A"), on("A", "SENT", "A", calls("note"))))}, Dispatcher: w, Store: slowMemory(NewMemoryStore(), 100*time.Microsecond), Shards: 2,
		Hooks: Hooks{Methods: map[string]Hook{"note": func(c *Call) error {
			v, _ := c.Event().Payload.Get("n")
			mu.Lock()
			order = append(order, v)
			mu.Unlock()
			return c.SendToComponent("Here", answers, Event{Type: "ANSWER"})
		}}}})
	w.host("Here", a)
	w.host("There", b)
	counter = mustCreate(t, b, "Counter", nil)
	matched := make([]string, 5)
	for i := range matched {
		matched[i] = mustCreate(t, b, "Matched", map[string]any{"n": i})
	}
	id := mustCreate(t, a, "M", map[string]any{"n": 0})
	for i := range n {
		event := []string{"EVENT", "CREATE", "SEND", "CASCADE", "BACK"}[i%5]
		if _, err := a.Send(t.Context(), id, Event{Type: event, Payload: map[string]any{"n": i / 5 % 5}}); err != nil {
			t.Fatal(err)
		}
	}
	outboxIdle(t, a)
	settle(t, b)
	outboxIdle(t, b)
	settle(t, a)
	hits := uint64(0)
	for _, id := range matched {
		hits += mustGet(t, b, id).Version() - 1
	}
	p, _ := b.Population("There", "Created")
	for what, got := range map[string]int{
		"events with rules": int(hits), "creations": p["A"], "sends and cascades": (int(mustGet(t, b, counter).Version()) - 1) / 2,
		"answers": int(mustGet(t, a, answers).Version()) - 1,
	} {
		if got != n/5 {
			t.Errorf("%d %s, want %d", got, what, n/5)
		}
	}
	for i, v := range order {
		if v != float64(i%5) {
			t.Fatalf("sends arrived in the order %v", order)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d messages, %d lost, %d doubled", w.sent, w.lost, w.doubled)
}
