package fsm

import (
	"context"
	"iter"
	"time"
)

// A Store holds one log for each runtime Name. Stores are used by any number
// of goroutines. The suite in fsmtest says what "works" means for one.
type Store interface {
	// Open returns the log of a Name for reading, and makes it if there is
	// none. Any number of openers may read a log; only who claimed it last
	// may append.
	Open(ctx context.Context, name string) (Log, error)
}

// A Log is one runtime's records in the order in which they were stored.
//
// The order of calls is Open, Restore, Claim, then Append and History as often
// as wanted. A Log is used by one committer and any number of readers at a
// time.
type Log interface {
	// ID is the log's own random id, made with it and never changed.
	ID() string
	// LastClaim returns the claim in force when the log was opened; its epoch
	// is 0 if nobody has claimed it yet.
	LastClaim() Claim
	// Restore reads what is needed to continue: snapshots of instances first,
	// then later records in the order of appending, and what else is open. It
	// remembers the position that it read up to.
	Restore(ctx context.Context) iter.Seq2[Restored, error]
	// Claim makes this opener the one that may append, at the position that
	// Restore read up to. Its epoch is the highest of the last epoch + 1 and
	// the present time in ms, so that epochs only grow even where a store was
	// lost. It fails with ErrConflict if the log has moved on since: read on
	// with Restore, then try again. by is shown to whoever is fenced by it.
	Claim(ctx context.Context, by string) (Claim, error)
	// Append stores a batch, all or nothing. It is idempotent: a batch whose
	// records are stored already counts as written, so that an append that
	// failed with ErrUnknownOutcome can be repeated; the runtime does so until
	// it knows. After any other error nothing of the batch is stored. It fails with ErrFenced if anybody else
	// has claimed the log since, and with ErrConflict (naming the instance) if
	// a record's version is not the stored version + 1; nothing is stored
	// then. Records may be kept: they are never changed.
	Append(ctx context.Context, b Batch) error
	// History yields the stored records of one instance in the order of
	// versions, beginning with the one after version `after`.
	History(ctx context.Context, instance string, after uint64) iter.Seq2[*Record, error]
	// Retain drops records that are older than the time and that no live
	// instance needs: those of ended instances, and those before the last
	// snapshot of others. A record with an effect that is still open stays.
	Retain(ctx context.Context, before time.Time) error
	// Waits reports whether Append takes long enough (it syncs, it crosses a
	// network) that shards should go on meanwhile.
	Waits() bool
	// Close releases what the log holds; it does not give up the claim.
	Close() error
}

// A Claim says who may append to a log.
type Claim struct {
	// Epoch only grows.
	Epoch uint64 `json:"epoch"`
	// By names the process in words: host and process id, say.
	By string `json:"by"`
	// At is when the claim was made, in Unix milliseconds.
	At int64 `json:"at"`
}

// A Batch is what one commit stores.
type Batch struct {
	// Records are in the order in which their steps were taken.
	Records []*Record
	// Done are effects that led to no record: the event was ignored, or there
	// was nobody to deliver it to.
	Done []EffectID
}

// A Restored is one thing that a log gives back. One field is set.
type Restored struct {
	// Snapshot is an instance that need not be replayed from its creation.
	Snapshot *Snapshot
	// Record is to be applied to its instance if its version is the
	// instance's + 1, and skipped if it is lower.
	Record *Record
	// Done is an effect that led to no record.
	Done *EffectID
}
