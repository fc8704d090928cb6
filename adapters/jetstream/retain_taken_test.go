package jetstream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// neighbour returns an id whose checkpoint is that of another, too.
func neighbour(id string) string {
	for i := 0; ; i++ {
		if other := fmt.Sprint("n", i); bucketOf(other) == bucketOf(id) {
			return other
		}
	}
}

// old is a cut that keeps nothing.
func old(string, string) fsm.Cut { return fsm.Cut{Ended: time.Now(), Records: time.Now()} }

// versionsOf restores a log on the side and returns where instances stand.
func versionsOf(t *testing.T, s *Store, ids ...string) (versions []uint64) {
	t.Helper()
	opened, _, err := restoreAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		p, _ := opened.index.get(id)
		versions = append(versions, p.last())
	}
	return versions
}

// Who was taken over and does not know it yet writes no checkpoint over a newer one:
// what it has is older, and would be carried on.
func TestNoCheckpointOverThatOfATakeover(t *testing.T) {
	t.Parallel()
	s, first := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	a, b := "a", neighbour("a")
	before := lastVersions{a: step(a, 1)}
	first.Checkpoint(before)
	add(t, first, before[a])
	second := claimedLog(t, s, "x")
	source := lastVersions{a: step(a, 2)}
	second.Checkpoint(source)
	add(t, second, source[a])
	if err := second.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Flush(t.Context()); !errors.Is(err, fsm.ErrFenced) {
		t.Errorf("a checkpoint after a takeover: %v, want it refused as fenced", err)
	}
	source[b] = step(b, 1)
	add(t, second, source[b])
	if err := second.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Retain(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	opened, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for x, err := range opened.Restore(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if x.Snapshot != nil && x.Snapshot.Instance == a && x.Snapshot.Version != 2 {
			t.Errorf("the checkpoint has %s at version %d, want 2", a, x.Snapshot.Version)
		}
	}
}

// A checkpoint that got lost while the process runs is not written anew with what
// changed since only, and holds the log back from then on.
func TestLostCheckpointIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	a, b := "a", neighbour("a")
	source := lastVersions{a: step(a, 1)}
	l.Checkpoint(source)
	add(t, l, source[a])
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.link.snap.Purge(t.Context(), withSubject(l.partSubject(bucketOf(a), 0, 0))); err != nil {
		t.Fatal(err)
	}
	source[b] = step(b, 1)
	add(t, l, source[b])
	damage := (*DamageError)(nil)
	if err := l.Flush(t.Context()); !errors.As(err, &damage) {
		t.Errorf("a checkpoint after the one before it got lost: %v, want a *DamageError", err)
	}
	if err := l.Retain(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if got := versionsOf(t, s, a, b); got[0] != 1 || got[1] != 1 {
		t.Errorf("versions %v after a start, want 1 and 1", got)
	}
}

// Another log of the same stream may have the position behind what a checkpoint
// covers.
func TestRetentionBesideAnotherLog(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	other := claimedLog(t, s, "y")
	other.Checkpoint(lastVersions{})
	source := lastVersions{"a": step("a", 1)}
	l.Checkpoint(source)
	add(t, l, source["a"])
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	end := step("theirs", 1)
	end.Status = fsm.StatusCompleted
	add(t, other, end)
	source["a"] = step("a", 2)
	add(t, l, source["a"])
	if err := l.Retain(t.Context(), old); err != nil {
		t.Errorf("retention with a position of another log behind the checkpoints: %v", err)
	}
	if got := versionsOf(t, s, "a"); got[0] != 2 {
		t.Errorf("version %v after a start, want 2", got)
	}
}

// Under an id that is used again the history is that of the new life, though both
// were long: no position of the old one is among its links.
func TestLongHistoryOfAnIDThatIsUsedAgain(t *testing.T) {
	t.Parallel()
	_, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	l.Checkpoint(lastVersions{})
	other := step("holds the log", 1)
	other.Machine = "Kept"
	add(t, l, other)
	live := func(versions uint64, state string, end fsm.Status) {
		for v := range versions {
			r := step("a", v+1)
			r.After = state
			if v+1 == versions {
				r.Status = end
			}
			add(t, l, r)
		}
	}
	live(90, "Old", fsm.StatusCompleted)
	cut := func(_, machine string) fsm.Cut {
		if machine == "Kept" {
			return fsm.Cut{}
		}
		return old("", "")
	}
	if err := l.Retain(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	live(70, "New", fsm.StatusActive)
	want := uint64(0)
	for r, err := range l.History(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		if want++; r.Version != want || r.After != "New" {
			t.Fatalf("version %d in state %q, want version %d of the new life", r.Version, r.After, want)
		}
	}
	if want != 70 {
		t.Errorf("%d records, want 70", want)
	}
}
