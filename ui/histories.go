package ui

import (
	"context"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

const (
	// maxHistory bounds the records that a page shows: the last ones, or those
	// around the one that is asked for.
	maxHistory = 200
	// historyTime bounds asking for them.
	historyTime = 2 * time.Second
	// maxHistories bounds the instances whose records are kept; then all are
	// asked for again.
	maxHistories = 64
	// failedFor is how long is waited before a runtime that gave no history is
	// asked again: pages are made ten times a second.
	failedFor = 3 * time.Second
)

// histories asks runtimes for the records of instances, once for each version,
// however often a page is made.
type histories struct {
	mu    sync.Mutex // guards known
	known map[historyKey]history
}

type historyKey struct {
	runtimeID, id string
	version, seq  uint64
	first         uint64 // before the first record
}

type history struct {
	records []*fsm.Record
	err     error
	until   time.Time // of an error; zero for ever
}

func newHistories() *histories { return &histories{known: map[historyKey]history{}} }

// read returns the last records of an instance, oldest first, those that could
// be had before an error. Where at is a record before them, they are those
// around it.
func (h *histories) read(ctx context.Context, client Client, in *mesh.Instance, at uint64) ([]*fsm.Record, error) {
	after := in.Version - min(in.Version, maxHistory)
	if at > 0 && at <= after+1 {
		after = at - min(at, maxHistory/2)
	}
	key := historyKey{in.RuntimeID, in.ID, in.Version, in.Seq, after}
	h.mu.Lock()
	got, ok := h.known[key]
	h.mu.Unlock()
	if ok && (got.err == nil || time.Now().Before(got.until)) {
		return got.records, got.err
	}
	got = history{}
	got.records, got.err = readHistory(ctx, client, in, after)
	if ctx.Err() != nil {
		return got.records, got.err // says nothing about the runtime
	}
	if got.err != nil {
		got.until = time.Now().Add(failedFor)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= maxHistories {
		clear(h.known)
	}
	h.known[key] = got
	return got.records, got.err
}

func readHistory(ctx context.Context, client Client, in *mesh.Instance, after uint64) ([]*fsm.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	var records []*fsm.Record
	for len(records) < maxHistory {
		out, err := client.History(ctx, mesh.Target{ID: in.ID, RuntimeID: in.RuntimeID}, after, maxHistory-len(records))
		if err != nil {
			return records, err
		}
		if len(records) > 0 && out.Follows(after) != nil {
			records = nil // what was read is not kept any more
		}
		records = append(records, out.Records...)
		if !out.More || len(out.Records) == 0 {
			break
		}
		after = out.Records[len(out.Records)-1].Version
	}
	return records, nil
}
