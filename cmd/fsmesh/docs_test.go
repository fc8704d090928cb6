package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedCommands checks that the commands and flags that the documents
// and the help show are there.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	root := (&program{stdout: &pipe{w: os.Stdout}, stderr: os.Stderr}).root()
	texts := []string{root.Example}
	for _, c := range root.Commands() {
		texts = append(texts, c.Example)
	}
	for _, file := range []string{"../../README.md", "../../docs/definitions.md", "../../docs/mesh.md", "../../docs/deploy.md"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	n := 0
	for _, line := range strings.Split(strings.Join(texts, "\n"), "\n") {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "fsmesh" || !strings.HasPrefix(line, " ") {
			continue
		}
		n++
		c, _, err := root.Find(words[1:])
		if err != nil || c == root && words[1] != "--help" {
			t.Errorf("no command for %q", strings.TrimSpace(line))
			continue
		}
		for _, w := range words[2:] {
			if name, long := strings.CutPrefix(w, "--"); long && c.Flags().Lookup(name) == nil && name != "help" {
				t.Errorf("no flag for %q", strings.TrimSpace(line))
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d commands were found", n)
	}
}

// imports returns what a package imports, directly or with all that follows.
func imports(t *testing.T, pkg string, deep bool) []string {
	t.Helper()
	args := []string{"list", "-f", `{{join .Imports "\n"}}`, pkg}
	if deep {
		args = []string{"list", "-deps", pkg}
	}
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// TestImports checks that imports go one way, cmd → ui, mesh → fsm, that fsm needs no
// network, and that nothing of the tests is in the binary.
func TestImports(t *testing.T) {
	t.Parallel()
	const module = "github.com/fsmesh/fsmesh/"
	for _, tt := range []struct {
		pkg     string
		deep    bool
		without []string
	}{
		{module + "fsm", false, []string{"net", "net/http", module + "ui", module + "mesh", module + "internal/diagram"}},
		{module + "fsm", true, []string{"net/http", module + "ui", module + "mesh"}},
		{module + "ui", true, []string{module + "cmd/fsmesh", module + "internal/demo"}},
		{module + "mesh", true, []string{module + "ui", module + "cmd/fsmesh", "testing"}},
		{module + "internal/diagram", true, []string{"net/http", module + "ui"}},
		{module + "cmd/fsmesh", true, []string{"testing", "go.uber.org/goleak", module + "fsm/fsmtest"}},
	} {
		got := imports(t, tt.pkg, tt.deep)
		for _, w := range tt.without {
			if slices.Contains(got, w) {
				t.Errorf("%s imports %s", tt.pkg, w)
			}
		}
	}
}
