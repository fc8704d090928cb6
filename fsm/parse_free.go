package fsm

import (
	"fmt"
	"math"

	"gopkg.in/yaml.v3"
)

// A yamlEntry is one key of a map with its value.
type yamlEntry struct {
	key     string
	keyNode *yaml.Node
	value   *yaml.Node
}

// entries lists a map in the order of the file, merged keys (<<) last, and
// reports what can't be a key and what is there twice.
func (d *nodeDecoder) entries(n *yaml.Node, path string, depth int) []yamlEntry {
	out := make([]yamlEntry, 0, len(n.Content)/2)
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			d.fail(n.Content[i], path, "a key must be text, not "+yamlDescribe(k), "")
			continue
		}
		if k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if first, twice := seen[k.Value]; twice {
			d.fail(n.Content[i], pathKey(path, k.Value), "duplicate key "+problemQuote(k.Value), fmt.Sprintf("it is already in line %d", first.Line))
			continue
		}
		seen[k.Value] = n.Content[i]
		out = append(out, yamlEntry{key: k.Value, keyNode: n.Content[i], value: v})
	}
	for _, m := range merges {
		for _, e := range d.merged(m, path, depth+1) {
			if seen[e.key] == nil {
				seen[e.key] = e.keyNode
				out = append(out, e)
			}
		}
	}
	return out
}

// merged lists what a merge key brings in: a map, or a list of them.
func (d *nodeDecoder) merged(n *yaml.Node, path string, depth int) (out []yamlEntry) {
	d.follow(n, path, depth, func(n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			out = d.entries(n, path, depth)
			d.values += len(out)
		case yaml.SequenceNode:
			for _, c := range n.Content {
				out = append(out, d.merged(c, path, depth+1)...)
			}
		default:
			d.fail(n, path, "<< must be followed by a map, not "+yamlDescribe(n), "")
		}
	})
	return out
}

// What the keys of free-form maps may be.
type yamlKeyRule int

const (
	keysAsText     yamlKeyRule = iota // numbers and the like become text
	keysMustBeText                    // anything else is an error
)

// free reads a value without a type of ours. What can't be read is reported
// and nil.
func (d *nodeDecoder) free(n *yaml.Node, path string, keys yamlKeyRule, depth int) (out any) {
	d.follow(n, path, depth, func(n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			out = d.freeMap(n, path, keys, depth)
		case yaml.SequenceNode:
			if !d.isKind(n, yaml.SequenceNode, "a list", path) {
				return
			}
			list := make([]any, len(n.Content))
			for i, c := range n.Content {
				list[i] = d.free(c, pathIndex(path, i), keys, depth+1)
			}
			out = list
		default:
			out = d.freeScalar(n, path)
		}
	})
	return out
}

func (d *nodeDecoder) freeMap(n *yaml.Node, path string, keys yamlKeyRule, depth int) any {
	if !d.isKind(n, yaml.MappingNode, "a map of keys", path) {
		return nil
	}
	entries := d.entries(n, path, depth)
	m := make(map[string]any, len(entries))
	for _, e := range entries {
		k := e.keyNode
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if tag := k.ShortTag(); keys == keysMustBeText && tag != "!!str" && tag != "!!timestamp" {
			d.fail(e.keyNode, pathKey(path, e.key), "a key must be text, not "+yamlDescribe(k), "put it in quotes: "+problemQuote(e.key))
			continue
		}
		m[e.key] = d.free(e.value, pathKey(path, e.key), keys, depth+1)
	}
	return m
}

func (d *nodeDecoder) freeScalar(n *yaml.Node, path string) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str", "!!timestamp", "!!merge":
		return n.Value
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int", "!!float":
		if x, ok := yamlNumber(n); ok {
			return x
		}
		d.fail(n, path, fmt.Sprintf("%s is not a number that can be kept", problemQuote(n.Value)), "put it in quotes")
		return nil
	}
	d.fail(n, path, "can't read "+yamlDescribe(n), "use text, numbers, true, false, null, lists and maps")
	return nil
}

// yamlNumber reads a number as float64 or, beyond what that holds exactly, as
// int64 or uint64. There are no infinities and no not-a-number.
func yamlNumber(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode {
		return nil, false
	}
	if tag := n.ShortTag(); tag != "!!int" && tag != "!!float" {
		return nil, false
	}
	var x any
	if err := n.Decode(&x); err != nil {
		return nil, false
	}
	switch x := x.(type) {
	case int:
		return yamlExact(int64(x)), true
	case int64:
		return yamlExact(x), true
	case uint64:
		return x, true
	case float64:
		return x, !math.IsNaN(x) && !math.IsInf(x, 0)
	}
	return nil, false
}

func yamlExact(i int64) any {
	if i > 1<<53 || i < -1<<53 {
		return i
	}
	return float64(i)
}

// yamlFloat turns what yamlNumber returns into a float64.
func yamlFloat(x any) float64 {
	switch x := x.(type) {
	case int64:
		return float64(x)
	case uint64:
		return float64(x)
	case float64:
		return x
	}
	return math.NaN()
}
