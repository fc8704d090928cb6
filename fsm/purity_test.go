package fsm

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pureFiles hold decisions only: the same arguments give the same results, so a
// step may be taken anywhere, dropped and taken again.
var pureFiles = []string{
	"step.go", "step_effects.go", "step_plain.go", "rules.go", "compile.go", "data.go", "value.go", "engine.go",
	"simulate.go", "instance.go", "record.go", "records.go", "definition.go", "hooks.go", "history.go", "seen.go",
	"queue.go", "problem.go", "trace.go", "check*.go", "contextschema.go", "diff.go",
}

// impureImports do I/O, keep time, or synchronise. Package time may be imported
// for its types.
var impureImports = []string{"bufio", "context", "io/fs", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "os", "sync", "sync/atomic", "syscall", "testing"}

// impureNames are what no pure file may call of package time.
var impureNames = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// Guards the rule that decisions are apart from the shell around them (R1).
func TestPureFiles(t *testing.T) {
	t.Parallel()
	n := 0
	for _, pattern := range pureFiles {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Errorf("no file %s: %v", pattern, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			n++
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range impurities(f) {
				t.Errorf("%s: %s", fset.Position(at.pos), at.what)
			}
		}
	}
	if n < len(pureFiles) {
		t.Errorf("%d files looked at", n)
	}
}

type impurity struct {
	pos  token.Pos
	what string
}

func impurities(f *ast.File) (found []impurity) {
	note := func(n ast.Node, what string) { found = append(found, impurity{n.Pos(), what}) }
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if slices.Contains(impureImports, path) || path == "net" || strings.HasPrefix(path, "net/") || strings.HasPrefix(path, "os/") {
			note(i, "imports "+path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			note(x, "starts a goroutine")
		case *ast.ChanType:
			note(x, "has a channel type")
		case *ast.SendStmt, *ast.SelectStmt:
			note(x, "uses a channel")
		case *ast.SelectorExpr:
			if p, ok := x.X.(*ast.Ident); ok && p.Name == "time" && slices.Contains(impureNames, x.Sel.Name) {
				note(x, "calls time."+x.Sel.Name)
			}
		}
		return true
	})
	return found
}

// The test above would be worth nothing if it found nothing.
func TestImpuritiesAreFound(t *testing.T) {
	t.Parallel()
	const src = `package p
import ("sync"; "time"; "net/http")
var c chan int
func f() { go f(); c <- 1; select {}; _ = time.Now() }`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(impurities(f)); got != 7 {
		t.Errorf("found %d, want 7: two imports, a channel type, go, send, select, time.Now", got)
	}
}
