package jetstream

import (
	"errors"
	"fmt"

	"github.com/fsmesh/fsmesh/internal/natsserver"
)

// ErrDataInUse is returned by OpenFolder when another process uses the folder.
var ErrDataInUse = natsserver.ErrDataInUse

var (
	// ErrNoStore is returned where Options.Look asks for a store that is there,
	// and there is none.
	ErrNoStore = errors.New("there is no store")
	// ErrClosed is returned for calls on a store or log that was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrStoreFull is returned, in a *FullError, for a batch that is refused
	// because the disk is nearly full. Nothing of it is stored.
	ErrStoreFull = errors.New("store_full")
	// ErrTooLarge is returned for a batch that does not fit into one message.
	ErrTooLarge = errors.New("the batch is too large for one message")
	// ErrUnavailable is returned while the JetStream does not answer. Nothing of
	// the batch is stored; the store goes on by itself once it is back.
	ErrUnavailable = errors.New("the JetStream is not available")
	// ErrPurged is returned by Restore to a reader that has not read on for
	// longer than the log keeps records: open the log anew.
	ErrPurged = errors.New("what comes next was dropped meanwhile: open the log anew")
)

var (
	errTruncated = errors.New("the data ends too early")
	errStuck     = errors.New("the server does not hand out a message that it says it has: it cannot read it")
	errSum       = errors.New("the checksum is wrong")
	errForm      = errors.New("the data has a form that nobody writes")
	errDropped   = errors.New("some of the records were dropped, as too old, while they were read: ask again")
)

// A FullError says how much room there is and how much has to be. It is an
// ErrStoreFull.
type FullError struct {
	Folder string
	// Free and Need are in bytes.
	Free, Need uint64
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%v: %d MB are free at %s, and %d MB must stay free: make room, the store then goes on by itself",
		ErrStoreFull, e.Free>>20, e.Folder, e.Need>>20)
}

// Is makes it an ErrStoreFull.
func (e *FullError) Is(target error) bool { return target == ErrStoreFull }

// A FormatError is returned for what a newer version of the program wrote.
type FormatError struct {
	Name string // of the log
	What string
	// Found and Known are format versions.
	Found, Known int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("log %q: %s has format %d, and this program knows formats up to %d: use the version that wrote it, or a newer one",
		e.Name, e.What, e.Found, e.Known)
}

// A DamageError says that something of a log is missing or cannot be read. The
// log is not restored then, since the result would be wrong.
type DamageError struct {
	Name string // of the log
	// First and Last are the positions between which frames are missing or one
	// cannot be read; FirstFrame and LastFrame their numbers.
	First, Last           uint64
	FirstFrame, LastFrame uint64
	// Records is how many records are missing, 0 if that is not known.
	Records uint64
	// Instances are up to ten of those concerned, where that is known.
	Instances []string
	buckets   []int // only instances of these are concerned; nil: of any
	// Problem says it in words.
	Problem string
	Err     error
}

func (e *DamageError) Error() string {
	s := fmt.Sprintf("log %q is damaged: %s", e.Name, e.Problem)
	if e.Last > 0 || e.LastFrame > 0 {
		s += fmt.Sprintf(" (positions %d to %d, frames %d to %d)", e.First, e.Last, e.FirstFrame, e.LastFrame)
	}
	if e.Records > 0 {
		s += fmt.Sprintf("; %d records are concerned", e.Records)
	}
	if len(e.Instances) > 0 {
		s += fmt.Sprintf("; among them of the instances %q", e.Instances)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + ". Bring the folder back from a backup; `fsmesh store verify` lists all that is wrong"
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }
