package api

import (
	"encoding/json"
	"fmt"
	"maps"
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
}

// The table of metrics in docs/api.md is what /metrics has: each name with its type
// and its labels, and no other.
func TestMetricsDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(fsmesh_\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(b), -1) {
		labels := regexp.MustCompile(`\w+`).FindAllString(m[3], -1)
		slices.Sort(labels)
		documented[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	var statuses []RuntimeStatus
	metrics := NewMetrics()
	w := newWorld(t, func(c *Config) {
		c.Metrics = metrics
		c.Runtimes = func() []RuntimeStatus { return statuses }
	})
	statuses = []RuntimeStatus{{Name: "Orders", Phase: "running", Counts: w.orders.Counts()}}
	metrics.Called(mesh.CallSend, 1, nil)
	metrics.Refused("unauthorized")
	w.bridge(&mesh.BridgeStatus{ID: "b-1", Broker: "redis://***@redis:6379", Host: "bridge-1", Active: true, Counters: map[string]uint64{"received": 12}})
	w.order(map[string]any{"orderId": "A", "amount": 1})
	text := string(w.want(200, "GET /metrics", nil).raw)
	shown := map[string]string{"fsmesh_mesh_runtimes_inexact": "gauge component,reason"} // there is none now
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (fsmesh_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		name, kind := m[1], m[2]
		sample := regexp.MustCompile(`(?m)^` + name + `(?:_bucket|_sum)?(?:\{(.*)\})? `).FindStringSubmatch(text)
		if sample == nil {
			t.Errorf("%s has no value", name)
			continue
		}
		var labels []string
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(sample[1], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		shown[name] = kind + " " + strings.Join(labels, ",")
		if (kind == "counter") != strings.HasSuffix(name, "_total") || (kind == "histogram" || kind == "summary") != strings.HasSuffix(name, "_seconds") {
			t.Errorf("%s is a %s", name, kind)
		}
	}
	if !maps.Equal(documented, shown) {
		for name, is := range shown {
			if documented[name] != is {
				t.Errorf("%s is %q, the docs have %q", name, is, documented[name])
			}
		}
		for name := range documented {
			if shown[name] == "" {
				t.Errorf("%s is in the docs only", name)
			}
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
