package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/fsmesh/fsmesh/ui/api"
)

// The exit statuses, those of the table of codes.
const (
	exitDone     = api.ExitDone
	exitFailed   = api.ExitFailed
	exitUsage    = api.ExitUsage
	exitNotFound = api.ExitNotFound
	exitRefused  = api.ExitRefused // by the machine: the event is ignored, the instance has ended
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

// exitStatus is what the table of codes says, which HTTP statuses come from, too.
// Errors that never leave the command line carry a status of their own.
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
	return api.Mean(api.CodeOf(err)).Exit
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
		fmt.Fprintln(p.stderr, "fsmesh: "+oneSentence(err.Error()))
	}
	return exitStatus(err)
}

// oneSentence puts several errors, a line each, on one line.
func oneSentence(s string) string {
	var out string
	for line := range strings.Lines(s) {
		line = oneLine(line)
		switch {
		case out == "" || line == "":
		case strings.HasSuffix(out, ":"), strings.HasSuffix(out, ";"), strings.HasSuffix(out, ","):
			out += " "
		default:
			out += "; "
		}
		out += line
	}
	return out
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
