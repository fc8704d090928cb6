package fsmtest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Guarantee is a promise of fsm.Store that not every store can keep.
type Guarantee string

// The guarantees that a store may lack.
const (
	// VersionCheck: a record whose version is not the stored version + 1 is
	// refused, with its whole batch.
	VersionCheck Guarantee = "versions are checked"
	// Survival: a store that was closed and opened again has everything.
	Survival Guarantee = "survives being closed"
	// Retention: Retain drops the instances that ended too long ago, and nothing
	// that is needed or that is to be kept.
	Retention Guarantee = "drops what has ended"
	// OldRecords: Retain drops each record that is too old, wherever it lies. A
	// store that drops only the beginning of its log does not.
	OldRecords Guarantee = "drops old records one by one"
)

// StoreOptions says what TestStore has to know about a store.
type StoreOptions struct {
	// Lacks lists the guarantees that the store does not give. They are not
	// checked, and shown as lacking in the log of the test.
	Lacks []Guarantee
	// Reopen closes a store and opens it again, as a new process would. Nil
	// for a store that lacks Survival.
	Reopen func(t *testing.T, s fsm.Store) fsm.Store
}

// TestStore checks that a store keeps what fsm.Store promises. open returns a
// store that is ready for use, and cleans up after the test; it may return the
// same one each time, as every test uses names of its own.
func TestStore(t *testing.T, open func(t *testing.T) fsm.Store, o StoreOptions) {
	t.Helper()
	suite := &storeSuite{open: open, options: o}
	if o.Reopen == nil && suite.holds(Survival) {
		t.Fatal("StoreOptions.Reopen is needed to check that the store survives")
	}
	var table strings.Builder
	for _, g := range []Guarantee{VersionCheck, Survival, Retention, OldRecords} {
		held := "held"
		if !suite.holds(g) {
			held = "not held"
		}
		table.WriteString("\n  " + string(g) + ": " + held)
	}
	t.Log("guarantees" + table.String())
	t.Run("claim", suite.claims)
	t.Run("append", suite.appends)
	t.Run("restore", suite.restores)
	t.Run("history", suite.histories)
	t.Run("caused", suite.causes)
	t.Run("ended", suite.ends)
	t.Run("checkpoint", suite.checkpoints)
	t.Run("lease", suite.leases)
	if suite.holds(Retention) {
		t.Run("retain", suite.retention)
	}
	t.Run("concurrent", suite.concurrency)
}

type storeSuite struct {
	open    func(t *testing.T) fsm.Store
	options StoreOptions
}

func (s *storeSuite) holds(g Guarantee) bool { return !slices.Contains(s.options.Lacks, g) }

// run runs a test with a store and the name of a log that nobody has used.
func (s *storeSuite) run(t *testing.T, title string, f func(t *testing.T, st fsm.Store, name string)) {
	t.Helper()
	t.Run(strings.ReplaceAll(title, " ", "_"), func(t *testing.T) {
		t.Parallel()
		f(t, s.open(t), title+" "+rand.Text())
	})
}

// opened opens a log for reading.
func opened(t *testing.T, st fsm.Store, name string) fsm.Log {
	t.Helper()
	log, err := st.Open(t.Context(), name)
	if err != nil {
		t.Fatalf("open %q: %v", name, err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("close %q: %v", name, err)
		}
	})
	return log
}

// claimed opens a log and claims it.
func claimed(t *testing.T, st fsm.Store, name string) fsm.Log {
	t.Helper()
	log := opened(t, st, name)
	claim(t, log)
	return log
}

// claim reads a log to its end and claims it, again if it moves meanwhile.
func claim(t *testing.T, log fsm.Log) fsm.Claim {
	t.Helper()
	for range 100 {
		restore(t, log)
		c, err := log.Claim(t.Context(), t.Name())
		if err == nil {
			return c
		}
		if !errors.Is(err, fsm.ErrConflict) {
			t.Fatalf("claim: %v", err)
		}
	}
	t.Fatal("claim: the log moved on 100 times")
	return fsm.Claim{}
}

// restore reads all that a log yields now.
func restore(t *testing.T, log fsm.Log) []fsm.Restored {
	t.Helper()
	var out []fsm.Restored
	for r, err := range log.Restore(t.Context()) {
		if err != nil {
			t.Fatalf("restore: %v", err)
		}
		n := 0
		for _, set := range []bool{r.Snapshot != nil, r.Record != nil, r.Done != nil, r.Chosen != nil, r.Applied != nil} {
			if set {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("restore yields %d things at once: %+v", n, r)
		}
		if last := len(out) - 1; r.Snapshot != nil && last >= 0 && out[last].Snapshot == nil {
			t.Errorf("the snapshot of %q comes after a record", r.Snapshot.Instance)
		}
		out = append(out, r)
	}
	return out
}

// add appends records as one batch.
func add(t *testing.T, log fsm.Log, records ...*fsm.Record) {
	t.Helper()
	addBatch(t, log, fsm.Batch{Records: records})
}

func addBatch(t *testing.T, log fsm.Log, b fsm.Batch) {
	t.Helper()
	if err := log.Append(t.Context(), b); err != nil {
		t.Fatalf("append %d records and %d marks: %v", len(b.Records), len(b.Done), err)
	}
}

// history returns the records of an instance after a version.
func history(t *testing.T, log fsm.Log, instance string, after uint64) []*fsm.Record {
	t.Helper()
	out, err := readHistory(t.Context(), log, instance, after)
	if err != nil {
		t.Fatalf("history of %q: %v", instance, err)
	}
	return out
}

func readHistory(ctx context.Context, log fsm.Log, instance string, after uint64) ([]*fsm.Record, error) {
	var out []*fsm.Record
	for r, err := range log.History(ctx, instance, after) {
		if err != nil {
			return out, err
		}
		out = append(out, r)
	}
	return out, nil
}
