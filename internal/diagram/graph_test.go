package diagram

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   fsm.Transition
		want []line
	}{
		{"event", fsm.Transition{Event: "E"}, []line{{EventLine, "E"}}},
		{"triggerable", fsm.Transition{Event: "E", Type: "triggerable"}, []line{{EventLine, "E"}}},
		{"a type that does not exist", fsm.Transition{Event: "E", Type: "Timeout"}, []line{{EventLine, "E"}}},
		{"without an event", fsm.Transition{}, []line{{EventLine, "(no event)"}}},
		{"timeout", fsm.Transition{Event: "E", Type: "timeout", TimeoutMs: 300_000}, []line{{ClockLine, "E"}, {DetailLine, "after 5m"}}},
		{"timeout without a delay", fsm.Transition{Event: "E", Type: "timeout"}, []line{{ClockLine, "E"}, {DetailLine, "never: no delay"}}},
		{"timeout beyond a time.Duration", fsm.Transition{Event: "E", Type: "timeout", TimeoutMs: math.MaxInt64}, []line{{ClockLine, "E"}, {DetailLine, "after 9223372036854775807ms"}}},
		{"auto", fsm.Transition{Event: "E", Type: "auto"}, []line{{EventLine, "E"}, {DetailLine, "auto"}}},
		{"auto with a delay", fsm.Transition{Event: "E", Type: "auto", TimeoutMs: 1}, []line{{EventLine, "E"}, {DetailLine, "auto after 1ms"}}},
		{"auto without an event", fsm.Transition{Type: "auto", TimeoutMs: -1}, []line{{DetailLine, "auto"}}},
		{"inter_machine", fsm.Transition{Event: "E", Type: "inter_machine", TargetMachine: "M"}, []line{{EventLine, "E"}, {PillLine, "creates M"}}},
		{"cross_component", fsm.Transition{Event: "E", Type: "cross_component", TargetComponent: "C"}, []line{{EventLine, "E"}, {PillLine, "tells C"}}},
		{"cross_component without a target", fsm.Transition{Event: "E", Type: "cross_component"}, []line{{EventLine, "E"}, {PillLine, "tells ?"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := lines(&tc.in, edgeKind(tc.in.Type)); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	m := &fsm.Machine{
		InitialState: "A",
		States:       []fsm.State{{Name: "A"}, {Name: "B"}, {Name: "A", Type: "final"}},
		Transitions: []fsm.Transition{
			{From: "A", To: "B", Event: "1"},
			{From: "B", To: "A", Event: "2"},
			{From: "A", To: "B", Event: "3", Type: "timeout"},
			{From: "A", To: "B", Event: "4", Type: "internal"},
			{From: "A", To: "B", Event: "5", Type: "triggerable"},
			{From: "A", To: "C", Event: "6"},
		},
	}
	g := newGraph(m)
	var got [][]int
	for _, e := range g.merge() {
		got = append(got, e.transitions)
	}
	if want := [][]int{{0, 4}, {1}, {2}, {5}}; !reflect.DeepEqual(got, want) {
		t.Errorf("the edges are the transitions %v, want %v", got, want)
	}
	if want := []gnode{{0, "A", Regular, []string{"4"}}, {1, "B", Regular, nil}, {-1, "C", Unknown, nil}}; !reflect.DeepEqual(g.nodes, want) {
		t.Errorf("the nodes are %v, want %v", g.nodes, want)
	}
}

func TestEmptyMachine(t *testing.T) {
	t.Parallel()
	m := &fsm.Machine{}
	if got, want := DOT(m), "digraph \"\" {"; !strings.HasPrefix(got, want) {
		t.Errorf("DOT gives %q, want it to start with %q", got, want)
	}
	if got, want := Mermaid(m), "stateDiagram-v2\n  direction LR\n"; got != want {
		t.Errorf("Mermaid gives %q, want %q", got, want)
	}
	parseSVG(t, svg(t, gridLayout(t, m), SVGOptions{}))
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"fits", "abcde", "abcde"},
		{"too long", "abcdef", "abcd…"},
		{"wide characters", "注文が", "注文…"},
		{"wide characters that fit", "注文a", "注文a"},
		{"marks take no column", "a\u0301b\u0301cde\u0301", "a\u0301b\u0301cde\u0301"},
		{"a pile of marks", "a" + strings.Repeat("\u0301", 100), "a" + strings.Repeat("\u0301", 39) + "…"},
		{"bytes that are not UTF-8 are one column each", visible("\xff\xff\xff\xff\xff\xff"), "\ufffd\ufffd\ufffd\ufffd…"},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := shorten(tc.in, 5); got != tc.want {
				t.Errorf("shorten(%q, 5) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for in, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1204331: "1,204,331", -5: "-5", -123: "-123", -1234: "-1,234"} {
		if got := count(in); got != want {
			t.Errorf("count(%d) = %s, want %s", in, got, want)
		}
	}
}

// TestReadLayoutFaults gives readLayout what Graphviz should not print.
func TestReadLayoutFaults(t *testing.T) {
	t.Parallel()
	const bb, start, node = `"bb":"0,0,10,10"`, `{"name":"start","pos":"1,1"}`, `{"name":"n0","pos":"1,1"}`
	for name, out := range map[string]string{
		"nothing":                  ``,
		"no box":                   `{}`,
		"a box that is no number":  `{"bb":"0,0,x,1"}`,
		"infinity":                 `{"bb":"0,0,inf,1"}`,
		"no node":                  `{` + bb + `}`,
		"a node without a place":   `{` + bb + `,"objects":[{"name":"n0"}]}`,
		"no edge":                  `{` + bb + `,"objects":[` + start + `,` + node + `]}`,
		"a line of a single point": `{` + bb + `,"objects":[` + start + `,` + node + `],"edges":[{"id":"start","pos":"e,1,1 2,2"}]}`,
		"a line with a point less": `{` + bb + `,"objects":[` + start + `,` + node + `],"edges":[{"id":"start","pos":"e,1,1 2,2 3,3 4,4"}]}`,
		"a line without an arrow":  `{` + bb + `,"objects":[` + start + `,` + node + `],"edges":[{"id":"start","pos":"2,2 3,3 4,4 5,5"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraph(&fsm.Machine{InitialState: "A", States: []fsm.State{{Name: "A"}}})
			if l, err := readLayout(g, g.merge(), []byte(out)); err == nil {
				t.Errorf("got %+v, want an error", l)
			}
		})
	}
}

// TestPure keeps everything but the Layouter free of goroutines, locks, clocks
// and files.
func TestPure(t *testing.T) {
	t.Parallel()
	allowed := []string{"bytes", "embed", "encoding/json", "fmt", "io", "math", "strconv", "strings", "time", "unicode", "unicode/utf8", "github.com/fsmesh/fsmesh/fsm"}
	for _, name := range []string{"doc.go", "graph.go", "text.go", "dot.go", "mermaid.go", "geometry.go", "svg.go"} {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path := strings.Trim(i.Path.Value, `"`); !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", name, path)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				t.Errorf("%s: %T", fset.Position(n.Pos()), n)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && !slices.Contains([]string{"Duration", "Millisecond"}, n.Sel.Name) {
					t.Errorf("%s: time.%s", fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestManyEdges holds that a machine with many edges is laid out with less
// effort, and that Graphviz is told no names.
func TestManyEdges(t *testing.T) {
	t.Parallel()
	m := &fsm.Machine{Name: "secret"}
	for i := range manyEdges + 1 {
		m.Transitions = append(m.Transitions, fsm.Transition{From: "secret" + strings.Repeat("i", i), To: "secret", Event: "secret"})
		g := newGraph(m)
		edges := g.merge()
		many := i == manyEdges
		source := graphvizSource(g, edges, directions(edges)[0])
		if got := strings.Contains(source, "splines=line"); got != many {
			t.Errorf("%d edges: straight lines: %v, want %v", len(edges), got, many)
		}
		if got := len(directions(edges)) == 1; got != many {
			t.Errorf("%d edges: one direction: %v, want %v", len(edges), got, many)
		}
		if strings.Contains(source, "secret") {
			t.Fatalf("a name in:\n%s", source)
		}
	}
}
