package jetstream_test

import (
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

// scenarios runs all of them on stores in folders, also those that do not ask
// for a store.
func scenarios(t *testing.T, o jetstream.Options, run fsmtest.RunOptions) {
	t.Helper()
	t.Parallel()
	list, err := fsmtest.LoadScenarios("../../fsm/testdata/conformance")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			run := run
			run.Store = func(memory fsm.Store) fsm.Store {
				if _, ok := memory.(*fsm.MemoryStore); !ok {
					return memory // keeps snapshots only: that is what the scenario is about
				}
				return fsmtest.MirrorStore(openFolder(t, t.TempDir(), o), memory)
			}
			fsmtest.Run(t, s, run)
		})
	}
}

func TestScenarios(t *testing.T) {
	scenarios(t, fast, fsmtest.RunOptions{Shards: 1, Ordered: true})
}

// With checkpoints all the time, restarts begin with them.
func TestScenariosWithCheckpoints(t *testing.T) {
	o := fast
	o.CheckpointEvery, o.CheckpointRate = time.Millisecond, 1000
	scenarios(t, o, fsmtest.RunOptions{Shards: 1, Ordered: true})
}
