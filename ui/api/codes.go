package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// The codes of errors beside those of package fsm. They are as stable.
const (
	CodeNoEventType  fsm.Code = "event_type_missing"
	CodeBadBody      fsm.Code = "bad_body"
	CodeMediaType    fsm.Code = "unsupported_media_type"
	CodeBodyTooLarge fsm.Code = "body_too_large"
	CodeBadParameter fsm.Code = "bad_parameter"
	CodeBadFilter    fsm.Code = "bad_filter"
	CodeBadCursor    fsm.Code = "bad_cursor"
	CodeBadContext   fsm.Code = "context_invalid"
	CodeNoRoute      fsm.Code = "route_not_found"
	CodeBadMethod    fsm.Code = "method_not_allowed"
	CodeNoLetter     fsm.Code = "dead_letter_not_found"
	// CodeNoAnswer is that of mesh.ErrNoAnswer: it may have happened.
	CodeNoAnswer fsm.Code = "no_answer"
	// CodeMissing is that of *mesh.MissingError: some have not answered.
	CodeMissing fsm.Code = "answers_missing"
	// CodeGone is for an instance whose runtime has just gone.
	CodeGone fsm.Code = "runtime_gone"
	// CodeUnreachable is for a mesh that cannot be reached.
	CodeUnreachable fsm.Code = "mesh_unreachable"
	CodeInternal    fsm.Code = "internal"
)

// The exit statuses of command lines.
const (
	ExitDone     = 0
	ExitFailed   = 1
	ExitUsage    = 2
	ExitNotFound = 3
	// ExitRefused is for what the machine or the instance refused.
	ExitRefused = 4
)

// A Meaning is what a code stands for.
type Meaning struct {
	Code fsm.Code
	// Status is the HTTP status of the answer.
	Status int
	// Exit is the exit status of a command line.
	Exit int
	// Title says it in a few words, the same for all errors of the code.
	Title string
	// Retry says that the same request may do better a little later.
	Retry bool
}

// meanings is the one table from codes to statuses, in the order of the docs.
var meanings = []Meaning{
	{fsm.CodeUnknownComponent, http.StatusNotFound, ExitNotFound, "no such component", false},
	{fsm.CodeUnknownMachine, http.StatusNotFound, ExitNotFound, "no such machine", false},
	{fsm.CodeUnknownState, http.StatusNotFound, ExitNotFound, "no such state", false},
	{fsm.CodeUnknownInstance, http.StatusNotFound, ExitNotFound, "no such instance", false},
	{fsm.CodeUnknownRecord, http.StatusNotFound, ExitNotFound, "no such record", false},
	{fsm.CodeEntryMachine, http.StatusNotFound, ExitNotFound, "the entry machine is not there", false},
	{CodeNoLetter, http.StatusNotFound, ExitNotFound, "no such dead letter", false},
	{CodeNoRoute, http.StatusNotFound, ExitNotFound, "no such address", false},
	{CodeBadMethod, http.StatusMethodNotAllowed, ExitUsage, "the address does not take this method", false},
	{fsm.CodeEventIgnored, http.StatusConflict, ExitRefused, "the event is ignored in this state", false},
	{fsm.CodeInstanceEnded, http.StatusGone, ExitRefused, "the instance has ended", false},
	{fsm.CodeInstanceInactive, http.StatusGone, ExitRefused, "the instance has ended", false},
	{fsm.CodeQuarantined, http.StatusConflict, ExitRefused, "the instance is quarantined", false},
	{fsm.CodeVersionMoved, http.StatusConflict, ExitRefused, "the instance has moved on", false},
	{fsm.CodeStateFinal, http.StatusConflict, ExitRefused, "nothing is created in a final state", false},
	{fsm.CodeSingletonExists, http.StatusConflict, ExitRefused, "the one instance is there already", false},
	{fsm.CodeKeyExists, http.StatusConflict, ExitRefused, "the key is in use", false},
	{fsm.CodeIDExists, http.StatusConflict, ExitRefused, "the id is in use", false},
	{fsm.CodeAmbiguous, http.StatusConflict, ExitUsage, "more than one is meant", false},
	{fsm.CodeConflict, http.StatusConflict, ExitFailed, "the store holds another version", false},
	{fsm.CodeReentrant, http.StatusConflict, ExitFailed, "the call would wait for itself", false},
	{CodeBadContext, http.StatusUnprocessableEntity, ExitRefused, "the context is not as its schema says", false},
	{fsm.CodeTooDeep, http.StatusUnprocessableEntity, ExitFailed, "too far from its cause", false},
	{fsm.CodeTooMany, http.StatusUnprocessableEntity, ExitFailed, "it leads to too much", false},
	{CodeNoEventType, http.StatusBadRequest, ExitUsage, "the event has no type", false},
	{CodeBadBody, http.StatusBadRequest, ExitUsage, "the body cannot be read", false},
	{CodeBadParameter, http.StatusBadRequest, ExitUsage, "a parameter is wrong", false},
	{CodeBadFilter, http.StatusBadRequest, ExitUsage, "the filter cannot be read", false},
	{CodeBadCursor, http.StatusBadRequest, ExitUsage, "the cursor is not one of this list", false},
	{fsm.CodeBadValue, http.StatusBadRequest, ExitUsage, "a value cannot be taken", false},
	{CodeMediaType, http.StatusUnsupportedMediaType, ExitUsage, "the body is not of the right type", false},
	{CodeBodyTooLarge, http.StatusRequestEntityTooLarge, ExitUsage, "the body is too large", false},
	{fsm.CodeContextTooLarge, http.StatusRequestEntityTooLarge, ExitFailed, "the data is too large", false},
	{fsm.CodeOverloaded, http.StatusTooManyRequests, ExitFailed, "too much is waiting", true},
	{fsm.CodeFenced, http.StatusServiceUnavailable, ExitFailed, "another process has taken over", true},
	{fsm.CodeNotRunning, http.StatusServiceUnavailable, ExitFailed, "the runtime is not running", true},
	{fsm.CodeStoreFailed, http.StatusServiceUnavailable, ExitFailed, "the store did not take it", true},
	{CodeGone, http.StatusServiceUnavailable, ExitNotFound, "the runtime has just gone", true},
	{CodeUnreachable, http.StatusServiceUnavailable, ExitFailed, "the mesh cannot be reached", true},
	{fsm.CodeHookStuck, http.StatusServiceUnavailable, ExitFailed, "a hook does not return", true},
	{CodeNoAnswer, http.StatusGatewayTimeout, ExitFailed, "no answer in time: it may have happened", true},
	{CodeMissing, http.StatusGatewayTimeout, ExitNotFound, "some runtimes did not answer", true},
	{fsm.CodeUnknownOutcome, http.StatusGatewayTimeout, ExitFailed, "it is not known whether it was stored", true},
	{fsm.CodeHookTimeout, http.StatusInternalServerError, ExitFailed, "a hook did not return in time", false},
	{fsm.CodeCallEnded, http.StatusInternalServerError, ExitFailed, "the call of the hook has ended", false},
	{fsm.CodePersistence, http.StatusNotImplemented, ExitFailed, "the runtime has no store", false},
	{fsm.CodeConfig, http.StatusInternalServerError, ExitUsage, "the configuration is not valid", false},
	{fsm.CodeDefinition, http.StatusInternalServerError, ExitFailed, "the definition is not valid", false},
	{fsm.CodeLagged, http.StatusInternalServerError, ExitFailed, "the reader was too slow", false},
	{CodeInternal, http.StatusInternalServerError, ExitFailed, "something went wrong here", false},
}

// Meanings returns what all codes stand for, in the order of the documentation.
func Meanings() []Meaning { return append([]Meaning(nil), meanings...) }

// Mean returns what a code stands for; that of CodeInternal for one that is not
// known, under its own name.
func Mean(c fsm.Code) Meaning {
	for _, m := range meanings {
		if m.Code == c {
			return m
		}
	}
	m := meanings[len(meanings)-1]
	if c != "" {
		m.Code = c
	}
	return m
}

// CodeOf returns the code of an error of this package, of package fsm or of
// package mesh; CodeInternal for others, and "" for nil.
func CodeOf(err error) fsm.Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if _, ok := errors.AsType[*mesh.MissingError](err); ok {
		return CodeMissing
	}
	switch {
	case errors.Is(err, mesh.ErrNoAnswer), errors.Is(err, context.DeadlineExceeded):
		return CodeNoAnswer
	case errors.Is(err, mesh.ErrCursor):
		return CodeBadCursor
	case errors.Is(err, nats.ErrNoResponders):
		return CodeGone
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected),
		errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrReconnectBufExceeded):
		return CodeUnreachable
	}
	if c := fsm.ErrorCode(err); c != "" {
		return c
	}
	return CodeInternal
}
