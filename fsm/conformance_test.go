package fsm_test

import (
	"os"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

// conformance runs all scenarios of testdata/conformance, or of the folder that
// FSMESH_CONFORMANCE_DIR names, each as a test named for its file.
func conformance(t *testing.T, o fsmtest.RunOptions) {
	t.Helper()
	t.Parallel()
	folder := os.Getenv("FSMESH_CONFORMANCE_DIR")
	if folder == "" {
		folder = "testdata/conformance"
	}
	scenarios, err := fsmtest.LoadScenarios(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			fsmtest.Run(t, s, o)
		})
	}
}

// One shard that takes everything strictly in order gives the order of the
// specification over all instances.
func TestConformance(t *testing.T) {
	conformance(t, fsmtest.RunOptions{Shards: 1, Ordered: true})
}

// With several shards the order is that of each instance.
func TestConformanceShards(t *testing.T) {
	conformance(t, fsmtest.RunOptions{Shards: 8, PerInstance: true})
}

// Notices equal the trace less what is told of methods, for each instance.
func TestConformanceNotices(t *testing.T) {
	conformance(t, fsmtest.RunOptions{Shards: 1, Ordered: true, Notices: true})
}

// A store that takes its time changes nothing.
func TestConformanceSlowStore(t *testing.T) {
	slow := func(s fsm.Store) fsm.Store { return fsmtest.SlowStore(s, time.Millisecond) }
	conformance(t, fsmtest.RunOptions{Shards: 1, Ordered: true, Store: slow})
}
