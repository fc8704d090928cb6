package fsmtest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

func claimedLog(t *testing.T, s fsm.Store) fsm.Log {
	t.Helper()
	log, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for range log.Restore(t.Context()) {
	}
	if _, err := log.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return log
}

func creation(instance string) fsm.Batch {
	return fsm.Batch{
		Records: []*fsm.Record{{Kind: fsm.KindCreated, Instance: instance, Version: 1, Origin: &fsm.RecordOrigin{}}},
		Done:    []fsm.EffectID{{Record: fsm.RecordID{Instance: "far", Version: 1}}},
	}
}

func TestFlakyStoreFailsByTurns(t *testing.T) {
	t.Parallel()
	memory := fsm.NewMemoryStore()
	log := claimedLog(t, fsmtest.FlakyStore(memory, 2))
	var failed, unknown []string
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := log.Append(t.Context(), creation(id)); errors.Is(err, fsmtest.ErrFlaky) {
			failed = append(failed, id)
			if errors.Is(err, fsm.ErrUnknownOutcome) {
				unknown = append(unknown, id)
			}
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"b", "d", "f"}; !slices.Equal(failed, want) {
		t.Errorf("failed: %v, want %v", failed, want)
	}
	if want := []string{"d"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown outcomes: %v, want %v", unknown, want)
	}
	var stored []string
	for _, r := range memory.Records("x") {
		stored = append(stored, r.Instance)
	}
	if want := []string{"a", "c", "d", "e"}; !slices.Equal(stored, want) {
		t.Errorf("stored: %v, want %v: the second failure comes after storing", stored, want)
	}
}

func TestSlowStoreWaits(t *testing.T) {
	t.Parallel()
	memory := fsm.NewMemoryStore()
	log := claimedLog(t, fsmtest.SlowStore(memory, time.Hour))
	if !log.Waits() {
		t.Error("a slow store does not say that it waits")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Append(ctx, creation("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("append that is given up: %v", err)
	}
	log = claimedLog(t, fsmtest.SlowStore(memory, 20*time.Millisecond))
	start := time.Now()
	if err := log.Append(t.Context(), creation("a")); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("append took %v", took)
	}
	if n := len(memory.Records("x")); n != 1 {
		t.Errorf("%d records are stored, want 1", n)
	}
}

func TestCountingStoreCounts(t *testing.T) {
	t.Parallel()
	s := fsmtest.CountingStore(fsm.NewMemoryStore())
	log := claimedLog(t, s)
	if log.Waits() {
		t.Error("a counting store waits")
	}
	for _, id := range []string{"a", "b"} {
		if err := log.Append(t.Context(), creation(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Append(t.Context(), fsm.Batch{Records: []*fsm.Record{{Instance: "c", Version: 9}}}); err == nil {
		t.Error("a version out of the blue is stored")
	}
	if s.Batches() != 2 || s.Records() != 2 || s.Done() != 2 {
		t.Errorf("counted %d batches, %d records, %d marks, want 2 of each", s.Batches(), s.Records(), s.Done())
	}
}
