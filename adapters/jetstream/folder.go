package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsmesh/fsmesh/internal/natsserver"
	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

// A folder is a data folder with a server of its own, which nobody else can
// reach. When the server has given its JetStream up, for a full disk, it is
// ended and started again once there is room.
type folder struct {
	dir     string
	sync    Sync
	reserve int64
	free    func(dir string) (uint64, bool)
	logger  *slog.Logger
	lock    *flock.Flock

	mu     sync.Mutex // guards server and closed
	server *server.Server
	closed bool

	checked atomic.Int64 // when the free space was last looked at, ns
	low     atomic.Pointer[FullError]

	stop chan struct{}
	done sync.WaitGroup
}

const reserveFile = "reserve"

// openFolder locks the folder and starts its server.
func openFolder(ctx context.Context, dir string, o Options) (*folder, error) {
	f := &folder{dir: dir, sync: o.Sync, reserve: o.Reserve, free: o.freeSpace, logger: o.Logger, stop: make(chan struct{})}
	var err error
	if f.lock, err = natsserver.Lock(dir); err != nil {
		return nil, err
	}
	if err := writable(dir); err != nil {
		_ = f.lock.Unlock()
		return nil, err
	}
	if f.server, err = f.start(ctx); err != nil {
		_ = f.lock.Unlock()
		return nil, err
	}
	f.keepReserve()
	f.done.Go(f.watch)
	return f, nil
}

// writable says it plainly where the server would only say that it has no
// JetStream.
func writable(dir string) error {
	t, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return fmt.Errorf("data folder: it cannot be written to: %w", err)
	}
	return errors.Join(t.Close(), os.Remove(t.Name()))
}

func (f *folder) start(ctx context.Context) (*server.Server, error) {
	o := natsserver.Base(f.dir)
	o.MaxPayload = natsserver.StorePayload
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
	return s, nil
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
	if err := fill(path, f.reserve); err != nil {
		f.logger.Warn("no reserve could be kept in the data folder", "folder", f.dir, "err", err)
		f.dropReserve()
	}
}

func fill(path string, size int64) (err error) {
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	block := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(block)) {
		if _, err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
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
		need := uint64(f.reserve)/2 + uint64(bytes)
		free, ok := f.free(f.dir)
		if ok && free < need {
			f.low.Store(&FullError{Folder: f.dir, Free: free, Need: need})
		} else {
			f.low.Store(nil)
		}
	}
	if low := f.low.Load(); low != nil {
		return low
	}
	return nil
}

// watch brings the server back when it has disabled its JetStream.
func (f *folder) watch() {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-f.stop:
			return
		}
		f.mu.Lock()
		s := f.server
		f.mu.Unlock()
		if s == nil || !s.JetStreamEnabled() {
			f.revive(s)
		}
	}
}

func (f *folder) revive(old *server.Server) {
	if old != nil {
		f.logger.Error("the embedded JetStream gave up, most likely for want of room on the disk; it is started again", "folder", f.dir)
		f.mu.Lock()
		f.server = nil
		f.mu.Unlock()
		natsserver.End(old)
		f.dropReserve()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if f.room(0) != nil {
		return // the next turn looks again
	}
	s, err := f.start(ctx)
	if err != nil {
		f.logger.Error("the embedded JetStream could not be started again", "folder", f.dir, "err", err)
		return
	}
	f.mu.Lock()
	f.server = s
	f.mu.Unlock()
	f.keepReserve()
	f.logger.Info("the embedded JetStream is back", "folder", f.dir)
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
	return f.lock.Unlock()
}
