package fsm

import (
	"fmt"
	"strconv"
	"strings"
)

// A RecordID names a record: the instance and the version that it led to.
type RecordID struct {
	Instance string
	Version  uint64
}

// String returns instance/version. As the version is digits only, the text is
// unambiguous whatever the instance's id holds. The zero value gives "".
func (id RecordID) String() string {
	if id == (RecordID{}) {
		return ""
	}
	return id.Instance + "/" + strconv.FormatUint(id.Version, 10)
}

// MarshalText is String.
func (id RecordID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *RecordID) UnmarshalText(b []byte) error {
	s := string(b)
	if s == "" {
		*id = RecordID{}
		return nil
	}
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return fmt.Errorf("record id %q has no version", s)
	}
	v, err := strconv.ParseUint(s[i+1:], 10, 64)
	if err != nil {
		return fmt.Errorf("record id %q: version is not a number", s)
	}
	*id = RecordID{s[:i], v}
	return nil
}

// An EffectID names one effect of a record by its position, and for an effect
// with several targets one of them.
type EffectID struct {
	Record RecordID `json:"record"`
	// N is the position of the effect among those of its record, from 0.
	N int `json:"n"`
	// Target is the position among the effect's targets, from 0.
	Target int `json:"target,omitempty"`
}

// String returns record#n.target, which is unambiguous as RecordID is.
func (id EffectID) String() string {
	return fmt.Sprintf("%s#%d.%d", id.Record, id.N, id.Target)
}

// A RecordKind says what made a record.
type RecordKind string

// The kinds of records. The last three are what operators do.
const (
	KindCreated        RecordKind = "created"
	KindTransition     RecordKind = "transition"
	KindTimerCancelled RecordKind = "timer_cancelled"
	KindMigrated       RecordKind = "migrated"
	KindQuarantined    RecordKind = "quarantined"
)

// A Record is what is stored of one step of an instance: its creation, a
// transition. It is never changed once it was appended. Records of an instance
// have the versions 1, 2, 3 … without a gap.
type Record struct {
	Kind      RecordKind  `json:"kind"`
	Instance  string      `json:"instanceId"`
	Version   uint64      `json:"version"`
	Component string      `json:"componentName"`
	Machine   string      `json:"machineName"`
	Event     RecordEvent `json:"event"`
	// Before is empty for a creation.
	Before string `json:"stateBefore"`
	After  string `json:"stateAfter"`
	Status Status `json:"status"`
	// Time is when the step was taken, in Unix milliseconds.
	Time int64 `json:"persistedAt"`
	// Data is the instance's data after the merge of the payload, before the
	// entry method ran: what history shows.
	Data Data `json:"publicMemberSnapshot"`
	// Context is the context where the machine has a public member (Data is
	// the public member then).
	Context *Data `json:"context,omitempty"`
	// EndData and EndContext are the same at the end of the step, where the
	// entry method changed them: what replay uses.
	EndData    *Data `json:"endData,omitempty"`
	EndContext *Data `json:"endContext,omitempty"`
	// Timers are those running after the step.
	Timers []RecordTimer `json:"timers,omitempty"`
	// Origin is set for a creation.
	Origin *RecordOrigin `json:"origin,omitempty"`
	// CausedBy names the record whose transition led here; zero for what came
	// from outside and for timers.
	CausedBy RecordID `json:"causedBy,omitzero"`
	// Effect is the effect that this record is the outcome of: it is done.
	Effect *EffectID `json:"effect,omitempty"`
	// Remote is the effect of another runtime that this record is the outcome
	// of.
	Remote *RemoteID `json:"remote,omitempty"`
	// Source is the component that the event came from, if another one.
	Source string `json:"sourceComponentName,omitempty"`
	// Error is the code of why the engine could not complete the transition,
	// which ended the instance.
	Error string `json:"error,omitempty"`
	// Effects are what this record leads to and what is not in the same
	// commit.
	Effects []Effect `json:"effects,omitempty"`
	// Snapshot marks every n-th transition and the end of an instance, and
	// then holds the whole instance as it is after the entry method.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	// Of is the instance after the step, for stores that keep checkpoints.
	// It is not encoded.
	Of *Instance `json:"-"`
	// Encoded is what the Encode of an Encoder made of the record. Of the other
	// fields only Instance, Version, Component and Machine are set then.
	Encoded []byte `json:"-"`
}

// ID returns the record's id.
func (r *Record) ID() RecordID { return RecordID{r.Instance, r.Version} }

// A RecordEvent is the event of a record.
type RecordEvent struct {
	// ID is the sender's id of the event, if it gave one.
	ID      string `json:"id,omitempty"`
	Type    string `json:"type"`
	Payload Data   `json:"payload"`
	// Time is when the event was accepted, in Unix milliseconds.
	Time int64 `json:"timestamp"`
}

// A RecordTimer is a running timer of a record or snapshot.
type RecordTimer struct {
	// Transition is the position among the transitions of the machine. Event
	// and To say the same in names: where the definition has changed since,
	// they decide.
	Transition int    `json:"transition"`
	Event      string `json:"event"`
	To         string `json:"to"`
	// Due is the time at which it fires, in Unix milliseconds.
	Due int64 `json:"due"`
}

// A RecordOrigin is what only a creation has.
type RecordOrigin struct {
	Parent          string `json:"parentInstanceId,omitempty"`
	ParentMachine   string `json:"parentMachineName,omitempty"`
	ParentComponent string `json:"parentComponentName,omitempty"`
	Key             string `json:"key,omitempty"`
	Generation      uint64 `json:"generation,omitempty"`
	EntryPoint      bool   `json:"entryPoint,omitempty"`
	// CreateID is the id of the event that created it, if that had one; Cause
	// is the record that did.
	CreateID string   `json:"createId,omitempty"`
	Cause    RecordID `json:"cause,omitzero"`
	// Order is the position of the creation among all of its runtime.
	Order uint64 `json:"order"`
}

// An Effect is something that a transition leads to and that is still to be
// done: an event for other instances, or a creation in another component.
type Effect struct {
	// N is its position among the effects of its record.
	N    int        `json:"n"`
	Kind EffectKind `json:"kind"`
	// Targets are the ids of the instances that get the event, chosen when
	// the effect was made. For a creation it is the id of the new instance.
	// Empty for an event to a component that this runtime does not host: its
	// runtime chooses.
	Targets   []string `json:"targets,omitempty"`
	Component string   `json:"componentName,omitempty"`
	Machine   string   `json:"machineName,omitempty"`
	State     string   `json:"state,omitempty"`
	Event     string   `json:"event,omitempty"`
	Payload   Data     `json:"payload"`
	// Rules choose the targets in another runtime.
	Rules []MatchingRule `json:"rules,omitempty"`
	// Hook and Method made the effect, for EffectSend: where it cannot be
	// delivered, they are named in the report.
	Hook   HookPoint `json:"hook,omitempty"`
	Method string    `json:"method,omitempty"`
	// Hops is the number of transitions between this and the outside cause.
	Hops int `json:"hops"`
	// Source is the component of the instance that made the effect.
	Source string `json:"sourceComponentName,omitempty"`
}

// An EffectKind says what is to be done.
type EffectKind string

// The kinds of effects.
const (
	// EffectSend is an event that a method sent to one instance.
	EffectSend EffectKind = "send"
	// EffectDeliver is an event for the targets of a broadcast, a cascade or a
	// cross_component transition, or a notice to a parent.
	EffectDeliver EffectKind = "deliver"
	// EffectCreate creates an instance.
	EffectCreate EffectKind = "create"
)

// A Snapshot is a whole instance at one moment, as stores hold it.
type Snapshot struct {
	Instance  string        `json:"instanceId"`
	Version   uint64        `json:"version"`
	Component string        `json:"componentName"`
	Machine   string        `json:"machineName"`
	State     string        `json:"currentState"`
	Status    Status        `json:"status"`
	Data      Data          `json:"data"`
	Context   *Data         `json:"context,omitempty"`
	Timers    []RecordTimer `json:"timers,omitempty"`
	Origin    RecordOrigin  `json:"origin,omitzero"`
	CreatedAt int64         `json:"createdAt"`
	UpdatedAt int64         `json:"updatedAt"`
	// EventIDs are the ids of the last events that the instance was sent
	// with one, oldest first.
	EventIDs []SeenEvent `json:"eventIds,omitempty"`
}

// A SeenEvent is the id of an event that an instance accepted, as 16 bytes of
// its hash, and the version that it led to.
type SeenEvent struct {
	Hash    [16]byte `json:"hash"`
	Version uint64   `json:"version"`
	// State is the state after that version.
	State string `json:"state"`
}
