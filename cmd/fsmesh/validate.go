package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/spf13/cobra"
)

func (p *program) validateCommand() *cobra.Command {
	var strict, lenient bool
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check component files and print every problem",
		Long: `Checks component files and prints every problem of every file, one a line, as
file:line:column. Errors make the exit status 1; warnings are printed only: such
a definition runs.`,
		Example: `  fsmesh validate shop.yaml fulfilment.yaml
  fsmesh validate --strict shop.yaml     # warnings are errors
  fsmesh validate --lenient shop.yaml    # unknown keys are warnings
  fsmesh validate -o json shop.yaml`,
		Args: args(1, -1),
	}
	c.Flags().BoolVar(&strict, "strict", false, "make warnings errors")
	c.Flags().BoolVar(&lenient, "lenient", false, "make unknown keys warnings")
	form := outputFlag(c, "table", "json", "yaml")
	c.RunE = func(_ *cobra.Command, files []string) error {
		var opts []fsm.ParseOption
		switch {
		case strict && lenient:
			return usage("--strict and --lenient contradict each other; give one of them")
		case strict:
			opts = append(opts, fsm.Strict())
		case lenient:
			opts = append(opts, fsm.Lenient())
		}
		return p.validate(files, form.value, opts)
	}
	return c
}

// A verdict is what validate finds about one file.
type verdict struct {
	File      string        `json:"file"`
	Valid     bool          `json:"valid"`
	Component string        `json:"componentName,omitempty"`
	Machines  int           `json:"machines"`
	Problems  []problemJSON `json:"problems"`
	problems  []fsm.Problem
}

type problemJSON struct {
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Severity string `json:"severity"`
	Path     string `json:"path,omitempty"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// validate looks at all files, also after one could not be read: its error is
// returned at the end.
func (p *program) validate(files []string, form string, opts []fsm.ParseOption) error {
	var verdicts []verdict
	var unreadable error
	invalid := 0
	for _, f := range files {
		v, err := check(f, opts)
		if err != nil {
			unreadable = errors.Join(unreadable, err)
			continue
		}
		if !v.Valid {
			invalid++
		}
		verdicts = append(verdicts, v)
	}
	if form == "table" {
		p.printVerdicts(verdicts)
	} else if err := writeDocument(p.stdout, form, verdicts); err != nil {
		return err
	}
	switch {
	case unreadable != nil:
		return unreadable
	case invalid > 0:
		return &exitError{status: exitFailed}
	}
	return nil
}

func check(file string, opts []fsm.ParseOption) (verdict, error) {
	v := verdict{File: file, Problems: []problemJSON{}}
	if err := readable(file); err != nil {
		return v, err
	}
	c, problems, err := fsm.ParseComponentFile(file, opts...)
	if broken, ok := errors.AsType[*fsm.DefinitionError](err); ok {
		problems = broken.Problems
	} else if err != nil {
		return v, err
	}
	v.problems = problems
	v.Valid = err == nil
	if c != nil && v.Valid {
		v.Component, v.Machines = c.Name, len(c.StateMachines)
	}
	for _, p := range problems {
		v.Problems = append(v.Problems, problemJSON{p.Line, p.Column, p.Severity.String(), p.Path, p.Message, p.Hint})
	}
	return v, nil
}

func (p *program) printVerdicts(verdicts []verdict) {
	for _, v := range verdicts {
		for _, problem := range v.problems {
			fmt.Fprintln(p.stdout, problem)
		}
		switch {
		case !v.Valid:
			fmt.Fprintf(p.stdout, "%s: not valid: %s\n", v.File, counted(v.problems))
		case len(v.problems) > 0:
			fmt.Fprintf(p.stdout, "%s: valid: component %s, %s, %s\n", v.File, v.Component, plural(v.Machines, "machine"), counted(v.problems))
		default:
			fmt.Fprintf(p.stdout, "%s: valid: component %s, %s\n", v.File, v.Component, plural(v.Machines, "machine"))
		}
	}
}

// writeJSON prints a value that always has a JSON form.
func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // w is a pipe, which remembers its errors
}
