package mesh

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A Status says how it stands with an instance.
type Status string

// The statuses of a row. All but Active are ends: the instance is not in its
// runtime's table any more, or will not move again.
const (
	Active      Status = "active"
	Completed   Status = "completed"   // reached a final state
	Failed      Status = "error"       // reached an error state, or failed
	Quarantined Status = "quarantined" // the store holds another version of it
	// Vanished is an instance that ended without the directory seeing how. Its
	// state is the last one known.
	Vanished Status = "gone"
)

// live reports whether a row with the status is in its runtime's table. "" is
// what senders leave out.
func (s Status) live() bool { return s == Active || s == "" }

func (s Status) valid() bool {
	switch s {
	case "", Active, Completed, Failed, Quarantined, Vanished:
		return true
	}
	return false
}

// A Row is what is told of an instance: everything that a directory holds. A
// directory copies what it keeps of the one that it is given.
type Row struct {
	ID      string `json:"id"`
	Machine string `json:"machineName"`
	State   string `json:"currentState"`
	Status  Status `json:"status,omitempty"` // "" is Active
	// Context is a JSON object.
	Context json.RawMessage `json:"context,omitempty"`
	// PublicMember is set for instances of machines that have one.
	PublicMember json.RawMessage `json:"publicMember,omitempty"`
	// PendingTimeouts is the ancestor's array of running timers.
	PendingTimeouts json.RawMessage `json:"pendingTimeouts,omitempty"`
	// Version and Part are for people and for commands with IfVersion. They
	// order nothing.
	Version uint64 `json:"version,omitempty"`
	Part    int    `json:"part,omitempty"`
	// Seq is the number of the instance's last notice in this run of its
	// runtime, 0 if there was none since its start. It alone orders what is
	// told of an instance.
	Seq       uint64 `json:"seq,omitempty"`
	Key       string `json:"key,omitempty"`
	Parent    string `json:"parentInstanceId,omitempty"`
	CreatedAt int64  `json:"createdAt,omitempty"` // Unix ms
	UpdatedAt int64  `json:"updatedAt,omitempty"` // Unix ms
}

// A Kind says what a notice tells.
type Kind string

// The kinds of notices. The first four change a row, and only they carry a
// seq; KindStateChange tells of a changed context too.
const (
	KindCreated     Kind = "instance_created"
	KindStateChange Kind = "state_change"
	KindCompleted   Kind = "instance_completed"
	KindQuarantined Kind = "instance_quarantined"
	KindIgnored     Kind = "event_ignored"
	KindHookError   Kind = "hook_error"
	KindDeadLetter  Kind = "dead_letter"
	KindFenced      Kind = "runtime_fenced"
)

// Numbered reports whether notices of the kind change a row and carry a seq.
func (k Kind) Numbered() bool {
	switch k {
	case KindCreated, KindStateChange, KindCompleted, KindQuarantined:
		return true
	}
	return false
}

// A Notice tells what happened to one instance. One that changes a row holds
// the whole row after it, so that it can stand in for all notices before it.
type Notice struct {
	// ID is the notice's own, for readers that may see it twice.
	ID       string `json:"id,omitempty"`
	Kind     Kind   `json:"eventType"`
	Instance string `json:"instanceId"`
	Machine  string `json:"machineName"`
	State    string `json:"currentState"`
	Previous string `json:"previousState,omitempty"`
	// Status matters for KindCompleted only: Completed ("" too) or Failed.
	Status          Status          `json:"status,omitempty"`
	Event           *Event          `json:"event,omitempty"`
	Context         json.RawMessage `json:"context,omitempty"`
	PublicMember    json.RawMessage `json:"publicMember,omitempty"`
	PendingTimeouts json.RawMessage `json:"pendingTimeouts,omitempty"`
	Version         uint64          `json:"version,omitempty"`
	Part            int             `json:"part,omitempty"`
	Seq             uint64          `json:"seq,omitempty"`
	Key             string          `json:"key,omitempty"`
	Parent          string          `json:"parentInstanceId,omitempty"`
	CreatedAt       int64           `json:"createdAt,omitempty"`
	Timestamp       int64           `json:"timestamp"` // of the transition
	// Error is the code or text of what went wrong.
	Error string `json:"error,omitempty"`
}

// An Event is the one that a notice tells the effect of.
type Event struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
	// Timestamp is the sender's, 0 where it gave none.
	Timestamp int64 `json:"timestamp,omitempty"`
	// SourceComponent is set where the event came from another component.
	SourceComponent string `json:"_sourceComponent,omitempty"`
}

// Row returns the row after a notice that changes one.
func (n *Notice) Row() Row {
	r := Row{
		ID: n.Instance, Machine: n.Machine, State: n.State, Status: Active,
		Context: n.Context, PublicMember: n.PublicMember, PendingTimeouts: n.PendingTimeouts,
		Version: n.Version, Part: n.Part, Seq: n.Seq, Key: n.Key, Parent: n.Parent,
		CreatedAt: n.CreatedAt, UpdatedAt: n.Timestamp,
	}
	switch n.Kind {
	case KindCompleted:
		r.Status = Completed
		if n.Status == Failed {
			r.Status = Failed
		}
	case KindQuarantined:
		r.Status = Quarantined
	}
	return r
}

// clone returns the notice with memory of its own.
func (n *Notice) clone() Notice {
	c := *n
	for _, s := range []*string{&c.ID, &c.Instance, &c.Key, &c.Parent, &c.Error} {
		*s = strings.Clone(*s)
	}
	for _, b := range []*json.RawMessage{&c.Context, &c.PublicMember, &c.PendingTimeouts} {
		*b = bytes.Clone(*b)
	}
	if n.Event != nil {
		e := *n.Event
		e.ID, e.Payload = strings.Clone(e.ID), bytes.Clone(e.Payload)
		c.Event = &e
	}
	return c
}

// Notices is what a runtime publishes of what happened, in order. It has no
// name, so from a runtimeId that a directory does not know it is not applied.
type Notices struct {
	RuntimeID string   `json:"runtimeId"`
	Notices   []Notice `json:"notices"`
	// rowsOnly leaves out, in binary form, what no row is made of: events.
	rowsOnly bool
}
