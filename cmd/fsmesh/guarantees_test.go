package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testLink = regexp.MustCompile(`\[(Test\w+)\]\(([^)]+)\)`)
	testName = regexp.MustCompile("`(Test\\w+)(?:/\\w+)?`")
)

// The tests that the documents name are there: in the file that a link leads to,
// or anywhere.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	read := func(path string) string {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	links := testLink.FindAllStringSubmatch(read("README.md"), -1)
	if len(links) < 10 {
		t.Errorf("the README links to %d tests: the table of guarantees is gone", len(links))
	}
	for _, m := range links {
		if !strings.Contains(read(m[2]), "func "+m[1]+"(") {
			t.Errorf("README.md: %s is not in %s", m[1], m[2])
		}
	}
	var all strings.Builder
	for _, pattern := range []string{"*/*_test.go", "*/*/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
	}
	text := read("docs/guarantees.md")
	names := testName.FindAllStringSubmatch(text, -1)
	promises, _, _ := strings.Cut(text, "\n## ")
	rows := 0
	for line := range strings.Lines(promises) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| promise") {
			continue
		}
		if rows++; !testName.MatchString(line) {
			t.Errorf("docs/guarantees.md names no test that holds %s", line)
		}
	}
	if rows < 10 {
		t.Errorf("docs/guarantees.md has %d promises", rows)
	}
	for _, m := range names {
		if !strings.Contains(all.String(), "func "+m[1]+"(") {
			t.Errorf("docs/guarantees.md: there is no %s", m[1])
		}
	}
}
