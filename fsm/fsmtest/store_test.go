package fsmtest_test

import (
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	fsmtest.TestStore(t, func(*testing.T) fsm.Store { return fsm.NewMemoryStore() },
		fsmtest.StoreOptions{Lacks: []fsmtest.Guarantee{fsmtest.Survival}})
}

// The memory store is the same after all is closed, which is enough to check
// the suite's own tests of survival.
func TestMemoryStoreReopened(t *testing.T) {
	t.Parallel()
	fsmtest.TestStore(t, func(*testing.T) fsm.Store { return fsm.NewMemoryStore() },
		fsmtest.StoreOptions{Reopen: func(_ *testing.T, s fsm.Store) fsm.Store { return s }})
}

func TestSlowStoreIsAStore(t *testing.T) {
	t.Parallel()
	fsmtest.TestStore(t, func(*testing.T) fsm.Store { return fsmtest.SlowStore(fsm.NewMemoryStore(), 100*time.Microsecond) },
		fsmtest.StoreOptions{Lacks: []fsmtest.Guarantee{fsmtest.Survival}})
}

func TestCountingStoreIsAStore(t *testing.T) {
	t.Parallel()
	fsmtest.TestStore(t, func(*testing.T) fsm.Store { return fsmtest.CountingStore(fsm.NewMemoryStore()) },
		fsmtest.StoreOptions{Lacks: []fsmtest.Guarantee{fsmtest.Survival}})
}
