// Package diagram draws the state diagram of a machine.
//
// Data flows one way, in the order of the files:
//
//   - graph.go turns a machine into a graph: a node per state, an edge per
//     group of transitions, the lines of text on each. What the definition
//     gets wrong is drawn, not refused: a state that is used but not declared
//     becomes a node of kind [Unknown].
//   - dot.go and mermaid.go write the graph as text for other programs:
//     [DOT] and [Mermaid].
//   - geometry.go writes the graph for Graphviz, as boxes and sizes without a
//     single name, and reads the positions back into a [Layout].
//   - layouter.go owns the running Graphviz and the cache: [Layouter].
//   - svg.go writes a [Layout] as SVG: [Layout.SVG].
//
// Everything but the [Layouter] is pure: the same machine gives the same
// bytes, on every platform. A Layout is shared by all who asked for it and
// never changed.
//
// Names are outside input and may hold anything. Each output has one escaping
// function (dotText, mermaidText, xmlText), and all of them first replace what
// no text can hold or show, such as control characters, by visible signs.
// Bytes that are not UTF-8 are shown as U+FFFD.
//
// Internal transitions leave their state where it is and have no edge. They
// are listed with their state: in its label (DOT), in a note (Mermaid), in the
// title of its node (SVG).
package diagram
