package fsm

import (
	"encoding/json"
	"time"
)

// A Kind says what an entry of the trace or a notice tells.
type Kind string

// The kinds of trace entries and notices.
const (
	TraceCreated        Kind = "instance_created"
	TraceExitMethod     Kind = "exit_method"
	TraceEntryMethod    Kind = "entry_method"
	TraceTriggered      Kind = "triggered_method"
	TraceStateChange    Kind = "state_change"
	TraceContextChange  Kind = "context_change"
	TraceIgnored        Kind = "event_ignored"
	TraceUserCodeError  Kind = "user_code_error"
	TraceInterMachine   Kind = "inter_machine_transition"
	TraceCrossComponent Kind = "cross_component_transition"
	TraceCascadeError   Kind = "cascade_error"
	TraceDisposed       Kind = "instance_disposed"
	TraceInstanceError  Kind = "instance_error"
	TraceRestored       Kind = "instance_restored"
	TraceRestoreError   Kind = "restore_error"
	// TraceBroadcast and TraceCascade tell how many instances were chosen.
	TraceBroadcast Kind = "broadcast"
	TraceCascade   Kind = "cascade"
	// NoticeEntryPointEnded tells that an entry point reached a final or error
	// state. It stays in the table, so there is no instance_disposed for it.
	NoticeEntryPointEnded Kind = "entry_point_ended"
	// NoticeQuarantined tells that the store holds another version of the
	// instance, which is not advanced any more.
	NoticeQuarantined Kind = "instance_quarantined"
	// NoticeDeadLetter tells of an effect that was given up.
	NoticeDeadLetter Kind = "dead_letter"
	// NoticeDropped tells of an event that was cut off by a limit.
	NoticeDropped Kind = "event_dropped"
)

// A Trace is one thing that a transition did, told as it happens: in process,
// in order, before the commit, and again if the transition is taken again.
// What the fields hold by kind is in docs/architecture.md; fields that do not
// apply are zero.
type Trace struct {
	Kind      Kind   `json:"kind"`
	Instance  string `json:"instanceId"`
	Component string `json:"componentName"`
	Machine   string `json:"machineName"`
	// From and State are the states before and after; State is the current
	// one where there is only one.
	From  string `json:"previousState,omitempty"`
	State string `json:"currentState,omitempty"`
	Event string `json:"event,omitempty"`
	// Data is the instance's data at that moment; for
	// cross_component_transition it is the data sent.
	Data Data `json:"context"`
	// Parent is the parent's id, for instance_created of a child.
	Parent string `json:"parentInstanceId,omitempty"`
	// Method and Hook name user code.
	Method string    `json:"method,omitempty"`
	Hook   HookPoint `json:"hook,omitempty"`
	// Error is the code or text of what went wrong.
	Error string `json:"error,omitempty"`
	// Target is the child's id, for inter_machine_transition.
	Target string `json:"targetInstanceId,omitempty"`
	// The Target… fields name what a transition, cascade or broadcast is
	// addressed to.
	TargetComponent string `json:"targetComponent,omitempty"`
	TargetMachine   string `json:"targetMachine,omitempty"`
	TargetState     string `json:"targetState,omitempty"`
	TargetEvent     string `json:"targetEvent,omitempty"`
	// Count is the number of instances chosen.
	Count  int    `json:"count,omitempty"`
	Status Status `json:"-"`
}

// method reports whether the entry tells that user code is about to run, which
// nobody outside the process is told.
func (t *Trace) method() bool {
	return t.Kind == TraceExitMethod || t.Kind == TraceEntryMethod || t.Kind == TraceTriggered
}

// numbered reports whether a notice of the kind changes a row of a directory.
// Only those carry a seq.
func (k Kind) numbered() bool {
	switch k {
	case TraceCreated, TraceStateChange, TraceContextChange, TraceDisposed, TraceInstanceError,
		NoticeEntryPointEnded, NoticeQuarantined:
		return true
	}
	return false
}

// A Notice is what everybody outside the runtime is told: after the commit,
// once, in order per instance.
type Notice struct {
	Trace
	// Seq numbers the notices of a component that change an instance: 1, 2, 3
	// … since the start of the runtime. It is 0 for all others.
	Seq uint64 `json:"seq,omitempty"`
	// Version is that of the record that the notice belongs to. Several
	// notices of one record are numbered by Part, from 0.
	Version uint64 `json:"version,omitempty"`
	Part    int    `json:"part,omitempty"`
	Key     string `json:"key,omitempty"`
	// Payload is that of the event, Source the component that the event came
	// from, if another one.
	Payload Data   `json:"payload"`
	Source  string `json:"sourceComponent,omitempty"`
	// Time is that of the transition.
	Time time.Time `json:"-"`
	// Of is the instance after the transition, nil where there is none.
	Of *Instance `json:"-"`
}

// MarshalJSON adds the time as timestamp in Unix milliseconds, and the status.
func (n Notice) MarshalJSON() ([]byte, error) {
	type plain Notice
	return json.Marshal(struct {
		plain
		Status    string `json:"status"`
		Timestamp int64  `json:"timestamp"`
	}{plain(n), n.Status.String(), n.Time.UnixMilli()})
}
