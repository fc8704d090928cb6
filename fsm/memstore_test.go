package fsm_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// claimedMemory returns a store and its log "x", claimed.
func claimedMemory(t *testing.T) (*fsm.MemoryStore, fsm.Log) {
	t.Helper()
	s := fsm.NewMemoryStore()
	log, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range log.Restore(t.Context()) {
		t.Fatalf("a new log yields something (%v)", err)
	}
	if _, err := log.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return s, log
}

func memoryRecord(instance string, version uint64, snapshot bool) *fsm.Record {
	r := &fsm.Record{Kind: fsm.KindTransition, Instance: instance, Version: version, After: "S", Time: 1}
	if version == 1 {
		r.Kind, r.Origin = fsm.KindCreated, &fsm.RecordOrigin{}
	}
	if snapshot {
		r.Snapshot = &fsm.Snapshot{Instance: instance, Version: version, State: "S"}
	}
	return r
}

func TestMemoryStoreShowsRecordsAndSnapshots(t *testing.T) {
	t.Parallel()
	s, log := claimedMemory(t)
	if got := s.Records("nobody's"); got != nil {
		t.Errorf("records of an unknown name: %v", got)
	}
	if got := s.Snapshots("nobody's"); got != nil {
		t.Errorf("snapshots of an unknown name: %v", got)
	}
	records := []*fsm.Record{
		memoryRecord("b", 1, false), memoryRecord("a", 1, false), memoryRecord("c", 1, false),
		memoryRecord("a", 2, true), memoryRecord("b", 2, true), memoryRecord("a", 3, true), memoryRecord("a", 4, false),
	}
	if err := log.Append(t.Context(), fsm.Batch{Records: records}); err != nil {
		t.Fatal(err)
	}
	if got := s.Records("x"); !slices.Equal(got, records) {
		t.Errorf("records: got %v, want the very ones that were appended, %v", got, records)
	}
	want := []*fsm.Snapshot{records[4].Snapshot, records[5].Snapshot}
	if got := s.Snapshots("x"); !slices.Equal(got, want) {
		t.Errorf("snapshots: got %v, want the latest in the order of creation, %v", got, want)
	}
	if err := log.Retain(t.Context(), cutAt(time.UnixMilli(2))); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Records("x"), slices.Concat(records[2:3], records[4:]); !slices.Equal(got, want) {
		t.Errorf("records after Retain: got %v, want %v", got, want)
	}
	if got := s.Snapshots("x"); !slices.Equal(got, want) {
		t.Errorf("snapshots after Retain: got %v, want %v", got, want)
	}
}

func TestMemoryStoreTellsRecordsOfOneVersionApart(t *testing.T) {
	t.Parallel()
	_, log := claimedMemory(t)
	first := memoryRecord("a", 1, false)
	if err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{first}}); err != nil {
		t.Fatal(err)
	}
	other := *first
	other.After = "elsewhere"
	err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{&other}})
	if !errors.Is(err, fsm.ErrConflict) {
		t.Errorf("append of another record in place of one that is stored: %v, want ErrConflict", err)
	}
}

func TestMemoryStoreClosed(t *testing.T) {
	t.Parallel()
	s, log := claimedMemory(t)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{memoryRecord("a", 1, false)}}); err == nil {
		t.Error("append to a closed log succeeds")
	}
	if _, err := log.Claim(t.Context(), "test"); err == nil {
		t.Error("claim of a closed log succeeds")
	}
	if err := log.Retain(t.Context(), cutAt(time.Now())); err == nil {
		t.Error("retain of a closed log succeeds")
	}
	ends := func(what string, n int, err error) {
		if n != 1 || err == nil {
			t.Errorf("%s of a closed log yields %d times, last error %v", what, n, err)
		}
	}
	n, last := 0, error(nil)
	for _, err := range log.Restore(t.Context()) {
		n, last = n+1, err
	}
	ends("restore", n, last)
	n, last = 0, nil
	for _, err := range log.History(t.Context(), "a", 0) {
		n, last = n+1, err
	}
	ends("history", n, last)
	if got := s.Records("x"); len(got) != 0 {
		t.Errorf("%d records are stored", len(got))
	}
}

func cutAt(t time.Time) func(component, machine string) fsm.Cut {
	return func(string, string) fsm.Cut { return fsm.Cut{Ended: t, Records: t} }
}
