package fsm_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

func readDefinitionsDoc(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../docs/definitions.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDocumentedExamplesParse(t *testing.T) {
	t.Parallel()
	blocks := strings.Split(readDefinitionsDoc(t), "\n```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no yaml blocks")
	}
	for i, block := range blocks {
		text, _, closed := strings.Cut(block, "\n```")
		if !closed {
			t.Fatalf("block %d is not closed", i)
		}
		c, _, err := fsm.ParseComponent([]byte(text), fsm.Strict())
		if err != nil {
			t.Errorf("block %d: %v", i, err)
			continue
		}
		if problems := c.Check(); problems != nil {
			t.Errorf("block %d, checked as a Go value: %v", i, problems)
		}
	}
}

// The tables name every key: `key` for those of a type that is used in one
// place, `parentLink.enabled` and the like for the small ones.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	doc := readDefinitionsDoc(t)
	sections := map[reflect.Type]string{
		reflect.TypeFor[fsm.Component]():     "\n## Component\n",
		reflect.TypeFor[fsm.Machine]():       "\n## Machine\n",
		reflect.TypeFor[fsm.State]():         "\n## State\n",
		reflect.TypeFor[fsm.Transition]():    "\n## Transition\n",
		reflect.TypeFor[fsm.MatchingRule]():  "\n## Matching rules\n",
		reflect.TypeFor[fsm.CascadingRule](): "\n## Cascading rules\n",
		reflect.TypeFor[fsm.ParentLink]():    "\n## Children and parents\n",
		reflect.TypeFor[fsm.NotifyParent]():  "\n## Children and parents\n",
		reflect.TypeFor[fsm.Field]():         "\n## contextSchema\n",
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		_, section, ok := strings.Cut(doc, sections[typ])
		if !ok || sections[typ] == "" {
			t.Errorf("%v has no section", typ)
			return
		}
		section, _, _ = strings.Cut(section, "\n## ")
		prefix := ""
		switch typ {
		case reflect.TypeFor[fsm.ParentLink]():
			prefix = "parentLink."
		case reflect.TypeFor[fsm.NotifyParent]():
			prefix = "notifyParent."
		}
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			if !tableNames(section, prefix+key) {
				t.Errorf("%v: no row for %s", typ, prefix+key)
			}
			walk(typ.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[fsm.Component]())
}

// tableNames says whether the first cell of a row has the key.
func tableNames(section, key string) bool {
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "`"+key+"`") {
			return true
		}
	}
	return false
}
