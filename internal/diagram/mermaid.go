package diagram

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/fsmesh/fsmesh/fsm"
)

// Mermaid writes a machine as a stateDiagram-v2 of Mermaid. The same machine
// gives the same text. States are called s0, s1, … and have the names as
// descriptions.
//
// Mermaid has no dashed edges and no double borders in state diagrams: a
// timeout shows its delay, final and error states have a thick coloured border
// and lead to the end. It draws the loops of a state over each other, so they
// are one with all labels. Internal transitions are in a note at their state.
func Mermaid(m *fsm.Machine) string {
	g := newGraph(m)
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	b.WriteString("  direction LR\n")
	for i, n := range g.nodes {
		fmt.Fprintf(&b, "  state \"%s\" as s%d\n", mermaidText(nodeName(n.name)), i)
	}
	if g.initial >= 0 {
		fmt.Fprintf(&b, "  [*] --> s%d\n", g.initial)
	}
	loops := make([][]string, len(g.nodes))
	for _, e := range g.edges {
		if e.from == e.to {
			loops[e.from] = append(loops[e.from], mermaidLabel(e))
		}
	}
	for _, e := range g.edges {
		label := mermaidLabel(e)
		if e.from == e.to {
			if label = strings.Join(loops[e.from], ", "); label == "" {
				continue
			}
			loops[e.from] = nil
		}
		fmt.Fprintf(&b, "  s%d --> s%d : %s\n", e.from, e.to, label)
	}
	for i, n := range g.nodes {
		if n.kind == Final || n.kind == Error {
			fmt.Fprintf(&b, "  s%d --> [*]\n", i)
		}
	}
	for i, n := range g.nodes {
		if len(n.internal) > 0 {
			fmt.Fprintf(&b, "  note right of s%d : %s\n", i, mermaidText("internal: "+strings.Join(n.internal, ", ")))
		}
	}
	mermaidClasses(&b, g)
	return b.String()
}

func mermaidLabel(e gedge) string {
	label := mermaidText(e.lines[0].text)
	if len(e.lines) > 1 {
		label += " (" + mermaidText(e.lines[1].text) + ")"
	}
	return label
}

// mermaidClasses writes the styles of the kinds that occur.
func mermaidClasses(b *strings.Builder, g *graph) {
	for _, c := range []struct {
		kind  Kind
		style string
	}{
		{Entry, "stroke-width:3px"},
		{Final, "stroke:#2f9e63,stroke-width:4px"},
		{Error, "stroke:#d0353d,stroke-width:4px"},
		{Unknown, "stroke-dasharray:4 3"},
	} {
		var ids []string
		for i, n := range g.nodes {
			if n.kind == c.kind {
				ids = append(ids, fmt.Sprintf("s%d", i))
			}
		}
		if len(ids) > 0 {
			fmt.Fprintf(b, "  classDef k_%s %s\n  class %s k_%s\n", c.kind, c.style, strings.Join(ids, ","), c.kind)
		}
	}
}

// mermaidText writes all but letters, digits and a few harmless signs as
// Mermaid's entities (#34;). Mermaid sets these aside before it parses, so
// they cannot end a string, a label or a line, nor start a directive.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range visible(s) {
		if unicode.In(r, unicode.L, unicode.M, unicode.N) || strings.ContainsRune(" _.,?()/", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
