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
// The order of calls is Open, Restore, Claim, Restore for the rest, then Append
// and History as often as wanted. A Log is used by one committer and any number of readers at a
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
	// Claim makes this opener the one that may append: it takes its place at
	// the end of the log, wherever that is by then, and nothing of who wrote
	// before can follow. What was appended after the position that Restore read
	// up to is read on with Restore before the first Append, which fails with
	// ErrConflict otherwise. The claim's epoch is the highest of the last epoch
	// + 1 and the present time in ms, so that epochs only grow even where a
	// store was lost. It fails with ErrConflict if there is a claim that Restore
	// has not read: somebody else was quicker, and may be alive. by is shown to
	// whoever is fenced by it.
	Claim(ctx context.Context, by string) (Claim, error)
	// Append stores a batch, all or nothing. It is idempotent: a batch whose
	// records are stored already counts as written, so that an append that
	// failed with ErrUnknownOutcome can be repeated; the runtime does so until
	// it knows. After any other error nothing of the batch is stored. It fails with ErrFenced if anybody else
	// has claimed the log since, and with ErrConflict (naming the instance) if
	// a record's version is not the stored version + 1; nothing is stored
	// then. Records may be kept: they are never changed, but for a Borrower.
	Append(ctx context.Context, b Batch) error
	// History yields the stored records of one instance in the order of
	// versions, beginning with the one after version `after`. It is asked
	// before an id or key is used that is not known, so for an id without
	// records it has to be quick.
	History(ctx context.Context, instance string, after uint64) iter.Seq2[*Record, error]
	// Caused yields the records whose CausedBy is id, of any instance of this
	// log, in the order of appending; also those that another runtime's record
	// led to here.
	Caused(ctx context.Context, id RecordID) iter.Seq2[*Record, error]
	// Ended yields the last state of the instances that have ended and are
	// still kept, in no order. Those that ended while it runs may be missing.
	Ended(ctx context.Context) iter.Seq2[*Snapshot, error]
	// Retain drops what is older than the cut of its machine and that no live
	// instance needs: ended instances, and records before the last snapshot or
	// checkpoint of others. A record with an effect that is still open stays.
	// A store that can drop only the beginning of its log may keep more.
	Retain(ctx context.Context, cut func(component, machine string) Cut) error
	// Waits reports whether Append takes long enough (it syncs, it crosses a
	// network) that shards should go on meanwhile.
	Waits() bool
	// Close releases what the log holds; it does not give up the claim.
	Close() error
}

// A Cut says what of a machine is too old to be kept. A zero time keeps all.
type Cut struct {
	// Ended: instances that ended before it are dropped with their records.
	Ended time.Time
	// Records: records before it are dropped.
	Records time.Time
}

// A Borrower is a Log that has done with a plain record once Append has returned
// nil: one that neither creates nor ends its instance and has no effects. Their
// memory is used again then for later records.
type Borrower interface {
	Log
	// Borrows reports whether that is so.
	Borrows() bool
}

// An Encoder is a Borrower that wants plain records in the form in which it stores
// them: the shard has all of a record at hand when it makes it, which would have to
// be brought together again later.
type Encoder interface {
	Borrower
	// Encode appends that form. It is called by many goroutines at a time, and
	// keeps nothing of the record.
	Encode(b []byte, r *Record) []byte
}

// A Checkpointer is a Log that writes down from time to time where its
// instances stand, on a schedule of its own, so that Restore need not begin at
// the first record. It does so from Checkpoint on until Close.
type Checkpointer interface {
	Log
	// Checkpoint hands over what the log may ask. It is called once, after
	// Claim, when all that was restored is in the tables.
	Checkpoint(of CheckpointSource)
	// Flush writes checkpoints of all that changed since the last ones, until
	// it is done or the context ends, whose error it returns then. A restore
	// never needs them: it is quicker with them.
	Flush(ctx context.Context) error
}

// A CheckpointSource is the runtime as a Checkpointer sees it. It may be used
// by any goroutine, but not from within Append, which it waits for.
type CheckpointSource interface {
	// Snapshots returns those instances of the ids that are in the tables or
	// quarantined, as they are committed: what had been appended before the
	// call is in them, and what was appended since may be. One that is missing
	// has ended, perhaps since the call: its last record says so. It fails once
	// the runtime has stopped.
	Snapshots(ctx context.Context, ids []string) ([]*Snapshot, error)
	// Remembers reports whether the effect of another runtime may come again.
	// What is not remembered need not be kept.
	Remembers(id RemoteID) bool
}

// A Leaser is a Log that several processes can reach. Who has claimed it
// renews a lease, so that others know that it is alive and stand by. Safety
// does not rest on it but on the claim.
type Leaser interface {
	Log
	// Lease returns the lease as it is now; the zero Lease if there is none.
	Lease(ctx context.Context) (Lease, error)
	// Renew says that this opener is alive. It fails with ErrFenced if
	// somebody else holds the lease since.
	Renew(ctx context.Context) error
	// Release gives the lease up, so that nobody waits for its end.
	Release(ctx context.Context) error
}

// A Lease says who was last seen alive with the claim on a log.
type Lease struct {
	Claim
	// Seen is when it was last renewed, by the store's clock or, where that
	// has none, the holder's. Zero if it was released.
	Seen time.Time
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
	// Chosen are the targets of effects of other runtimes, stored before the
	// first of them gets the event.
	Chosen []ChosenTargets
}

// ChosenTargets says for whom an effect of another runtime is: that is decided
// once, when it first comes.
type ChosenTargets struct {
	Effect  RemoteID `json:"effect"`
	Targets []string `json:"targets"`
}

// A Restored is one thing that a log gives back. One field is set.
type Restored struct {
	// Snapshot is an instance that need not be replayed from its creation.
	Snapshot *Snapshot
	// Record is to be applied to its instance if its version is the
	// instance's + 1, and skipped if it is lower. Its event's payload may be
	// left out: no replay needs it.
	Record *Record
	// Done is an effect that led to no record.
	Done *EffectID
	// Chosen are the targets of another runtime's effect.
	Chosen *ChosenTargets
	// Applied is a target that has got another runtime's effect, in a record
	// that is not yielded.
	Applied *AppliedEffect
}

// An AppliedEffect says that an instance has got an effect of another runtime.
type AppliedEffect struct {
	Effect   RemoteID `json:"effect"`
	Instance string   `json:"instanceId"`
}
