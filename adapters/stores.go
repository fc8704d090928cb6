package adapters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
)

// A Store is a store that was opened by its URL.
type Store struct {
	fsm.Store
	// Kind says in words what it is, without a password.
	Kind string
	// Durability says in words what kind of store it is, without a place, and
	// when what is acknowledged is on disk.
	Durability string
	close      func() error
}

// Close closes the store and what it rests on. It comes after the runtimes that
// use it have stopped.
func (s *Store) Close() error { return s.close() }

// StoreOptions are what Stores needs besides the URL. The zero value is a good
// one.
type StoreOptions struct {
	// Sync says when a store in a folder has on disk what it acknowledges. For a
	// server that somebody else runs it is that server's setting.
	Sync jetstream.Sync
	// Reserve is how much room a folder keeps back, in bytes. Defaults to 64
	// MB; negative means none.
	Reserve int64
	// CheckpointEvery is the time between checkpoints, as
	// jetstream.Options.CheckpointEvery has it. Defaults to 2 minutes.
	CheckpointEvery time.Duration
	// Look opens a store that is there to look into it, as jetstream.Options.Look
	// does. A store in memory has nothing to be looked into.
	Look bool
	// Token is asked for by the server of a nats URL, where it asks for one.
	Token string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// ErrStoreURL is returned by Stores for a URL that names no store.
var ErrStoreURL = errors.New("no store has this URL")

// Stores opens the store that a URL names:
//
//	memory                       in memory: it ends with the process
//	jetstream:FOLDER             in a folder, with a server inside the process
//	jetstream:nats://HOST:PORT   in the JetStream of a server or mesh node
//
// The context bounds the opening only. An error never repeats the URL: it may
// hold a password.
func Stores(ctx context.Context, url string, o StoreOptions) (*Store, error) {
	rest, isJetStream := strings.CutPrefix(url, "jetstream:")
	switch {
	case isJetStream && (rest == "~" || strings.HasPrefix(rest, "~/")):
		return nil, fmt.Errorf("%w: the ~ of jetstream:~/… is left to shells, which do not see it there; give the folder from the root on, or ./~ for one of that name", ErrStoreURL)
	case url == "memory":
		return &Store{fsm.NewMemoryStore(), "memory", "memory: ends with the process", func() error { return nil }}, nil
	case isJetStream && (strings.HasPrefix(rest, "nats://") || strings.HasPrefix(rest, "tls://")):
		return remoteStore(ctx, rest, o)
	case isJetStream && rest != "" && !strings.Contains(rest, "://"):
		s, err := jetstream.OpenFolder(ctx, rest, jetstream.Options{Sync: o.Sync, Reserve: o.Reserve, CheckpointEvery: o.CheckpointEvery, Look: o.Look, Logger: o.Logger})
		if err != nil {
			return nil, err
		}
		return &Store{s, "jetstream in " + rest, "folder: sync " + o.Sync.String(), s.Close}, nil
	}
	scheme, _, _ := strings.Cut(url, ":")
	return nil, fmt.Errorf("%w: it begins with %q; give memory, jetstream:FOLDER or jetstream:nats://HOST:PORT", ErrStoreURL, scheme)
}

// remoteStore connects twice, so that what reads much does not hold commits up.
func remoteStore(ctx context.Context, url string, o StoreOptions) (*Store, error) {
	var conns []*nats.Conn
	closeAll := func() {
		for _, c := range conns {
			c.Close()
		}
	}
	var js [2]natsjs.JetStream
	for i, what := range []string{"commits", "reads"} {
		// What could not be sent at once must not be sent later.
		options := []nats.Option{nats.Name("fsmesh store: " + what), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1)}
		if o.Token != "" {
			options = append(options, nats.Token(o.Token))
		}
		c, err := nats.Connect(url, options...)
		if err != nil {
			closeAll()
			return nil, fmt.Errorf("connect to the store's server: %w", err)
		}
		conns = append(conns, c)
		if js[i], err = natsjs.New(c); err != nil {
			closeAll()
			return nil, err
		}
	}
	at := conns[0].ConnectedUrlRedacted() // of a closed one it is empty
	s, err := jetstream.New(ctx, js[0], jetstream.Options{Reads: js[1], CheckpointEvery: o.CheckpointEvery, Look: o.Look, Logger: o.Logger})
	if err != nil {
		closeAll()
		return nil, fmt.Errorf("store at %s: %w", at, err)
	}
	return &Store{s, "jetstream at " + at, "JetStream elsewhere: sync as its server has it", func() error {
		err := s.Close()
		closeAll()
		return err
	}}, nil
}
