package fsm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func TestProblemString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   fsm.Problem
		want string
	}{
		{"all of it", fsm.Problem{File: "a.yaml", Line: 3, Column: 7, Path: "name", Message: "is bad", Hint: "make it good"}, "a.yaml:3:7: is bad; make it good"},
		{"warning", fsm.Problem{File: "a.yaml", Line: 3, Column: 7, Severity: fsm.SeverityWarning, Message: "looks bad"}, "a.yaml:3:7: warning: looks bad"},
		{"no file", fsm.Problem{Line: 3, Column: 7, Message: "is bad"}, "3:7: is bad"},
		{"no position", fsm.Problem{Path: "stateMachines[0].name", Message: "is bad"}, "stateMachines[0].name: is bad"},
		{"message only", fsm.Problem{Message: "is bad"}, "is bad"},
		{"always one line", fsm.Problem{File: "a\nb.yaml", Line: 1, Column: 1, Message: "is\r\nbad\u2028"}, "a\uFFFDb.yaml:1:1: is\uFFFD\uFFFDbad\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.in.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSeverityString(t *testing.T) {
	t.Parallel()
	if got, want := fsm.SeverityError.String()+" "+fsm.SeverityWarning.String(), "error warning"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDefinitionErrorIsTyped(t *testing.T) {
	t.Parallel()
	_, problems, err := fsm.ParseComponent(nil, fsm.FileName("x.yaml"))
	wrapped := fmt.Errorf("load: %w", err)
	var de *fsm.DefinitionError
	if !errors.As(wrapped, &de) {
		t.Fatalf("errors.As: got %T, want a *DefinitionError", err)
	}
	if len(de.Problems) != 1 || len(problems) != 1 {
		t.Errorf("problems: got %d and %d, want 1 and 1", len(de.Problems), len(problems))
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("name: A\nstateMachines:\n  - name: M\n    initialState: S\n    states: [{name: S}]\n    transitions:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "      - {from: S, to: T%d, event: E}\n", i)
	}
	_, problems, err := fsm.ParseComponent([]byte(b.String()))
	if err == nil {
		t.Fatal("got no error")
	}
	if got, want := len(problems), 101; got != want {
		t.Fatalf("problems: got %d, want %d", got, want)
	}
	if got, want := problems[100].Message, "4900 more of these are not shown"; got != want {
		t.Errorf("last message: got %q, want %q", got, want)
	}
}
