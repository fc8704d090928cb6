package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/fsmesh/fsmesh/fsm"
)

// The exit statuses.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4 // by the machine: the event is ignored, the instance has ended
)

// An exitError gives an error an exit status of its own.
type exitError struct {
	status int
	err    error
}

// Error returns the text of the error, "" if everything has been said already.
func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the error.
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, a ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, a...)}
}

func notFound(format string, a ...any) error {
	return &exitError{exitNotFound, fmt.Errorf(format, a...)}
}

// exitStatus is the one table from errors to exit statuses.
func exitStatus(err error) int {
	if err == nil {
		return exitDone
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.status
	}
	if errors.Is(err, fs.ErrNotExist) {
		return exitNotFound
	}
	switch fsm.ErrorCode(err) {
	case fsm.CodeUnknownComponent, fsm.CodeUnknownMachine, fsm.CodeUnknownState, fsm.CodeUnknownInstance, fsm.CodeUnknownRecord:
		return exitNotFound
	case fsm.CodeEventIgnored, fsm.CodeInstanceEnded, fsm.CodeInstanceInactive, fsm.CodeVersionMoved,
		fsm.CodeStateFinal, fsm.CodeSingletonExists, fsm.CodeKeyExists, fsm.CodeIDExists, fsm.CodeQuarantined:
		return exitRefused
	}
	return exitFailed
}

// report prints what went wrong, on one line, and returns the exit status.
func (p *program) report(err error) int {
	if err == nil && p.stdout.err != nil {
		err = fmt.Errorf("write to the standard output: %w", p.stdout.err)
	}
	if errors.Is(err, syscall.EPIPE) {
		// Whoever read the output has had enough: not worth a word.
		return exitFailed
	}
	if err != nil && err.Error() != "" {
		// A definition's error has a line for each problem; all else has one.
		fmt.Fprintln(p.stderr, "fsmesh: "+oneLine(err.Error()))
	}
	return exitStatus(err)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
