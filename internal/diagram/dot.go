package diagram

import (
	"fmt"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
)

// DOT writes a machine in the language of Graphviz. The same machine gives the
// same text. Nodes are called s0, s1, … and have the names as labels.
//
// Entry states are bold, final ones have a double border, error states are
// octagons, undeclared ones are dashed. Edges are dashed for timeouts and
// dotted for messages to other components. Internal transitions are listed
// below their state's name.
func DOT(m *fsm.Machine) string {
	g := newGraph(m)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", dotText(g.machine))
	b.WriteString("  rankdir=LR\n")
	b.WriteString("  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=13]\n")
	b.WriteString("  edge [fontname=\"monospace\", fontsize=11]\n")
	if g.initial >= 0 {
		b.WriteString("  start [shape=point, width=0.14, label=\"\"]\n")
	}
	for i, n := range g.nodes {
		label := dotText(nodeName(n.name))
		if len(n.internal) > 0 {
			label = dotText(nodeName(n.name), "internal: "+strings.Join(n.internal, ", "))
		}
		fmt.Fprintf(&b, "  s%d [label=%s%s]\n", i, label, dotNodeStyle(n.kind))
	}
	if g.initial >= 0 {
		fmt.Fprintf(&b, "  start -> s%d\n", g.initial)
	}
	for _, e := range g.edges {
		texts := make([]string, len(e.lines))
		for i, l := range e.lines {
			texts[i] = l.text
		}
		fmt.Fprintf(&b, "  s%d -> s%d [label=%s%s]\n", e.from, e.to, dotText(texts...), dotEdgeStyle(e.kind, g.nodes[e.to].kind))
	}
	b.WriteString("}\n")
	return b.String()
}

func dotNodeStyle(k Kind) string {
	switch k {
	case Entry:
		return `, style="rounded,bold"`
	case Final:
		return `, peripheries=2, color="#2f9e63"`
	case Error:
		return `, shape=octagon, style=solid, peripheries=2, color="#d0353d"`
	case Unknown:
		return `, style="rounded,dashed"`
	}
	return ""
}

func dotEdgeStyle(k EdgeKind, to Kind) string {
	color := ""
	if to == Error {
		color = `, color="#d0353d"`
	}
	switch k {
	case Timeout:
		return ", style=dashed" + color
	case Creates:
		return `, color="#3450c8"`
	case Tells:
		return `, style=dotted, color="#3450c8"`
	}
	return color
}

// dotText quotes lines of text. Graphviz reads a label twice: as a quoted
// string, where only \" is special, and then as a label, where backslashes
// start an escape and & starts an entity of HTML.
func dotText(lines ...string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, l := range lines {
		if i > 0 {
			b.WriteString(`\n`)
		}
		for _, r := range visible(l) {
			switch r {
			case '"':
				b.WriteString(`\"`)
			case '\\':
				b.WriteString(`\\`)
			case '&':
				b.WriteString("&amp;")
			default:
				b.WriteRune(r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
