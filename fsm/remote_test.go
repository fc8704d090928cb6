package fsm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

func remoteEffect(seq uint64, targets ...string) RemoteEffect {
	return RemoteEffect{
		From: "other", Log: "l", Epoch: 1, Seq: seq, Lowest: 1, Record: RecordID{"src", seq + 1},
		Effect: Effect{Kind: EffectDeliver, Targets: targets, Component: "C", Machine: "M", Event: "E"},
	}
}

// R6. Who an effect is for is stored before the first of them gets it: after a
// crash in between the rest get it, and nobody else.
func TestChoiceOverACrash(t *testing.T) {
	t.Parallel()
	mem := NewMemoryStore()
	var refuse atomic.Bool
	cfg := Config{Name: "c", Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A"), on("A", "STOP", "End")))}, Shards: 1}
	chosen := 0
	cfg.Store = &scriptedStore{Store: mem, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
		chosen += len(b.Chosen)
		if refuse.Load() && len(b.Records) > 0 && b.Records[0].Remote != nil {
			return errDiskFull
		}
		err := write(ctx, b)
		if len(b.Records) > 0 && b.Records[0].Remote != nil {
			refuse.Store(true) // the first of the targets has it
		}
		return err
	}}
	rt := started(t, cfg)
	ids := []string{mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil), mustCreate(t, rt, "M", nil)}
	if err := rt.Receive(t.Context(), remoteEffect(1)); !errors.Is(err, errDiskFull) {
		t.Fatalf("Receive: %v", err)
	}
	stopRuntime(t, rt)
	refuse.Store(false)
	cfg.Store = mem
	rt = started(t, cfg)
	late := mustCreate(t, rt, "M", nil)
	if err := rt.Receive(t.Context(), remoteEffect(1)); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if v := mustGet(t, rt, id).Version(); v != 2 {
			t.Errorf("a chosen one is at version %d, want 2", v)
		}
	}
	if v := mustGet(t, rt, late).Version(); v != 1 {
		t.Errorf("one that was not there is at version %d, want 1", v)
	}
	if chosen != 1 {
		t.Errorf("%d choices stored, want 1", chosen)
	}
}

// A choice that the store refuses is an error to the sender, and made again.
func TestChoiceWhoseCommitFails(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		fail := true
		rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Shards: 1,
			Store: &scriptedStore{Store: NewMemoryStore(), waits: waits, script: func(ctx context.Context, b Batch, write func(context.Context, Batch) error) error {
				if len(b.Chosen) > 0 && fail {
					fail = false
					return errDiskFull
				}
				return write(ctx, b)
			}}})
		id := mustCreate(t, rt, "M", nil)
		if err := rt.Receive(t.Context(), remoteEffect(1)); !errors.Is(err, errDiskFull) || !errors.Is(err, ErrStoreFailed) {
			t.Errorf("Receive: %v", err)
		}
		if err := rt.Receive(t.Context(), remoteEffect(1)); err != nil {
			t.Error(err)
		}
		if v := mustGet(t, rt, id).Version(); v != 2 {
			t.Errorf("version %d, want 2", v)
		}
	}
}

// What a snapshot covers was applied nonetheless.
func TestAppliedBehindASnapshot(t *testing.T) {
	t.Parallel()
	cfg := Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Store: NewMemoryStore(), SnapshotEvery: 2}
	rt := started(t, cfg)
	id := mustCreate(t, rt, "M", nil)
	if err := rt.Receive(t.Context(), remoteEffect(1, id)); err != nil {
		t.Fatal(err)
	}
	mustSend(t, rt, id, "E") // makes the snapshot
	stopRuntime(t, rt)
	rt = started(t, cfg)
	if err := rt.Receive(t.Context(), remoteEffect(1, id)); err != nil {
		t.Fatal(err)
	}
	if v := mustGet(t, rt, id).Version(); v != 3 {
		t.Errorf("version %d, want 3", v)
	}
}

// However much comes for one component while another's effects are stuck, the
// receiver remembers little, and copies that come late change nothing.
func TestIntakeIsBounded(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}})
	id := mustCreate(t, rt, "M", nil)
	const n = 1000
	for i := range uint64(n) {
		// Lowest stays: the sender's first effect, for another runtime, is stuck.
		if err := rt.Receive(t.Context(), remoteEffect(i+2, id)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 50 {
			for _, back := range []uint64{0, 1, 49} {
				if err := rt.Receive(t.Context(), remoteEffect(i+2-back, id)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if v := mustGet(t, rt, id).Version(); v != n+1 {
		t.Errorf("version %d, want %d", v, n+1)
	}
	s := rt.intake.sender("other", "l")
	if len(s.known) > 2 || len(s.earlier) > 0 {
		t.Errorf("%d effects are remembered", len(s.known)+len(s.earlier))
	}
	if !rt.intake.remembers(RemoteID{"other", "l", RecordID{"src", n + 2}, 0}) {
		t.Error("the last one is forgotten")
	}
	// The sender restarts with one effect open, and repeats it.
	again := remoteEffect(n+1, id)
	again.Epoch, again.Seq, again.Lowest, again.Reopened = 2, 1, 1, 1
	if err := rt.Receive(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if v := mustGet(t, rt, id).Version(); v != n+1 {
		t.Errorf("version %d after the sender restarted, want %d", v, n+1)
	}
}

// What was restored is forgotten once the sender's later run is past what it had
// left open.
func TestIntakeForgetsWhatWasRestored(t *testing.T) {
	t.Parallel()
	cfg := Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "E", "A")))}, Store: NewMemoryStore()}
	rt := started(t, cfg)
	id := mustCreate(t, rt, "M", nil)
	for i := range uint64(20) {
		if err := rt.Receive(t.Context(), remoteEffect(i+1, id)); err != nil {
			t.Fatal(err)
		}
	}
	stopRuntime(t, rt)
	rt = started(t, cfg)
	e := remoteEffect(50, id)
	e.Epoch, e.Seq, e.Lowest, e.Reopened = 2, 2, 1, 1
	for i, want := range []int{21, 2} {
		if err := rt.Receive(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if n := len(rt.intake.sender("other", "l").known); n > want || n == 0 {
			t.Errorf("step %d: %d are remembered, want %d at most", i, n, want)
		}
		e.Seq, e.Lowest, e.Record.Version = 3, 2, 60
	}
}

// A dead letter is one again after a restart, after a single try: an effect's age
// counts from its transition.
func TestDeadLetterOverARestart(t *testing.T) {
	t.Parallel()
	clock := NewManualClock(time.Unix(1e9, 0))
	var tries atomic.Int32
	cfg := Config{
		Components: []*Component{componentOf("Here", fsmOf("M", on("A", "GO", "A", func(t *Transition) {
			t.Type, t.TargetComponent, t.TargetMachine = "cross_component", "There", "N"
		})))}, Store: NewMemoryStore(), Clock: clock,
		Dispatcher: dispatcherFunc(func(context.Context, RemoteEffect) error {
			tries.Add(1)
			return fmt.Errorf("nobody: %w", ErrUnknownComponent)
		}),
	}
	rt := started(t, cfg)
	mustSend(t, rt, mustCreate(t, rt, "M", nil), "GO")
	eventually(t, "it is tried", func() bool { return tries.Load() > 0 })
	stopRuntime(t, rt)
	for range 2 {
		clock = NewManualClock(clock.Now().Add(13 * time.Hour))
		cfg.Clock = clock
		tries.Store(0)
		rt = started(t, cfg)
		eventually(t, "it is tried again", func() bool { return tries.Load() > 0 })
		old := clock.Now().Sub(time.Unix(1e9, 0)) > 24*time.Hour
		eventually(t, "it is a dead letter after a day", func() bool { return len(rt.DeadLetters()) == 1 == old })
		if old && tries.Load() != 1 {
			t.Errorf("%d tries of an effect that is too old, want 1", tries.Load())
		}
		stopRuntime(t, rt)
	}
}

type dispatcherFunc func(context.Context, RemoteEffect) error

func (f dispatcherFunc) Dispatch(ctx context.Context, e RemoteEffect) error { return f(ctx, e) }
