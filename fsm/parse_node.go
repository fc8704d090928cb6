package fsm

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/internal/nearest"
	"gopkg.in/yaml.v3"
)

// A nodeDecoder fills the Go types from a tree, strictly: the types say which
// keys there are and what they hold. It goes on after a problem, so that all
// of them are found, and notes where each path is in the file.
type nodeDecoder struct {
	lenient bool
	list    *problemList
	places  map[string]yamlPosition
	// unsound holds the paths that could not be read. What depends on them is
	// not worth checking.
	unsound map[string]bool
	keys    map[reflect.Type]map[string]int
	// open are the anchors that are being followed, to refuse circles.
	open    map[*yaml.Node]bool
	values  int
	stopped bool
}

type yamlPosition struct{ line, column int }

func newNodeDecoder(lenient bool, list *problemList) *nodeDecoder {
	return &nodeDecoder{
		lenient: lenient,
		list:    list,
		places:  map[string]yamlPosition{},
		unsound: map[string]bool{},
		keys:    map[reflect.Type]map[string]int{},
		open:    map[*yaml.Node]bool{},
	}
}

// decode reads the whole tree.
func (d *nodeDecoder) decode(root *yaml.Node, v reflect.Value) { d.value(root, v, "", 0) }

// broken says whether the value at a path could not be read.
func (d *nodeDecoder) broken(path string) bool { return d.unsound[path] }

// locate returns the position of a path, or of the nearest thing around it
// that is in the file.
func (d *nodeDecoder) locate(path string) (line, column int) {
	for {
		if p, ok := d.places[path]; ok {
			return p.line, p.column
		}
		if path == "" {
			return 1, 1
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// fail notes an error at a node, and that its path could not be read.
func (d *nodeDecoder) fail(n *yaml.Node, path, message, hint string) {
	d.unsound[path] = true
	d.list.add(Problem{Line: n.Line, Column: n.Column, Path: path, Message: message, Hint: hint})
}

// value reads a node into v by its Go type.
func (d *nodeDecoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	d.places[path] = yamlPosition{n.Line, n.Column}
	d.follow(n, path, depth, func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && path != "" {
			return // as if the key were not there
		}
		switch v.Kind() {
		case reflect.Pointer:
			p := reflect.New(v.Type().Elem())
			d.value(n, p.Elem(), path, depth)
			v.Set(p)
		case reflect.Struct:
			d.structure(n, v, path, depth)
		case reflect.Slice:
			d.sequence(n, v, path, depth)
		case reflect.Map:
			d.mapping(n, v, path, depth)
		case reflect.Interface:
			if x := d.free(n, path, keysAsText, depth); x != nil {
				v.Set(reflect.ValueOf(x))
			}
		default:
			d.scalar(n, v, path)
		}
	})
}

// follow calls read with the node, or with what it is an alias of, within the
// bounds on values, depth and circles.
func (d *nodeDecoder) follow(n *yaml.Node, path string, depth int, read func(*yaml.Node)) {
	if d.stopped {
		return
	}
	if d.values++; d.values > maxDefinitionValues {
		d.stopped = true
		d.fail(n, path, fmt.Sprintf("aliases make this more than %d values", maxDefinitionValues), "")
		return
	}
	if depth > maxDefinitionDepth {
		d.fail(n, path, tooDeepMessage(), "")
		return
	}
	if n.Kind != yaml.AliasNode {
		read(n)
		return
	}
	target := n.Alias
	if d.open[target] {
		d.fail(n, path, fmt.Sprintf("alias %s stands inside what it is an alias of", problemQuote(n.Value)), "")
		return
	}
	d.open[target] = true
	read(target)
	delete(d.open, target)
}

// structure reads a map into a struct, by its yaml tags.
func (d *nodeDecoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	if !d.isKind(n, yaml.MappingNode, "a map of keys", path) {
		return
	}
	fields := d.fieldsOf(v.Type())
	entries := d.entries(n, path, depth)
	for _, e := range entries {
		i, ok := fields[e.key]
		if !ok {
			d.unknownKey(e, entries, v.Type(), path)
			continue
		}
		d.value(e.value, v.Field(i), pathKey(path, e.key), depth+1)
	}
}

// unknownKey reports a key that the schema does not have.
func (d *nodeDecoder) unknownKey(e yamlEntry, entries []yamlEntry, t reflect.Type, path string) {
	severity := SeverityError
	if d.lenient {
		severity = SeverityWarning
	}
	p := Problem{Line: e.keyNode.Line, Column: e.keyNode.Column, Severity: severity,
		Path: pathKey(path, e.key), Message: "unknown key " + problemQuote(e.key)}
	if !d.list.full(severity) {
		p.Hint = d.unknownKeyHint(e, entries, t, path, severity)
	}
	d.list.add(p)
}

func (d *nodeDecoder) unknownKeyHint(e yamlEntry, entries []yamlEntry, t reflect.Type, path string, severity Severity) string {
	known := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		known = append(known, yamlKey(t.Field(i)))
	}
	near, ok := nearest.Match(e.key, known)
	if !ok {
		return "known here: " + strings.Join(known, ", ")
	}
	missing := true
	for _, other := range entries {
		missing = missing && other.key != near
	}
	if missing && severity == SeverityError {
		// That the right key is missing is the same mistake.
		d.unsound[pathKey(path, near)] = true
	}
	return fmt.Sprintf("did you mean %s?", near)
}

// sequence reads a list. An empty one is the same as none.
func (d *nodeDecoder) sequence(n *yaml.Node, v reflect.Value, path string, depth int) {
	if !d.isKind(n, yaml.SequenceNode, "a list", path) || len(n.Content) == 0 {
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, s.Index(i), pathIndex(path, i), depth+1)
	}
	v.Set(s)
}

// mapping reads a map with keys of the user. An empty one is the same as none,
// but for the types that say otherwise (see ContextMapping).
func (d *nodeDecoder) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	t := v.Type()
	if t.Elem().Kind() == reflect.Interface {
		// Of the free-form values only payloads must be maps.
		if !d.isKind(n, yaml.MappingNode, "a map of keys", path) {
			return
		}
		if m, ok := d.free(n, path, keysMustBeText, depth).(map[string]any); ok && len(m) > 0 {
			v.Set(reflect.ValueOf(m))
		}
		return
	}
	if !d.isKind(n, yaml.MappingNode, "a map of keys", path) {
		return
	}
	m := reflect.MakeMap(t)
	for _, e := range d.entries(n, path, depth) {
		x := reflect.New(t.Elem()).Elem()
		d.value(e.value, x, pathKey(path, e.key), depth+1)
		m.SetMapIndex(reflect.ValueOf(e.key), x)
	}
	if _, emptyCounts := m.Interface().(yaml.IsZeroer); m.Len() > 0 || emptyCounts {
		v.Set(m)
	}
}

// scalar reads text, a number or a truth value.
func (d *nodeDecoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(n.Value))
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || err != nil {
			d.wrongType(n, path, "true or false", "")
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		if i, ok := d.whole(n, path); ok {
			v.SetInt(i)
		}
	case reflect.Float64:
		x, ok := yamlNumber(n)
		if !ok {
			d.wrongType(n, path, "a number", "")
			return
		}
		v.SetFloat(yamlFloat(x))
	}
}

func (d *nodeDecoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.ScalarNode {
		switch n.ShortTag() {
		case "!!str", "!!timestamp", "!!merge":
			return n.Value, true
		case "!!int", "!!float":
			if path == "version" { // 1.0 is what people write
				return n.Value, true
			}
		}
		d.wrongType(n, path, "text", "put it in quotes: "+problemQuote(n.Value))
		return "", false
	}
	d.wrongType(n, path, "text", "")
	return "", false
}

func (d *nodeDecoder) whole(n *yaml.Node, path string) (int64, bool) {
	x, ok := yamlNumber(n)
	if !ok {
		hint := ""
		if wait, err := time.ParseDuration(n.Value); err == nil && n.Kind == yaml.ScalarNode && strings.HasSuffix(path, "Ms") {
			hint = fmt.Sprintf("it counts milliseconds: %d", wait.Milliseconds())
		}
		d.wrongType(n, path, "a whole number", hint)
		return 0, false
	}
	f := yamlFloat(x)
	if f != math.Trunc(f) {
		hint := ""
		if strings.HasSuffix(path, "Ms") {
			hint = "it counts milliseconds"
		}
		d.wrongType(n, path, "a whole number", hint)
		return 0, false
	}
	if i, ok := x.(int64); ok {
		return i, true
	}
	if math.Abs(f) > 1<<53 {
		d.fail(n, path, fmt.Sprintf("%s is too large: %s", pathLast(path), problemQuote(n.Value)), "")
		return 0, false
	}
	return int64(f), true
}

// isKind says whether a node is a map or a list as it should be, without a
// tag of its own, and reports it if not.
func (d *nodeDecoder) isKind(n *yaml.Node, kind yaml.Kind, what, path string) bool {
	tag := "!!map"
	if kind == yaml.SequenceNode {
		tag = "!!seq"
	}
	if n.Kind != kind {
		d.wrongType(n, path, what, "")
		return false
	}
	if n.ShortTag() != tag {
		d.fail(n, path, "unknown tag "+problemQuote(n.Tag), "")
		return false
	}
	return true
}

func (d *nodeDecoder) wrongType(n *yaml.Node, path, want, hint string) {
	name := pathLast(path)
	if path == "" {
		name = "a component"
	}
	d.fail(n, path, fmt.Sprintf("%s must be %s, not %s", name, want, yamlDescribe(n)), hint)
}

// fieldsOf maps the keys of a type to its fields.
func (d *nodeDecoder) fieldsOf(t reflect.Type) map[string]int {
	if m, ok := d.keys[t]; ok {
		return m
	}
	m := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		m[yamlKey(t.Field(i))] = i
	}
	d.keys[t] = m
	return m
}

// yamlKey is the key of a field in a file.
func yamlKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

// pathLast is the end of a path: "to" of "stateMachines[0].transitions[2].to".
func pathLast(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// yamlDescribe says what a node is, for a message.
func yamlDescribe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!str", "!!timestamp", "!!merge":
		return "the text " + problemQuote(n.Value)
	default:
		return "a value with the tag " + problemQuote(n.Tag)
	}
}
