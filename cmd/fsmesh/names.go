package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/fsmesh/fsmesh/ui/api"
)

// maxWord bounds the names, ids and keys that a command is given, in bytes: the
// mesh knows no longer ones. What is a JSON object has bounds of its own.
const maxWord = 512

// plainWords refuses words and values of flags that nothing on a mesh can be called.
func plainWords(c *cobra.Command, words []string) error {
	for _, w := range words {
		if err := plain("an argument", w); err != nil {
			return err
		}
	}
	var err error
	c.Flags().Visit(func(f *pflag.Flag) {
		if err == nil && (f.Value.Type() == "string" || f.Value.Type() == "stringArray") {
			err = plain("--"+f.Name, f.Value.String())
		}
	})
	return err
}

func plain(what, word string) error {
	switch {
	case word == "":
		return usage("%s is empty; leave it out, or give it a value", what)
	case !utf8.ValidString(word):
		return usage("%s is not valid UTF-8: %q", what, short(word))
	case len(word) > maxWord && word[0] != '{' && word[0] != '[':
		return usage("%s is too long, %d bytes; %d at most are allowed: %q", what, len(word), maxWord, short(word))
	}
	return nil
}

// short is the beginning of a word, for a message.
func short(word string) string {
	if len(word) <= 40 {
		return word
	}
	return word[:40] + "…"
}

// definitions are those of the components on the mesh, by name.
func definitions(infos []mesh.RuntimeInfo) map[string]*fsm.Component {
	out := map[string]*fsm.Component{}
	for _, i := range infos {
		// What comes from outside may be broken; it is not known then.
		if c, _, err := fsm.ParseComponent(i.Definition, fsm.Lenient()); err == nil {
			out[i.Component] = c
		}
	}
	return out
}

// misnamed says which name in a filter nobody on the mesh has: a misspelt one would
// give an empty list. Where it is not known of all what they run, only a name that is
// near another is taken for a wrong one.
func misnamed(infos []mesh.RuntimeInfo, f mesh.Filter) error {
	var runtimes, components, machines, states []string
	for _, i := range infos {
		runtimes, components = append(runtimes, i.Name), append(components, i.Component)
		if f.Component != "" && f.Component != i.Component {
			continue
		}
		for _, m := range machinesOf(i.Definition) {
			machines = append(machines, m.Name)
			for _, state := range m.States {
				if f.Machine == "" || f.Machine == m.Name {
					states = append(states, state.Name)
				}
			}
		}
	}
	unsure := len(infos) == 0 || slices.ContainsFunc(infos, undefined)
	for _, of := range []struct {
		what, name string
		there      []string
	}{
		{"runtime", f.Name, runtimes}, {"component", f.Component, components}, {"machine", f.Machine, machines}, {"state", f.State, states},
	} {
		if of.name == "" || slices.Contains(of.there, of.name) {
			continue
		}
		if near, ok := nearest.Match(of.name, of.there); ok {
			return notFound("there is no %s %q; did you mean %q?", of.what, of.name, near)
		}
		if !unsure {
			return notFound("there is no %s %q%s", of.what, of.name, among(of.there))
		}
	}
	return nil
}

// unheardOf says that a machine takes an event in no state: all that it was sent to
// have ignored it. Where it is not known of all who host it what they run, it may be
// one of theirs.
func unheardOf(infos []mesh.RuntimeInfo, component, machine, event string) error {
	var events []string
	for _, i := range infos {
		if i.Component != component {
			continue
		}
		c, _, err := fsm.ParseComponent(i.Definition, fsm.Lenient())
		if err != nil {
			return nil
		}
		for m := range machinesOfAll(map[string]*fsm.Component{"": c}, component, machine) {
			for _, t := range m.Transitions {
				events = append(events, t.Event)
			}
		}
	}
	if len(events) == 0 || slices.Contains(events, event) {
		return nil
	}
	near, ok := nearest.Match(event, events)
	if ok {
		return &exitError{exitRefused, fmt.Errorf("machine %s has no event %q, and nobody took it; did you mean %q?", machine, event, near)}
	}
	return &exitError{exitRefused, fmt.Errorf("machine %s has no event %q, and nobody took it%s", machine, event, among(events))}
}

// among lists what there is, where that is not much.
func among(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) == 0 || len(names) > 12 {
		return ""
	}
	return "; there are " + strings.Join(names, ", ")
}

// checkData says all that the schema of a machine finds wrong with the data of a
// new instance.
func (s *session) checkData(ctx context.Context, component, machine string, data map[string]any) error {
	infos, err := s.defined(ctx)
	if err != nil {
		return err
	}
	c := definitions(infos)[component]
	if c == nil {
		return nil // who hosts it has the last word
	}
	for i := range c.StateMachines {
		m := &c.StateMachines[i]
		if m.Name != machine {
			continue
		}
		if faults := m.CheckContext(data); len(faults) > 0 {
			var each []string
			for _, f := range faults {
				each = append(each, f.String())
			}
			return &exitError{api.Mean(api.CodeBadContext).Exit, fmt.Errorf("the data of a new %s is not as its schema says: %s", machine, strings.Join(each, "; "))}
		}
	}
	return nil
}
