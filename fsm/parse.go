package fsm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// Bounds of a component file. They are far above what people write and low
// enough that the worst file is refused within a second.
const (
	maxDefinitionSize    = 4 << 20 // bytes
	maxDefinitionValues  = 500_000 // values, also after following aliases
	maxDefinitionAliases = 1_000
	maxDefinitionDepth   = 100 // maps and lists inside each other
)

// A ParseOption changes how a component file is read.
type ParseOption func(*parseOptions)

type parseOptions struct {
	lenient bool
	strict  bool
	file    string
}

// Lenient turns unknown keys into warnings, so that files with keys of their
// own run. All other rules stay.
func Lenient() ParseOption { return func(o *parseOptions) { o.lenient = true } }

// Strict turns every warning into an error, also the ones of Lenient.
func Strict() ParseOption { return func(o *parseOptions) { o.strict = true } }

// FileName sets the name that problems are reported under.
func FileName(name string) ParseOption { return func(o *parseOptions) { o.file = name } }

// ParseComponent reads one component from YAML or JSON and checks it as
// Component.Check does.
//
// With no error it returns the component and its warnings. Otherwise the
// error is a *DefinitionError, the component is nil, and the problems are all
// that is wrong, warnings included, in the order of the file. Each problem
// has its line and column.
//
// Reading is strict: unknown and duplicate keys and values of the wrong type
// are errors. Anchors, aliases and merge keys work. Input is bounded: 4 MB,
// 500,000 values, 1,000 aliases and 100 levels of nesting; hostile input is
// refused within a second or so and never causes a panic.
//
// In free-form values (metadata, layout, payload, options, default) there are
// only nil, bool, string, float64, []any and map[string]any, and int64 or
// uint64 for whole numbers beyond 2^53, which float64 can't hold. Dates are
// strings. Not-a-number and infinities are refused.
//
// ParseComponent may be called from any goroutine and keeps no reference to
// data.
func ParseComponent(data []byte, opts ...ParseOption) (*Component, []Problem, error) {
	var o parseOptions
	for _, opt := range opts {
		opt(&o)
	}
	c, problems := parseComponent(data, o)
	for i := range problems {
		problems[i].File = o.file
		if o.strict {
			problems[i].Severity = SeverityError
		}
	}
	if problemsHaveError(problems) {
		return nil, problems, &DefinitionError{Problems: problems}
	}
	return c, problems, nil
}

// ParseComponentFile reads one component from a file, as ParseComponent does.
// The file's path is the name in problems unless FileName says otherwise. A
// file that can't be read gives the error of the operating system, which
// names it.
func ParseComponentFile(path string, opts ...ParseOption) (*Component, []Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read component: %w", err)
	}
	defer f.Close()
	// One byte more than allowed is enough to see that it is too much.
	data, err := io.ReadAll(io.LimitReader(f, maxDefinitionSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read component: %w", err)
	}
	return ParseComponent(data, append([]ParseOption{FileName(path)}, opts...)...)
}

// parseComponent does the work on bytes. The component is complete only when
// no problem is an error.
func parseComponent(data []byte, o parseOptions) (*Component, []Problem) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	root, p := parseTree(data)
	if p != nil {
		return nil, []Problem{*p}
	}
	var c Component
	list := &problemList{}
	d := newNodeDecoder(o.lenient, list)
	d.decode(root, reflect.ValueOf(&c).Elem())
	if d.stopped {
		return nil, list.sorted()
	}
	check := definitionCheck{component: &c, list: list, broken: d.broken, locate: d.locate}
	check.run()
	return &c, list.sorted()
}

// pathKey adds a key to the path of a problem. Keys that would be unclear
// after a dot are quoted in brackets.
func pathKey(path, key string) string {
	plain := key != "" && len(key) <= 80 && !strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	switch {
	case !plain:
		return path + "[" + problemQuote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// pathIndex adds the index of a list to the path of a problem.
func pathIndex(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
