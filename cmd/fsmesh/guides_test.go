package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands of the guide to pitfalls print what it shows.
func TestPitfalls(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/pitfalls.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```console\n\\$ fsmesh ([^\n]*)\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	if len(blocks) < 3 {
		t.Fatalf("%d commands were found", len(blocks))
	}
	for _, block := range blocks {
		if got := fsmesh(t, strings.Fields(block[1])...); got.out+got.err != block[2] {
			t.Errorf("fsmesh %s prints\n%s%s\nthe guide shows\n%s", block[1], got.out, got.err, block[2])
		}
	}
}

// The unit of the guide to deploying is one that systemd takes, where it is there.
func TestUnit(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/deploy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, unit, found := strings.Cut(string(b), "```ini\n")
	unit, _, closed := strings.Cut(unit, "```")
	if !found || !closed {
		t.Fatal("the guide has no unit")
	}
	for _, want := range []string{"--data /var/lib/fsmesh", "FSMESH_PASSWORD_FILE=%d/password", "DynamicUser=yes"} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not here, so the unit is only read")
		return
	}
	// It looks for the program, too.
	unit = strings.Replace(unit, "/usr/local/bin/fsmesh", "/bin/true", 1)
	file := filepath.Join(t.TempDir(), "fsmesh.service")
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), verify, "verify", "--man=no", "--generators=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), file+":") {
		t.Errorf("systemd does not take the unit: %v\n%s", err, out)
	}
}

// The README shows the dashboard as it is, and that is short and over packages that
// others can import, too.
func TestReadmeShowsTheDashboard(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("dashboard.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, function, found := strings.Cut(string(source), "\nfunc serveDashboard(")
	if function = "func serveDashboard(" + function; !found || !strings.Contains(string(readme), "```go\n"+function+"```\n") {
		t.Errorf("the README does not show the function as it is:\n%s", function)
	}
	if n := strings.Count(function, "\n"); n > 45 {
		t.Errorf("it has %d lines, 45 at most are short", n)
	}
	for _, m := range regexp.MustCompile(`"(github\.com/fsmesh/[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		if strings.Contains(m[1], "internal") {
			t.Errorf("it imports %s, which nobody else can", m[1])
		}
	}
}

// The README shows each picture of the pages, and none that is not there.
func TestReadmeShowsPictures(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:src|srcset)="docs/pictures/([^"]*)"`).FindAllStringSubmatch(string(readme), -1) {
		shown[m[1]] = true
	}
	pictures, err := os.ReadDir("../../docs/pictures")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		if !shown[p.Name()] {
			t.Errorf("docs/pictures/%s is not shown", p.Name())
		}
		delete(shown, p.Name())
	}
	for name := range shown {
		t.Errorf("docs/pictures/%s is shown, but is not there", name)
	}
}

// The README says what make test installs, all of it.
func TestReadmeSaysWhatIsInstalled(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../../.ci/install-deps")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, says, found := strings.Cut(string(readme), "`make test` installs")
	says, _, closed := strings.Cut(says, ".")
	if !found || !closed {
		t.Fatal("the README does not say what make test installs")
	}
	words := map[string]string{
		"gcc": "C compiler", "strace": "strace", "curl": "curl", "npm": "npm", "redis-server": "Redis", "rabbitmq-server": "RabbitMQ",
		"nodejs": "Node", "chromium": "Chromium",
	}
	n := 0
	for _, list := range regexp.MustCompile(`needed\+?=\(([^)]*)\)`).FindAllStringSubmatch(string(script), -1) {
		for _, need := range strings.Fields(list[1]) {
			_, pkg, _ := strings.Cut(need, ":")
			n++
			if word := words[pkg]; word == "" || !strings.Contains(says, word) {
				t.Errorf("make test installs %s, which the README does not say: %q", pkg, says)
			}
		}
	}
	if n < len(words) {
		t.Errorf("only %d packages were found", n)
	}
}
