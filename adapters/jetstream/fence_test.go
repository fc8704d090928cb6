package jetstream

import (
	"errors"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// Who is taken over and does not append does not notice it. It drops nothing all
// the same, and does not set the last acknowledged position back.
func TestTheFencedDropNothing(t *testing.T) {
	t.Parallel()
	s, old := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	source := lastVersions{}
	for v := range uint64(20) {
		source["a"] = step("a", v+1)
		add(t, old, source["a"])
	}
	old.Checkpoint(source)
	if err := old.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := claimedLog(t, s, "x")
	add(t, next, step("a", 21))
	next.checkpoints.one.Lock()
	next.checkpoints.mark(t.Context())
	next.checkpoints.one.Unlock()
	all := func(string, string) fsm.Cut { return fsm.Cut{Ended: time.Now(), Records: time.Now()} }
	if err := old.Retain(t.Context(), all); !errors.Is(err, fsm.ErrFenced) {
		t.Errorf("retain after a takeover: %v, want %v", err, fsm.ErrFenced)
	}
	info, err := s.link.log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.FirstSeq != 1 {
		t.Errorf("the log begins at %d, want 1: nothing is dropped", info.State.FirstSeq)
	}
	old.checkpoints.one.Lock()
	old.checkpoints.acked = mark{} // as if it had not been written yet
	old.checkpoints.mark(t.Context())
	old.checkpoints.one.Unlock()
	if got, err := next.readMark(t.Context()); err != nil || got != next.at {
		t.Errorf("the last acknowledged position is %+v, %v, want %+v", got, err, next.at)
	}
}
