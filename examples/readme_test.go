package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the program of the README as a stranger does: in a module of
// their own, made with the commands that the README names, from an empty home.
// Nothing is loaded for it.
func TestReadme(t *testing.T) {
	t.Parallel()
	s := newStranger(t)
	readme, err := os.ReadFile(filepath.Join(s.clone, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(readme), "```go\n")
	program, _, closed := strings.Cut(program, "```\n")
	if !found || !closed {
		t.Fatal("the README has no Go program")
	}
	dir := filepath.Join(s.home, "door")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{{"go", "mod", "init", "door"}}
	_, hint, _ := strings.Cut(string(readme), "in a module of your own")
	for _, m := range regexp.MustCompile("`(go [^`]*)`").FindAllStringSubmatch(hint[:min(len(hint), 400)], -1) {
		commands = append(commands, strings.Fields(strings.ReplaceAll(m[1], "PATH/OF/THE/CLONE", s.clone)))
	}
	if len(commands) != 3 {
		t.Fatalf("the README names the commands %v", commands[1:])
	}
	s.env = append(s.env, "GOPROXY=off", "GOSUMDB=off")
	for _, c := range commands {
		if out, err := s.in(dir, c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	out, err := s.in(dir, "go", "run", ".").Output()
	if got, want := string(out), "Open map[rung:true]\n"; err != nil || got != want {
		t.Errorf("got %q, error %v; want %q", got, err, want)
	}
}
