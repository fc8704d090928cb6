package mesh

import (
	"encoding/json"
	"time"
)

// A Message is one of the bodies that runtimes and directories send each
// other: *Announce, *Heartbeat, *Goodbye, *Beacon, *Discover, *Notices,
// *RepairRequest, *RepairReply, *PageRequest, *PageReply, *BridgeStatus; or *Echo and
// *Reread, which a directory is told from inside. Times are integer milliseconds since the Unix
// epoch and never order anything.
type Message interface{ message() }

func (*Announce) message()      {}
func (*Heartbeat) message()     {}
func (*Goodbye) message()       {}
func (*Beacon) message()        {}
func (*Discover) message()      {}
func (*Notices) message()       {}
func (*RepairRequest) message() {}
func (*RepairReply) message()   {}
func (*PageRequest) message()   {}
func (*PageReply) message()     {}
func (*Reread) message()        {}
func (*Echo) message()          {}

// An Identity says whose a message is. Each component of a process is a
// runtime of its own here.
type Identity struct {
	// RuntimeID is new at every start.
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName"`
	// Name is the stable name of the runtime, the same after a restart. Only a
	// message with a name introduces a runtime to a directory.
	Name string `json:"name,omitempty"`
	// Epoch is the claim on the log: who claims it later has a higher one.
	Epoch uint64 `json:"epoch,omitempty"`
	// Log is the id of the log that the instances are kept in. What has none,
	// or another, inherits no instances.
	Log string `json:"log,omitempty"`
	// Process is shared by all that one process announces.
	Process string `json:"process,omitempty"`
}

// An Announce says that a runtime is there, and what it runs. It is sent at
// the start and in answer to a Discover.
type Announce struct {
	Identity
	// Definition is the whole component. A directory keeps it as it came.
	Definition json.RawMessage `json:"component,omitempty"`
	Host       string          `json:"host,omitempty"`
	Port       int             `json:"port,omitempty"`
	// Store says in words what keeps the instances, and what a loss of power can
	// cost: for people. Empty where it is not known.
	Store string `json:"store,omitempty"`
	// Protocol is 1 for a runtime that answers commands and healing requests.
	Protocol int `json:"protocol,omitempty"`
	// Followed says that the runtime does not number what it tells: a bridge
	// speaks for it, and holds its instances as of its last answer.
	Followed bool `json:"followed,omitempty"`
	// Seq is the number of the last notice, nil where notices have none.
	Seq       *uint64 `json:"seq,omitempty"`
	Timestamp int64   `json:"timestamp"`
}

// A Heartbeat says that a runtime is still there.
type Heartbeat struct {
	Identity
	Seq       *uint64 `json:"seq,omitempty"`
	Timestamp int64   `json:"timestamp"`
}

// A Goodbye says that a runtime stops. Its runtimeId never comes back.
type Goodbye struct {
	Identity
	Seq       *uint64 `json:"seq,omitempty"`
	Timestamp int64   `json:"timestamp"`
}

// A Beacon tells the last numbers of all components of a process. It is sent
// every second, also when nothing happens: silence is how a directory knows
// that it may be missing something.
type Beacon struct {
	Runtimes  []BeaconEntry `json:"runtimes"`
	Timestamp int64         `json:"timestamp"`
}

// A BeaconEntry is the part of a Beacon about one component.
type BeaconEntry struct {
	Identity
	// Seq is at least the number of the last notice that was handed to the bus
	// or left out for good, and at most the last one given.
	Seq uint64 `json:"seq"`
}

// A Discover asks runtimes to announce themselves: all, or the one that is
// named.
type Discover struct {
	Type      string `json:"type"` // "discover"
	RuntimeID string `json:"runtimeId,omitempty"`
	Timestamp int64  `json:"timestamp"`
}

// A RepairRequest asks one runtime for the instances that some notices were
// about. It may be repeated.
type RepairRequest struct {
	RuntimeID string `json:"runtimeId"`
	Missing   Ranges `json:"missing"`
}

// A RepairReply tells how those instances are now.
type RepairReply struct {
	Identity
	// Covered are the numbers that Rows and Gone speak for. What was asked for
	// and is not covered has to be asked for again.
	Covered Ranges `json:"covered,omitempty"`
	Rows    []Row  `json:"rows,omitempty"`
	Gone    []Gone `json:"gone,omitempty"`
	// TooOld says that the runtime does not remember that far back. Then
	// nothing is covered, and only a full reading helps.
	TooOld bool `json:"too_old,omitempty"`
	// Seq is the number of the last notice when all was looked up.
	Seq uint64 `json:"seq"`
}

// Gone says that there is no instance of an id.
type Gone struct {
	ID string `json:"id"`
	// Seq is the number of the runtime's last notice when it looked: it knew
	// no instance of that id after that notice.
	Seq uint64 `json:"seq"`
}

// A PageRequest asks one runtime for some of its instances, from where the
// cursor points. It may be repeated, and the runtime keeps no state of it.
type PageRequest struct {
	RuntimeID string `json:"runtimeId"`
	// Cursor is "" for the first page, then the Next of the last reply.
	Cursor string `json:"cursor"`
}

// A PageReply holds some of a runtime's instances.
type PageReply struct {
	Identity
	// Cursor is the one that was asked for.
	Cursor string `json:"cursor"`
	// Next is where to go on, "" after the last page.
	Next string `json:"next,omitempty"`
	Rows []Row  `json:"rows,omitempty"`
	// AsOf is the number of the last notice before the page was read: every
	// instance alive then and until the end of the reading is named in it.
	AsOf uint64 `json:"asOf"`
	// Seq is the number of the last notice after the page was read.
	Seq uint64 `json:"seq"`
	// BadCursor says that the cursor means nothing to the runtime, so that the
	// reading has to begin again.
	BadCursor bool `json:"badCursor,omitempty"`
}

// A Reread tells a directory to read a runtime anew, from the first page; a
// reading that runs is abandoned. It is not sent over the bus: it is for who
// knows of a loss that the protocol cannot see, or wants to be sure.
type Reread struct{ RuntimeID string }

// An Echo tells a directory that a message to itself has come back from the bus,
// and when that was sent: what comes after it reached the bus's node later. A
// directory that is told of echoes is exact only about runtimes of which it heard,
// after one that is young.
type Echo struct{ Sent time.Time }
