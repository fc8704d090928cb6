package diagram

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Layout is where everything of a diagram is, in pixels from the top left
// corner. It is the same for every caller that asked for the same machine and
// is never changed.
type Layout struct {
	Machine       string
	Width, Height float64
	// Initial is the middle of the dot that stands for the creation of an
	// instance. It is there only if the first edge is of kind [Start].
	Initial Point
	Nodes   []Node
	Edges   []Edge
}

// A Point is a place in the diagram.
type Point struct{ X, Y float64 }

// A Node is a state.
type Node struct {
	State      int // index into the machine's states; -1 if not declared
	Name       string
	Kind       Kind
	X, Y, W, H float64  // X and Y are the top left corner
	Internal   []string // the events of its internal transitions
}

// An Edge is one transition or several of one kind between the same states.
type Edge struct {
	Transitions []int // indexes into the machine's transitions; none for Start
	From, To    int   // indexes into Nodes; From is -1 for Start
	Kind        EdgeKind
	ToError     bool     // it leads to an error state
	Path        string   // of the line, in the syntax of SVG's d
	Arrow       [3]Point // the arrow head, its tip first
	Label       []Line
}

// A Line is one line of an edge's label.
type Line struct {
	Kind LineKind
	Text string // shortened
	// X is the middle of the line, Y the baseline of its text, W its width,
	// with the icon of a ClockLine or PillLine.
	X, Y, W float64
}

// Sizes in pixels, but for what says otherwise.
const (
	margin      = 16
	nodeHeight  = 68
	nodeMinW    = 148
	nodeNameX   = 30 // of the name, from the left of the node, after the icon
	nodePad     = 13
	nodeColumns = 32 // of a name; a longer one is cut
	nameSize    = 13
	labelCols   = 36 // of a line of a label
	lineHeight  = 15
	pillHeight  = 24 // with its distance from the line above
	iconWidth   = 16 // with its distance from the text
	pillPad     = 9
	startRadius = 5
	arrowWidth  = 7
	// The room that a diagram has on a page at 1440 pixels: of the directions
	// left to right and top to bottom the one that fits better is taken.
	pageWidth, pageHeight = 1080, 720
	// Beyond this number lines are straight: curves around everything take
	// Graphviz seconds, at some hundred edges minutes.
	manyEdges = 60
)

// directions are the ones to try: one where trying is expensive.
func directions(edges []merged) []direction {
	if len(edges) > manyEdges {
		return []direction{topToBottom}
	}
	return []direction{leftToRight, topToBottom}
}

// A direction is Graphviz's rankdir.
type direction string

const (
	leftToRight direction = "LR"
	topToBottom direction = "TB"
)

// graphvizSource writes the graph for Graphviz: nodes n0, n1, … and edges with
// their index as id, all with the sizes that svg.go will draw, and nothing
// that the definition has written.
func graphvizSource(g *graph, edges []merged, dir direction) string {
	effort := ""
	if len(edges) > manyEdges {
		effort = ",splines=line,nslimit=0.2,nslimit1=0.2,mclimit=0.1,searchsize=5"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "digraph{graph[rankdir=%s,nodesep=0.4,ranksep=0.4%s]node[shape=box,fixedsize=true,label=\"\"]edge[arrowsize=0.8]\n", dir, effort)
	if g.initial >= 0 {
		fmt.Fprintf(&b, "start[shape=circle,width=%s,height=%[1]s]\n", inches(2*startRadius))
	}
	for i, n := range g.nodes {
		fmt.Fprintf(&b, "n%d[width=%s,height=%s]\n", i, inches(nodeWidth(n.name)), inches(nodeHeight))
	}
	if g.initial >= 0 {
		fmt.Fprintf(&b, "start->n%d[id=start,weight=8]\n", g.initial)
	}
	for i, e := range edges {
		w, h := labelSize(e.lines)
		weight := 3
		if k := g.nodes[e.to].kind; e.kind == Timeout || k == Error || k == Unknown {
			weight = 1 // the usual way stays straight
		}
		fmt.Fprintf(&b, "n%d->n%d[id=%d,weight=%d,label=<<TABLE BORDER=\"0\" CELLBORDER=\"0\" CELLPADDING=\"0\" CELLSPACING=\"0\"><TR><TD FIXEDSIZE=\"TRUE\" WIDTH=\"%.0f\" HEIGHT=\"%.0f\"></TD></TR></TABLE>>]\n",
			e.from, e.to, i, weight, math.Ceil(w)+8, math.Ceil(h)+4)
	}
	b.WriteString("}\n")
	return b.String()
}

func inches(px float64) string { return strconv.FormatFloat(px/72, 'f', 4, 64) }

func nodeWidth(name string) float64 {
	w := nodeNameX + sansWidth(shorten(nodeName(name), nodeColumns), nameSize) + nodePad
	return max(nodeMinW, math.Ceil(w))
}

func lineText(l line) string { return shorten(visible(l.text), labelCols) }

func lineWidth(l line) float64 {
	w := monoWidth(lineText(l))
	switch l.kind {
	case ClockLine:
		return w + iconWidth
	case PillLine:
		return sansWidth(lineText(l), 10.5) + iconWidth + 2*pillPad
	}
	return w
}

func labelSize(lines []line) (w, h float64) {
	for _, l := range lines {
		w = max(w, lineWidth(l))
		if l.kind == PillLine {
			h += pillHeight
		} else {
			h += lineHeight
		}
	}
	return w, h
}

// The part of Graphviz's format json0 that is read. All of "bb", "pos", "lp"
// are numbers with the origin at the bottom left.
type (
	gvGraph struct {
		BB      string     `json:"bb"`
		Objects []gvObject `json:"objects"`
		Edges   []gvEdge   `json:"edges"`
	}
	gvObject struct {
		Name string `json:"name"`
		Pos  string `json:"pos"`
	}
	gvEdge struct {
		ID  string `json:"id"`
		Pos string `json:"pos"`
		LP  string `json:"lp"`
	}
)

// readLayout makes a Layout of a graph and what Graphviz says about it.
func readLayout(g *graph, edges []merged, out []byte) (*Layout, error) {
	var gv gvGraph
	if err := json.Unmarshal(out, &gv); err != nil {
		return nil, fmt.Errorf("read the output of graphviz: %w", err)
	}
	bb, err := numbers(gv.BB)
	if err != nil || len(bb) != 4 {
		return nil, fmt.Errorf("read the output of graphviz: bb is %q", gv.BB)
	}
	l := &Layout{Machine: g.machine, Width: px(bb[2] - bb[0] + 2*margin), Height: px(bb[3] - bb[1] + 2*margin)}
	at := func(x, y float64) Point { return Point{px(x - bb[0] + margin), px(bb[3] - y + margin)} }

	places := make(map[string]Point, len(gv.Objects))
	for _, o := range gv.Objects {
		xy, err := numbers(o.Pos)
		if err != nil || len(xy) != 2 {
			return nil, fmt.Errorf("read the output of graphviz: node %q is at %q", o.Name, o.Pos)
		}
		places[o.Name] = at(xy[0], xy[1])
	}
	for i, n := range g.nodes {
		p, ok := places["n"+strconv.Itoa(i)]
		if !ok {
			return nil, fmt.Errorf("read the output of graphviz: node %d is missing", i)
		}
		w := nodeWidth(n.name)
		l.Nodes = append(l.Nodes, Node{
			State: n.state, Name: n.name, Kind: n.kind, Internal: n.internal,
			X: px(p.X - w/2), Y: px(p.Y - nodeHeight/2), W: w, H: nodeHeight,
		})
	}

	drawn := make(map[string]gvEdge, len(gv.Edges))
	for _, e := range gv.Edges {
		drawn[e.ID] = e
	}
	if g.initial >= 0 {
		l.Initial = places["start"]
		e := Edge{From: -1, To: g.initial, Kind: Start}
		if e.Path, e.Arrow, err = readSpline(drawn["start"].Pos, at); err != nil {
			return nil, err
		}
		l.Edges = append(l.Edges, e)
	}
	for i, m := range edges {
		e := Edge{Transitions: m.transitions, From: m.from, To: m.to, Kind: m.kind, ToError: g.nodes[m.to].kind == Error}
		gv := drawn[strconv.Itoa(i)]
		if e.Path, e.Arrow, err = readSpline(gv.Pos, at); err != nil {
			return nil, err
		}
		lp, err := numbers(gv.LP)
		if err != nil || len(lp) != 2 {
			return nil, fmt.Errorf("read the output of graphviz: the label of an edge is at %q", gv.LP)
		}
		e.Label = placeLabel(m.lines, at(lp[0], lp[1]))
		l.Edges = append(l.Edges, e)
	}
	return l, nil
}

// placeLabel puts lines below each other around a middle.
func placeLabel(lines []line, middle Point) []Line {
	_, h := labelSize(lines)
	y := middle.Y - h/2
	out := make([]Line, len(lines))
	for i, l := range lines {
		height, baseline := float64(lineHeight), 11.0
		if l.kind == PillLine {
			height, baseline = pillHeight, 17.0
		}
		out[i] = Line{Kind: l.kind, Text: lineText(l), X: middle.X, Y: px(y + baseline), W: px(lineWidth(l))}
		y += height
	}
	return out
}

// readSpline reads "e,x,y x,y x,y …": the tip of the arrow, and then a point
// and three more for each piece of the curve.
func readSpline(pos string, at func(x, y float64) Point) (string, [3]Point, error) {
	fail := func() (string, [3]Point, error) {
		return "", [3]Point{}, fmt.Errorf("read the output of graphviz: an edge runs along %q", pos)
	}
	fields := strings.Fields(pos)
	points := make([]Point, len(fields))
	for i, f := range fields {
		if i == 0 {
			rest, ok := strings.CutPrefix(f, "e,")
			if !ok {
				return fail()
			}
			f = rest
		}
		xy, err := numbers(f)
		if err != nil || len(xy) != 2 {
			return fail()
		}
		points[i] = at(xy[0], xy[1])
	}
	if len(points) < 5 || (len(points)-2)%3 != 0 {
		return fail()
	}
	tip, points := points[0], points[1:]
	var b strings.Builder
	fmt.Fprintf(&b, "M%s %s", num(points[0].X), num(points[0].Y))
	for i, p := range points[1:] {
		sep := " "
		if i%3 == 0 {
			sep = "C"
		}
		fmt.Fprintf(&b, "%s%s %s", sep, num(p.X), num(p.Y))
	}
	return b.String(), arrowHead(points[len(points)-1], tip), nil
}

// arrowHead is a triangle from the end of the line to the tip. If the two are
// one point it is empty.
func arrowHead(end, tip Point) [3]Point {
	dx, dy := tip.X-end.X, tip.Y-end.Y
	d := max(math.Hypot(dx, dy), 1)
	// Half a pixel into the line, so that there is no gap between the two.
	base := Point{end.X - dx/d/2, end.Y - dy/d/2}
	sx, sy := -dy/d*arrowWidth/2, dx/d*arrowWidth/2
	return [3]Point{tip, {px(base.X + sx), px(base.Y + sy)}, {px(base.X - sx), px(base.Y - sy)}}
}

// numbers reads finite numbers with commas between them.
func numbers(s string) ([]float64, error) {
	fields := strings.Split(s, ",")
	out := make([]float64, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return nil, fmt.Errorf("%q is not a number", f)
		}
		out[i] = n
	}
	return out, nil
}

// px rounds to tenths of a pixel, which is what is written.
func px(v float64) float64 { return math.Round(v*10) / 10 }

func num(v float64) string { return strconv.FormatFloat(px(v), 'f', -1, 64) }

// better is the layout that must be scaled down less to fit on a page.
func better(a, b *Layout) *Layout {
	scale := func(l *Layout) float64 { return max(l.Width/pageWidth, l.Height/pageHeight, 1) }
	if scale(b) < scale(a) {
		return b
	}
	return a
}
