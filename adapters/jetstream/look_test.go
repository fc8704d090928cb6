package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A store is looked into as a copy, in a folder with any name, also without the file
// of the lock; what is written to it is lost, and the copy goes with it.
func TestLook(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := filepath.Join(t.TempDir(), `a [*?] \folder`)
	versions := filled(t, dir, 6, true)
	for _, file := range []string{reserveFile, "lock"} {
		if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	files := storeFiles(t, dir)
	s, err := OpenFolder(t.Context(), dir, Options{Look: true})
	if err != nil {
		t.Fatal(err)
	}
	info, err := Info(t.Context(), s)
	if err != nil || len(info.Logs) != 1 || info.Logs[0].Live != len(versions) {
		t.Errorf("info: %+v, %v; want a log with %d live", info, err, len(versions))
	}
	add(t, claimedLog(t, s, "another"), step("new", 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left of the copy", left, err)
	}
	if got := storeFiles(t, dir); len(got) != len(files) {
		t.Errorf("the files are %q, and were %q", got, files)
	}
	got, err := restored(t, dir, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	sameVersions(t, "after a look", got, versions)
}

// A disk that has no room for the copy is told of, with how to use another.
func TestLookWithoutRoom(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := t.TempDir()
	filled(t, dir, 6, false)
	_, err := OpenFolder(t.Context(), dir, Options{Look: true, freeSpace: func(string) (uint64, bool) { return 1000, true }})
	if err == nil || errors.Is(err, ErrNoStore) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left of the copy", left, err)
	}
}

// A log of which nothing is left is missed, and not taken for one that never was.
func TestVerifyMissesALog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	filled(t, dir, 6, false)
	n := 0
	for _, file := range storeFiles(t, dir) {
		if strings.Contains(file, logStream+"/msgs") {
			n++
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n == 0 {
		t.Fatal("there are no files of the log")
	}
	s, err := OpenFolder(t.Context(), dir, Options{Look: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v, err := Verify(t.Context(), s)
	if err != nil || v.Logs != 1 || len(v.Problems) == 0 {
		t.Errorf("verify: %+v, %v; want a problem of a log", v, err)
	}
}

func TestLookWithoutAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenFolder(t.Context(), dir, Options{Look: true}); !errors.Is(err, ErrNoStore) {
		t.Errorf("got %v, want ErrNoStore", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v were made", files, err)
	}
	if _, err := OpenFolder(t.Context(), filepath.Join(dir, "not"), Options{Look: true}); !errors.Is(err, ErrNoStore) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNoStore", err)
	}
}
