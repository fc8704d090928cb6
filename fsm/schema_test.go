package fsm_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(fsm.JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("component.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("component.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func decodeYAML(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJSONSchemaAcceptsTheScenarios(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	for name, text := range scenarioComponents(t) {
		v := stripUnknown(decodeYAML(t, text), reflect.TypeFor[fsm.Component]())
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := schema.Validate(decodeYAML(t, []byte(shop))); err != nil {
		t.Errorf("shop: %v", err)
	}
}

// stripUnknown leaves out the keys that the Go type does not have.
func stripUnknown(v any, t reflect.Type) any {
	switch t.Kind() {
	case reflect.Pointer:
		return stripUnknown(v, t.Elem())
	case reflect.Slice:
		list := v.([]any)
		for i := range list {
			list[i] = stripUnknown(list[i], t.Elem())
		}
	case reflect.Map:
		for k, x := range v.(map[string]any) {
			v.(map[string]any)[k] = stripUnknown(x, t.Elem())
		}
	case reflect.Struct:
		out := map[string]any{}
		for i := range t.NumField() {
			key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			if x, ok := v.(map[string]any)[key]; ok {
				out[key] = stripUnknown(x, t.Field(i).Type)
			}
		}
		return out
	}
	return v
}

func TestJSONSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	tests := []struct{ name, old, new string }{
		{"unknown key", "version:", "vresion:"},
		{"unknown key, deep", "targetState:", "targetStat:"},
		{"missing name", "name: Shop\n", ""},
		{"empty name", "name: Shop\n", "name: ''\n"},
		{"missing initialState", "    initialState: Draft\n", ""},
		{"missing event", "        event: LATE\n", ""},
		{"wrong type", "name: Shop", "name: [Shop]"},
		{"unknown transition type", "type: timeout", "type: timer"},
		{"unknown state type", "type: entry", "type: start"},
		{"bad mode", "Mode: multiple", "Mode: many"},
		{"unknown operator", `"==="`, `"=="`},
		{"negative timeoutMs", "timeoutMs: 5000", "timeoutMs: -1"},
		{"fractional timeoutMs", "timeoutMs: 5000", "timeoutMs: 1.5"},
		{"no machines", shop[strings.Index(shop, "stateMachines"):], "stateMachines: []"},
		{"payload that is a list", "            event: PACK\n            matching", "            event: PACK\n            payload: [1]\n            matching"},
	}
	for _, tt := range tests {
		text := strings.Replace(shop, tt.old, tt.new, 1)
		if text == shop {
			t.Errorf("%s: the row changes nothing", tt.name)
		}
		if err := schema.Validate(decodeYAML(t, []byte(text))); err == nil {
			t.Errorf("%s: accepted", tt.name)
		}
	}
}

func TestJSONSchemaIsDeterministic(t *testing.T) {
	t.Parallel()
	first := fsm.JSONSchema()
	for range 10 {
		if !bytes.Equal(first, fsm.JSONSchema()) {
			t.Fatal("two calls differ")
		}
	}
}

// Every key has a description, so that editors show one.
func TestJSONSchemaDescribesEveryKey(t *testing.T) {
	t.Parallel()
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, _ := v.(map[string]any)
		for key, x := range m {
			if key == "properties" {
				for name, p := range x.(map[string]any) {
					if text, _ := p.(map[string]any)["description"].(string); text == "" {
						t.Errorf("%s: %s has no description", path, name)
					}
				}
				continue
			}
			walk(path+"/"+key, x)
		}
	}
	walk("", decodeYAML(t, fsm.JSONSchema()))
}
