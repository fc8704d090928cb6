package diagram

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/fsmesh/fsmesh/fsm"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGolden draws machines in every form. Look at a changed SVG in a browser,
// light and dark, before committing it.
func TestGolden(t *testing.T) {
	t.Parallel()
	l := New()
	t.Cleanup(func() { close2(t, l) })
	numbers := SVGOptions{Current: "PaymentPending", Population: map[string]int{
		"Draft": 1204, "Validated": 318, "PaymentPending": 2240, "Delivered": 361977, "Failed": 197,
	}}
	for _, tc := range []struct {
		name    string
		machine *fsm.Machine
	}{
		{"order", order()},
		{"door", door()},
		{"faulty", faulty()},
	} {
		layout, err := l.Layout(t.Context(), tc.machine)
		if err != nil {
			t.Fatal(err)
		}
		tidy(t, layout)
		golden(t, tc.name+".dot", DOT(tc.machine))
		golden(t, tc.name+".mmd", Mermaid(tc.machine))
		golden(t, tc.name+".svg", svg(t, layout, SVGOptions{}))
		if tc.name == "order" {
			golden(t, "order-numbers.svg", svg(t, layout, numbers))
			numbers.Embed = true
			golden(t, "order-embedded.svg", svg(t, layout, numbers))
		}
	}
}

// tidy checks that nothing lies outside of the diagram, and that neither nodes
// nor labels cover each other.
func tidy(t *testing.T, l *Layout) {
	t.Helper()
	type box struct {
		what       string
		x, y, w, h float64
	}
	var boxes []box
	for _, n := range l.Nodes {
		boxes = append(boxes, box{n.Name, n.X, n.Y, n.W, n.H})
	}
	for _, e := range l.Edges {
		for _, line := range e.Label {
			boxes = append(boxes, box{line.Text, line.X - line.W/2, line.Y - 10, line.W, 12})
		}
	}
	for i, a := range boxes {
		if a.x < 0 || a.y < 0 || a.x+a.w > l.Width || a.y+a.h > l.Height {
			t.Errorf("%s: %+v is outside of %g by %g", l.Machine, a, l.Width, l.Height)
		}
		for _, b := range boxes[:i] {
			if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
				t.Errorf("%s: %+v covers %+v", l.Machine, a, b)
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nif that is right, run go test ./internal/diagram -update", path, got)
	}
}

func svg(t *testing.T, l *Layout, opts SVGOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := l.SVG(&b, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func close2(t *testing.T, l *Layouter) {
	t.Helper()
	for range 2 { // a second time is fine
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkLayout measures a machine of nine states: with the start of
// Graphviz, with Graphviz running, and from the cache.
func BenchmarkLayout(b *testing.B) {
	m := order()
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l := New()
			layout(b, l, m)
			_ = l.Close()
		}
	})
	b.Run("warm", func(b *testing.B) {
		l := New()
		defer l.Close()
		layout(b, l, m)
		b.ReportAllocs()
		for b.Loop() {
			clear(l.layouts)
			layout(b, l, m)
		}
	})
	b.Run("cached", func(b *testing.B) {
		l := New()
		defer l.Close()
		layout(b, l, m)
		b.ReportAllocs()
		for b.Loop() {
			layout(b, l, m)
		}
	})
	b.Run("svg", func(b *testing.B) {
		l := New()
		defer l.Close()
		lay := layout(b, l, m)
		var out bytes.Buffer
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			if err := lay.SVG(&out, SVGOptions{Embed: true, Population: map[string]int{"Draft": 7}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func layout(tb testing.TB, l *Layouter, m *fsm.Machine) *Layout {
	tb.Helper()
	layout, err := l.Layout(context.Background(), m)
	if err != nil {
		tb.Fatal(err)
	}
	return layout
}
