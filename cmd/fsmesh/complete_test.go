package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// completed is what a shell is told that a word may be.
func completed(t *testing.T, env map[string]string, words ...string) []string {
	t.Helper()
	got := fsmeshWith(t.Context(), "", env, append([]string{"__complete"}, words...)...)
	lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
	if got.status != exitDone || !strings.HasPrefix(lines[len(lines)-1], ":") {
		t.Fatalf("__complete %q: %+v", words, got)
	}
	if strings.Count(got.err, "\n") > 1 || strings.Contains(got.err, "fsmesh:") {
		t.Errorf("__complete %q says %q", words, got.err) // cobra says one line, which shells drop
	}
	return lines[:len(lines)-1]
}

func TestCompleteNames(t *testing.T) {
	t.Parallel()
	url := startOrders(t)
	env := map[string]string{"FSMESH_URL": url, "XDG_CONFIG_HOME": t.TempDir()}
	for _, id := range []string{"o-1", "o-2", "p-1"} {
		at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--id", id)
		at(t, url, exitDone, "create", "Order", `{"amount": 5, "customer": "Bob"}`, "--key", "order:"+id)
	}
	for _, name := range []string{"prod", "proof", "test"} {
		if got := fsmeshWith(t.Context(), "", env, "context", "add", name, "--url", url); got.status != exitDone {
			t.Fatalf("context add: %+v", got)
		}
	}
	for _, tt := range []struct {
		words string // a word of nothing is "."
		want  string
	}{
		{"create .", "Order"},
		{"create Order .", ""},
		{"create Order --state P", "Paid Pending"},
		{"broadcast O", "Order"},
		{"broadcast Order P", "PAY"},
		{"broadcast Order PAY --state D", "Draft"},
		{"get o-", "o-1 o-2"},
		{"get o-1 .", ""},
		{"get --key order:p", "order:p-1"},
		{"history p", "p-1"},
		{"send p", "p-1"},
		{"send p-1 S", "SUBMIT"},
		{"send --key order:o-1 S", "SUBMIT"},
		{"ls --machine .", "Order"},
		{"ls --machine Order --state D", "Draft"},
		{"ls --component .", "Orders"},
		{"ls --runtime O", "Orders"},
		{"ls --context pro", "prod proof"},
		{"context select t", "test"},
		{"context rm pro", "prod proof"},
		{"run testdata/order.yaml .", "Order"},
		{"simulate testdata/order.yaml Order SUBMIT P", "PAY"},
		{"validate .", "yaml yml"}, // which are the ends of files
		{"serve testdata/order.yaml --sync .", "always interval none"},
		{"get o- --url " + url + " --mesh another", ""},
	} {
		t.Run(tt.words, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(tt.words)
			if strings.HasPrefix(tt.words, "get o- ") {
				words = append(words[2:], "o-")
				words = slices.Insert(words, 0, "get")
			}
			if words[len(words)-1] == "." {
				words[len(words)-1] = ""
			}
			// A busy machine may need longer than is waited.
			var got string
			for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
				if got = strings.Join(completed(t, env, words...), " "); got == tt.want {
					return
				}
			}
			t.Errorf("%q is completed to %q, want %q", words, got, tt.want)
		})
	}
}

// Where no mesh can be reached nothing is offered, in good time, without a word.
func TestCompleteWithoutAMesh(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"nobody listens": "nats://u:s3cr3t@127.0.0.1:1", "nobody answers": "nats://" + silentListener(t), "no URL": "gopher://x", "a broker": "redis://127.0.0.1:1",
	} {
		begin := time.Now()
		if got := completed(t, map[string]string{"FSMESH_URL": url}, "get", "x"); len(got) > 0 {
			t.Errorf("%s: %q is offered", name, got)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	if got := completed(t, map[string]string{"XDG_CONFIG_HOME": t.TempDir()}, "context", "select", ""); len(got) > 0 {
		t.Errorf("contexts where there are none: %q", got)
	}
	if got := completed(t, nil, "run", "nowhere.yaml", ""); len(got) > 0 {
		t.Errorf("machines of no file: %q", got)
	}
}
