// Package graphviz runs Graphviz as WebAssembly, in the process and without
// CGO: a graph in the DOT language goes in, its layout comes out.
//
// graphviz.wasm is Graphviz 12.1.2 as github.com/goccy/go-graphviz v0.2.10
// ships it, byte for byte; go generate fetches it again, NOTICE names the
// licences. That library itself is not linked: it compiles the module in an
// init function, so every start of a program would pay for it whether it draws
// or not; it never frees it; it keeps machine code in a shared directory for
// temporary files; and it gives the module the whole file system. Here an
// [Engine] starts when asked, ends with Close, and sees nothing but its own
// memory.
package graphviz
