package jetstream

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Options change how a store works. The zero value is a good one.
type Options struct {
	// Sync says when the embedded server has what it acknowledges on disk.
	// Defaults to SyncAlways. For a JetStream that somebody else runs it is
	// that server's setting (sync_interval), and not looked at.
	Sync Sync
	// Reserve is how much room the folder keeps back for bad times, in bytes: a
	// file of that size that is deleted when nothing else helps. Batches are
	// refused while less than half of it is free beside it. Defaults to 64 MB;
	// negative means none, and no check.
	Reserve int64
	// CheckpointEvery is the time and CheckpointRecords the number of records
	// after which all that changed is written down again, whichever comes
	// first. They default to 2 minutes and 3,000,000.
	CheckpointEvery   time.Duration
	CheckpointRecords int
	// CheckpointRate bounds the checkpoints of buckets a second. Defaults to 50, also
	// where it is negative.
	CheckpointRate int
	// Look opens a store that is there, to look into it with Info and Verify: if
	// there is none that is an ErrNoStore, and none is made. Of a folder it is a
	// copy that is opened, in the folder for temporary files: nothing in the
	// folder changes, and what is written to the store is lost.
	Look bool
	// Timeout bounds the wait for the answer to one commit. Defaults to 10 s.
	Timeout time.Duration
	// Replicas of the streams, if they are made by this call. Defaults to 1.
	Replicas int
	// Reads is a second connection to the same JetStream, so that what reads
	// much does not hold commits up. Without it there is one for all. The
	// embedded store has its own.
	Reads jetstream.JetStream
	// Logger gets what goes wrong with nobody left to tell. Defaults to
	// slog.Default().
	Logger *slog.Logger

	freeSpace func(dir string) (uint64, bool) // for tests
	partSize  int                             // of a checkpoint's parts, in bytes, for tests
}

// A Sync says when what is acknowledged is on disk.
type Sync struct {
	mode  syncMode
	every time.Duration
}

type syncMode int

const (
	syncAlways syncMode = iota
	syncInterval
	syncNone
)

// SyncAlways has it on disk before it is acknowledged: nothing is lost in a
// power cut.
var SyncAlways = Sync{}

// SyncNone leaves it to the operating system: a power cut may lose what was
// acknowledged in the last half minute or so; the end of the process loses
// nothing.
var SyncNone = Sync{mode: syncNone}

// SyncEvery has it on disk after the interval at the latest: a power cut may
// lose what was acknowledged in the last interval; the end of the process loses
// nothing. An interval of zero is SyncAlways.
func SyncEvery(interval time.Duration) Sync {
	if interval <= 0 {
		return SyncAlways
	}
	return Sync{syncInterval, interval}
}

// String is what a user would write for it: always, none, or an interval.
func (s Sync) String() string {
	switch s.mode {
	case syncInterval:
		return "every " + s.every.String()
	case syncNone:
		return "none"
	}
	return "always"
}

func (o Options) withDefaults() Options {
	o.Reserve = cmp.Or(o.Reserve, 64<<20)
	o.CheckpointEvery = cmp.Or(o.CheckpointEvery, 2*time.Minute)
	o.CheckpointRecords = cmp.Or(o.CheckpointRecords, 3_000_000)
	o.CheckpointRate = cmp.Or(max(o.CheckpointRate, 0), 50)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Replicas = cmp.Or(o.Replicas, 1)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.partSize = cmp.Or(o.partSize, maxPart)
	if o.freeSpace == nil {
		o.freeSpace = freeSpace
	}
	return o
}
