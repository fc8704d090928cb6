package jetstream

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A stuckSource answers only when it is not waited for any more.
type stuckSource struct {
	once  sync.Once
	asked chan struct{}
}

func (s *stuckSource) Snapshots(ctx context.Context, _ []string) ([]*fsm.Snapshot, error) {
	s.once.Do(func() { close(s.asked) })
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (s *stuckSource) Remembers(fsm.RemoteID) bool { return true }

// A stop has its time, whatever a checkpoint that is being written waits for.
func TestStopDoesNotWaitForACheckpoint(t *testing.T) {
	t.Parallel()
	_, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Millisecond, CheckpointRecords: 1})
	add(t, l, step("a", 1))
	source := &stuckSource{asked: make(chan struct{})}
	l.Checkpoint(source)
	within := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: not within 30 s", what)
		}
	}
	within("a checkpoint has begun", source.asked)
	flushed, closed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(flushed)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := l.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: %v, want the context's error", err)
		}
	}()
	within("the flush is over", flushed)
	go func() {
		defer close(closed)
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	within("the log is closed", closed)
}
