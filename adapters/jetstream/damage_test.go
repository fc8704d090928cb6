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
	"sync"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/nats-io/nats.go"
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

// short is how long a reading waits for the next message where damage keeps it from
// coming.
const short = 500 * time.Millisecond

// restored opens a folder and returns the versions that a restore ends at. idle is how
// long it waits for the next message.
func restored(t *testing.T, dir string, idle time.Duration) (map[string]uint64, error) {
	t.Helper()
	s, err := OpenFolder(t.Context(), dir, Options{Reserve: -1, Sync: SyncNone, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.link.idle = idle
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

func storeFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := listFiles(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

// listFiles are the files of the server that are not empty.
func listFiles(dir string) (files []string, err error) {
	err = filepath.WalkDir(filepath.Join(dir, "jetstream"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil && i.Size() > 0 {
				files = append(files, path)
			}
		}
		return err
	})
	slices.Sort(files)
	return files, err
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

// A flip changes one byte, a hole overwrites some with zeros, as a lost sector
// leaves them, and a cut takes some out.
var damages = []struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte
}{
	{"flip", func(r *rand.Rand, b []byte) []byte {
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		return b
	}},
	{"hole", func(r *rand.Rand, b []byte) []byte {
		at := r.IntN(len(b))
		clear(b[at:min(len(b), at+1+r.IntN(2048))])
		return b
	}},
	{"cut", func(r *rand.Rand, b []byte) []byte {
		at := r.IntN(len(b))
		return slices.Delete(b, at, min(len(b), at+1+r.IntN(2048)))
	}},
}

// A trial is one damage to a copy of a folder, and what a start made of it.
type trial struct {
	what string // which damage, to which file
	got  map[string]uint64
	err  error // of the restore
}

// try damages a copy of a folder. The number decides how: each trial is the same
// at every run.
func try(t *testing.T, origin string, checkpoint bool, i int) (x trial, err error) {
	seed := uint64(11)
	if checkpoint {
		seed = 13
	}
	r := rand.New(rand.NewPCG(uint64(i), seed))
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
		return x, err
	}
	files, err := listFiles(dir)
	if err != nil {
		return x, err
	}
	if i%2 == 1 {
		for _, f := range files {
			if strings.HasSuffix(f, "index.db") {
				if err := os.Remove(f); err != nil {
					return x, err
				}
			}
		}
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "index.db") })
	}
	if i%3 > 0 { // where the records are
		files = slices.DeleteFunc(files, func(f string) bool { return !strings.HasSuffix(f, ".blk") })
	}
	if len(files) == 0 {
		return x, errors.New("there is no file to damage")
	}
	file := files[r.IntN(len(files))]
	b, err := os.ReadFile(file)
	if err != nil {
		return x, err
	}
	damage := damages[0]
	if i/6%6 == 5 {
		damage = damages[1+i/36%2]
	}
	if err := os.WriteFile(file, damage.do(r, b), 0o600); err != nil {
		return x, err
	}
	x.what = fmt.Sprintf("%d: %s in %s", i, damage.name, filepath.Base(file))
	x.got, x.err = restored(t, dir, short)
	return x, nil
}

// damagesEach is how many damages are tried to a folder with checkpoints, and to one
// without: 102 of them, 204 in all, are flips of one byte.
const damagesEach = 120

// Damage anywhere, with the server's index or as after a crash without it: a
// start refuses and says what is wrong, or all is there. A start over damage
// waits for what does not come, so that many are tried at a time.
func TestDamageNeverGivesWrongAnswers(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []bool{false, true} {
		origin := t.TempDir()
		want := filled(t, origin, 40, checkpoint)
		var wg sync.WaitGroup
		var mu sync.Mutex
		refused, ranges, named, healed := 0, 0, 0, 0
		next := make(chan int)
		for range 8 {
			wg.Go(func() {
				for i := range next {
					x, err := try(t, origin, checkpoint, i)
					if err != nil {
						t.Errorf("%d: the damage could not be done: %v", i, err)
						continue
					}
					mu.Lock()
					if x.err == nil {
						healed++
						sameVersions(t, x.what, x.got, want)
					} else {
						refused++
						e, ok := errors.AsType[*DamageError](x.err)
						if !ok || e.Problem == "" {
							t.Errorf("%s: refused without saying what is wrong: %v", x.what, x.err)
						}
						if ok && e.Last > 0 {
							ranges++
						}
						if ok && len(e.Instances) > 0 {
							named++
							for _, id := range e.Instances {
								if want[id] == 0 {
									t.Errorf("%s: %v names %q, which never was", x.what, x.err, id)
								}
							}
						}
					}
					mu.Unlock()
				}
			})
		}
		for i := range damagesEach {
			next <- i
		}
		close(next)
		wg.Wait()
		t.Logf("checkpoints %v: %d refused, %d of them with the range that is missing, %d with instances; %d healed", checkpoint, refused, ranges, named, healed)
		if refused == 0 || healed == 0 || ranges == 0 || named == 0 {
			t.Errorf("%d refused, %d with a range, %d with instances, %d healed: the test tries too little", refused, ranges, named, healed)
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
		_, err := restored(t, dir, short)
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
		if !ok || e.First != hole || e.Last != hole || e.Records != 1 || !slices.Equal(e.Instances, []string{"a"}) {
			t.Errorf("restore over a hole at %d: %v, want that it names it and the instance", hole, last)
		}
		v, err := Verify(t.Context(), s)
		if err != nil || len(v.Problems) == 0 || !strings.Contains(v.Problems[0].Error(), `"a"`) {
			t.Errorf("verify over a hole: %v, %v, want that it names the instance", v.Problems, err)
		}
		last = nil
		for _, err := range l.History(t.Context(), "a", 0) {
			last = err
		}
		if e, ok := errors.AsType[*DamageError](last); !ok || !slices.Equal(e.Instances, []string{"a"}) {
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
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "checkpoints of 1 of 1024") || !strings.Contains(err.Error(), `["a"]`) {
		t.Errorf("with the beginning of the log gone: %v, want it refused, and the instance named", err)
	}
}

// Which instances a damage hits is said in every case where what is left tells it:
// those behind a hole that miss a record, those of a checkpoint that is later than the
// log, those in the log of a checkpoint that cannot be read, and no others.
func TestDamageNamesInstances(t *testing.T) {
	t.Parallel()
	const hit, other = "hit", "other"
	for title, c := range map[string]struct {
		checkpoint bool
		damage     func(t *testing.T, l *log, positions []uint64) error
	}{
		"a hole":                      {false, func(t *testing.T, l *log, at []uint64) error { return l.link.log.SecureDeleteMsg(t.Context(), at[2]) }},
		"a hole that is checkpointed": {true, func(t *testing.T, l *log, at []uint64) error { return l.link.log.SecureDeleteMsg(t.Context(), at[2]) }},
		"a checkpoint that cannot be read": {true, func(t *testing.T, l *log, _ []uint64) error {
			m := &nats.Msg{Subject: l.partSubject(bucketOf(hit), 0, 0), Data: []byte("no"), Header: nats.Header{}}
			m.Header.Set(headerBlob, "1 3 0 0 1 7")
			_, err := l.link.put(t.Context(), m, anyLast)
			return err
		}},
		"the end is missing": {true, func(t *testing.T, l *log, at []uint64) error {
			for _, p := range at[2:] {
				if err := l.link.log.SecureDeleteMsg(t.Context(), p); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s, l := testLog(t, t.TempDir(), Options{CheckpointEvery: time.Hour})
			source := lastVersions{}
			l.Checkpoint(source)
			var at []uint64
			for _, r := range []*fsm.Record{step(other, 1), step(hit, 1), step(hit, 2), step(hit, 3)} {
				source[r.Instance] = r
				add(t, l, r)
				at = append(at, l.at.position)
			}
			if c.checkpoint {
				if err := l.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if title != "the end is missing" {
				add(t, l, step(other, 2))
				add(t, l, step(hit, 4))
			}
			if err := c.damage(t, l, at); err != nil {
				t.Fatal(err)
			}
			_, _, err := restoreAll(t, s)
			if title == "a hole that is checkpointed" {
				// The start does not need what is missing; the history does.
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range l.History(t.Context(), hit, 0) {
					err = e
				}
			}
			if e, ok := errors.AsType[*DamageError](err); !ok || !slices.Equal(e.Instances, []string{hit}) {
				t.Errorf("%v, want that it names %q alone", err, hit)
			}
		})
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
		got, err := restored(t, copyDir(t, dir), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		sameVersions(t, fmt.Sprint("round ", round), got, want)
	}
}
