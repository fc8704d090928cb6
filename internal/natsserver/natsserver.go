// Package natsserver runs a NATS server inside the process, with or without a
// JetStream on disk. It holds what the node of a mesh and the store that has a
// server of its own have in common: the lock of the data folder, the settings
// that durability rests on, and starting and ending the server.
package natsserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
)

// ErrDataInUse is returned by Lock when another process uses the data folder.
var ErrDataInUse = errors.New("data folder in use")

// StorePayload is the size that messages may have, in bytes, on a server that
// holds a store: the largest record and what is around it fit in.
const StorePayload = 8 << 20

// startTimeout bounds how long a server may take to get ready; it is up in some
// milliseconds, but for a JetStream folder that has to be read again.
const startTimeout = 2 * time.Minute

// Lock makes sure that one process at a time uses the folder, and makes it if
// there is none: the server itself takes no lock, and two on one folder
// overwrite each other.
func Lock(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	l := flock.New(filepath.Join(dir, "lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if !ok {
		return nil, inUse(dir)
	}
	return l, nil
}

// LockToRead makes sure that no process uses the folder until unlock is called,
// and changes nothing there: where Lock was never called there is nothing to lock.
func LockToRead(dir string) (unlock func() error, err error) {
	l := flock.New(filepath.Join(dir, "lock"), flock.SetFlag(os.O_RDONLY))
	ok, err := l.TryRLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return nil }, nil
	case err != nil:
		return nil, fmt.Errorf("lock the data folder: %w", err)
	case !ok:
		return nil, inUse(dir)
	}
	return l.Unlock, nil
}

func inUse(dir string) error {
	return fmt.Errorf("%w: %s is used by another process", ErrDataInUse, dir)
}

// Base returns the options that all servers inside the process share: no
// listener, no signals, no log of its own. dir is the JetStream's folder, empty
// for none; what is acknowledged there is on disk.
func Base(dir string) *server.Options {
	return &server.Options{
		NoSigs: true, NoLog: true, DontListen: true, MaxPending: 64 << 20,
		JetStream: dir != "", StoreDir: dir, SyncAlways: true, DisableJetStreamBanner: true,
	}
}

// Run starts a server and returns once clients can connect. The context bounds
// the start only.
func Run(ctx context.Context, o *server.Options, logger *slog.Logger) (*server.Server, error) {
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	log := &serverLog{logger: logger, failed: make(chan string, 1)}
	s.SetLoggerV2(log, false, false, false)
	go s.Start()
	if err := ready(ctx, s, log); err != nil {
		End(s)
		return nil, err
	}
	return s, nil
}

// closeTimeout bounds how long an end waits for a JetStream that the server is closing
// by itself.
const closeTimeout = 30 * time.Second

// closing reports whether a server is switching its JetStream off by itself, as on a
// full disk. It says that it is off first, and closes the files after that.
func closing(s *server.Server) bool { return !s.JetStreamEnabled() && s.JetStreamConfig() != nil }

// End stops a server and waits for it: what was acknowledged is on disk then, and the
// files are closed.
func End(s *server.Server) {
	for end := time.Now().Add(closeTimeout); closing(s) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond) // the server would not wait for it
	}
	s.Shutdown()
	s.WaitForShutdown()
}

func ready(ctx context.Context, s *server.Server, log *serverLog) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !s.ReadyForConnections(10 * time.Millisecond) {
		select {
		case problem := <-log.failed:
			return errors.New(problem)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		default:
		}
	}
	return nil
}
