package jetstream

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A heldSource answers once it is let go.
type heldSource struct {
	lastVersions
	asked, go_ chan struct{}
}

func (s *heldSource) Snapshots(ctx context.Context, ids []string) ([]*fsm.Snapshot, error) {
	close(s.asked)
	<-s.go_
	return s.lastVersions.Snapshots(ctx, ids)
}

// What has ended is found at any time, also while the checkpoint is written that it
// goes into.
func TestEndedWhileACheckpointIsWritten(t *testing.T) {
	t.Parallel()
	_, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	beside := ""
	for i := 0; beside == "" || bucketOf(beside) != bucketOf("ended"); i++ {
		beside = fmt.Sprint("lives-", i)
	}
	source := &heldSource{lastVersions{}, make(chan struct{}), make(chan struct{})}
	l.Checkpoint(source)
	end := step("ended", 2)
	end.Status = fsm.StatusCompleted
	for _, r := range []*fsm.Record{step("ended", 1), end, step(beside, 1)} {
		source.lastVersions[r.Instance] = r
		add(t, l, r)
	}
	found := func() (n int) {
		t.Helper()
		for s, err := range l.Ended(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; s.Instance != "ended" {
				t.Errorf("%q has not ended", s.Instance)
			}
		}
		return n
	}
	before := found()
	flushed := make(chan error, 1)
	go func() { flushed <- l.Flush(t.Context()) }()
	<-source.asked
	during := found()
	close(source.go_)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if after := found(); before != 1 || during != 1 || after != 1 {
		t.Errorf("found %d before the checkpoint, %d while it was written, %d after it; want 1 each time", before, during, after)
	}
}
