package jetstream

import (
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// The log is dropped up to the first record that is to be kept, whose machine decides.
// In each case a list of records follows, each a frame of its own, the last of which
// is young and of a live instance; times are in ms, and what is before 10 is old.
func TestTheBeginningIsDroppedUpToWhatIsKept(t *testing.T) {
	t.Parallel()
	cuts := map[string]fsm.Cut{
		"both": {Ended: time.UnixMilli(10), Records: time.UnixMilli(10)}, "ended": {Ended: time.UnixMilli(10)},
		"records": {Records: time.UnixMilli(10)}, "ever": {},
	}
	rec := func(id, machine string, version uint64, at int64, change ...func(*fsm.Record)) *fsm.Record {
		r := step(id, version)
		r.Machine, r.Time = machine, at
		for _, f := range change {
			f(r)
		}
		return r
	}
	ends := func(r *fsm.Record) { r.Status = fsm.StatusCompleted }
	entry := func(r *fsm.Record) { r.Origin.EntryPoint = true }
	endedEntry := func(r *fsm.Record) {
		ends(r)
		r.Snapshot = lastState(r)
		r.Snapshot.Origin.EntryPoint = true
	}
	sends := func(r *fsm.Record) {
		r.Effects = []fsm.Effect{{Kind: fsm.EffectDeliver, Component: "Far", Machine: "M", Event: "E"}}
	}
	for title, c := range map[string]struct {
		records []*fsm.Record
		first   int // the position in the list of the first that is kept
	}{
		"a live instance":                     {[]*fsm.Record{rec("a", "both", 1, 1), rec("a", "both", 2, 2)}, 2},
		"a young record":                      {[]*fsm.Record{rec("a", "both", 1, 1), rec("a", "both", 2, 11)}, 1},
		"records for ever":                    {[]*fsm.Record{rec("a", "ended", 1, 1)}, 0},
		"another machine's for ever":          {[]*fsm.Record{rec("a", "both", 1, 1), rec("b", "ever", 1, 1)}, 1},
		"an ended instance":                   {[]*fsm.Record{rec("a", "both", 1, 1), rec("a", "both", 2, 2, ends)}, 2},
		"an ended instance, records for ever": {[]*fsm.Record{rec("a", "ended", 1, 1), rec("a", "ended", 2, 2, ends)}, 2},
		"an ended instance for ever":          {[]*fsm.Record{rec("a", "records", 1, 1), rec("a", "records", 2, 2, ends)}, 0},
		"an instance that ended late":         {[]*fsm.Record{rec("b", "both", 1, 1), rec("a", "both", 1, 1), rec("a", "both", 2, 11, ends)}, 1},
		"an instance between that ended late": {[]*fsm.Record{rec("b", "ended", 1, 1, ends), rec("a", "ended", 1, 1), rec("a", "ended", 2, 11, ends)}, 1},
		"an ended entry point":                {[]*fsm.Record{rec("a", "both", 1, 1, entry), rec("a", "both", 2, 2, endedEntry)}, 2},
		"an entry point that ended late":      {[]*fsm.Record{rec("a", "both", 1, 1, entry), rec("a", "both", 2, 11, endedEntry)}, 0},
		"an open effect":                      {[]*fsm.Record{rec("a", "both", 1, 1), rec("a", "both", 2, 2, sends), rec("a", "both", 3, 3)}, 1},
		"an open effect of an ended instance": {[]*fsm.Record{rec("b", "both", 1, 1), rec("a", "both", 1, 1), rec("a", "both", 2, 2, sends, ends)}, 1},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
			source := lastVersions{}
			l.Checkpoint(source)
			var at []uint64
			for _, r := range append(c.records, rec("last", "both", 1, 12)) {
				source[r.Instance] = r
				add(t, l, r)
				at = append(at, l.at.position)
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.Retain(t.Context(), func(_, machine string) fsm.Cut { return cuts[machine] }); err != nil {
				t.Fatal(err)
			}
			info, err := s.link.log.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if info.State.FirstSeq != at[c.first] {
				t.Errorf("the log begins at %d, want %d; the records are at %v", info.State.FirstSeq, at[c.first], at)
			}
			if _, _, err := restoreAll(t, s); err != nil {
				t.Errorf("restore: %v", err)
			}
		})
	}
}

// What no checkpoint holds is not dropped, however old it is.
func TestWhatNoCheckpointHoldsIsKept(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	source := lastVersions{}
	l.Checkpoint(source)
	for v := range uint64(6) {
		source["a"] = step("a", v+1)
		add(t, l, source["a"])
		if v == 2 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := func(string, string) fsm.Cut { return fsm.Cut{Ended: time.Now(), Records: time.Now()} }
	if err := l.Retain(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	opened, _, err := restoreAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := opened.index.get("a"); p.last() != 6 {
		t.Errorf("version %d after what is old was dropped, want 6", p.last())
	}
	var versions []uint64
	for r, err := range l.History(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, r.Version)
	}
	if len(versions) != 3 {
		t.Errorf("versions %v are kept, want 4, 5 and 6: a checkpoint holds the others", versions)
	}
}

// A history has no hole, also where its beginning is dropped while it is read: it says
// so, or begins behind that.
func TestHistoryWhileItsBeginningIsDropped(t *testing.T) {
	t.Parallel()
	const all = 200
	s, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
	var at []uint64
	for v := range uint64(all) {
		add(t, l, step("a", v+1))
		at = append(at, l.at.position)
	}
	read := func(drop uint64, when int) (first uint64, n int, last error) {
		t.Helper()
		next := uint64(0)
		for r, err := range l.History(t.Context(), "a", 0) {
			if err != nil {
				return first, n, err
			}
			if n++; n == 1 {
				first = r.Version
			} else if r.Version != next {
				t.Fatalf("version %d follows on %d", r.Version, next-1)
			}
			if next = r.Version + 1; n == when {
				if err := s.link.log.Purge(t.Context(), withSequence(at[drop-1])); err != nil {
					t.Fatal(err)
				}
			}
		}
		return first, n, nil
	}
	if first, n, err := read(100, 1); err == nil {
		t.Errorf("%d records from version %d on, while those before version 100 were dropped, and no error", n, first)
	}
	if first, n, err := read(0, 0); err != nil || first != 100 || n != all-99 {
		t.Errorf("afterwards %d records from version %d on, %v; want %d from 100 on", n, first, err, all-99)
	}
}
