package fsm

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A ContextFault is one value of a context that the machine's contextSchema
// does not allow.
type ContextFault struct {
	// Field is the path of the value: "address.zip".
	Field string `json:"field"`
	// Message says what is wrong with it, without the field's name.
	Message string `json:"message"`
}

// String returns "field: message".
func (f ContextFault) String() string { return problemOneLine(f.Field + ": " + f.Message) }

// CheckContext returns all that the machine's contextSchema finds wrong with
// data, in the order of the fields' names; nil when all is well.
//
// It is for those who create instances: the engine never calls it. Fields
// that the schema does not name are free. A field that is null counts as
// absent. What Component.Check warns of (an unknown type, a minimum above the
// maximum, a pattern that does not compile) is not enforced. A pattern may match
// anywhere in the text; ^ and $ tie it to the ends. Defaults are not filled
// in, so a required field with a default must still be there.
//
// It changes nothing and may be called from any goroutine.
func (m *Machine) CheckContext(data map[string]any) []ContextFault {
	var c contextCheck
	c.fields(m.ContextSchema, data, "")
	return c.faults
}

type contextCheck struct{ faults []ContextFault }

func (c *contextCheck) fault(field, format string, args ...any) {
	c.faults = append(c.faults, ContextFault{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *contextCheck) fields(schema map[string]Field, data map[string]any, path string) {
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		f := schema[name]
		at := pathKey(path, name)
		x, there := data[name]
		switch {
		case f.Type != "" && !slices.Contains(definitionFieldTypes, f.Type):
			// not enforced, not even that it is required
		case there && x != nil:
			c.field(f, x, at)
		case f.Required:
			c.fault(at, "is required")
		}
	}
}

func (c *contextCheck) field(f Field, x any, path string) {
	if fault := contextType(f, x); fault != "" {
		c.fault(path, "%s", fault)
		return // its limits would only say the same again
	}
	if n, ok := contextNumber(x); ok {
		c.limits(path, n, f.Min, f.Max, "")
	}
	if n, what, ok := contextLength(x); ok {
		c.limits(path, n, contextLimit(f.MinLength), contextLimit(f.MaxLength), what)
	}
	if s, ok := x.(string); ok && f.Pattern != "" {
		if re, err := regexp.Compile(f.Pattern); err == nil && !re.MatchString(s) {
			c.fault(path, "must match the pattern %s", f.Pattern)
		}
	}
	if inner, ok := x.(map[string]any); ok {
		c.fields(f.Properties, inner, path)
	}
}

// limits checks a number, or a length in characters or items, against its
// limits. Limits that contradict each other are not enforced.
func (c *contextCheck) limits(path string, n float64, low, high *float64, what string) {
	verb := "be"
	if what != "" {
		verb, what = "have", " "+what
	}
	switch {
	case low != nil && high != nil && *low > *high:
	case low != nil && n < *low:
		c.fault(path, "must %s at least %v%s, not %v", verb, *low, what, n)
	case high != nil && n > *high:
		c.fault(path, "must %s at most %v%s, not %v", verb, *high, what, n)
	}
}

// contextType says how a value is not of the field's type, or nothing.
func contextType(f Field, x any) string {
	n, isNumber := contextNumber(x)
	s, isText := x.(string)
	ok, want := true, ""
	switch f.Type {
	case "text", "string":
		ok, want = isText, "text"
	case "number":
		ok, want = isNumber, "a number"
	case "integer":
		ok, want = isNumber && n == math.Trunc(n), "a whole number"
	case "boolean":
		_, ok = x.(bool)
		want = "true or false"
	case "date":
		ok, want = isText && contextDate(s), "a date like 2026-01-31 or 2026-01-31T12:00:00Z"
	case "object":
		_, ok = x.(map[string]any)
		want = "a map"
	case "array":
		ok, want = reflect.ValueOf(x).Kind() == reflect.Slice, "a list"
	case "select":
		if len(f.Options) > 0 && !slices.ContainsFunc(f.Options, func(o any) bool { return contextOption(o, x) }) {
			return "must be one of " + contextOptions(f.Options)
		}
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("must be %s, not %s", want, contextDescribe(x))
}

func contextDescribe(x any) string {
	switch x := x.(type) {
	case string:
		return "the text " + problemQuote(x)
	case bool:
		return fmt.Sprint(x)
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	}
	if n, ok := contextNumber(x); ok {
		return fmt.Sprintf("the number %v", n)
	}
	return fmt.Sprintf("a %T", x)
}

// contextDate accepts a day, or a day and a time with or without seconds and zone,
// as forms and programs write them.
func contextDate(s string) bool {
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

// contextOption says whether x is the option: the value itself, or the value of a
// map with value and label. Numbers are the same by value, and maps and lists
// are never the same.
func contextOption(option, x any) bool {
	if m, ok := option.(map[string]any); ok {
		option = m["value"]
	}
	a, ok := contextNumber(option)
	if b, also := contextNumber(x); ok && also {
		return a == b
	}
	switch option := option.(type) {
	case string:
		s, ok := x.(string)
		return ok && s == option
	case bool:
		b, ok := x.(bool)
		return ok && b == option
	}
	return false
}

func contextOptions(options []any) string {
	const most = 20
	var words []string
	for _, o := range options[:min(len(options), most)] {
		if m, ok := o.(map[string]any); ok {
			o = m["value"]
		}
		if s, ok := o.(string); ok {
			o = problemQuote(s)
		}
		words = append(words, fmt.Sprint(o))
	}
	if len(options) > most {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}

// contextNumber reads any kind of Go number, for contexts built in Go.
func contextNumber(x any) (float64, bool) {
	if n, ok := x.(json.Number); ok {
		f, err := n.Float64()
		return f, err == nil
	}
	v := reflect.ValueOf(x)
	switch {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

// contextLength is the length of text in characters, of a list in items.
func contextLength(x any) (n float64, what string, ok bool) {
	if s, ok := x.(string); ok {
		return float64(utf8.RuneCountInString(s)), "characters", true
	}
	if v := reflect.ValueOf(x); v.Kind() == reflect.Slice {
		return float64(v.Len()), "items", true
	}
	return 0, "", false
}

func contextLimit(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}
