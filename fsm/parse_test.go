package fsm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"gopkg.in/yaml.v3"
)

// parseRows are faults of form: each changes shop in one place.
var parseRows = []definitionRow{
	{"no machines", shop[strings.Index(shop, "stateMachines"):], "", "1:1: the component has no machines"},
	{"empty list of machines", shop[strings.Index(shop, "stateMachines"):], "stateMachines: []\n", "5:16: the component has no machines"},
	{"no states", "    states:\n      - name: Waiting\n      - name: Packed\n        type: final\n", "",
		`46:5: machine "Parcel" has no states`},
	{"duplicate key", "version: 1.0.0", "name: Other", `2:1: duplicate key "name"; it is already in line 1`},
	{"duplicate key, deep", "event: LATE", "event: LATE\n        event: LATER", `34:9: duplicate key "event"; it is already in line 33`},
	{"unknown key", "version", "vresion", "2:1: unknown key \"vresion\"; did you mean version?"},
	{"unknown key instead of a required one", "initialState: Draft", "initialstate: Draft", "7:5: unknown key \"initialstate\"; did you mean initialState?"},
	{"unknown key instead of the machines", "stateMachines", "statemachines", "5:1: unknown key \"statemachines\"; did you mean stateMachines?"},
	{"unknown key, nothing near", "version", "zzzzzz", "2:1: unknown key \"zzzzzz\"; known here: name, version, entryMachine, entryMachineMode, autoCreateEntryPoint, stateMachines, metadata, layout"},
	{"wrong type: number for text", "name: Shop", "name: 404", `1:7: name must be text, not the number 404; put it in quotes: "404"`},
	{"wrong type: truth value for text", "event: LATE", "event: true", `33:16: event must be text, not true; put it in quotes: "true"`},
	{"wrong type: list for text", "event: LATE", "event: [LATE]", "33:16: event must be text, not a list"},
	{"wrong type: text for a list", "        cascadingRules:", "        onEntry: x\n        cascadingRules: all\n        metadata:", "13:25: cascadingRules must be a list, not the text \"all\""},
	{"wrong type: text for a map", "  - name: Parcel\n", "  - Label\n  - name: Parcel\n", "46:5: stateMachines[1] must be a map of keys, not the text \"Label\""},
	{"wrong type: map for a list", "    states:\n      - name: Waiting\n      - name: Packed\n        type: final\n", "    states: {Waiting: {}, Packed: {}}\n",
		"48:13: states must be a list, not a map"},
	{"wrong type: text for a truth value", "entryMachine: Order", "entryMachine: Order\nautoCreateEntryPoint: yes", "4:23: autoCreateEntryPoint must be true or false, not the text \"yes\""},
	{"fractional timeoutMs", "timeoutMs: 5000", "timeoutMs: 1.5", "35:20: timeoutMs must be a whole number, not the number 1.5; it counts milliseconds"},
	{"timeoutMs with a unit", "timeoutMs: 5000", "timeoutMs: 5s", "35:20: timeoutMs must be a whole number, not the text \"5s\"; it counts milliseconds: 5000"},
	{"timeoutMs as text", "timeoutMs: 5000", "timeoutMs: soon", "35:20: timeoutMs must be a whole number, not the text \"soon\""},
	{"timeoutMs beyond numbers", "timeoutMs: 5000", "timeoutMs: 1e300", `35:20: timeoutMs is too large: "1e300"`},
	{"timeoutMs not a number", "timeoutMs: 5000", "timeoutMs: .nan", "35:20: timeoutMs must be a whole number, not the number .nan"},
	{"key that is a map", "version: 1.0.0", "? {a: b}\n: c", "2:3: a key must be text, not a map"},
	{"unknown tag", "name: Shop", "name: !secret Shop", `1:7: name must be text, not a value with the tag "!secret"; put it in quotes: "Shop"`},
	{"unknown tag on a map", "version: 1.0.0", "metadata: !set {a}", `2:11: unknown tag "!set"`},
	{"unknown tag on a list", "version: 1.0.0", "metadata: {a: !set [b]}", `2:15: unknown tag "!set"`},
	{"merge of a text", "version: 1.0.0", "<<: all", `2:5: << must be followed by a map, not the text "all"`},
	{"number as a key of a payload", "            event: PACK\n            matching", "            event: PACK\n            payload: {1: one}\n            matching",
		`16:23: a key must be text, not the number 1; put it in quotes: "1"`},
	{"payload that is a list", "            event: PACK\n            matching", "            event: PACK\n            payload: [1]\n            matching",
		"16:22: payload must be a map of keys, not a list"},
	{"infinity", "version: 1.0.0", "metadata: {a: [.inf]}", `2:16: ".inf" is not a number that can be kept; put it in quotes`},
	{"binary", "version: 1.0.0", "metadata: !!binary aGk=", `2:11: can't read a value with the tag "!!binary"; use text, numbers, true, false, null, lists and maps`},
	{"alias inside its anchor", "version: 1.0.0", "metadata: &a [1, *a]", `2:18: alias "a" stands inside what it is an alias of`},
	{"tab", "    initialState: Draft", "\tinitialState: Draft", "7:1: not YAML: a tab in the indentation; indent with spaces"},
	{"not YAML", "version: 1.0.0", "version: [1.0.0", "2:1: not YAML: did not find expected ',' or ']'; check the indentation, and that brackets and quotes are closed"},
	{"text with a colon", "version: 1.0.0", "version: a: b", `2:1: not YAML: mapping values are not allowed in this context; put text that holds ": " in quotes, and check the indentation`},
	{"unknown anchor", "version: 1.0.0", "version: *v", "1:1: not YAML: unknown anchor 'v' referenced"},
	{"two documents", "version: 1.0.0", "---\nversion: 1.0.0", "2:1: a second document; a file holds one component; remove the --- or split the file"},
	{"invalid UTF-8", "name: Shop", "name: Sh\xffp", "1:9: invalid UTF-8 (byte 0xFF); save the file as UTF-8"},
	{"control character", "version: 1.0.0", "version: é\x01", "2:11: control character 0x01; this does not look like a text file"},
}

func TestParseRows(t *testing.T) {
	t.Parallel()
	for _, tt := range parseRows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkRow(t, tt)
		})
	}
}

// hostile are whole files that are refused for what they are.
func hostile() map[string][2]string {
	laughs := "name: A\nmetadata:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += fmt.Sprintf("  %c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	merges := "name: A\nmetadata:\n  a: &a {x: 1, y: 2, z: 3}\n"
	for c := 'b'; c < 'z'; c++ {
		merges += fmt.Sprintf("  %c: &%c {%c: 1, <<: [%s]}\n", c, c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	var misspelt strings.Builder
	misspelt.WriteString("name: A\nstateMachines:\n- name: M\n  initialState: S0\n  states:\n")
	for i := range 20000 {
		fmt.Fprintf(&misspelt, "  - {name: S%d}\n", i)
	}
	misspelt.WriteString("  transitions:\n")
	for i := range 20000 {
		fmt.Fprintf(&misspelt, "  - {from: T%d, to: T%d, event: E, type: wrong}\n", i, i)
	}
	return map[string][2]string{
		"empty":                 {"", "1:1: the file is empty; a component needs at least name and stateMachines"},
		"only comments":         {"# nothing\n", "1:1: the file is empty; a component needs at least name and stateMachines"},
		"only a marker":         {"---\n", "1:1: the file is empty; a component needs at least name and stateMachines"},
		"only a BOM":            {"\uFEFF", "1:1: the file is empty; a component needs at least name and stateMachines"},
		"a word":                {"hello", `1:1: a component must be a map of keys, not the text "hello"`},
		"a list":                {"- a\n", "1:1: a component must be a map of keys, not a list"},
		"10 MB":                 {strings.Repeat("a", 10<<20), "1:1: the file is larger than 4 MB"},
		"a million values":      {"a: [" + strings.Repeat("a,", 1_000_000) + "a]", "1:1: more than 500000 values; split the component into several"},
		"a million aliases":     {"a: &a 1\nb: [" + strings.Repeat("*a,", 1_000_000) + "1]", "1:1: more than 500000 values; split the component into several"},
		"2,000 aliases":         {"a: &a 1\nb: [" + strings.Repeat("*a,", 2000) + "1]", "2:3005: more than 1000 aliases"},
		"billion laughs":        {laughs, "aliases make this more than 500000 values"},
		"billion merges":        {merges, "aliases make this more than 500000 values"},
		"depth 10,000":          {strings.Repeat("[", 10_000), "1:1: not YAML: did not find expected node content"},
		"depth 10,000, closed":  {strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999), "nested more than 100 levels deep"},
		"depth 10,000 of lists": {strings.Repeat("- ", 9_999) + "a", "nested more than 100 levels deep"},
		"depth a million":       {strings.Repeat("[", 1_000_000), "1:1: nested more than 100 levels deep"},
		"depth of JSON":         {`{"a":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + "}", "nested more than 100 levels deep"},
		"depth by aliases":      {"name: A\nmetadata:\n  a: &a " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "\n  b: " + strings.Repeat("[", 60) + "*a" + strings.Repeat("]", 60), "nested more than 100 levels deep"},
		"20,000 misspelt":       {misspelt.String(), "more of these are not shown"},
		"2 MB of one name":      {"name: " + strings.Repeat("a", 2<<20) + "\nnaem: 1", "unknown key"},
		"binary":                {"\x7fELF\x02\x01\x01\x00", "1:1: control character 0x7F; this does not look like a text file"},
	}
}

func TestHostileFiles(t *testing.T) {
	// Not beside others: it measures times.
	for name, tt := range hostile() {
		for _, opts := range [][]fsm.ParseOption{nil, {fsm.Lenient()}} {
			start := time.Now()
			c, _, err := fsm.ParseComponent([]byte(tt[0]), opts...)
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("%s: took %v", name, took)
			}
			var de *fsm.DefinitionError
			if !errors.As(err, &de) || c != nil {
				t.Errorf("%s: got %v, want a *DefinitionError", name, err)
				continue
			}
			if got := de.Error(); opts == nil && !strings.Contains(got, tt[1]) {
				t.Errorf("%s: got %.500s, want %s", name, got, tt[1])
			}
			for line := range strings.Lines(err.Error()) {
				if len(line) > 1000 {
					t.Errorf("%s: a line of %d bytes: %.100s", name, len(line), line)
				}
			}
		}
	}
}

func TestBOMIsAccepted(t *testing.T) {
	t.Parallel()
	c, problems, err := fsm.ParseComponent([]byte("\uFEFF" + shop))
	if err != nil || problems != nil {
		t.Fatalf("got %v, %v", problems, err)
	}
	if got, want := c.Name, "Shop"; got != want {
		t.Errorf("name: got %q, want %q", got, want)
	}
	_, _, err = fsm.ParseComponent([]byte("\uFEFFnmae: x\n" + shop))
	if got, want := err.Error(), `1:1: unknown key "nmae"; did you mean name?`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLenient(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Replace(shop, "version: 1.0.0", "guards: [1]", 1))
	c, problems, err := fsm.ParseComponent(text, fsm.Lenient())
	if err != nil {
		t.Fatal(err)
	}
	want := `2:1: warning: unknown key "guards"; known here: name, version, entryMachine, entryMachineMode, autoCreateEntryPoint, stateMachines, metadata, layout`
	if got := problemLines(problems); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if c.Name != "Shop" || len(c.StateMachines) != 2 {
		t.Errorf("got %+v", c)
	}
	if _, _, err := fsm.ParseComponent(text, fsm.Lenient(), fsm.Strict()); err == nil {
		t.Error("lenient and strict: got no error")
	}
	// A key that stands for a required one: both are said.
	_, _, err = fsm.ParseComponent([]byte(strings.Replace(shop, "name: Shop", "Name: Shop", 1)), fsm.Lenient())
	want = "1:1: warning: unknown key \"Name\"; did you mean name?\n1:1: the component has no name"
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseComponentFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.yaml")
	if err := os.WriteFile(path, []byte(shop), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, problems, err := fsm.ParseComponentFile(path); err != nil || problems != nil {
		t.Errorf("good file: got %v, %v", problems, err)
	}
	if _, _, err := fsm.ParseComponentFile(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("missing file: got %v", err)
	}
	if _, _, err := fsm.ParseComponentFile(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("folder: got %v", err)
	}
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, bytes.Repeat([]byte("#"), 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fsm.ParseComponentFile(big); fmt.Sprint(err) != big+":1:1: the file is larger than 4 MB" {
		t.Errorf("big file: got %v", err)
	}
	if _, _, err := fsm.ParseComponentFile(big, fsm.FileName("b")); fmt.Sprint(err) != "b:1:1: the file is larger than 4 MB" {
		t.Errorf("another name: got %v", err)
	}
}

func TestJSONIsYAML(t *testing.T) {
	t.Parallel()
	want := shopComponent(t)
	compact, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	tabs, err := json.MarshalIndent(want, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"compact": compact, "indented with tabs": tabs} {
		got, problems, err := fsm.ParseComponent(data, fsm.Strict())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, %v", name, got, problems, err)
		}
	}
	// What is JSON but not YAML, or means something else there.
	long := strings.Repeat("k", 2000)
	text := strings.Replace(string(compact), `{"name":"Shop"`, `{"name":"Shop","metadata":{"<<":1,"`+long+`":"\ud83d\ude00\/`+"\u2028"+`"}`, 1)
	got, _, err := fsm.ParseComponent([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := any(map[string]any{"<<": float64(1), long: "😀/\u2028"}); !reflect.DeepEqual(got.Metadata, want) {
		t.Errorf("metadata: got %v, want %v", got.Metadata, want)
	}
	_, _, err = fsm.ParseComponent([]byte("{\n\t\"name\": \"é\", \"nmae\": 1,\n\t\"stateMachines\": [{\"name\": 5, \"name\": 6}]\n}"))
	wantErr := `2:15: unknown key "nmae"; did you mean name?
3:20: machine "" has no states
3:20: machine "" has no initialState
3:29: name must be text, not the number 5; put it in quotes: "5"
3:32: duplicate key "name"; it is already in line 3`
	if got := fmt.Sprint(err); got != wantErr {
		t.Errorf("got\n%s\nwant\n%s", got, wantErr)
	}
}

func TestFreeFormValues(t *testing.T) {
	t.Parallel()
	text := shop + `metadata:
  text: a
  quoted: "1"
  int: 1
  hex: 0x10
  float: 1.5
  limit: 9007199254740992
  big: 9007199254740993
  negative: -9007199254740993
  huge: 18446744073709551615
  yes: true
  none: ~
  date: 2026-01-31
  list: [1, {a: b}]
  1: number as a key
  on: text in YAML 1.2
`
	c, _, err := fsm.ParseComponent([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"text": "a", "quoted": "1", "int": 1.0, "hex": 16.0, "float": 1.5, "limit": float64(1 << 53),
		"big": int64(1<<53 + 1), "negative": int64(-1<<53 - 1), "huge": uint64(1<<64 - 1),
		"yes": true, "none": nil, "date": "2026-01-31", "list": []any{1.0, map[string]any{"a": "b"}},
		"1": "number as a key", "on": "text in YAML 1.2",
	}
	if !reflect.DeepEqual(c.Metadata, any(want)) {
		t.Errorf("got  %#v\nwant %#v", c.Metadata, want)
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	t.Parallel()
	text := `name: &n Lamp
stateMachines:
  - name: *n
    initialState: Off
    states: [{name: Off}, {name: On}]
    transitions:
      - &t {from: Off, to: On, event: SWITCH, triggeredMethod: click}
      - {<<: *t, from: On, to: Off}
      - <<: [{event: DIM, triggeredMethod: dim}, *t]
        type: regular
`
	c, problems, err := fsm.ParseComponent([]byte(text), fsm.Strict())
	if err != nil {
		t.Fatal(err, problems)
	}
	want := []fsm.Transition{
		{From: "Off", To: "On", Event: "SWITCH", TriggeredMethod: "click"},
		{From: "On", To: "Off", Event: "SWITCH", TriggeredMethod: "click"},
		{From: "Off", To: "On", Event: "DIM", TriggeredMethod: "dim", Type: "regular"},
	}
	if got := c.StateMachines[0].Transitions; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := c.StateMachines[0].Name, "Lamp"; got != want {
		t.Errorf("name: got %q, want %q", got, want)
	}
}

func TestAbsentAndEmpty(t *testing.T) {
	t.Parallel()
	text := strings.Replace(shop, "    transitions:\n      - from: Waiting", "    parentLink: ~\n    transitions:\n      - contextMapping: {}\n        matchingRules: []\n        from: Waiting", 1)
	c, problems, err := fsm.ParseComponent([]byte(strings.Replace(text, "version: 1.0.0", "version: 2.0", 1)))
	if err != nil || problems != nil {
		t.Fatal(problems, err)
	}
	if got, want := c.Version, "2.0"; got != want {
		t.Errorf("a number as version: got %q, want %q", got, want)
	}
	tr := c.StateMachines[1].Transitions[0]
	if tr.ContextMapping == nil || tr.MatchingRules != nil || c.StateMachines[1].ParentLink != nil {
		t.Errorf("got %+v", tr)
	}
	if got := c.StateMachines[0].Transitions[0].ContextMapping; got != nil {
		t.Errorf("mapping of a transition without one: got %v, want nil", got)
	}
	for name, encode := range map[string]func(any) ([]byte, error){"yaml": yaml.Marshal, "json": json.Marshal} {
		out, err := encode(c)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := fsm.ParseComponent(out)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s: got %+v, %v", name, again, err)
		}
	}
}

// scenarioComponents returns the definitions of the conformance scenarios, as
// YAML, under "file[index]".
func scenarioComponents(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/conformance/*.yaml")
	if err != nil || len(files) < 100 {
		t.Fatalf("scenarios: got %d, %v", len(files), err)
	}
	out := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s struct{ Components []yaml.Node }
		if err := yaml.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		for i := range s.Components {
			text, err := yaml.Marshal(&s.Components[i])
			if err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprintf("%s[%d]", filepath.Base(file), i)] = text
		}
	}
	return out
}

// unloadable is the one definition of the scenarios that is refused.
const unloadable = "entry-machine-unknown.yaml[0]"

func TestScenariosParse(t *testing.T) {
	t.Parallel()
	for name, text := range scenarioComponents(t) {
		_, _, err := fsm.ParseComponent(text, fsm.Lenient(), fsm.FileName(name))
		if name == unloadable {
			want := name + `:3:15: entry machine "Boss" is not among the machines; there is only "Supervisor"`
			if got := fmt.Sprint(err); !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			continue
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func ExampleParseComponent() {
	_, _, err := fsm.ParseComponent([]byte(`name: Shop
stateMachines:
  - name: Order
    initialState: Darft
    states:
      - name: Draft
        typ: entry
      - name: Paid
        type: final
    transitions:
      - from: Draft
        to: Payed
        event: PAY
      - from: Draft
        to: Paid
        event: LATE
        type: timeuot
        timeoutMs: 1.5
`), fsm.FileName("shop.yaml"))
	fmt.Println(err)
	// Output:
	// shop.yaml:4:19: initial state "Darft" is not among the states of machine "Order"; did you mean "Draft"?
	// shop.yaml:7:9: unknown key "typ"; did you mean type?
	// shop.yaml:12:13: state "Payed" is not among the states of machine "Order"; did you mean "Paid"?
	// shop.yaml:17:15: unknown type "timeuot"; did you mean timeout?
	// shop.yaml:18:20: timeoutMs must be a whole number, not the number 1.5; it counts milliseconds
}

func FuzzParseComponent(f *testing.F) {
	for _, text := range scenarioComponents(f) {
		f.Add(text)
	}
	f.Add([]byte(shop))
	f.Add([]byte("\uFEFF{\"name\":\"\\ud83d\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := fsm.ParseComponent(data, fsm.Lenient())
		if err != nil {
			var de *fsm.DefinitionError
			if !errors.As(err, &de) || c != nil {
				t.Fatalf("got %T, want a *DefinitionError alone", err)
			}
			for _, p := range de.Problems {
				if p.Line < 1 || p.Column < 1 || strings.ContainsAny(p.String(), "\r\n") {
					t.Fatalf("bad problem: %+v", p)
				}
			}
			return
		}
		out, err := yaml.Marshal(c)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		again, _, err := fsm.ParseComponent(out)
		if err != nil {
			t.Fatalf("parse again: %v\n%s", err, out)
		}
		if !reflect.DeepEqual(again, c) {
			t.Fatalf("got  %+v\nwant %+v\n%s", again, c, out)
		}
	})
}
