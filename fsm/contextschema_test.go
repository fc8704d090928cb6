package fsm_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

const formFields = `name: Forms
stateMachines:
  - name: Form
    initialState: Blank
    states: [{name: Blank, type: entry}]
    contextSchema:
      title: {type: text, required: true, minLength: 2, maxLength: 5, pattern: "^[a-zé]+$"}
      alias: {type: string}
      pages: {type: number, min: 1, max: 5.5}
      copies: {type: integer}
      urgent: {type: boolean}
      due: {type: date}
      size: {type: select, options: [S, 42, true, {value: XL, label: extra large}]}
      open: {type: select}
      tags: {type: array, minLength: 1, maxLength: 2}
      address:
        type: object
        properties:
          zip: {type: text, required: true, pattern: "^[0-9]+$"}
          "a.b": {type: number}
      anything: {label: no type}
      colour: {type: colour, required: true, minLength: 3}
      broken: {type: number, min: 3, max: 2}
      odd: {type: text, pattern: "(?=x)"}
`

func TestCheckContext(t *testing.T) {
	t.Parallel()
	c, _, err := fsm.ParseComponent([]byte(formFields))
	if err != nil {
		t.Fatal(err)
	}
	form := &c.StateMachines[0]
	tests := []struct {
		name string
		data map[string]any
		want []string
	}{
		{"nothing", nil, []string{"title: is required"}},
		{"null for a required one", map[string]any{"title": nil}, []string{"title: is required"}},
		{"null for an optional one", map[string]any{"pages": nil}, nil},
		{"all well", map[string]any{
			"title": "été", "alias": "", "pages": 5.5, "copies": 3.0, "urgent": false, "due": "2026-01-31",
			"size": "S", "open": "any", "tags": []any{1.0}, "address": map[string]any{"zip": "123", "more": 1},
			"anything": 1.0, "colour": 7, "broken": 2.5, "odd": "y", "unknown": 1,
		}, nil},
		{"numbers of Go", map[string]any{"pages": 3, "copies": uint8(3), "size": int32(42)}, nil},
		{"numbers of JSON", map[string]any{"pages": json.Number("3"), "copies": json.Number("3"), "size": json.Number("42")}, nil},
		{"text with another type", map[string]any{"title": 7.0}, []string{"title: must be text, not the number 7"}},
		{"text too short", map[string]any{"title": "é"}, []string{"title: must have at least 2 characters, not 1"}},
		{"text too long and not as the pattern says", map[string]any{"title": "ABCDEFG"}, []string{"title: must have at most 5 characters, not 7", "title: must match the pattern ^[a-zé]+$"}},
		{"number as text", map[string]any{"pages": "3"}, []string{`pages: must be a number, not the text "3"`}},
		{"number too small", map[string]any{"pages": 0.0}, []string{"pages: must be at least 1, not 0"}},
		{"number too large", map[string]any{"pages": 6.0}, []string{"pages: must be at most 5.5, not 6"}},
		{"fraction for an integer", map[string]any{"copies": 1.5}, []string{"copies: must be a whole number, not the number 1.5"}},
		{"text for a boolean", map[string]any{"urgent": "yes"}, []string{`urgent: must be true or false, not the text "yes"`}},
		{"date with a time", map[string]any{"due": "2026-01-31T12:00:00.5+02:00"}, nil},
		{"date of a form", map[string]any{"due": "2026-01-31T12:00"}, nil},
		{"not a date", map[string]any{"due": "2026-02-30"}, []string{`due: must be a date like 2026-01-31 or 2026-01-31T12:00:00Z, not the text "2026-02-30"`}},
		{"option by value", map[string]any{"size": "XL"}, nil},
		{"option that is true", map[string]any{"size": true}, nil},
		{"not an option", map[string]any{"size": "42"}, []string{`size: must be one of "S", 42, true, "XL"`}},
		{"map for an option", map[string]any{"size": map[string]any{"value": "S"}}, []string{`size: must be one of "S", 42, true, "XL"`}},
		{"map for a list", map[string]any{"tags": map[string]any{}}, []string{"tags: must be a list, not a map"}},
		{"list too short", map[string]any{"tags": []any{}}, []string{"tags: must have at least 1 items, not 0"}},
		{"list of Go too long", map[string]any{"tags": []string{"a", "b", "c"}}, []string{"tags: must have at most 2 items, not 3"}},
		{"list for a map", map[string]any{"address": []any{}}, []string{"address: must be a map, not a list"}},
		{"inside a map", map[string]any{"address": map[string]any{"a.b": "x"}}, []string{`address["a.b"]: must be a number, not the text "x"`, "address.zip: is required"}},
		{"pattern inside a map", map[string]any{"address": map[string]any{"zip": "12a"}}, []string{"address.zip: must match the pattern ^[0-9]+$"}},
		{"a Go type of its own", map[string]any{"pages": struct{}{}}, []string{"pages: must be a number, not a struct {}"}},
		{"several at once", map[string]any{"title": true, "pages": 9, "urgent": 1}, []string{"pages: must be at most 5.5, not 9", "title: must be text, not true", "urgent: must be true or false, not the number 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, there := tt.data["title"]; !there && tt.data != nil {
				tt.data["title"] = "abc"
			}
			var lines []string
			for _, f := range form.CheckContext(tt.data) {
				lines = append(lines, f.String())
			}
			if got, want := strings.Join(lines, "\n"), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestCheckContextWithoutASchema(t *testing.T) {
	t.Parallel()
	if got := (&fsm.Machine{}).CheckContext(map[string]any{"a": 1}); got != nil {
		t.Errorf("got %v, want nil", got)
	}
}
