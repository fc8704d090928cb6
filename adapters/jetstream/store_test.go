package jetstream_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(retainingEnv); dir != "" {
		if err := appendAndDrop(context.Background(), dir, os.Getenv("FSMESH_TEST_SYNC")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Each run of the property opens many folders. -rapid.checks sets another
	// number.
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m,
		// The server keeps two goroutines for the whole process.
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*ipQueue).unregister"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"))
}

// openFolder opens a store for a test, and closes it at the test's end.
func openFolder(t *testing.T, dir string, o jetstream.Options) *jetstream.Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Reserve == 0 {
		o.Reserve = -1
	}
	s, err := jetstream.OpenFolder(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// fast is for tests that are not about what survives a power cut.
var fast = jetstream.Options{Sync: jetstream.SyncNone}

func TestStore(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	dirs := map[fsm.Store]string{}
	open := func(t *testing.T) fsm.Store {
		dir := t.TempDir()
		s := openFolder(t, dir, fast)
		mu.Lock()
		defer mu.Unlock()
		dirs[s] = dir
		return s
	}
	reopen := func(t *testing.T, s fsm.Store) fsm.Store {
		if err := s.(*jetstream.Store).Close(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		dir := dirs[s]
		mu.Unlock()
		return openFolder(t, dir, fast)
	}
	fsmtest.TestStore(t, open, fsmtest.StoreOptions{Reopen: reopen, Lacks: []fsmtest.Guarantee{fsmtest.OldRecords}})
}
