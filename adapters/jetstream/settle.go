package jetstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A settling puts streams of a folder on the disk where the server does not do it
// before it acknowledges, which is so with any Sync but SyncAlways. A loss of power
// may keep the younger of two writes and not the older, if neither was synced: what
// says how far the log goes (a mark, a checkpoint, a cover) is written after the log
// is on the disk, and nothing of the log is dropped before what takes its place is.
type settling struct {
	dir    string // with all that the server has
	always bool   // what the server acknowledges is on the disk

	mu   sync.Mutex
	done map[string]time.Time // by stream, when it was last begun with
}

// stream returns once all that the server has acknowledged for a stream is on the
// disk. With SyncAlways that is done once, for what another process has left. It is
// safe for concurrent use.
func (s *settling) stream(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, again := s.done[name]
	if again && s.always {
		return nil
	}
	begin := time.Now()
	folder := filepath.Join(s.dir, "jetstream", "$G", "streams", name, "msgs")
	if err := syncSince(folder, last.Add(-mtimeSlack)); err != nil {
		return fmt.Errorf("put stream %s on the disk: %w", name, err)
	}
	if s.done == nil {
		s.done = map[string]time.Time{}
	}
	s.done[name] = begin
	return nil
}

// mtimeSlack is by how much a file may be younger than its time says.
const mtimeSlack = 2 * time.Second

// syncSince syncs the files of a folder that were written since, and their names.
func syncSince(folder string, since time.Time) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && !info.ModTime().Before(since) {
			err = syncPath(filepath.Join(folder, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the server has dropped it
			return err
		}
	}
	return syncPath(folder)
}

// settle is for a folder only: when a server of somebody else's syncs is not ours.
func (s *Store) settle(stream string) error {
	if s.folder == nil {
		return nil
	}
	return s.folder.settled.stream(stream)
}
