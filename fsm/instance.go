package fsm

import (
	"encoding/json"
	"time"
)

// A Status says whether an instance can still move.
type Status uint8

// The statuses of an instance.
const (
	StatusActive    Status = iota
	StatusCompleted        // reached a final state
	StatusError            // reached an error state, or failed
	// StatusQuarantined is shown for an instance that cannot be advanced, see
	// Runtime.Quarantined. No record or snapshot has it.
	StatusQuarantined
)

// String returns "active", "completed", "error" or "quarantined".
func (s Status) String() string {
	return [...]string{"active", "completed", "error", "quarantined"}[s]
}

// An Instance is one state machine at one moment. It is an immutable value: a
// transition makes a new one, so an Instance may be kept and read by any
// goroutine without a lock.
type Instance struct {
	id     string
	st     *state
	origin *origin
	*rare
	data    Data // the context; for a machine with a public member, that
	version uint64
	seq     uint64
	created int64 // Unix time, ns
	updated int64
}

// A rare holds what most instances do not have at most times. It is never nil
// and never changed, and those with nothing to say share one: an instance is
// then a third smaller, and there is one for each transition.
type rare struct {
	ctx    Data    // the context of a machine with a public member
	timers []timer // running, in the order of definition
	status Status
}

var plainRare = [...]*rare{{status: StatusActive}, {status: StatusCompleted}, {status: StatusError}, {status: StatusQuarantined}}

func newRare(ctx Data, timers []timer, status Status) *rare {
	if len(ctx.fields) == 0 && len(timers) == 0 {
		return plainRare[status]
	}
	return &rare{ctx, timers, status}
}

// An origin holds what few instances have, and what never changes.
type origin struct {
	parent        string
	parentMachine string
	parentComp    string
	key           string
	generation    uint64
	entryPoint    bool
	cause         RecordID // the record of the transition that created it
	createID      string   // the id of the event that created it
}

// noOrigin is shared by all instances that nothing special made.
var noOrigin = &origin{}

// A timer is one timed transition of the state that the instance is in.
type timer struct {
	tr  *transition
	due int64 // Unix time, ms
}

// ID returns the instance's id. Nothing may depend on its form.
func (in *Instance) ID() string { return in.id }

// Component returns the name of the instance's component.
func (in *Instance) Component() string { return in.st.m.comp.name }

// Machine returns the name of the instance's machine.
func (in *Instance) Machine() string { return in.st.m.name }

// State returns the name of the current state.
func (in *Instance) State() string { return in.st.name }

// StateType returns "entry", "regular", "final" or "error".
func (in *Instance) StateType() string { return in.st.kind.String() }

// Status returns whether the instance is active.
func (in *Instance) Status() Status { return in.status }

// Version returns the number of the instance's last record: 1 for its
// creation, one more for each transition.
func (in *Instance) Version() uint64 { return in.version }

// Seq returns the number of the instance's last notice among those of its
// component in this run of the runtime; 0 if it was not touched since start.
func (in *Instance) Seq() uint64 { return in.seq }

// Data returns what rules, methods and templates see: the public member if the
// machine has one, else the context.
func (in *Instance) Data() Data { return in.data }

// Context returns the context.
func (in *Instance) Context() Data {
	if in.st.m.public {
		return in.ctx
	}
	return in.data
}

// PublicMember returns the public member, and whether the machine has one.
func (in *Instance) PublicMember() (Data, bool) {
	if !in.st.m.public {
		return Data{}, false
	}
	return in.data, true
}

// Parent returns the id of the instance whose transition created this one, or
// "" if there is none.
func (in *Instance) Parent() string { return in.origin.parent }

// Key returns the business key, or "" if there is none.
func (in *Instance) Key() string { return in.origin.key }

// EntryPoint reports whether the runtime created the instance as its
// component's entry point.
func (in *Instance) EntryPoint() bool { return in.origin.entryPoint }

// CreatedAt returns the time of creation, to the millisecond.
func (in *Instance) CreatedAt() time.Time { return time.Unix(0, in.created) }

// UpdatedAt returns the time of the last transition.
func (in *Instance) UpdatedAt() time.Time { return time.Unix(0, in.updated) }

// Accepts lists the events that the current state has a transition for,
// whatever its rules, each once in the order of definition.
func (in *Instance) Accepts() []string {
	if in.status != StatusActive {
		return nil
	}
	return in.st.accepts
}

// A PendingTimer is a timeout or auto transition that will fire.
type PendingTimer struct {
	Event       string
	TargetState string
	Total       time.Duration
	Due         time.Time
}

// Timers lists the running timers in the order of definition, nil if there are
// none.
func (in *Instance) Timers() []PendingTimer {
	if len(in.timers) == 0 {
		return nil
	}
	out := make([]PendingTimer, 0, len(in.timers))
	for _, t := range in.timers {
		out = append(out, PendingTimer{t.tr.event, t.tr.to.name, time.Duration(t.tr.delay) * time.Millisecond, time.UnixMilli(t.due)})
	}
	return out
}

// firstTimer returns the timer to fire next: the earliest, of several at once
// the one defined first. ok is false if none runs.
func (in *Instance) firstTimer() (t timer, ok bool) {
	for _, c := range in.timers {
		if !ok || c.due < t.due {
			t, ok = c, true
		}
	}
	return t, ok
}

// MarshalJSON writes the instance under the names of the ancestor's API:
// instanceId, componentName, machineName, currentState, status, context,
// version, seq and, where they apply, publicMember, key, parentInstanceId,
// entryPoint; createdAt and updatedAt in Unix milliseconds.
func (in *Instance) MarshalJSON() ([]byte, error) {
	v := instanceJSON{
		ID: in.id, Component: in.Component(), Machine: in.Machine(), State: in.State(),
		Status: in.status.String(), Context: in.Context(), Version: in.version, Seq: in.seq,
		Key: in.origin.key, Parent: in.origin.parent, EntryPoint: in.origin.entryPoint,
		CreatedAt: in.created / 1e6, UpdatedAt: in.updated / 1e6,
	}
	if pub, ok := in.PublicMember(); ok {
		v.Public = &pub
	}
	return json.Marshal(v)
}

type instanceJSON struct {
	ID         string `json:"instanceId"`
	Component  string `json:"componentName"`
	Machine    string `json:"machineName"`
	State      string `json:"currentState"`
	Status     string `json:"status"`
	Context    Data   `json:"context"`
	Public     *Data  `json:"publicMember,omitempty"`
	Version    uint64 `json:"version"`
	Seq        uint64 `json:"seq"`
	Key        string `json:"key,omitempty"`
	Parent     string `json:"parentInstanceId,omitempty"`
	EntryPoint bool   `json:"entryPoint,omitempty"`
	CreatedAt  int64  `json:"createdAt"`
	UpdatedAt  int64  `json:"updatedAt"`
}
