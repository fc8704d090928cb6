package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

// A folder is a data folder with a server of its own, which nobody else can
// reach. When the server has given its JetStream up, for a full disk, or a stream
// of it, for a write that failed, it is ended, and started again once the disk
// takes writes.
type folder struct {
	dir     string
	sync    Sync
	reserve int64
	free    func(dir string) (uint64, bool)
	logger  *slog.Logger
	lock    *flock.Flock
	// temporary folders are removed at the end.
	temporary bool
	settled   settling

	mu     sync.Mutex // guards server and closed
	server *server.Server
	closed bool

	checked atomic.Int64 // when the free space was last looked at, ns
	low     atomic.Pointer[FullError]
	// gone is called when a server has been given up, set before it is used.
	gone func()

	stop chan struct{}
	done sync.WaitGroup
}

const reserveFile = "reserve"

// openFolder locks the folder and starts its server.
func openFolder(ctx context.Context, dir string, o Options) (*folder, error) {
	f := &folder{dir: dir, sync: o.Sync, reserve: o.Reserve, free: o.freeSpace, logger: o.Logger, gone: func() {}, stop: make(chan struct{})}
	f.settled = settling{dir: dir, always: o.Sync == SyncAlways}
	var err error
	if f.lock, err = natsserver.Lock(dir); err != nil {
		return nil, err
	}
	err = writable(dir)
	if errors.Is(err, syscall.ENOSPC) {
		f.logger.Warn("the disk is full: the reserve in the data folder is given up", "folder", dir)
		f.dropReserve()
		err = writable(dir)
	}
	if err != nil {
		_ = f.lock.Unlock()
		return nil, err
	}
	if f.server, err = f.start(ctx); err != nil {
		_ = f.lock.Unlock()
		return nil, err
	}
	f.keepReserve()
	return f, nil
}

// probeSize is what has to fit on the disk for the server to start: its index
// and what it changes in its files meanwhile.
const probeSize = 1 << 20

// writable says it plainly where the server would only say that it has no
// JetStream, or leave its files half written.
func writable(dir string) error {
	if err := natsserver.Fits(dir, probeSize); err != nil {
		return fmt.Errorf("data folder: it cannot be written to: %w", err)
	}
	return nil
}

func (f *folder) start(ctx context.Context) (*server.Server, error) {
	o := natsserver.Base(f.dir)
	o.MaxPayload, o.JetStreamMaxStore = natsserver.StorePayload, noLimit
	switch f.sync.mode {
	case syncInterval:
		o.SyncAlways, o.SyncInterval = false, f.sync.every
	case syncNone:
		o.SyncAlways, o.SyncInterval = false, 10*365*24*time.Hour
	}
	s, err := natsserver.Run(ctx, o, f.logger)
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	if !s.JetStreamEnabled() {
		natsserver.End(s)
		return nil, fmt.Errorf("embedded server: %w: see the log for the reason", ErrUnavailable)
	}
	// A folder whose streams were never seen whole on the disk has acknowledged
	// nothing: power was lost while they were made, and they are made anew.
	if _, err := os.Stat(filepath.Join(f.dir, madeFile)); err == nil {
		if err := lostStream(s); err != nil {
			natsserver.End(s)
			return nil, err
		}
	}
	return s, nil
}

// noLimit is what the server may store, in bytes. On its own it would set three
// quarters of what was free at its start, for as long as it runs: a quarter of the
// disk would be of no use, and room that is made later neither. The reserve is what
// keeps it from the end of the disk.
const noLimit = 1 << 60

// madeFile is there once the server's description of the streams is on the disk.
const madeFile = "made"

// made puts on the disk what describes the streams, which the server writes once,
// when it makes them, and does not sync: without it, it cannot read them.
func (f *folder) made() error {
	mark := filepath.Join(f.dir, madeFile)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	err := filepath.WalkDir(f.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !strings.HasPrefix(e.Name(), "meta.") {
			return err
		}
		return syncPath(path)
	})
	if err != nil {
		return fmt.Errorf("put the description of the streams on the disk: %w", err)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	return errors.Join(syncPath(mark), syncPath(f.dir))
}

// syncPath syncs a file or a folder.
func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// lostStream refuses a folder with a stream that the server could not read: it
// would be made anew, over what may still be there of it.
func lostStream(s *server.Server) error {
	for _, e := range s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorStream {
			return &DamageError{Name: e.Stream, Problem: "the server cannot read what describes the stream", Err: errors.New(e.Error)}
		}
	}
	return nil
}

// InProcessConn connects to the server that runs at the moment, so that a client
// which reconnects finds the next one.
func (f *folder) InProcessConn() (net.Conn, error) {
	f.mu.Lock()
	s := f.server
	f.mu.Unlock()
	if s == nil {
		return nil, ErrUnavailable
	}
	return s.InProcessConn()
}

// keepReserve makes the reserve, of real bytes: a file with holes keeps no room.
func (f *folder) keepReserve() {
	path := filepath.Join(f.dir, reserveFile)
	if f.reserve <= 0 {
		return
	}
	if i, err := os.Stat(path); err == nil && i.Size() >= f.reserve {
		return
	}
	if free, ok := f.free(f.dir); ok && free < 2*uint64(f.reserve) {
		return
	}
	if err := natsserver.Fill(path, f.reserve); err != nil {
		f.logger.Warn("no reserve could be kept in the data folder", "folder", f.dir, "err", err)
		f.dropReserve()
	}
}

func (f *folder) dropReserve() {
	if err := os.Remove(filepath.Join(f.dir, reserveFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		f.logger.Warn("the reserve in the data folder could not be dropped", "folder", f.dir, "err", err)
	}
}

// spaceEvery is how often the free space is looked at. In that time some 100 MB
// may be written, at the very most.
const spaceEvery = 50 * time.Millisecond

// room fails with a *FullError if so many bytes should not be written. It keeps
// the server from ever meeting the end of the disk, which would disable its
// JetStream.
func (f *folder) room(bytes int) error {
	if f.reserve <= 0 {
		return nil
	}
	now := time.Now().UnixNano()
	if last := f.checked.Load(); now-last > int64(spaceEvery) || bytes > 1<<20 {
		f.checked.Store(now)
		f.low.Store(f.lacks(f.reserve/2, bytes))
	}
	if low := f.low.Load(); low != nil {
		return low
	}
	return nil
}

// spare is room for what lets the log be shortened: checkpoints, and what they cover.
// Without them a disk that is full stays so, with all that retention would drop. It
// keeps the server from the end of the disk, too, with half the margin.
func (f *folder) spare(bytes int) error {
	if f.reserve <= 0 {
		return nil
	}
	if low := f.lacks(f.reserve/4, bytes); low != nil {
		return low
	}
	return nil
}

// lacks says how much room there is where so many bytes would leave less than a
// margin; nil if there is enough, or nobody can tell.
func (f *folder) lacks(margin int64, bytes int) *FullError {
	need := uint64(margin) + uint64(bytes)
	if free, ok := f.free(f.dir); ok && free < need {
		return &FullError{Folder: f.dir, Free: free, Need: need}
	}
	return nil
}

// reviveMost is the longest pause between two tries to start the server again.
const reviveMost = 2 * time.Second

// watch brings the server back when it has disabled its JetStream, or a stream
// of it.
func (f *folder) watch() {
	const every = 100 * time.Millisecond
	pause, problem := every, ""
	t := time.NewTimer(pause)
	defer t.Stop()
	for ; ; t.Reset(pause) {
		select {
		case <-t.C:
		case <-f.stop:
			return
		}
		s, err := f.sound()
		if err == nil {
			pause, problem = every, ""
			continue
		}
		if err := f.revive(s, err); err != nil {
			if err.Error() != problem {
				problem = err.Error()
				f.logger.Error("the embedded JetStream cannot be started again yet; it is tried until it can", "folder", f.dir, "err", err)
			}
			pause = min(2*pause, reviveMost)
		}
	}
}

// sound fails while there is no server, or one with a stream that could not be
// written to: it takes no writes any more and answers none, and may show what it
// has in memory only. Nothing it says counts until it is read from the disk again.
func (f *folder) sound() (*server.Server, error) {
	f.mu.Lock()
	s := f.server
	f.mu.Unlock()
	if s == nil || !s.JetStreamEnabled() {
		return s, ErrUnavailable
	}
	for _, e := range s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorStream {
			return s, fmt.Errorf("%w: %s", ErrUnavailable, e.Error)
		}
	}
	return s, nil
}

// revive ends a server that has given up, and starts another.
func (f *folder) revive(old *server.Server, why error) error {
	if old != nil {
		f.logger.Error("the embedded JetStream gave up, most likely for want of room on the disk; it is started again", "folder", f.dir, "err", why)
		f.mu.Lock()
		f.server = nil
		f.mu.Unlock()
		f.gone()
		natsserver.End(old)
		f.dropReserve()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := errors.Join(f.room(0), writable(f.dir)); err != nil {
		return err
	}
	s, err := f.start(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.server = s
	f.mu.Unlock()
	f.keepReserve()
	f.logger.Info("the embedded JetStream is back", "folder", f.dir)
	return nil
}

// close ends the server: what was acknowledged is on disk then.
func (f *folder) close() error {
	f.mu.Lock()
	closed := f.closed
	f.closed = true
	f.mu.Unlock()
	if closed {
		return nil
	}
	close(f.stop)
	f.done.Wait()
	if f.server != nil {
		natsserver.End(f.server)
	}
	err := f.lock.Unlock()
	if f.temporary {
		err = errors.Join(err, os.RemoveAll(f.dir))
	}
	return err
}
