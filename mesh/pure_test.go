package mesh

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// pureFiles are values and functions only: the simulation can run them because
// they start nothing, wait for nothing and read no clock.
var pureFiles = []string{
	"answer.go", "ask.go", "bridges.go", "decode.go", "decodebinary.go", "directory.go", "encode.go", "ended.go", "exact.go", "filter.go", "heal.go", "limits.go",
	"member.go", "message.go", "population.go", "presence.go", "query.go", "ranges.go", "reading.go", "row.go", "rules.go",
	"scan.go", "source.go", "table.go", "tombs.go", "valid.go", "wire.go",
}

var pureImports = []string{
	"bytes", "cmp", "container/heap", "encoding/json", "errors", "fmt", "hash/fnv", "math", "slices", "sort", "strconv",
	"strings", "time", "unicode/utf8", "google.golang.org/protobuf/encoding/protowire",
}

// impureTime are the functions of package time that read the clock or wait.
var impureTime = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

func TestPureFiles(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	for _, name := range pureFiles {
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, im := range f.Imports {
			if path, _ := strconv.Unquote(im.Path.Value); !slices.Contains(pureImports, path) {
				t.Errorf("%s: import of %s", fset.Position(im.Pos()), path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine is started", fset.Position(n.Pos()))
			case *ast.ChanType, *ast.SendStmt, *ast.SelectStmt:
				t.Errorf("%s: a channel", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(impureTime, n.Sel.Name) {
					t.Errorf("%s: time.%s", fset.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}
