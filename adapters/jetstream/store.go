package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Store keeps the logs of runtimes in a JetStream. It may be used by any
// goroutine.
type Store struct {
	options Options
	link    *link
	folder  *folder      // nil unless the server is the store's own
	conns   []*nats.Conn // the store's own
	cold    chan struct{}
	trim    *trimmer
	pace    *pacer

	mu     sync.Mutex // guards logs and closed
	logs   map[*log]bool
	closed bool
}

var _ fsm.Store = (*Store)(nil)

// OpenFolder opens the store in a folder and makes it if there is none. The
// store runs a server of its own inside the process that nobody else can reach.
// It fails with ErrDataInUse if another process uses the folder. The context
// bounds the opening only.
func OpenFolder(ctx context.Context, dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if o.Look {
		return lookFolder(ctx, dir, o)
	}
	f, err := openFolder(ctx, dir, o)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s, err := f.connect(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store in %s: %w", dir, err), f.close())
	}
	return s, nil
}

// connect makes a store of the folder's server.
func (f *folder) connect(ctx context.Context, o Options) (s *Store, err error) {
	var conns []*nats.Conn
	defer func() {
		if err != nil {
			closeAll(conns)
		}
	}()
	var js [2]jetstream.JetStream
	for i, what := range []string{"commits", "reads"} {
		// What could not be sent at once must not be sent later.
		c, err := nats.Connect("", nats.InProcessServer(f), nats.Name("store: "+what), nats.MaxReconnects(-1),
			nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1))
		if err != nil {
			return nil, err
		}
		conns = append(conns, c)
		if js[i], err = jetstream.New(c); err != nil {
			return nil, err
		}
	}
	o.Reads = js[1]
	if s, err = New(ctx, js[0], o); err != nil {
		return nil, err
	}
	if err = f.made(); err != nil {
		return nil, err
	}
	s.folder, s.conns = f, conns
	f.gone = s.giveUp
	f.done.Go(f.watch)
	return s, nil
}

// New returns a store on a JetStream that somebody else runs: a node of a mesh,
// or a server far away. Several processes may reach it, so its logs have a lease
// (fsm.Leaser). The connection stays the caller's; the streams are made if they
// are not there.
//
// What was acknowledged is as safe as the server has it: set sync_interval to
// always, or use replicas. The connection should not keep what it could not
// send (nats.ReconnectBufSize(-1)), so that a refused batch is refused at once.
func New(ctx context.Context, js jetstream.JetStream, o Options) (*Store, error) {
	o = o.withDefaults()
	reads := o.Reads
	if reads == nil {
		reads = js
	}
	l, err := newLink(ctx, js, reads, o)
	if err != nil {
		return nil, err
	}
	return &Store{options: o, link: l, cold: make(chan struct{}, coldWalks), trim: newTrimmer(), pace: newPacer(), logs: map[*log]bool{}}, nil
}

// coldWalks bounds the histories that are read at a time: each cold one has the
// server load blocks of 8 MB.
const coldWalks = 2

// Open returns the log of a name, and makes it if there is none. It implements
// fsm.Checkpointer, and fsm.Leaser where other processes may reach it.
//
// It fails with a *DamageError if the log ends before the last position that is
// known to have been acknowledged, and with a *FormatError if a newer version
// of the program wrote it.
func (s *Store) Open(ctx context.Context, name string) (fsm.Log, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	l, err := openLog(ctx, s, name)
	if err != nil {
		return nil, fmt.Errorf("open the log of %q: %w", name, err)
	}
	s.mu.Lock()
	s.logs[l] = true
	s.mu.Unlock()
	if s.folder != nil {
		return l, nil
	}
	return &leasedLog{log: l}, nil
}

// Close closes all logs, and ends the server if it is the store's own. What was
// acknowledged is on disk then, whatever Options.Sync says.
func (s *Store) Close() error {
	s.mu.Lock()
	logs := s.logs
	s.logs, s.closed = map[*log]bool{}, true
	s.mu.Unlock()
	for l := range logs {
		l.end()
	}
	s.trim.close()
	closeAll(s.conns)
	if s.folder == nil {
		return nil
	}
	return s.folder.close()
}

func closeAll(conns []*nats.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// sound fails while what the server says may not be on the disk.
func (s *Store) sound() error {
	if s.folder == nil {
		return nil
	}
	_, err := s.folder.sound()
	return err
}

// giveUp ends the waits for answers that a server owes which is no more.
func (s *Store) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.logs {
		if cancel := l.waiting.Load(); cancel != nil {
			(*cancel)()
		}
	}
}

// room says whether so many bytes may be written.
func (s *Store) room(bytes int) error {
	if s.folder == nil {
		return nil
	}
	return s.folder.room(bytes)
}

// spare says whether so many bytes of a checkpoint may be written.
func (s *Store) spare(bytes int) error {
	if s.folder == nil {
		return nil
	}
	return s.folder.spare(bytes)
}
