package fsm

import (
	"log/slog"
	"time"
)

// Config is what a Runtime is made from. Only Components is required; the zero
// value of each other field is a good default.
type Config struct {
	// Name is the stable name under which the runtime's log is kept. Defaults
	// to its component's name; required if there are several.
	Name string
	// Components are the definitions that this runtime hosts. They must not
	// be changed afterwards.
	Components []*Component
	// Hooks is the application's code.
	Hooks Hooks
	// Store keeps what must survive the process. Defaults to none: state is
	// in memory, and the last 16 records of each instance are kept.
	Store Store
	// Takeover claims the log at once where several processes can reach it. By
	// default a start stands by while another process is seen alive with it,
	// within the last 10 s. Whoever had it is fenced and stops.
	Takeover bool
	// NoSnapshots switches off the snapshots that a store gets every
	// SnapshotEvery transitions of an instance and at its end.
	NoSnapshots bool
	// SnapshotEvery defaults to 10.
	SnapshotEvery int
	// Dispatcher takes what is addressed to components of other runtimes.
	// Defaults to none: only hosted components are known then.
	Dispatcher Dispatcher
	// Shards is the number of parts into which instances are divided by their
	// id; parts work side by side. Defaults to 32 for each processor: callers
	// then seldom meet in one. With a store it is 4: each commit is told to all
	// parts that have something in it.
	Shards int
	// Ordered makes each outside event wait at the first thing that cannot go
	// on at once, so that what it led to is handled strictly in order. With
	// one shard this gives the exact order of the specification over all
	// instances; it is slower. Meant for tests.
	Ordered bool
	// Inbox bounds the outside events that wait in each shard; a full one
	// makes callers wait. Defaults to 1,024.
	Inbox int
	// HookWorkers bounds the hooks that run at a time. Defaults to 256.
	HookWorkers int
	// HookTimeout is how long a hook may take. Defaults to 30 s.
	HookTimeout time.Duration
	// Limits bounds what one event or instance may use.
	Limits Limits
	// Retention says how long what nobody needs any more is kept in the store.
	// Defaults to for ever.
	Retention Retention
	// RetentionOf has others for what is named by its key: "component", or
	// "component/machine", which comes first.
	RetentionOf map[string]Retention
	// Correlate names the fields by whose values Correlated finds instances.
	// Defaults to orderId, requestId, id, transactionId, correlationId.
	Correlate []string
	// Clock defaults to the system's.
	Clock Clock
	// Trace, if set, is called for each thing a transition does, as it
	// happens, from the goroutine that takes it. It must be quick and must
	// not call the runtime. A panic in it is logged and has no effect.
	Trace func(Trace)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Limits bounds what one event or instance may use. Zero fields have defaults.
type Limits struct {
	// DataBytes is the most that an instance's data or an event's payload may
	// take as JSON. Defaults to 512 kB; at most 3 MB.
	DataBytes int
	// Hops is how many transitions may lie between an event and its outside
	// cause. Defaults to 1,000.
	Hops int
	// Events is how many events one outside event may give rise to. Defaults
	// to 1,000,000.
	Events int
	// Held is how many events may wait for one busy instance. Defaults to
	// 1,000.
	Held int
	// Ended is how many ended instances are remembered in memory: Get finds
	// them. A store keeps its own, see Config.Retention. Defaults to 10,000.
	Ended int
	// EffectAge is how long an effect for another runtime waits for its
	// receiver, from the transition that made it, restarts included. Defaults
	// to 24 h.
	EffectAge time.Duration
}

// An Event comes in: a type, and what it carries.
type Event struct {
	Type string
	// Payload is copied. Keys are merged into the instance's data by
	// transitions without matching rules.
	Payload map[string]any
}

// A Result says what an event led to.
type Result struct {
	// Record is the id of the record of the transition.
	Record RecordID
	// State and Version are those after the transition.
	State   string
	Version uint64
	// Seq is that of the last notice of the transition.
	Seq uint64
	// Repeated is true if an event of that id had been accepted before; the
	// other fields are its outcome then.
	Repeated bool
	// Instance is the instance after the transition. Nil if Repeated and the
	// instance has moved on since.
	Instance *Instance
}

// A SendOption changes one Send.
type SendOption func(*sendOptions)

type sendOptions struct {
	eventID   string
	component string
	version   uint64
	versioned bool
	settled   bool
}

// WithEventID gives the event an id: repeated within the instance's last 64
// events with an id, it takes no effect and gives the first outcome.
func WithEventID(id string) SendOption { return func(o *sendOptions) { o.eventID = id } }

// IfVersion refuses with ErrVersionMoved if the instance is not at this
// version any more.
func IfVersion(n uint64) SendOption {
	return func(o *sendOptions) { o.version, o.versioned = n, true }
}

// Settled waits until all that the event led to in this runtime has been
// handled: not timers, and not what went to other runtimes.
func Settled() SendOption { return func(o *sendOptions) { o.settled = true } }

// InComponent says which component's key is meant, for SendByKey where several
// hosted components have it.
func InComponent(name string) SendOption { return func(o *sendOptions) { o.component = name } }

// A CreateOption changes one Create.
type CreateOption func(*createOptions)

type createOptions struct {
	component string
	key       string
	id        string
	eventID   string
	state     string
	hasState  bool
	settled   bool
	created   *bool
}

// WithComponent says which component's machine is meant; needed only where two
// hosted components have a machine of that name.
func WithComponent(name string) CreateOption { return func(o *createOptions) { o.component = name } }

// WithKey gives the instance a business key, unique in its component while the
// instance is active. ErrBadValue is returned for one that is longer than MaxName or
// has control characters.
func WithKey(key string) CreateOption { return func(o *createOptions) { o.key = key } }

// WithID gives the instance its id. ErrIDExists is returned while the id is in
// use or still in the history, ErrBadValue for one that is longer than MaxName or has
// control characters.
func WithID(id string) CreateOption { return func(o *createOptions) { o.id = id } }

// InState creates the instance in a given state instead of the initial one, for
// entities whose state is known from elsewhere. A final or error state is
// refused with ErrStateFinal.
func InState(state string) CreateOption {
	return func(o *createOptions) { o.state, o.hasState = state, true }
}

// WithCreateID gives the creation an id: repeated, it returns the instance that
// the first one made, also when that has ended, for as long as it is kept (see
// Retention, and Limits.Ended without a store). With a key the creations of the
// last 64 instances that had the key are told apart, but for those that are in the
// store only (Limits.Ended) while retention has dropped older ones of the key; a
// GetOrCreate that found an instance made none. While the first one is on its way
// to the store the repeat waits for it, and creates the instance itself if the
// store refuses it.
func WithCreateID(id string) CreateOption { return func(o *createOptions) { o.eventID = id } }

// TellCreated sets *created before the call returns: true if the call created the
// instance, false if it failed or returned one that was there.
func TellCreated(created *bool) CreateOption { return func(o *createOptions) { o.created = created } }

// A BroadcastOption changes one Broadcast.
type BroadcastOption func(*broadcastOptions)

type broadcastOptions struct {
	component string
	state     string
	eventID   string
	settled   bool
}

// OnlyInState restricts a broadcast to instances in a state; "*" or "" is any.
func OnlyInState(state string) BroadcastOption { return func(o *broadcastOptions) { o.state = state } }

// ToComponent says which component's machine is meant. In a hook the default
// is the hook's own component.
func ToComponent(name string) BroadcastOption {
	return func(o *broadcastOptions) { o.component = name }
}

// WithBroadcastID gives each target's event an id of its own, derived from this.
func WithBroadcastID(id string) BroadcastOption { return func(o *broadcastOptions) { o.eventID = id } }

// SettledOneByOne handles each delivery with all that it leads to before the
// next, and returns when all are done.
func SettledOneByOne() BroadcastOption { return func(o *broadcastOptions) { o.settled = true } }
