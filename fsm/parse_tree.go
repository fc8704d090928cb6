package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parseTree turns the bytes of a file into a tree of nodes, within bounds, or
// into the one problem that makes it unreadable.
func parseTree(data []byte) (*yaml.Node, *Problem) {
	if p := parseBounds(data); p != nil {
		return nil, p
	}
	var root *yaml.Node
	if jsonObject(data) {
		root = jsonTree(data)
	} else {
		var p *Problem
		if root, p = yamlTree(data); p != nil {
			return nil, p
		}
	}
	m := treeMeasure{}
	if m.walk(root, 0); m.problem != nil {
		return nil, m.problem
	}
	return root, nil
}

// parseBounds refuses what must not even reach a parser.
func parseBounds(data []byte) *Problem {
	if len(data) > maxDefinitionSize {
		return &Problem{Line: 1, Column: 1, Message: fmt.Sprintf("the file is larger than %d MB", maxDefinitionSize>>20)}
	}
	if !utf8.Valid(data) {
		at := 0
		for at < len(data) {
			r, n := utf8.DecodeRune(data[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		return problemAt(data, at, fmt.Sprintf("invalid UTF-8 (byte 0x%02X)", data[at]), "save the file as UTF-8")
	}
	if at := bytes.IndexFunc(data, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7F
	}); at >= 0 {
		return problemAt(data, at, fmt.Sprintf("control character 0x%02X", data[at]), "this does not look like a text file")
	}
	// Each value of a YAML or JSON file ends in one of these or sits between
	// two of them, so this is at least half their number.
	values := 0
	for _, b := range data {
		switch b {
		case ',', '\n', ':', '?', '-', '[', '{':
			values++
		}
	}
	if values > 2*maxDefinitionValues {
		return tooManyValues(1, 1)
	}
	return nil
}

func tooManyValues(line, column int) *Problem {
	return &Problem{Line: line, Column: column, Message: fmt.Sprintf("more than %d values", maxDefinitionValues),
		Hint: "split the component into several"}
}

// yamlTree parses the single document of a YAML file.
func yamlTree(data []byte) (root *yaml.Node, problem *Problem) {
	// The parser is not ours: should it ever break on a file, that is a fault
	// of this file for the caller.
	defer func() {
		if r := recover(); r != nil {
			root, problem = nil, &Problem{Line: 1, Column: 1, Message: "not readable as YAML"}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && yamlNothing(&doc) {
		return nil, &Problem{Line: 1, Column: 1, Message: "the file is empty", Hint: "a component needs at least name and stateMachines"}
	}
	if err == nil {
		err = dec.Decode(&second)
		if err == nil {
			return nil, &Problem{Line: max(second.Line, 1), Column: max(second.Column, 1), Message: "a second document",
				Hint: "a file holds one component; remove the --- or split the file"}
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(data, err)
	}
	return doc.Content[0], nil
}

// yamlNothing says whether a document holds no more than comments.
func yamlNothing(doc *yaml.Node) bool {
	return len(doc.Content) == 0 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].Tag == "!!null"
}

var yamlErrorLine = regexp.MustCompile(`^line (\d+): `)

// syntaxProblem puts an error of the YAML parser, which knows the line at
// best, into a problem with a position and a hint.
func syntaxProblem(data []byte, err error) *Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
		if strings.HasPrefix(text, "did not find expected") {
			line++ // these count from 0
		}
	}
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	line = min(line, len(lines))
	// The line of the parser is where it noticed, or the one before. A tab in
	// the indentation there, or next to it, is what it means.
	if strings.Contains(text, "tab") || strings.Contains(text, "cannot start any token") {
		for i := max(line-2, 0); i < min(line+1, len(lines)); i++ {
			indent := lines[i][:len(lines[i])-len(bytes.TrimLeft(lines[i], " \t"))]
			if at := bytes.IndexByte(indent, '\t'); at >= 0 {
				return &Problem{Line: i + 1, Column: at + 1, Message: "not YAML: a tab in the indentation", Hint: "indent with spaces"}
			}
		}
	}
	column := len(lines[line-1]) - len(bytes.TrimLeft(lines[line-1], " \t")) + 1
	p := &Problem{Line: line, Column: column, Message: "not YAML: " + text}
	switch {
	case strings.Contains(text, "mapping values are not allowed"):
		p.Hint = `put text that holds ": " in quotes, and check the indentation`
	case strings.Contains(text, "cannot start any token"):
		p.Hint = "put text that begins with @, ` or % in quotes"
	case strings.Contains(text, "max depth"):
		p.Message, p.Hint = tooDeepMessage(), ""
	case strings.Contains(text, "did not find expected"), strings.Contains(text, "could not find expected"):
		p.Hint = "check the indentation, and that brackets and quotes are closed"
	}
	return p
}

func tooDeepMessage() string {
	return fmt.Sprintf("nested more than %d levels deep", maxDefinitionDepth)
}

// treeMeasure counts values, aliases and levels of a tree as it is written,
// without following aliases.
type treeMeasure struct {
	values, aliases int
	problem         *Problem
}

func (m *treeMeasure) walk(n *yaml.Node, depth int) {
	if m.problem != nil {
		return
	}
	m.values++
	if n.Kind == yaml.AliasNode {
		m.aliases++
	}
	switch {
	case m.values > maxDefinitionValues:
		m.problem = tooManyValues(n.Line, n.Column)
	case m.aliases > maxDefinitionAliases:
		m.problem = &Problem{Line: n.Line, Column: n.Column, Message: fmt.Sprintf("more than %d aliases", maxDefinitionAliases)}
	case depth > maxDefinitionDepth:
		m.problem = &Problem{Line: n.Line, Column: n.Column, Message: tooDeepMessage()}
	}
	for _, c := range n.Content {
		m.walk(c, depth+1)
	}
}

// problemAt is a problem at an offset of the file.
func problemAt(data []byte, offset int, message, hint string) *Problem {
	before := data[:offset]
	line := bytes.Count(before, []byte("\n"))
	start := bytes.LastIndexByte(before, '\n') + 1
	return &Problem{Line: line + 1, Column: utf8.RuneCount(before[start:]) + 1, Message: message, Hint: hint}
}

// jsonObject says whether a file is an object in JSON.
func jsonObject(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && json.Valid(data)
}
