package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// The program under test reads these from its environment: at which point it
// kills itself, and which of its mechanisms does not work.
const (
	dieAt     = "FSMESH_TEST_DIE"
	switchOff = "FSMESH_TEST_OFF"
	// manyCheckpoints, if set, has it write checkpoints all the time.
	manyCheckpoints = "FSMESH_TEST_CHECKPOINTS"
)

// Points at which the program kills itself, each at its third chance.
const (
	beforeCommit  = "before a commit"
	afterCommit   = "after a commit, before its answer"
	withEffects   = "after a commit with effects, before their delivery"
	atNote        = "after the commit of an event with an id, before its answer"
	betweenTwo    = "between two deliveries"
	afterAnswer   = "after an answer"
	inACheckpoint = "in a checkpoint of the stop"
	inAScheduled  = "in a scheduled checkpoint"
)

// die is the crash itself: nothing is flushed, closed or answered.
func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// A dyingStore is the program's store with a crash in it.
type dyingStore struct {
	fsm.Store
	point, off string
	chances    atomic.Int32
	busy       atomic.Bool // orders come in
}

// dying is how the program wraps its store when it is under test.
func dying(s fsm.Store) fsm.Store {
	return &dyingStore{Store: s, point: os.Getenv(dieAt), off: os.Getenv(switchOff)}
}

// beTheProgram runs the program as main does, with a store that can break.
func beTheProgram() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{stdin: os.Stdin, stdout: &pipe{w: os.Stdout}, stderr: os.Stderr, env: os.Getenv}
	if os.Getenv(dieAt) != "" || os.Getenv(switchOff) != "" {
		p.store = dying
	}
	if os.Getenv(dieAt) == afterAnswer {
		p.answers = dyingAnswers
	}
	if os.Getenv(dieAt) == inAScheduled || os.Getenv(manyCheckpoints) != "" {
		p.checkpoints = 50 * time.Millisecond
	}
	return p.run(ctx, os.Args[1:])
}

// at kills the program when it comes to a point for the third time.
func (s *dyingStore) at(point string) {
	if s.point == point && s.chances.Add(1) == 3 {
		die()
	}
}

func (s *dyingStore) Open(ctx context.Context, name string) (fsm.Log, error) {
	l, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	c, ok := l.(fsm.Checkpointer)
	if !ok {
		return nil, errors.New("the store under test keeps no checkpoints")
	}
	return &dyingLog{c, s}, nil
}

type dyingLog struct {
	fsm.Checkpointer
	s *dyingStore
}

func (l *dyingLog) Append(ctx context.Context, b fsm.Batch) error {
	if len(b.Records) > 0 {
		l.s.at(beforeCommit)
	}
	err := l.Checkpointer.Append(ctx, b)
	if l.s.off == "fence" && errors.Is(err, fsm.ErrFenced) {
		return nil // it goes on as if nobody had taken over
	}
	if err != nil {
		return err
	}
	effects, notes, delivered := false, false, false
	for _, r := range b.Records {
		effects = effects || len(r.Effects) > 0
		notes = notes || r.Event.Type == "NOTE" && r.Event.ID != ""
		delivered = delivered || r.Effect != nil || r.Remote != nil
	}
	if len(b.Records) > 0 {
		l.s.at(afterCommit)
	}
	if effects {
		l.s.at(withEffects)
	}
	if notes {
		l.s.busy.Store(true)
		l.s.at(atNote)
	}
	if delivered {
		l.s.at(betweenTwo)
	}
	return nil
}

// Restore leaves out what the mechanism that is switched off would have kept.
func (l *dyingLog) Restore(ctx context.Context) iter.Seq2[fsm.Restored, error] {
	return func(yield func(fsm.Restored, error) bool) {
		for r, err := range l.Checkpointer.Restore(ctx) {
			switch {
			case l.s.off == "checkpoints" && r.Record != nil:
				continue // as if the checkpoint that was under way had all
			case l.s.off == "outbox" && r.Record != nil:
				without := *r.Record
				without.Effects = nil
				r.Record = &without
			case l.s.off == "ids" && r.Record != nil:
				without := *r.Record
				without.Event.ID = ""
				r.Record = &without
			case l.s.off == "ids" && r.Snapshot != nil:
				without := *r.Snapshot
				without.EventIDs = nil
				r.Snapshot = &without
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (l *dyingLog) Checkpoint(of fsm.CheckpointSource) {
	l.Checkpointer.Checkpoint(dyingSource{of, l.s})
}

type dyingSource struct {
	fsm.CheckpointSource
	s *dyingStore
}

func (d dyingSource) Snapshots(ctx context.Context, ids []string) ([]*fsm.Snapshot, error) {
	out, err := d.CheckpointSource.Snapshots(ctx, ids)
	d.s.at(inACheckpoint)
	if d.s.busy.Load() {
		d.s.at(inAScheduled)
	}
	return out, err
}

// dyingAnswers kills the program when the third event was answered: the caller has
// the whole answer then, and nothing else has happened since.
func dyingAnswers(h http.Handler) http.Handler {
	var answered atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/events") {
			h.ServeHTTP(w, r)
			return
		}
		whole := httptest.NewRecorder()
		h.ServeHTTP(whole, r)
		maps.Copy(w.Header(), whole.Header())
		w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
		w.WriteHeader(whole.Code)
		_, err := w.Write(whole.Body.Bytes())
		if err = errors.Join(err, http.NewResponseController(w).Flush()); err == nil && whole.Code == http.StatusOK && answered.Add(1) == 3 {
			die()
		}
	})
}

// crashAt lets clients use a program that kills itself at a point, starts it
// again, and returns what came of it. patience bounds the time that clients have
// to bring their orders to an end.
func crashAt(t *testing.T, point, off string, patience time.Duration) (*tally, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	data := t.TempDir()
	v := newVictim(t, data, dieAt+"="+point)
	v.start()
	v.ready(ctx)
	s := newShop(v.url())
	watchers := make([]string, regions)
	for r := range watchers {
		// Before the crash only these; their retries are not what is tried here.
		id, err := s.create(ctx, "Watcher", fmt.Sprintf("watcher-%d", r), map[string]any{"region": r})
		if err != nil && point != beforeCommit && point != afterCommit {
			t.Fatal(err)
		}
		watchers[r] = id
		if point == beforeCommit || point == afterCommit {
			break // the crash comes at the third commit
		}
	}
	stop := make(chan struct{})
	working, done := context.WithCancel(ctx)
	defer done()
	worked := make(chan error, 1)
	go func() { worked <- s.run(working, 8, stop) }()
	if point == inACheckpoint {
		// All are written at the stop.
		time.AfterFunc(500*time.Millisecond, func() { v.cmd.Process.Signal(syscall.SIGTERM) })
	}
	select {
	case err := <-v.ended:
		if err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("ended with %v, want it killed by itself %s; it said:\n%s", err, point, v.stderr.String())
		}
		v.cmd = nil
	case <-time.After(30 * time.Second):
		t.Fatalf("the program did not come to the point %s", point)
	}
	for deadline := time.Now().Add(time.Minute); point == afterAnswer && s.taken.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d answers have come, want the 3 that were given", s.taken.Load())
		}
	}
	v.env = []string{switchOff + "=" + off}
	v.start()
	v.ready(ctx)
	for r := range watchers {
		id, err := s.create(ctx, "Watcher", fmt.Sprintf("watcher-%d", r), map[string]any{"region": r})
		if err != nil {
			t.Fatal(err)
		}
		watchers[r] = id
	}
	close(stop)
	time.AfterFunc(patience, done)
	err := <-worked
	// Cascades of the last orders may be on their way.
	c := s.check(ctx, t, watchers)
	for deadline := time.Now().Add(patience); c.bad() > 0 && time.Now().Before(deadline); c = s.check(ctx, t, watchers) {
		time.Sleep(100 * time.Millisecond)
	}
	return c, err
}

// TestCrashPoints kills the program at each point where something could be half
// done.
func TestCrashPoints(t *testing.T) {
	// Not beside others: it takes both processors.
	for _, point := range []string{beforeCommit, afterCommit, withEffects, atNote, afterAnswer, betweenTwo, inACheckpoint, inAScheduled} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			c, err := crashAt(t, point, "", 10*time.Second)
			if err != nil || c.bad() > 0 {
				t.Errorf("clients: %v; %s; %v", err, c, c.notes)
			}
			if c.orders == 0 {
				t.Error("there was no load")
			}
		})
	}
}

// TestCrashWithout shows what the outbox, the memory of ids and what is known of
// unfinished checkpoints are there for: without them the crash that each is for breaks
// a promise.
// TestTakeoverWithoutFence does it for the fence.
func TestCrashWithout(t *testing.T) {
	// Not beside others: it takes both processors.
	t.Run("outbox", func(t *testing.T) {
		t.Parallel()
		if c, _ := crashAt(t, withEffects, "outbox", 3*time.Second); c.undone == 0 {
			t.Errorf("all that stored steps led to has come without the outbox: %s", c)
		}
	})
	t.Run("ids", func(t *testing.T) {
		t.Parallel()
		if c, _ := crashAt(t, atNote, "ids", 3*time.Second); c.doubled == 0 {
			t.Errorf("nothing is doubled without the memory of ids: %s", c)
		}
	})
	t.Run("unfinished checkpoints", func(t *testing.T) {
		t.Parallel()
		if c, err := crashAt(t, inAScheduled, "checkpoints", 3*time.Second); c.bad() == 0 {
			t.Errorf("nothing is missing with an unfinished checkpoint taken as whole: %s; %v", c, err)
		}
	})
}
