package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

const (
	// completeTime bounds what a shell waits for the rest of a word.
	completeTime = 500 * time.Millisecond
	// completeMost is how many instances are offered.
	completeMost = 50
)

// A finder knows what a word may be.
type finder func(ctx context.Context, s *session, c *cobra.Command, words []string, typed string) ([]string, error)

// completions has a shell complete names: those of files, contexts, and of what is
// on the mesh that the command is for. Where that cannot be reached in
// completeTime nothing is offered, and nothing is said.
func (p *program) completions(root *cobra.Command) {
	for name, complete := range map[string]cobra.CompletionFunc{
		"validate": files, "serve": files,
		"simulate": ofFile, "run": ofFile, "diagram": ofFile,
		"context show": p.contextNames, "context select": p.contextNames, "context rm": p.contextNames,
		"get": p.fromMesh(targets), "history": p.fromMesh(targets), "send": p.fromMesh(targetAndEvent),
		"create": p.fromMesh(machineNames), "broadcast": p.fromMesh(machineAndEvent),
	} {
		if c, rest, err := root.Find(strings.Fields(name)); err == nil && len(rest) == 0 {
			c.ValidArgsFunction = complete
		}
	}
	for _, c := range root.Commands() {
		if c.Flags().Lookup("url") == nil {
			continue
		}
		for name, complete := range map[string]cobra.CompletionFunc{
			"context": func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
				return p.contextNames(c, nil, typed)
			},
			"key": p.fromMesh(keys), "key-prefix": p.fromMesh(keys),
			"machine": p.fromMesh(allMachines), "state": p.fromMesh(stateNames),
			"component": p.fromMesh(componentNames), "runtime": p.fromMesh(runtimeNames),
		} {
			// A new instance has a key that none has yet.
			if c.Flags().Lookup(name) != nil && (name != "key" || c.Name() != "create") {
				_ = c.RegisterFlagCompletionFunc(name, complete) // once for each
			}
		}
	}
}

// files has YAML files offered.
func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// ofFile is for a file, then a machine of it, then events of that.
func ofFile(c *cobra.Command, words []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(words) == 0 {
		return files(c, words, typed)
	}
	comp, _, err := fsm.ParseComponentFile(words[0], fsm.Lenient())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	of := map[string]*fsm.Component{comp.Name: comp}
	switch {
	case len(words) == 1:
		return offered(machinesIn(of, ""), typed)
	case c.Name() == "diagram":
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offered(eventsIn(of, "", words[1]), typed)
}

// contextNames is for the name of a context.
func (p *program) contextNames(_ *cobra.Command, words []string, typed string) ([]string, cobra.ShellCompDirective) {
	all, err := p.readContexts()
	if err != nil || len(words) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offered(all.names(), typed)
}

// offered are the names that begin as what was typed does, each once.
func offered(names []string, typed string) ([]string, cobra.ShellCompDirective) {
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, typed) })
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// fromMesh asks the mesh that the flags so far are for.
func (p *program) fromMesh(find finder) cobra.CompletionFunc {
	return func(c *cobra.Command, words []string, typed string) ([]string, cobra.ShellCompDirective) {
		quiet := *p
		quiet.stderr = io.Discard
		r := &remote{p: &quiet, timeout: completeTime, context: flagOf(c, "context")}
		r.broker = broker{url: flagOf(c, "url"), mesh: flagOf(c, "mesh"), tokenFile: flagOf(c, "token-file")}
		var names []string
		err := r.with(c.Context(), false, func(ctx context.Context, s *session) (err error) {
			names, err = find(ctx, s, c, words, typed)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return offered(names, typed)
	}
}

// flagOf is what a flag was given so far, "" where there is none of that name.
func flagOf(c *cobra.Command, name string) string {
	if f := c.Flags().Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// components are the definitions of those on the mesh.
func (s *session) components(ctx context.Context) (map[string]*fsm.Component, error) {
	infos, err := s.defined(ctx)
	return definitions(infos), err
}

func targets(ctx context.Context, s *session, c *cobra.Command, words []string, typed string) ([]string, error) {
	if len(words) > 0 || flagOf(c, "key") != "" {
		return nil, nil
	}
	return s.instances(ctx, c, typed, func(in *mesh.Instance) string { return in.ID })
}

func keys(ctx context.Context, s *session, c *cobra.Command, _ []string, typed string) ([]string, error) {
	return s.instances(ctx, c, typed, func(in *mesh.Instance) string { return in.Key })
}

// instances are names of live instances that begin as what was typed does.
func (s *session) instances(ctx context.Context, c *cobra.Command, typed string, name func(*mesh.Instance) string) ([]string, error) {
	f := mesh.Filter{Prefix: typed, Component: flagOf(c, "component"), Machine: flagOf(c, "machine"), Live: true}
	var names []string
	for in, err := range s.client.All(ctx, mesh.Query{Filter: f}) {
		if err != nil || len(names) == completeMost {
			break // what has been found is better than nothing
		}
		if n := name(&in); n != "" && strings.HasPrefix(n, typed) {
			names = append(names, n)
		}
	}
	return names, nil
}

func targetAndEvent(ctx context.Context, s *session, c *cobra.Command, words []string, typed string) ([]string, error) {
	given := len(words)
	if flagOf(c, "key") != "" {
		given++
	}
	switch given {
	case 0:
		return targets(ctx, s, c, words, typed)
	case 1:
		of, err := s.components(ctx)
		return eventsIn(of, flagOf(c, "component"), ""), err
	}
	return nil, nil
}

func machineNames(ctx context.Context, s *session, c *cobra.Command, words []string, typed string) ([]string, error) {
	if len(words) > 0 {
		return nil, nil
	}
	return allMachines(ctx, s, c, words, typed)
}

func machineAndEvent(ctx context.Context, s *session, c *cobra.Command, words []string, typed string) ([]string, error) {
	if len(words) != 1 {
		return machineNames(ctx, s, c, words, typed)
	}
	of, err := s.components(ctx)
	return eventsIn(of, flagOf(c, "component"), words[0]), err
}

func allMachines(ctx context.Context, s *session, c *cobra.Command, _ []string, _ string) ([]string, error) {
	of, err := s.components(ctx)
	return machinesIn(of, flagOf(c, "component")), err
}

func stateNames(ctx context.Context, s *session, c *cobra.Command, words []string, _ string) ([]string, error) {
	machine := flagOf(c, "machine")
	if machine == "" && len(words) > 0 { // of create and broadcast
		machine = words[0]
	}
	of, err := s.components(ctx)
	var names []string
	for m := range machinesOfAll(of, flagOf(c, "component"), machine) {
		for _, state := range m.States {
			names = append(names, state.Name)
		}
	}
	return names, err
}

func componentNames(ctx context.Context, s *session, _ *cobra.Command, _ []string, _ string) ([]string, error) {
	infos, err := s.defined(ctx)
	var names []string
	for _, i := range infos {
		names = append(names, i.Component)
	}
	return names, err
}

func runtimeNames(ctx context.Context, s *session, _ *cobra.Command, _ []string, _ string) ([]string, error) {
	infos, err := s.defined(ctx)
	var names []string
	for _, i := range infos {
		names = append(names, i.Name)
	}
	return names, err
}

// machinesOfAll goes through machines: those of a component, or ("") of all, and
// of these one name, or ("") all.
func machinesOfAll(of map[string]*fsm.Component, component, machine string) func(yield func(*fsm.Machine) bool) {
	return func(yield func(*fsm.Machine) bool) {
		for _, c := range of {
			for i := range c.StateMachines {
				m := &c.StateMachines[i]
				if (component == "" || component == c.Name) && (machine == "" || machine == m.Name) && !yield(m) {
					return
				}
			}
		}
	}
}

func machinesIn(of map[string]*fsm.Component, component string) (names []string) {
	for m := range machinesOfAll(of, component, "") {
		names = append(names, m.Name)
	}
	return names
}

func eventsIn(of map[string]*fsm.Component, component, machine string) (names []string) {
	for m := range machinesOfAll(of, component, machine) {
		for _, t := range m.Transitions {
			names = append(names, t.Event)
		}
	}
	return names
}
