package jetstream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// Reading rests as long as it worked, up to a bound, while something is committed,
// and not at all otherwise.
func TestReadingGivesWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		since, worked, rests time.Duration
	}{
		{"beside commits", time.Millisecond, 300 * time.Microsecond, 300 * time.Microsecond},
		{"a frame that waited for the disk", time.Millisecond, 4 * time.Millisecond, longestRest},
		{"after the last commit", busyFor, 300 * time.Microsecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacer()
				p.commit()
				time.Sleep(c.since)
				ended := time.Now()
				p.giveWay(ended.Add(-c.worked))
				if got := time.Since(ended); got != c.rests {
					t.Errorf("rested %s, want %s", got, c.rests)
				}
			})
		})
	}
}

// Commits are noted, and each frame of a history and of a search through the log
// gives way to them.
func TestHistoriesGiveWay(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{})
	const records = 20
	rests := 0
	s.pace.rest = func(time.Duration) { rests++ }
	for v := range uint64(records) {
		add(t, l, step("a", v+1))
	}
	if s.pace.committed.Load() == 0 {
		t.Fatal("the commits were not noted")
	}
	s.pace.committed.Store(time.Now().Add(time.Hour).UnixNano()) // they go on
	// (a history of so few frames is read backwards only: one goroutine)
	for _, err := range l.History(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if rests != records {
		t.Errorf("a history of %d frames rested %d times", records, rests)
	}
	rests = 0
	if _, err := l.causedFromAfar(t.Context(), fsm.RecordID{Instance: "a", Version: 1}); err != nil {
		t.Fatal(err)
	}
	if rests < records {
		t.Errorf("a search through %d frames rested %d times", records, rests)
	}
}
