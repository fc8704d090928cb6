package fsmtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm/fsmtest"
)

func TestScenariosAreRead(t *testing.T) {
	t.Parallel()
	const folder = "../testdata/conformance"
	scenarios, err := fsmtest.LoadScenarios(folder)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(scenarios) != len(files) {
		t.Errorf("%d scenarios of %d files", len(scenarios), len(files))
	}
	for _, s := range scenarios {
		e := s.Expect
		if n := len(e.Events) + len(e.Outcomes) + len(e.Instances); n == 0 && e.LoadError == "" {
			t.Errorf("%s expects nothing", s.Name)
		}
		if len(s.Steps) == 0 && len(e.Events) > 0 && e.Events[0]["step"] != int64(0) {
			t.Errorf("%s has no steps", s.Name)
		}
	}
}

func TestFaultyScenariosAreRefused(t *testing.T) {
	t.Parallel()
	const head = "name: x\ncomponents: [{name: C, stateMachines: []}]\n"
	tests := []struct{ title, text, want string }{
		{"no components", "name: x", "no components"},
		{"an unknown step", head + "steps: [{jump: {}}]", `no such step as "jump"`},
		{"a step of two keys", head + "steps: [{send: {}, create: {}}]", "one key"},
		{"an unknown operation", head + "methods: {m: [{dance: 1}]}", `no such operation as "dance"`},
		{"an unknown order", head + "order: random", `order "random"`},
		{"an entry that is none", head + "expect: {events: [1]}", "want a map"},
		{"another name", "name: y\ncomponents: [{name: C}]", `its name is "y"`},
	}
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.title, " ", "_"), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "x.yaml"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := fsmtest.LoadScenarios(folder); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that says %q", err, test.want)
			}
		})
	}
	if _, err := fsmtest.LoadScenarios(t.TempDir()); err == nil {
		t.Error("an empty folder is no error")
	}
}
