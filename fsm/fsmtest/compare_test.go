package fsmtest

import (
	"encoding/json"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestLineTellsEntriesApart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		title string
		a, b  string
		same  bool
	}{
		{"numbers are equal by value", "{n: 5}", "{n: 5.0}", true},
		{"big integers are not rounded", "{n: 9007199254740993}", "{n: 9007199254740992}", false},
		{"a number is no text", "{n: 5}", "{n: '5'}", false},
		{"null is a value", "{n: null}", "{}", false},
		{"maps have no order", "{a: 1, b: {c: 1, d: 2}}", "{b: {d: 2, c: 1}, a: 1}", true},
		{"lists have one", "{a: [1, 2]}", "{a: [2, 1]}", false},
		{"a date is its text", "{a: 2024-01-01}", "{a: '2024-01-01'}", true},
		{"a key may look like a number", "{a: {1: x}}", "{a: {'1': x}}", true},
		{"an empty map is no list", "{a: {}}", "{a: []}", false},
	}
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.title, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var a, b entry
			if err := yaml.Unmarshal([]byte(test.a), &a); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(test.b), &b); err != nil {
				t.Fatal(err)
			}
			if got := line(a) == line(b); got != test.same {
				t.Errorf("%s and %s: same %t, want %t", line(a), line(b), got, test.same)
			}
		})
	}
	if got := line(entry{"n": json.Number("12345678901234567890")}); got != "n: 12345678901234567890" {
		t.Errorf("line: %s", got)
	}
}

func TestSideBySideLinesUpWhatIsCommon(t *testing.T) {
	t.Parallel()
	got := sideBySide([]string{"a", "b", "extra", "c"}, []string{"a", "missing", "b", "c"})
	want := `  got     want
  a     = a
        > missing
  b     = b
  extra < 
  c     = c
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAliasesGoBothWays(t *testing.T) {
	t.Parallel()
	a := newAliases()
	a.expect("first")
	a.created("id1")
	a.created("id2")
	a.created("id1")
	in := map[string]any{"a": "@first", "b": []any{"@new1", "@never", "plain"}, "c": map[string]any{"d": "@new2"}}
	ids := a.inMap(in)
	if got, want := valueText(ids), `{"a":"id1","b":["id2","`+nobody+`never","plain"],"c":{"d":"`+nobody+`new2"}}`; got != want {
		t.Errorf("in: %s, want %s", got, want)
	}
	if got, want := valueText(a.out(ids)), valueText(in); got != want {
		t.Errorf("out: %s, want %s", got, want)
	}
}

func TestRelativeNumbersDoNotDependOnOtherInstances(t *testing.T) {
	t.Parallel()
	one := []entry{
		{"seq": 1, "inst": "a"}, {"seq": 2, "inst": "b", "causedBy": []any{1}}, {"seq": 3, "inst": "a"},
	}
	two := []entry{
		{"seq": 1, "inst": "a"}, {"seq": 2, "inst": "a"}, {"seq": 3, "inst": "b", "causedBy": []any{1}},
	}
	wrong := []entry{
		{"seq": 1, "inst": "a"}, {"seq": 2, "inst": "a"}, {"seq": 3, "inst": "b", "causedBy": []any{2}},
	}
	text := func(list []entry) string {
		m := perInstance(relative(list, list, true))
		return strings.Join(m["a"], ";") + "|" + strings.Join(m["b"], ";")
	}
	if text(one) != text(two) {
		t.Errorf("%s and %s differ", text(one), text(two))
	}
	if text(one) == text(wrong) {
		t.Errorf("another cause makes no difference: %s", text(one))
	}
}
