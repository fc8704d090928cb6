package diagram

import (
	"bytes"
	_ "embed" // for style.css
	"fmt"
	"io"
	"strconv"
	"strings"
)

// style is the look of a standalone document: the colours of the dashboard's
// stylesheet as they are, since many viewers of SVG know no custom properties.
//
//go:embed style.css
var style string

// SVGOptions says what is shown beside the states and transitions. The zero
// value gives a standalone document with neither numbers nor a highlight.
type SVGOptions struct {
	// Population is the number of instances in each state, by name. A state
	// that is not in it has none. Nil shows no numbers.
	Population map[string]int
	// Current is the name of the state to highlight. Empty, or the name of no
	// state, highlights nothing.
	Current string
	// Embed leaves out what a page has itself: the XML header, the style, the
	// background. The page's stylesheet must have the classes.
	Embed bool
}

// titleColumns bounds names in titles and descriptions, which are shown whole
// where a node or label is too small for them.
const titleColumns = 200

// SVG writes the diagram. Names are escaped, in whatever they hold; the result
// is well-formed and refers to nothing outside of it.
func (l *Layout) SVG(w io.Writer, opts SVGOptions) error {
	d := drawing{layout: l, opts: opts}
	d.document()
	if _, err := d.WriteTo(w); err != nil {
		return fmt.Errorf("write the diagram of machine %q: %w", l.Machine, err)
	}
	return nil
}

// A drawing is an SVG document that is being written.
type drawing struct {
	bytes.Buffer
	layout *Layout
	opts   SVGOptions
}

// addf appends markup. Its arguments are numbers, constants or escaped text.
func (d *drawing) addf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

func (d *drawing) document() {
	l := d.layout
	role := "group" // a page's reader walks through the nodes
	if !d.opts.Embed {
		d.addf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
		role = "img"
	}
	d.addf("<svg class=\"dia\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %s %s\"", num(l.Width), num(l.Height))
	if !d.opts.Embed {
		d.addf(" width=\"%s\" height=\"%s\"", num(l.Width), num(l.Height))
	}
	d.addf(" role=\"%s\">\n<title>State diagram of %s</title>\n<desc>%s</desc>\n", role, titleText(nodeName(l.Machine)), d.description())
	if !d.opts.Embed {
		d.addf("<style>\n%s</style>\n<rect class=\"bg\" width=\"%s\" height=\"%s\"/>\n", style, num(l.Width), num(l.Height))
	}
	d.addf("<g aria-hidden=\"true\">\n")
	for i := range l.Edges {
		d.edge(&l.Edges[i])
	}
	for i := range l.Edges { // above all lines
		d.label(&l.Edges[i])
	}
	d.addf("</g>\n")
	for i := range l.Nodes {
		d.node(&l.Nodes[i])
	}
	d.addf("</svg>\n")
}

// description says in words what the lines say.
func (d *drawing) description() string {
	l := d.layout
	transitions := 0
	for _, e := range l.Edges {
		transitions += len(e.Transitions)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s.", plural(len(l.Nodes), "state"), plural(transitions, "transition"))
	for _, e := range l.Edges {
		to := titleText(nodeName(l.Nodes[e.To].Name))
		if e.Kind == Start {
			fmt.Fprintf(&b, " Starts in %s.", to)
			continue
		}
		texts := make([]string, len(e.Label))
		for i, line := range e.Label {
			texts[i] = xmlText(line.Text)
		}
		fmt.Fprintf(&b, " %s to %s: %s.", titleText(nodeName(l.Nodes[e.From].Name)), to, strings.Join(texts, ", "))
	}
	return b.String()
}

func (d *drawing) edge(e *Edge) {
	line, head := "edge", "ah"
	switch e.Kind {
	case Creates:
		line, head = "edge e-inter", "ah-a"
	case Tells:
		line, head = "edge e-cross", "ah-a"
	case Timeout:
		line = "edge e-time"
	}
	if e.ToError && head == "ah" {
		line, head = line+" e-err", "ah-e"
	}
	if e.Kind == Start {
		d.addf("<circle class=\"ah\" cx=\"%s\" cy=\"%s\" r=\"%d\"/>\n", num(d.layout.Initial.X), num(d.layout.Initial.Y), startRadius)
	}
	d.addf("<path class=\"%s\" d=\"%s\"/>\n", line, e.Path)
	a := e.Arrow
	d.addf("<path class=\"%s\" d=\"M%s %sL%s %sL%s %sZ\"/>\n", head,
		num(a[0].X), num(a[0].Y), num(a[1].X), num(a[1].Y), num(a[2].X), num(a[2].Y))
}

func (d *drawing) label(e *Edge) {
	for _, line := range e.Label {
		left := line.X - line.W/2
		switch line.Kind {
		case ClockLine:
			d.addf("<path class=\"i\" transform=\"translate(%s %s) scale(.75)\" d=\"%s\"/>\n", num(left), num(line.Y-10), clockIcon)
			d.addf("<text class=\"ev\" x=\"%s\" y=\"%s\">%s</text>\n", num(left+iconWidth), num(line.Y), xmlText(line.Text))
		case PillLine:
			icon := boxIcon
			if e.Kind == Tells {
				icon = globeIcon
			}
			d.addf("<g class=\"pill\"><rect x=\"%s\" y=\"%s\" width=\"%s\" height=\"20\" rx=\"10\"/>", num(left), num(line.Y-14), num(line.W))
			d.addf("<path class=\"i\" transform=\"translate(%s %s) scale(.75)\" d=\"%s\"/>", num(left+pillPad-1), num(line.Y-10), icon)
			// The text is in the middle of what the icon leaves: its width is
			// an estimate, and so a fault is shared by both sides.
			d.addf("<text x=\"%s\" y=\"%s\" text-anchor=\"middle\">%s</text></g>\n", num(line.X+iconWidth/2), num(line.Y), xmlText(line.Text))
		case DetailLine:
			d.addf("<text class=\"rt\" x=\"%s\" y=\"%s\" text-anchor=\"middle\">%s</text>\n", num(line.X), num(line.Y), xmlText(line.Text))
		default:
			d.addf("<text class=\"ev\" x=\"%s\" y=\"%s\" text-anchor=\"middle\">%s</text>\n", num(line.X), num(line.Y), xmlText(line.Text))
		}
	}
}

func (d *drawing) node(n *Node) {
	current := d.opts.Current != "" && n.Name == d.opts.Current
	class, attr := "", ""
	if current {
		class, attr = " is-sel", " aria-current=\"true\""
	}
	if d.opts.Embed {
		attr += " role=\"img\""
	}
	d.addf("<g class=\"node k-%s%s\"%s><title>%s</title>\n", string(n.Kind), class, attr, d.nodeTitle(n, current))
	d.box(n)
	d.badge(n.Kind, n.X+nodePad, n.Y+nodeNameY-10)
	d.addf("<text class=\"nm\" x=\"%s\" y=\"%s\">%s</text>\n", num(n.X+nodeNameX), num(n.Y+nodeNameY), xmlText(shorten(nodeName(n.Name), nodeColumns)))
	if d.opts.Population != nil {
		number := count(d.opts.Population[n.Name])
		d.addf("<text class=\"ct\" x=\"%s\" y=\"%s\">%s</text>\n", num(n.X+nodePad), num(n.Y+nodeCountY), number)
		// The kind gives way to a large number; the border says it too.
		if sansWidth(number, 14)+sansWidth(kindWords(n.Kind), 10.5) < n.W-2*nodePad {
			d.addf("<text class=\"sm\" x=\"%s\" y=\"%s\" text-anchor=\"end\">%s</text>\n", num(n.X+n.W-nodePad), num(n.Y+nodeCountY), kindWords(n.Kind))
		}
	} else {
		d.addf("<text class=\"sm\" x=\"%s\" y=\"%s\">%s</text>\n", num(n.X+nodeNameX), num(n.Y+nodeCountY-2), kindWords(n.Kind))
	}
	d.addf("</g>\n")
}

// Baselines, from the top of a node.
const (
	nodeNameY  = 28
	nodeCountY = 49
)

// nodeTitle is what a pointer or a screen reader gets of a node.
func (d *drawing) nodeTitle(n *Node, current bool) string {
	parts := []string{titleText(nodeName(n.Name)), kindWords(n.Kind)}
	if current {
		parts = append(parts, "current")
	}
	if d.opts.Population != nil {
		parts = append(parts, plural(d.opts.Population[n.Name], "instance"))
	}
	if len(n.Internal) > 0 {
		parts = append(parts, "stays for "+titleText(visible(strings.Join(n.Internal, ", "))))
	}
	return strings.Join(parts, ", ")
}

// box draws the border, whose shape says the kind: double is final, cut
// corners are an error, dashes are unknown.
func (d *drawing) box(n *Node) {
	switch n.Kind {
	case Error:
		d.octagon("box", n.X, n.Y, n.W, n.H, 10)
		d.octagon("box2", n.X+4, n.Y+4, n.W-8, n.H-8, 8)
	case Final:
		d.rect("box", n.X, n.Y, n.W, n.H, 8, "")
		d.rect("box2", n.X+4, n.Y+4, n.W-8, n.H-8, 5, "")
	case Unknown:
		d.rect("box", n.X, n.Y, n.W, n.H, 8, " stroke-dasharray=\"4 3\"")
	default:
		d.rect("box", n.X, n.Y, n.W, n.H, 8, "")
	}
}

func (d *drawing) rect(class string, x, y, w, h float64, r int, attr string) {
	d.addf("<rect class=\"%s\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"%d\"%s/>\n", class, num(x), num(y), num(w), num(h), r, attr)
}

func (d *drawing) octagon(class string, x, y, w, h, cut float64) {
	d.addf("<path class=\"%s\" d=\"M%s %sH%sL%s %sV%sL%s %sH%sL%s %sV%sZ\"/>\n", class,
		num(x+cut), num(y), num(x+w-cut), num(x+w), num(y+cut), num(y+h-cut), num(x+w-cut), num(y+h), num(x+cut), num(x), num(y+h-cut), num(y+cut))
}

// badge draws the sign of a kind, 12 by 12: ring, disc, ticked square,
// triangle, dashed ring.
func (d *drawing) badge(k Kind, x, y float64) {
	d.addf("<g transform=\"translate(%s %s)\">", num(x), num(y))
	tick := "#fff" // the style has it darker for the dark
	if d.opts.Embed {
		tick = "var(--surface)"
	}
	switch k {
	case Entry:
		d.addf(`<circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="2"/>`)
	case Final:
		d.addf(`<rect x="1" y="1" width="10" height="10" rx="2" fill="currentColor"/><path class="tick" d="m3.3 6.2 1.9 1.9 3.5-4" fill="none" stroke="%s" stroke-width="1.6"/>`, tick)
	case Error:
		d.addf(`<path d="M6 .8 11.6 11H.4z" fill="currentColor"/><path class="tick" d="M6 4.5v3M6 9.2v.1" stroke="%s" stroke-width="1.5" stroke-linecap="round"/>`, tick)
	case Unknown:
		d.addf(`<circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="2.4 2"/>`)
	default:
		d.addf(`<circle cx="6" cy="6" r="4.5" fill="currentColor"/>`)
	}
	d.addf("</g>\n")
}

// Icons, 16 by 16.
const (
	clockIcon = "M13.5 8A5.5 5.5 0 1 1 2.5 8A5.5 5.5 0 1 1 13.5 8ZM8 5v3.2l2 1.3"
	boxIcon   = "M3.5 2.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1ZM13.5 6v6.5a1 1 0 0 1-1 1H6"
	globeIcon = "M13.8 8A5.8 5.8 0 1 1 2.2 8A5.8 5.8 0 1 1 13.8 8ZM2.2 8h11.6M8 2.2c3.2 3.4 3.2 8.2 0 11.6M8 2.2c-3.2 3.4-3.2 8.2 0 11.6"
)

func kindWords(k Kind) string {
	switch k {
	case Regular:
		return "state"
	case Unknown:
		return "not declared"
	}
	return string(k) + " state"
}

// titleText is a name in a title, escaped and cut.
func titleText(s string) string { return xmlText(shorten(s, titleColumns)) }

// xmlText escapes text for the content of an element. It is for text that has
// been through visible, and does that again for what has not.
func xmlText(s string) string { return xmlEscaper.Replace(visible(s)) }

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return count(n) + " " + noun
}

// count writes a number with commas: 1,204,331.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
