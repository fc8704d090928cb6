package api

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/mesh"
)

// The examples of docs/api.md are run in their order: the answer has the status
// that they show, and all keys. Each operation has one, and the table of codes is
// that of this package.
func TestDocs(t *testing.T) {
	w := newWorld(t, nil)
	w.bridge(&mesh.BridgeStatus{ID: "b-1", Broker: "redis://***@redis:6379", Host: "bridge-1", Active: true, Counters: map[string]uint64{"received": 12, "published": 40}})
	b, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	pairs := regexp.MustCompile("(?s)```http\n(.*?)\n```\n\n```json (\\d+)\n(.*?)\n```").FindAllStringSubmatch(text, -1)
	shown := map[string]bool{}
	for _, p := range pairs {
		head, body, _ := strings.Cut(p[1], "\n\n")
		lines := strings.Split(head, "\n")
		var headers []string
		for _, l := range lines[1:] {
			name, value, _ := strings.Cut(l, ": ")
			headers = append(headers, name, value)
		}
		var content any
		if body != "" {
			content = body
		}
		status, err := strconv.Atoi(p[2])
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(lines[0], "correlated") {
			eventually(t, "the invoice is there", func() bool {
				return len(w.do("GET /api/components/Billing/instances", nil).body["instances"].([]any)) == 2
			})
		}
		r := w.want(status, lines[0], content, headers...)
		var want any
		if err := json.Unmarshal([]byte(p[3]), &want); err != nil {
			t.Fatalf("%s: the answer in the docs: %v", lines[0], err)
		}
		if missing := keysMissing("", r.body, want); len(missing) > 0 {
			t.Errorf("%s: the docs show %v, which is not in %s", lines[0], missing, r.raw)
		}
		if code := want.(map[string]any)["code"]; code != nil && code != r.body["code"] {
			t.Errorf("%s: code %v, the docs show %v", lines[0], r.body["code"], code)
		}
		method, path, _ := strings.Cut(lines[0], " ")
		path, _, _ = strings.Cut(path, "?")
		shown[method+" "+path] = true
	}
	names := strings.NewReplacer("{component}", "Orders", "{machine}", "Order", "{instance}", "o-7", "{key}", "order:8", "{version}", "2")
	for _, op := range w.api.table {
		if op.content != "" || op.path == openPath {
			if !strings.Contains(text, op.path) {
				t.Errorf("%s is not in the docs", op.path)
			}
			continue
		}
		if !shown[op.method+" "+names.Replace(op.path)] {
			t.Errorf("%s %s has no example", op.method, op.path)
		}
	}
	var rows []string
	for _, l := range strings.Split(text[strings.Index(text, "## Codes"):], "\n") {
		if strings.HasPrefix(l, "| `") {
			rows = append(rows, l)
		}
	}
	var want []string
	for _, m := range Meanings() {
		retry := ""
		if m.Retry {
			retry = "yes"
		}
		want = append(want, fmt.Sprintf("| `%s` | %d | %d | %s | %s |", m.Code, m.Status, m.Exit, m.Title, retry))
	}
	if !slices.Equal(rows, want) {
		t.Errorf("the table of codes is to be\n%s", strings.Join(want, "\n"))
	}
	metrics := string(w.want(200, "GET /metrics", nil).raw)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE fsmesh_(\w+) `).FindAllStringSubmatch(metrics, -1) {
		short := strings.TrimPrefix(strings.TrimPrefix(m[1], "mesh"), "runtime")
		if !strings.Contains(text, "fsmesh_"+m[1]) && !strings.Contains(text, "…"+short) {
			t.Errorf("fsmesh_%s is not in the docs", m[1])
		}
	}
}

// keysMissing returns the keys of want that got lacks; of lists the first
// element counts.
func keysMissing(at string, got, want any) (missing []string) {
	switch want := want.(type) {
	case map[string]any:
		have, _ := got.(map[string]any)
		for k, v := range want {
			g, ok := have[k]
			if !ok {
				missing = append(missing, at+"."+k)
				continue
			}
			missing = append(missing, keysMissing(at+"."+k, g, v)...)
		}
	case []any:
		have, _ := got.([]any)
		if len(want) > 0 && len(have) == 0 {
			return []string{at + "[0]"}
		}
		if len(want) > 0 {
			return keysMissing(at+"[0]", have[0], want[0])
		}
	}
	return missing
}
