package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/nearest"
)

// load reads a component file. Its warnings are printed, its errors are too,
// and the error that is returned then says how many there are.
func (p *program) load(path string, opts ...fsm.ParseOption) (*fsm.Component, error) {
	if err := readable(path); err != nil {
		return nil, err
	}
	c, problems, err := fsm.ParseComponentFile(path, opts...)
	if broken, ok := errors.AsType[*fsm.DefinitionError](err); ok {
		problems = broken.Problems
		err = fmt.Errorf("%s can't be used: %s (fsmesh validate prints them)", path, counted(problems))
	}
	for _, w := range problems {
		fmt.Fprintln(p.stderr, w)
	}
	return c, err
}

// readable says in words of our own what most often is wrong with a path.
func readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return notFound("no file %q; give the path of a component file (YAML or JSON)", path)
	case err != nil:
		return fmt.Errorf("look at %q: %w", path, unwrapPath(err))
	case info.IsDir():
		return fmt.Errorf("%q is a folder; give the files in it, say %s/*.yaml", path, strings.TrimSuffix(path, "/"))
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%q may not be read by this user; change its mode, or use another user", path)
	}
	if err != nil {
		return fmt.Errorf("open %q: %w", path, unwrapPath(err))
	}
	return f.Close()
}

// unwrapPath drops the path from an error that is about to be wrapped with it.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// counted says "2 errors, 1 warning".
func counted(problems []fsm.Problem) string {
	var n [2]int
	for _, p := range problems {
		n[p.Severity]++
	}
	out := []string{}
	if n[fsm.SeverityError] > 0 {
		out = append(out, plural(n[fsm.SeverityError], "error"))
	}
	if n[fsm.SeverityWarning] > 0 {
		out = append(out, plural(n[fsm.SeverityWarning], "warning"))
	}
	return strings.Join(out, ", ")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// machine finds a machine of a component by its exact name.
func machine(c *fsm.Component, path, name string) (*fsm.Machine, error) {
	var names []string
	for i := range c.StateMachines {
		if c.StateMachines[i].Name == name {
			return &c.StateMachines[i], nil
		}
		names = append(names, c.StateMachines[i].Name)
	}
	if near, ok := nearest.Match(name, names); ok {
		return nil, notFound("no machine %q in %s; did you mean %q?", name, path, near)
	}
	return nil, notFound("no machine %q in %s; it has %s", name, path, strings.Join(names, ", "))
}
