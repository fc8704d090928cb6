package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
)

// getDiagram draws a machine that is named without its component.
func (a *API) getDiagram(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	return a.drawMachine(w, q.text("component"), r.PathValue("machine"), q.text("currentState"))
}

// getComponentDiagram draws a machine of a component.
func (a *API) getComponentDiagram(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	name := r.PathValue("component")
	if _, err := a.component(name); err != nil {
		return err
	}
	return a.drawMachine(w, name, r.PathValue("machine"), q.text("currentState"))
}

func (a *API) drawMachine(w http.ResponseWriter, name, machine, state string) error {
	var having, names []string
	var found *fsm.Machine
	for _, c := range a.components() {
		if name != "" && c.name != name || c.def == nil {
			continue
		}
		for _, m := range c.def.StateMachines {
			names = append(names, m.Name)
		}
		if m := c.machine(machine); m != nil {
			found = m
			having = append(having, c.name)
		}
	}
	switch {
	case found == nil:
		return wrong(fsm.CodeUnknownMachine, "no machine %q is known%s", machine, suggest(machine, names))
	case len(having) > 1:
		return wrong(fsm.CodeAmbiguous, "the components %s have a machine %q each; say which with ?component=", strings.Join(having, ", "), machine)
	}
	if state != "" {
		var states []string
		for _, s := range found.States {
			states = append(states, s.Name)
		}
		if !slices.Contains(states, state) {
			return wrong(fsm.CodeUnknownState, "machine %q has no state %q%s", machine, state, suggest(state, states))
		}
	}
	return answer(w, map[string]any{
		"diagram": ancestorDiagram(found, state), "machineName": found.Name, "currentState": orNull(state), "componentName": having[0],
	})
}

// ancestorDiagram writes a machine as the ancestor does, so that pages made for
// it show what they showed. A name that is not a plain word is written as an
// alias with the name beside it: it would end up as something else.
func ancestorDiagram(m *fsm.Machine, current string) string {
	names := map[string]string{}
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	alias := func(state string) string {
		if a, ok := names[state]; ok {
			return a
		}
		a := state
		if !plainWord(state) {
			a = fmt.Sprintf("state_%d", len(names)+1)
			fmt.Fprintf(&b, "  state \"%s\" as %s\n", mermaidText(state), a)
		}
		names[state] = a
		return a
	}
	for _, s := range m.States {
		alias(s.Name)
	}
	for _, t := range m.Transitions {
		alias(t.From)
		alias(t.To)
	}
	if m.InitialState != "" {
		fmt.Fprintf(&b, "  [*] --> %s\n", alias(m.InitialState))
	}
	for _, t := range m.Transitions {
		label := mermaidText(t.Event)
		if t.Type == "cross_component" {
			label = "📡 " + label + " → " + mermaidText(t.TargetComponent)
		}
		fmt.Fprintf(&b, "  %s --> %s: %s\n", alias(t.From), alias(t.To), label)
	}
	if current != "" {
		b.WriteString("  classDef currentState fill:#4c1d95,stroke:#a855f7,stroke-width:3px,color:#e9d5ff\n")
		fmt.Fprintf(&b, "  class %s currentState\n", alias(current))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// plainWord reports whether Mermaid takes a name as it is.
func plainWord(s string) bool {
	switch strings.ToLower(s) {
	case "", "state", "note", "class", "classdef", "direction", "end", "as":
		return false
	}
	for i, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}

// mermaidText writes what is not plain as entities of Mermaid, which shows them
// as text.
func mermaidText(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0x2028 || c == 0x2029:
			b.WriteByte(' ')
		case strings.ContainsRune(`"#;:<>{}[]()&%|\`+"`", c):
			fmt.Fprintf(&b, "#%d;", c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
