package diagram

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram/graphviz"
)

func TestEscaping(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in, dot, mermaid, xml string
	}{
		{"plain", "Draft_1", `"Draft_1"`, "Draft_1", "Draft_1"},
		{"quotes", `a"b'c`, `"a\"b'c"`, "a#34;b#39;c", "a&quot;b&#39;c"},
		{"markup", "<b>&amp;", `"<b>&amp;amp;"`, "#60;b#62;#38;amp#59;", "&lt;b&gt;&amp;amp;"},
		{"backslash at the end", `a\`, `"a\\"`, "a#92;", `a\`},
		{"escapes of Graphviz", `\N\n\"`, `"\\N\\n\\\""`, "#92;N#92;n#92;#34;", `\N\n\&quot;`},
		{"arrow", "a-->b", `"a-->b"`, "a#45;#45;#62;b", "a--&gt;b"},
		{"directive", "%%{init}%%", `"%%{init}%%"`, "#37;#37;#123;init#125;#37;#37;", "%%{init}%%"},
		{"entity of Mermaid", "#quot;", `"#quot;"`, "#35;quot#59;", "#quot;"},
		{"end of CDATA", "]]>", `"]]>"`, "#93;#93;#62;", "]]&gt;"},
		{"new lines", "a\r\nb\u2028c", `"a␍␊b␤c"`, "a#9229;#9226;b#9252;c", "a␍␊b␤c"},
		{"control characters", "\x00\x1b\x7f\u0085", `"␀␛␡�"`, "#9216;#9243;#9249;#65533;", "␀␛␡�"},
		{"not UTF-8", "a\xffb", `"a�b"`, "a#65533;b", "a�b"},
		{"no characters", "\ufffe\uffff", `"��"`, "#65533;#65533;", "��"},
		{"emoji", "🚚", `"🚚"`, "#128666;", "🚚"},
		{"right to left", "\u202eא", "\"\u202eא\"", "#8238;א", "\u202eא"},
		{"empty", "", `""`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := dotText(tc.in); got != tc.dot {
				t.Errorf("dotText(%q) = %s, want %s", tc.in, got, tc.dot)
			}
			if got := mermaidText(tc.in); got != tc.mermaid {
				t.Errorf("mermaidText(%q) = %s, want %s", tc.in, got, tc.mermaid)
			}
			if got := xmlText(tc.in); got != tc.xml {
				t.Errorf("xmlText(%q) = %s, want %s", tc.in, got, tc.xml)
			}
		})
	}
}

// names are seeds for the fuzz targets.
var names = []string{
	"Draft", "", `"`, `\`, `\"`, "a\nb", "-->", "]]>", "<!--", "</text>", "<script>alert(1)</script>", "&lt;",
	"#quot;", "%%", "end", "note right of s0 : x", "\x00", "\xff", "\u202e", "🚚", "注文", "e\u0301\u0301", "\ufffe", "s0", ";", "{}", "'",
}

// anywhere is a machine that has a name wherever a machine can have one.
func anywhere(name, other string) *fsm.Machine {
	m := &fsm.Machine{Name: name, InitialState: other, States: []fsm.State{{Name: name, Type: "final"}, {Name: "x" + name, Type: other}}}
	for _, typ := range []string{"", "timeout", "auto", "inter_machine", "cross_component", "internal", name} {
		m.Transitions = append(m.Transitions, fsm.Transition{
			From: name, To: other, Event: name, Type: typ, TargetMachine: other, TargetComponent: name, TimeoutMs: int64(len(name)),
		})
	}
	return m
}

// FuzzSVG checks that an SVG is well-formed, has only the known elements and
// attributes, and says the names.
func FuzzSVG(f *testing.F) {
	for i, n := range names {
		f.Add(n, names[(i*7+3)%len(names)], i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, name, other string, embed bool) {
		m := anywhere(name, other)
		opts := SVGOptions{Current: name, Population: map[string]int{name: len(name)}, Embed: embed}
		doc := svg(t, gridLayout(t, m), opts)
		texts := parseSVG(t, doc)
		if want := shorten(nodeName(name), nodeColumns); !texts[want] {
			t.Errorf("no text %q in:\n%s", want, doc)
		}
		if strings.Contains(doc, "<style>") == embed || strings.HasPrefix(doc, "<?xml") == embed {
			t.Errorf("embed is %v, but:\n%s", embed, doc)
		}
	})
}

// The vocabulary of an SVG.
var (
	svgElements   = words("svg title desc style g path rect circle text")
	svgAttributes = words("xmlns class viewBox width height role aria-hidden aria-current transform d x y rx cx cy r text-anchor " +
		"fill stroke stroke-width stroke-dasharray stroke-linecap")
	svgPlain = regexp.MustCompile(`^[-\w .,#/:()]*$`)
)

func words(s string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(s) {
		set[w] = true
	}
	return set
}

// parseSVG returns the contents of text elements.
func parseSVG(t *testing.T, doc string) map[string]bool {
	t.Helper()
	if !utf8.ValidString(doc) {
		t.Fatalf("not UTF-8:\n%q", doc)
	}
	texts := make(map[string]bool)
	in := ""
	d := xml.NewDecoder(strings.NewReader(doc))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if in = token.Name.Local; !svgElements[in] {
				t.Errorf("element %s in:\n%s", in, doc)
			}
			for _, a := range token.Attr {
				if !svgAttributes[a.Name.Local] || !svgPlain.MatchString(a.Value) {
					t.Errorf("attribute %s=%q in:\n%s", a.Name.Local, a.Value, doc)
				}
			}
		case xml.CharData:
			if in == "text" {
				texts[string(token)] = true
			}
		case xml.EndElement:
			in = ""
		case xml.Comment, xml.Directive:
			t.Errorf("%T in:\n%s", token, doc)
		}
	}
}

// gridLayout is a layout without Graphviz: what Graphviz would print if it had
// all nodes in a row.
func gridLayout(t *testing.T, m *fsm.Machine) *Layout {
	t.Helper()
	g := newGraph(m)
	edges := g.merge()
	out := gvGraph{BB: "0,0,1000,100", Objects: []gvObject{{Name: "start", Pos: "0,50"}}}
	for i := range g.nodes {
		out.Objects = append(out.Objects, gvObject{Name: "n" + num(float64(i)), Pos: num(float64(i)*200) + ",50"})
	}
	const line = "e,10,10 1,2 3,4 5,6 7,8"
	out.Edges = append(out.Edges, gvEdge{ID: "start", Pos: line})
	for i := range edges {
		out.Edges = append(out.Edges, gvEdge{ID: num(float64(i)), Pos: line, LP: "5,5"})
	}
	data, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	l, err := readLayout(g, edges, data)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	dotString = `"(?:[^"\\\n]|\\["\\n])*"`
	mmdText   = `[\pL\pM\pN _.,?()/#;]*`
)

var (
	dotLines = regexp.MustCompile(`^(?:digraph ` + dotString + ` \{|  [a-z]+(?:=LR| \[[a-z=", \d.-]+\])|  s\d+ \[label=` + dotString +
		`[a-z=", #0-9]*\]|  start -> s\d+|  s\d+ -> s\d+ \[label=` + dotString + `[a-z=", #0-9]*\]|\})$`)
	mmdLines = regexp.MustCompile(`^(?:stateDiagram-v2|  direction LR|  state "` + mmdText + `" as s\d+|  (?:\[\*\]|s\d+) --> (?:\[\*\]|s\d+)|  s\d+ --> s\d+ : ` + mmdText +
		`|  note right of s\d+ : internal#58; ` + mmdText + `|  classDef k_[a-z]+ [-a-z0-9:,# ]+|  class [s\d,]+ k_[a-z]+)$`)
	mmdEntity = regexp.MustCompile(`#\d+;`)
)

// FuzzText checks that a name stays inside of its string in DOT and Mermaid:
// every line is one that the writers write, and their number depends on
// nothing but the structure.
func FuzzText(f *testing.F) {
	for i, n := range names {
		f.Add(n, names[(i*7+3)%len(names)])
	}
	f.Fuzz(func(t *testing.T, name, other string) {
		m := anywhere(name, other)
		for _, line := range strings.Split(strings.TrimSuffix(DOT(m), "\n"), "\n") {
			if !dotLines.MatchString(line) {
				t.Errorf("DOT has the line %q", line)
			}
		}
		for _, line := range strings.Split(strings.TrimSuffix(Mermaid(m), "\n"), "\n") {
			if !mmdLines.MatchString(line) || strings.ContainsAny(mmdEntity.ReplaceAllString(line, ""), ";") {
				t.Errorf("Mermaid has the line %q", line)
			}
		}
	})
}

// FuzzGraphviz checks with Graphviz itself that it reads in DOT's text what
// was written.
func FuzzGraphviz(f *testing.F) {
	for i, n := range names {
		f.Add(n, names[(i*7+3)%len(names)])
	}
	e, err := graphviz.Start(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := e.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, name, event string) {
		m := &fsm.Machine{Name: name, InitialState: name, States: []fsm.State{{Name: name}}, Transitions: []fsm.Transition{
			{From: name, To: name, Event: event},
		}}
		out, err := e.Render(t.Context(), DOT(m), "svg")
		if err != nil {
			t.Fatalf("%v for:\n%s", err, DOT(m))
		}
		var graph struct {
			Groups []struct {
				Class string `xml:"class,attr"`
				Text  string `xml:"text"`
			} `xml:"g>g"`
		}
		if err := xml.Unmarshal(out, &graph); err != nil {
			t.Fatalf("%v in:\n%s", err, out)
		}
		drawn := make(map[string]string)
		for _, g := range graph.Groups {
			drawn[g.Class] += strings.ReplaceAll(g.Text, "\u00a0", " ") // Graphviz writes spaces as this
		}
		plain := func(s string) string { return strings.ReplaceAll(visible(s), "\u00a0", " ") }
		if got, want := drawn["node"], plain(nodeName(name)); got != want {
			t.Errorf("Graphviz draws the state as %q, want %q, for:\n%s", got, want, DOT(m))
		}
		if got, want := drawn["edge"], plain(eventName(event)); got != want {
			t.Errorf("Graphviz draws the event as %q, want %q, for:\n%s", got, want, DOT(m))
		}
	})
}
