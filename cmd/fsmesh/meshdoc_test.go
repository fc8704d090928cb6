package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/internal/freeport"
)

// TestMeshDocument runs every command of docs/mesh.md, each section by itself: node
// and serve in the background, all else until it succeeds. Ports are replaced by
// free ones. TestReadmeStandalone has those of the README.
func TestMeshDocument(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/mesh.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, section := range strings.Split(string(data), "\n## ")[1:] {
		title, body, found := strings.Cut(section, "\n")
		if !found {
			t.Errorf("section %q of docs/mesh.md is empty", title)
		}
		var lines []string
		for _, line := range strings.Split(body, "\n") {
			command, ok := strings.CutPrefix(line, "    fsmesh ")
			command, _, _ = strings.Cut(command, " #")
			command = strings.TrimSuffix(strings.TrimSpace(command), " &")
			// TestWatch has what goes on until it is told to end.
			if ok && command != "watch" {
				lines = append(lines, command)
			}
		}
		n += len(lines)
		if len(lines) == 0 {
			continue
		}
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			runDocumented(t, lines)
		})
	}
	if n < 30 {
		t.Errorf("only %d commands were found", n)
	}
}

func runDocumented(t *testing.T, lines []string) {
	t.Helper()
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	ports := map[string]string{}
	free := func(address string) string {
		if ports[address] == "" {
			ports[address] = freeport.Address(t)
		}
		return ports[address]
	}
	env := map[string]string{"PORT": "0", "FSMESH_URL": "nats://" + free(defaultNode), "XDG_CONFIG_HOME": t.TempDir()}
	for _, line := range lines {
		words := shellWords(port.ReplaceAllStringFunc(line, free))
		for i, w := range words {
			if w == "order.yaml" || w == "shop.yaml" {
				words[i] = "testdata/order.yaml"
			}
		}
		if words[0] == "node" && !strings.Contains(line, "--listen") {
			words = append(words, "--listen", free(defaultNode))
		}
		if words[0] == "dashboard" && !strings.Contains(line, "--broker") {
			words = append(words, "--broker", env["FSMESH_URL"])
		}
		if words[0] == "node" || words[0] == "serve" || words[0] == "dashboard" {
			startProgram(t, env, words...)
			continue
		}
		// Nodes need a moment to find each other.
		for deadline := time.Now().Add(60 * time.Second); ; {
			got := fsmeshWith(t.Context(), "", env, words...)
			if got.status == exitDone {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("fsmesh %s: %+v", line, got)
			}
		}
	}
}

// shellWords splits a line as a shell does, as far as single quotes go.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}
