package scaffold

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The containers take each secret from .env, by its name, and none of them in an
// argument.
func TestCompose(t *testing.T) {
	t.Parallel()
	b, err := files.ReadFile("files/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Image, Build string
			Command      []string
			Ports        []string
		}
	}
	if err := yaml.Unmarshal(b, &compose); err != nil {
		t.Fatal(err)
	}
	var used []string
	for _, m := range regexp.MustCompile(`[^$]\$\{([A-Z_]+):\?`).FindAllStringSubmatch(string(b), -1) {
		used = append(used, m[1])
	}
	for _, name := range secrets {
		if !slices.Contains(used, name) {
			t.Errorf("nothing takes %s", name)
		}
	}
	for name, s := range compose.Services {
		if s.Image == "" && s.Build == "" {
			t.Errorf("%s has no image", name)
		}
		if strings.Contains(strings.ReplaceAll(strings.Join(s.Command, " "), "$$", ""), "$") {
			t.Errorf("%s has a secret in its arguments: %q", name, s.Command)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s listens for others: %s", name, p)
			}
		}
	}
}

func TestModule(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{"/a/shop": "module shop\n", "/a/My shöp!": "module My-sh-p\n", "/": "module orders\n", "/a/...": "module orders\n"} {
		got, err := module(dir, Options{Version: "v1.2.3"})
		if err != nil || !strings.HasPrefix(got, want) || !strings.Contains(got, "require github.com/fsmesh/fsmesh v1.2.3\n") {
			t.Errorf("%s: %v\n%s", dir, err, got)
		}
	}
}
