package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A lastVersions source has instances as their last records left them.
type lastVersions map[string]*fsm.Record

func (s lastVersions) Snapshots(_ context.Context, ids []string) ([]*fsm.Snapshot, error) {
	var out []*fsm.Snapshot
	for _, id := range ids {
		if r := s[id]; r != nil && r.Status == fsm.StatusActive {
			out = append(out, lastState(r))
		}
	}
	return out, nil
}

func (lastVersions) Remembers(fsm.RemoteID) bool { return true }

// filled makes a store with records of 20 instances and returns the version of
// each.
func filled(t *testing.T, dir string, frames int, checkpoint bool) map[string]uint64 {
	t.Helper()
	s, l := testLog(t, dir, Options{})
	source, versions := lastVersions{}, map[string]uint64{}
	l.Checkpoint(source)
	for i := range frames {
		var batch []*fsm.Record
		for k := range 5 {
			id := fmt.Sprintf("instance-%d", (i*3+k*7)%20)
			versions[id]++
			r := step(id, versions[id])
			source[id] = r
			batch = append(batch, r)
		}
		add(t, l, batch...)
		if checkpoint && i == frames/2 {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return versions
}

// restored opens a folder and returns the versions that a restore ends at.
func restored(t *testing.T, dir string) (map[string]uint64, error) {
	t.Helper()
	s, err := OpenFolder(t.Context(), dir, Options{Reserve: -1, Sync: SyncNone, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.link.idle = 500 * time.Millisecond
	l, err := s.Open(t.Context(), "x")
	if err != nil {
		return nil, err
	}
	got := map[string]uint64{}
	for r, err := range l.Restore(t.Context()) {
		switch {
		case err != nil:
			return nil, err
		case r.Snapshot != nil:
			got[r.Snapshot.Instance] = r.Snapshot.Version
		case r.Record != nil && r.Record.Version == got[r.Record.Instance]+1:
			got[r.Record.Instance]++
		case r.Record != nil && r.Record.Version > got[r.Record.Instance]:
			return nil, fmt.Errorf("a gap before %s was not noticed", r.Record.ID())
		}
	}
	return got, nil
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func storeFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "jetstream"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil && i.Size() > 0 {
				files = append(files, path)
			}
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	return files
}

func sameVersions(t *testing.T, what string, got, want map[string]uint64) {
	t.Helper()
	for id, v := range want {
		if got[id] != v {
			t.Errorf("%s: %q is at version %d, want %d", what, id, got[id], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d instances, want %d", what, len(got), len(want))
	}
}

// Flipped bytes anywhere, with the server's index or as after a crash without
// it: a start refuses, or all is there.
func TestFlippedBytesNeverGiveWrongAnswers(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []bool{false, true} {
		origin := t.TempDir()
		want := filled(t, origin, 40, checkpoint)
		r := rand.New(rand.NewPCG(7, 11))
		refused, healed := 0, 0
		for i := range 50 {
			dir := copyDir(t, origin)
			if i%2 == 1 {
				for _, f := range storeFiles(t, dir) {
					if strings.HasSuffix(f, "index.db") {
						if err := os.Remove(f); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			files := storeFiles(t, dir)
			var blocks []string
			for _, f := range files {
				if strings.HasSuffix(f, ".blk") {
					blocks = append(blocks, f)
				}
			}
			if i%3 > 0 {
				files = blocks // that is where the records are
			}
			file := files[r.IntN(len(files))]
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			at := r.IntN(len(b))
			b[at] ^= byte(1 + r.IntN(255))
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := restored(t, dir)
			if err != nil {
				refused++
				continue
			}
			healed++
			sameVersions(t, fmt.Sprintf("byte %d of %s", at, filepath.Base(file)), got, want)
		}
		t.Logf("checkpoints %v: %d refused, %d healed", checkpoint, refused, healed)
		if refused == 0 || healed == 0 {
			t.Errorf("%d refused, %d healed: the test tries too little", refused, healed)
		}
	}
}

func TestMissingTailIsNoticed(t *testing.T) {
	t.Parallel()
	origin := t.TempDir()
	filled(t, origin, 30, false)
	for _, cut := range []int64{1, 200, 2000} {
		dir := copyDir(t, origin)
		for _, f := range storeFiles(t, dir) {
			if strings.HasSuffix(f, "index.db") {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasSuffix(f, ".blk") && strings.Contains(f, logStream) {
				i, err := os.Stat(f)
				if err == nil {
					err = os.Truncate(f, i.Size()-cut)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		_, err := restored(t, dir)
		if e, ok := errors.AsType[*DamageError](err); !ok || e.Last == 0 || !strings.Contains(err.Error(), "was acknowledged") {
			t.Errorf("cut off %d bytes: %v, want that the log ends too early", cut, err)
		}
	}
}

func TestHoleIsNoticed(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []bool{false, true} {
		s, l := testLog(t, t.TempDir(), Options{})
		source := lastVersions{}
		l.Checkpoint(source)
		for v := range uint64(10) {
			source["a"] = step("a", v+1)
			add(t, l, source["a"])
		}
		if checkpoint {
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		add(t, l, step("a", 11))
		hole := l.at.position
		add(t, l, step("a", 12))
		if err := l.link.log.SecureDeleteMsg(t.Context(), hole); err != nil {
			t.Fatal(err)
		}
		other, err := s.Open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for _, err := range other.Restore(t.Context()) {
			last = err
		}
		e, ok := errors.AsType[*DamageError](last)
		if !ok || e.First != hole || e.Last != hole || e.Records != 1 {
			t.Errorf("restore over a hole at %d: %v", hole, last)
		}
		last = nil
		for _, err := range l.History(t.Context(), "a", 0) {
			last = err
		}
		if _, ok := errors.AsType[*DamageError](last); !ok {
			t.Errorf("history over a hole: %v", last)
		}
	}
}

// A checkpoint that got lost is made up for by the log, as long as that reaches
// back; then it is missed.
func TestLostCheckpointIsMissed(t *testing.T) {
	t.Parallel()
	s, l := testLog(t, t.TempDir(), Options{})
	source := lastVersions{}
	l.Checkpoint(source)
	for v := range uint64(5) {
		source["a"] = step("a", v+1)
		add(t, l, source["a"])
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, l, step("a", 6))
	if err := l.link.snap.Purge(t.Context(), withSubject(l.partSubject(bucketOf("a"), 0, 0))); err != nil {
		t.Fatal(err)
	}
	read := func() (versions []uint64, last error) {
		other, err := s.Open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range other.Restore(t.Context()) {
			if last = err; r.Record != nil {
				versions = append(versions, r.Record.Version)
			}
		}
		return versions, last
	}
	if got, err := read(); err != nil || len(got) != 6 {
		t.Errorf("with the whole log: versions %v, %v", got, err)
	}
	if err := l.link.log.Purge(t.Context(), withSequence(4)); err != nil {
		t.Fatal(err)
	}
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "checkpoints of 1 of 1024") {
		t.Errorf("with the beginning of the log gone: %v, want it refused", err)
	}
}

// A copy of the folder while it is written is what a killed process leaves: all
// that was acknowledged before is in it.
func TestFolderOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for round := range 5 {
		dir := t.TempDir()
		_, l := testLog(t, dir, Options{})
		source, want := lastVersions{}, map[string]uint64{}
		l.Checkpoint(source)
		for v := range uint64(20 + round*7) {
			for _, id := range []string{"a", "b", "c"} {
				source[id] = step(id, v+1)
				add(t, l, source[id])
				want[id] = v + 1
			}
			if v == uint64(5*round) {
				if err := l.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := restored(t, copyDir(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		sameVersions(t, fmt.Sprint("round ", round), got, want)
	}
}
