package jsonobject

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"blank", " \n", "it is empty"},
		{"list", "[1]", "it is a list"},
		{"null", "null", "it is null"},
		{"string", `"x"`, "it is a string"},
		{"number", "1", "it is a number"},
		{"boolean", "true", "it is a boolean"},
		{"open object", `{"a": 1`, "it ends too early"},
		{"open string", `{"a": "b`, "it ends too early"},
		{"open list", `{"a": [1`, "it ends too early"},
		{"missing colon", `{"a" 1}`, "at 1:"},
		{"trailing comma", `{"a": 1,}`, "at 1:"},
		{"key without quotes", `{a: 1}`, "invalid character 'a'"},
		{"NaN", `{"a": NaN}`, "invalid character 'N'"},
		{"text after it", "{}\n x", "there is text after it"},
		{"key twice", "{\"a\": 1,\n \"a\": 2}", `key "a" is there twice, at 2:5`},
		{"key twice, deeper", `{"x": [{"a": 1, "a": 2}]}`, `key "a" is there twice`},
		{"too deep", `{"a": ` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}", "nested deeper than 100 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Read(tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) || got != nil {
				t.Errorf("got %v, error %v; want nothing and %q", got, err, tt.want)
			}
		})
	}
	got, err := Read(` {"a": {"b": [1, null, true, "x", {}]}, "n": 9007199254740993} `)
	want := map[string]any{"a": map[string]any{"b": []any{json.Number("1"), nil, true, "x", map[string]any{}}}, "n": json.Number("9007199254740993")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, error %v; want %v", got, err, want)
	}
}

// FuzzRead checks that what is read is what encoding/json reads, and that what
// that refuses is refused.
func FuzzRead(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}]}`, `{"a":1,"a":2}`, `[`, `{"a":1}x`, "{\"\\ud800\":\"\xff\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Read(text)
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want map[string]any
		switch wantErr := json.Unmarshal([]byte(text), &want); {
		case err != nil:
			return
		case wantErr != nil:
			t.Fatalf("read %v, but encoding/json says %v", got, wantErr)
		}
		want = nil
		if err := dec.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("read %v, but encoding/json reads %v, error %v", got, want, err)
		}
	})
}
