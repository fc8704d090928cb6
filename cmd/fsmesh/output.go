package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"gopkg.in/yaml.v3"
)

// A listing prints things of one kind one by one: as rows of a table, as a JSON
// array or as a YAML list.
type listing struct {
	w     io.Writer
	form  string
	table *tabwriter.Writer
	n     int
}

// listing begins a list; head are the titles of the table's columns.
func (r *remote) listing(head ...string) *listing {
	l := &listing{w: r.p.stdout, form: r.form.value}
	if l.form == "table" {
		l.table = tabwriter.NewWriter(l.w, 0, 0, 2, ' ', 0)
		l.row(head)
	}
	return l
}

// row prints a row of the table. What has no value is "-", and what would break
// the line is replaced.
func (l *listing) row(cells []string) {
	for i, c := range cells {
		if cells[i] = oneLine(c); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(l.table, strings.Join(cells, "\t"))
}

// add prints one more: the cells in a table, else the value.
func (l *listing) add(v any, cells ...string) error {
	l.n++
	switch l.form {
	case "table":
		l.row(cells)
		return nil
	case "yaml":
		return writeYAML(l.w, []any{v})
	}
	b, err := marshal(v)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, b, "  ", "  "); err != nil {
		return err
	}
	separator := ",\n  "
	if l.n == 1 {
		separator = "[\n  "
	}
	fmt.Fprint(l.w, separator+indented.String())
	return nil
}

// flush prints what the table has gathered, so that a long list needs no memory.
func (l *listing) flush() error {
	if l.table == nil {
		return nil
	}
	return l.table.Flush()
}

// end ends the list.
func (l *listing) end() error {
	switch {
	case l.form == "json" && l.n == 0, l.form == "yaml" && l.n == 0:
		fmt.Fprintln(l.w, "[]")
	case l.form == "json":
		fmt.Fprintln(l.w, "\n]")
	}
	return l.flush()
}

// print prints one thing: as pairs of names and values, or as a document. Pairs
// without a value are left out.
func (r *remote) print(v any, pairs ...string) error {
	switch r.form.value {
	case "json":
		writeJSON(r.p.stdout, v)
		return nil
	case "yaml":
		return writeYAML(r.p.stdout, v)
	}
	t := tabwriter.NewWriter(r.p.stdout, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", pairs[i], oneLine(pairs[i+1]))
		}
	}
	return t.Flush()
}

// writeDocument prints one thing as JSON or YAML.
func writeDocument(w io.Writer, form string, v any) error {
	if form == "yaml" {
		return writeYAML(w, v)
	}
	writeJSON(w, v)
	return nil
}

// marshal encodes without escaping what only HTML needs escaped.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// writeYAML prints what the JSON of a value says: the same names in the same
// order, and big integers as they are.
func writeYAML(w io.Writer, v any) error {
	b, err := marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	n, err := yamlNode(dec)
	if err != nil {
		return err
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return err
	}
	return enc.Close()
}

// yamlNode reads the next JSON value.
func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch tok := tok.(type) {
	case json.Delim:
		n.Kind = yaml.MappingNode
		if tok == '[' {
			n.Kind = yaml.SequenceNode
		}
		for dec.More() {
			child, err := yamlNode(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err = dec.Token()
	case string:
		n.SetString(tok)
	case json.Number:
		n.Value = tok.String()
	case bool:
		n.Value = fmt.Sprint(tok)
	case nil:
		n.Value = "null"
	}
	return n, err
}

// moment is a time for people, "" where there is none.
func moment(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).Format("2006-01-02 15:04:05")
}
