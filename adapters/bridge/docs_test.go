package bridge

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of counters in docs/bridges.md anew")

// counterTable is the table of counters in docs/bridges.md.
var counterTable = regexp.MustCompile(`(?s)\| counter \| what it counts \|\n\|---\|---\|\n(\|[^\n]*\n)+`)

// TestCountersAreDocumented compares the counters with docs/bridges.md, and sees
// that all that the code raises are among them.
func TestCountersAreDocumented(t *testing.T) {
	t.Parallel()
	const page = "../../docs/bridges.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "| counter | what it counts |\n|---|---|\n"
	names := map[string]bool{}
	for _, c := range Counters() {
		want += fmt.Sprintf("| `%s` | %s |\n", c.Name, c.Help)
		if names[c.Name] || c.Help == "" {
			t.Errorf("counter %q is there twice, or without help", c.Name)
		}
		names[c.Name] = true
	}
	if *update {
		text = counterTable.ReplaceAllLiteral(text, []byte(want))
		if err := os.WriteFile(page, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(counterTable.Find(text)); got != want {
		t.Errorf("docs/bridges.md has other counters than the code (-update writes them anew):\n got %s\nwant %s", got, want)
	}
	for file, find := range map[string]string{
		"counters.go": `count[A-Z]\w+ += "([a-z_]+)"`, "../redis/redis.go": `"([a-z_]+)": +b\.\w+\.Load\(\)`, "../rabbitmq/rabbitmq.go": `"([a-z_]+)": +b\.\w+\.Load\(\)`,
	} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(find).FindAllStringSubmatch(string(src), -1)
		if len(found) == 0 {
			t.Errorf("no counters are found in %s", file)
		}
		for _, m := range found {
			name := m[1]
			if strings.HasPrefix(file, "..") {
				name = brokerPrefix + name
			}
			if !names[name] {
				t.Errorf("%s counts %s, which Counters does not have", file, name)
			}
		}
	}
}
