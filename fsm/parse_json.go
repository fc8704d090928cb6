package fsm

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// jsonTree makes the tree of a file that jsonObject accepts. Nearly all JSON is
// YAML, but some is not: escaped surrogate pairs, tabs as indentation, very
// long keys, line separators inside strings. So JSON goes by its own parser
// into the same tree; all that comes after is the same.
func jsonTree(data []byte) *yaml.Node {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	r := &jsonReader{data: data, dec: dec, line: 1, column: 1}
	return r.value(0)
}

// A jsonReader keeps the position of the tokens it reads.
type jsonReader struct {
	data         []byte
	dec          *json.Decoder
	offset       int
	line, column int
	tooDeep      bool
}

// value reads one value. At a depth that is refused anyway it gives up on the
// whole file, so that the stack stays small.
func (r *jsonReader) value(depth int) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.Line, n.Column = r.next()
	token, err := r.dec.Token()
	if err != nil {
		n.Tag = "!!null" // not reached: the file is valid
		return n
	}
	switch t := token.(type) {
	case nil:
		n.Tag = "!!null"
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if t {
			n.Value = "true"
		}
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Delim:
		n.Kind, n.Tag, n.Style = yaml.MappingNode, "!!map", yaml.FlowStyle
		if t == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		if depth > maxDefinitionDepth {
			r.tooDeep = true
		}
		for !r.tooDeep && r.dec.More() {
			// Keys are tokens like others.
			n.Content = append(n.Content, r.value(depth+1))
			if n.Kind == yaml.MappingNode {
				n.Content = append(n.Content, r.value(depth+1))
			}
		}
		_, _ = r.dec.Token() // the closing bracket
	}
	return n
}

// next moves to where the next token begins and returns its position.
func (r *jsonReader) next() (line, column int) {
	end := int(r.dec.InputOffset())
	for r.offset < len(r.data) {
		b := r.data[r.offset]
		if r.offset >= end && !strings.ContainsRune(" \t\r\n,:", rune(b)) {
			break
		}
		switch {
		case b == '\n':
			r.line, r.column = r.line+1, 1
		case utf8.RuneStart(b):
			r.column++
		}
		r.offset++
	}
	return r.line, r.column
}
