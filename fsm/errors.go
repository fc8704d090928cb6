package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// A Code names a kind of error. Codes are stable: they go over the wire, into
// the JSON API and into exit statuses.
type Code string

// The codes of errors.
const (
	CodeUnknownComponent Code = "component_not_found"
	CodeUnknownMachine   Code = "machine_not_found"
	CodeUnknownState     Code = "state_not_found"
	CodeUnknownInstance  Code = "instance_not_found"
	CodeInstanceEnded    Code = "instance_ended"
	CodeInstanceInactive Code = "instance_not_active"
	CodeQuarantined      Code = "instance_quarantined"
	CodeEventIgnored     Code = "event_ignored"
	CodeVersionMoved     Code = "version_moved"
	CodeStateFinal       Code = "state_final"
	CodeSingletonExists  Code = "singleton_exists"
	CodeKeyExists        Code = "key_exists"
	CodeIDExists         Code = "id_exists"
	CodeAmbiguous        Code = "ambiguous"
	CodeBadValue         Code = "bad_value"
	CodeContextTooLarge  Code = "context_too_large"
	CodeOverloaded       Code = "overloaded"
	CodeTooDeep          Code = "too_deep"
	CodeTooMany          Code = "too_many"
	CodeReentrant        Code = "reentrant"
	CodeCallEnded        Code = "call_ended"
	CodeHookTimeout      Code = "hook_timeout"
	CodeHookStuck        Code = "hook_stuck"
	CodeConflict         Code = "conflict"
	CodeFenced           Code = "fenced"
	CodeStoreFailed      Code = "store_failed"
	CodePersistence      Code = "persistence_disabled"
	CodeNotRunning       Code = "not_running"
	CodeEntryMachine     Code = "entry_machine_not_found"
	CodeConfig           Code = "config_invalid"
	CodeLagged           Code = "lagged"
	CodeDefinition       Code = "definition_invalid"
	CodeUnknownOutcome   Code = "outcome_unknown"
	CodeUnknownRecord    Code = "record_not_found"
)

// An Error says what was asked for, what was found, and what to do. Use
// errors.Is with the Err… values to ask for its code, errors.As for its data.
type Error struct {
	// Code is the stable name of the kind of error.
	Code Code
	// What the error is about; empty where it does not apply.
	Component, Machine, Instance, Key, State, Event string
	// Version is the instance's version where the error is about it.
	Version uint64
	// Accepted lists the events that the instance accepts now, for
	// CodeEventIgnored.
	Accepted []string
	// Count is the number of lost notices (CodeLagged) or the limit that was
	// met (CodeTooMany, CodeTooDeep, CodeContextTooLarge).
	Count int
	// Detail is free text, added to the message.
	Detail string
	// Err is the cause.
	Err error
}

// Values for errors.Is. Each stands for the code of its name, see Error.Code.
var (
	ErrUnknownComponent = &Error{Code: CodeUnknownComponent}
	ErrUnknownMachine   = &Error{Code: CodeUnknownMachine}
	ErrUnknownState     = &Error{Code: CodeUnknownState}
	// ErrUnknownInstance is returned for an id or key that no instance has.
	ErrUnknownInstance = &Error{Code: CodeUnknownInstance}
	// ErrInstanceEnded is returned for an instance that reached a final or
	// error state; it matches both CodeInstanceEnded (removed from the table)
	// and CodeInstanceInactive (an entry point, which stays in it).
	ErrInstanceEnded = &Error{Code: CodeInstanceEnded}
	// ErrQuarantined is returned for an instance that cannot be advanced; the
	// error says why. One whose machine or state is not defined is an
	// ErrUnknownInstance as well. See Runtime.Quarantined.
	ErrQuarantined = &Error{Code: CodeQuarantined}
	// ErrEventIgnored is returned when no transition takes the event; the
	// error lists the events that the state accepts.
	ErrEventIgnored = &Error{Code: CodeEventIgnored}
	// ErrVersionMoved is returned for IfVersion when the instance has moved on.
	ErrVersionMoved = &Error{Code: CodeVersionMoved}
	// ErrStateFinal is returned for a creation in a final or error state.
	ErrStateFinal      = &Error{Code: CodeStateFinal}
	ErrSingletonExists = &Error{Code: CodeSingletonExists}
	ErrKeyExists       = &Error{Code: CodeKeyExists}
	ErrIDExists        = &Error{Code: CodeIDExists}
	// ErrAmbiguous is returned where several hosted components have a machine
	// or key of that name and WithComponent was not given.
	ErrAmbiguous       = &Error{Code: CodeAmbiguous}
	ErrBadValue        = &Error{Code: CodeBadValue}
	ErrContextTooLarge = &Error{Code: CodeContextTooLarge}
	ErrOverloaded      = &Error{Code: CodeOverloaded}
	// ErrTooDeep is reported for an event more than Limits.Hops transitions
	// away from its outside cause.
	ErrTooDeep = &Error{Code: CodeTooDeep}
	// ErrTooMany is reported where one outside event gives rise to more
	// events than Limits.Events.
	ErrTooMany = &Error{Code: CodeTooMany}
	// ErrReentrant is returned for a call from inside a hook that would wait
	// for the instance that the hook is holding up.
	ErrReentrant   = &Error{Code: CodeReentrant}
	ErrCallEnded   = &Error{Code: CodeCallEnded}
	ErrHookTimeout = &Error{Code: CodeHookTimeout}
	ErrHookStuck   = &Error{Code: CodeHookStuck}
	// ErrConflict is returned by a store for a record whose version is not
	// the stored version + 1.
	ErrConflict = &Error{Code: CodeConflict}
	// ErrFenced is returned once another process has claimed the log. A
	// fenced runtime has stopped for good.
	ErrFenced      = &Error{Code: CodeFenced}
	ErrStoreFailed = &Error{Code: CodeStoreFailed}
	// ErrUnknownOutcome is returned by a store that cannot say whether it
	// stored a batch. The same batch is to be appended again.
	ErrUnknownOutcome      = &Error{Code: CodeUnknownOutcome}
	ErrPersistenceDisabled = &Error{Code: CodePersistence}
	ErrNotRunning          = &Error{Code: CodeNotRunning}
	ErrEntryMachine        = &Error{Code: CodeEntryMachine}
	ErrConfig              = &Error{Code: CodeConfig}
	// ErrLagged is given to a watcher that was too slow; Count says how many
	// notices it missed.
	ErrLagged     = &Error{Code: CodeLagged}
	ErrDefinition = &Error{Code: CodeDefinition}
	// ErrUnknownRecord is returned for a record that there is not, or that is
	// not kept any more.
	ErrUnknownRecord = &Error{Code: CodeUnknownRecord}
)

// ErrorCode returns the code of the first *Error in err's chain, or "" if
// there is none.
func ErrorCode(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches errors of the same code, so that errors.Is works with the Err…
// values.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	if !ok {
		return false
	}
	return t.Code == e.Code || t == ErrInstanceEnded && e.Code == CodeInstanceInactive
}

// Error says it in words: what was asked, what was found, what to do.
func (e *Error) Error() string {
	s := e.sentence()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) sentence() string {
	switch e.Code {
	case CodeUnknownComponent:
		return fmt.Sprintf("no component %q here", e.Component)
	case CodeUnknownMachine:
		return fmt.Sprintf("no machine %q in component %q", e.Machine, e.Component)
	case CodeUnknownState:
		return fmt.Sprintf("no state %q in machine %q", e.State, e.Machine)
	case CodeUnknownInstance:
		if e.Key != "" {
			return "no instance for " + e.Key
		}
		return fmt.Sprintf("no instance %q", e.Instance)
	case CodeInstanceEnded, CodeInstanceInactive:
		return fmt.Sprintf("%s has ended in state %s", e.instance(), e.State)
	case CodeQuarantined:
		return e.instance() + " is quarantined"
	case CodeEventIgnored:
		return fmt.Sprintf("%s ignored %s in state %s; accepted now: %s", e.instance(), e.Event, e.State, acceptedText(e.Accepted))
	case CodeVersionMoved:
		return fmt.Sprintf("%s has moved on to version %d, state %s", e.instance(), e.Version, e.State)
	case CodeStateFinal:
		return fmt.Sprintf("state %q of machine %q is final: nothing is created in it", e.State, e.Machine)
	case CodeSingletonExists:
		return fmt.Sprintf("component %q has its one instance of %s already: %q", e.Component, e.Machine, e.Instance)
	case CodeKeyExists:
		return fmt.Sprintf("key %q belongs to %s, state %s", e.Key, e.instance(), e.State)
	case CodeIDExists:
		return fmt.Sprintf("id %q is in use or still in the history", e.Instance)
	case CodeAmbiguous:
		return fmt.Sprintf("more than one component has %q: say which", cmp.Or(e.Key, e.Machine))
	case CodeContextTooLarge:
		return fmt.Sprintf("%s: data over the limit of %d bytes", e.instance(), e.Count)
	case CodeOverloaded:
		return fmt.Sprintf("%s has too many events waiting; try again later", e.instance())
	case CodeTooDeep:
		return fmt.Sprintf("event %s is more than %d transitions away from its cause, and was not delivered", e.Event, e.Count)
	case CodeTooMany:
		return fmt.Sprintf("event %s: one event may not lead to more than %d", e.Event, e.Count)
	case CodeReentrant:
		return fmt.Sprintf("a hook of %q would wait for itself; use the sender's calls (SendToSelf, SendTo) instead", e.Instance)
	case CodeCallEnded:
		return "the hook of this call has returned or run out of time"
	case CodeHookTimeout:
		return fmt.Sprintf("hook %s did not return in time", e.Event)
	case CodeHookStuck:
		return fmt.Sprintf("hook %s is not run: %d earlier calls of it never returned", e.Event, e.Count)
	case CodeUnknownRecord:
		if e.Version == 0 {
			return fmt.Sprintf("no record of %q", e.Instance)
		}
		return fmt.Sprintf("no record of version %d of %q", e.Version, e.Instance)
	case CodeConflict:
		return fmt.Sprintf("the store holds another version of %q than %d", e.Instance, e.Version)
	case CodeFenced:
		return "another process has claimed this runtime's log"
	case CodeStoreFailed:
		return "the store did not take the transition"
	case CodeUnknownOutcome:
		return "the store cannot say whether it stored the batch"
	case CodePersistence:
		if e.Detail != "" { // who asks can't set anything
			return "nothing is kept here"
		}
		return "the runtime has no store to restore from: set Config.Store"
	case CodeNotRunning:
		return "the runtime is not running"
	case CodeEntryMachine:
		return fmt.Sprintf("component %q names entry machine %q, which it does not have", e.Component, e.Machine)
	case CodeLagged:
		return fmt.Sprintf("the watcher was too slow and missed %d notices", e.Count)
	case CodeConfig:
		return "the configuration is not valid"
	}
	return strings.ReplaceAll(string(e.Code), "_", " ")
}

func (e *Error) instance() string {
	name := e.Instance
	if e.Key != "" {
		name = e.Key
	}
	if e.Machine == "" {
		return fmt.Sprintf("instance %q", name)
	}
	return fmt.Sprintf("%s %q", e.Machine, name)
}

func acceptedText(events []string) string {
	if len(events) == 0 {
		return "nothing"
	}
	return strings.Join(events, ", ")
}
