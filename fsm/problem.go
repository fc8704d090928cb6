package fsm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Severity says whether a problem keeps a definition from being used.
type Severity int

// The severities. A definition with an error is refused; one with warnings
// only runs.
const (
	SeverityError Severity = iota
	SeverityWarning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// A Problem is one thing that is wrong, or looks wrong, in a component
// definition.
type Problem struct {
	// File is the name of the file, as given; empty when there is none.
	File string
	// Line and Column count from 1. They are 0 for a definition that was
	// built in Go.
	Line, Column int
	Severity     Severity
	// Path leads to the place: "stateMachines[0].transitions[2].to". It is
	// empty for a problem of the file as a whole.
	Path string
	// Message says what is wrong and quotes what was found.
	Message string
	// Hint says what to do about it, or is empty.
	Hint string
}

// String returns the problem on one line: "file:line:col: message; hint".
// Without a position the path stands in its place. Warnings are marked.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	switch {
	case p.Line > 0:
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	case p.Path != "":
		b.WriteString(p.Path + ":")
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Severity == SeverityWarning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return problemOneLine(b.String())
}

// problemOneLine replaces control characters, which only file names can bring in.
func problemOneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// A DefinitionError is what a refused component definition gives: all its
// problems, the warnings too, in the order of the file. Use errors.As to get
// at them.
type DefinitionError struct {
	Problems []Problem
}

// Error returns all problems, one a line.
func (e *DefinitionError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

var _ error = (*DefinitionError)(nil)

// maxProblems bounds how many errors, and how many warnings, are kept of one
// definition. What is beyond is counted.
const maxProblems = 100

// problemList gathers the problems of one definition.
type problemList struct {
	kept    []Problem
	count   [2]int // by severity
	dropped [2]int
}

// full says whether another problem of this severity would only be counted.
// Hints, which cost time, are not worth looking for then.
func (l *problemList) full(s Severity) bool { return l.count[s] >= maxProblems }

func (l *problemList) add(p Problem) {
	if l.full(p.Severity) {
		l.dropped[p.Severity]++
		return
	}
	l.count[p.Severity]++
	l.kept = append(l.kept, p)
}

// sorted returns the problems in the order of the file, with a last one for
// those that were only counted.
func (l *problemList) sorted() []Problem {
	out := slices.Clone(l.kept)
	slices.SortStableFunc(out, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	for s, n := range l.dropped {
		if n > 0 {
			last := out[len(out)-1]
			out = append(out, Problem{
				File: last.File, Line: last.Line, Column: last.Column, Severity: Severity(s),
				Message: fmt.Sprintf("%d more of these are not shown", n),
			})
		}
	}
	return out
}

// problemsHaveError says whether any of the problems is an error.
func problemsHaveError(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == SeverityError })
}

// problemQuote quotes a word from outside for a message, cut where it is long.
func problemQuote(s string) string {
	const most = 80
	if r := []rune(s[:min(len(s), most*4)]); len(r) > most || len(s) > most*4 {
		return strconv.Quote(string(r[:most]) + "…")
	}
	return strconv.Quote(s)
}
