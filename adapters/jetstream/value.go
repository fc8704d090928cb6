package jetstream

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// How a value is stored: one byte that says which form it has, then the value.
// Texts and lists begin with their length as a varint.
const (
	formNull   = 'n'
	formFalse  = 'f'
	formTrue   = 't'
	formText   = 's'
	formInt    = 'i' // a float64 that is a whole number, as a zigzag varint
	formFloat  = 'd' // 8 bytes, little-endian
	formNumber = 'N' // a json.Number, as text
	formList   = 'l'
	formMap    = 'm'
)

// maxWhole bounds the whole numbers that are stored as varints.
const maxWhole = 1 << 53

// maxNesting bounds lists and maps within each other; fsm.Data allows less.
const maxNesting = 128

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendData writes the keys in their order, each with its value.
func appendData(b []byte, d fsm.Data) []byte {
	for k, v := range d.All() {
		b = appendValue(appendText(b, k), v)
	}
	return b
}

func appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case bool:
		if x {
			return append(b, formTrue)
		}
		return append(b, formFalse)
	case string:
		return appendText(append(b, formText), x)
	case float64:
		if x == math.Trunc(x) && math.Abs(x) <= maxWhole && (x != 0 || !math.Signbit(x)) {
			return binary.AppendVarint(append(b, formInt), int64(x))
		}
		return binary.LittleEndian.AppendUint64(append(b, formFloat), math.Float64bits(x))
	case json.Number:
		return appendText(append(b, formNumber), string(x))
	case []any:
		b = binary.AppendUvarint(append(b, formList), uint64(len(x)))
		for _, e := range x {
			b = appendValue(b, e)
		}
		return b
	case map[string]any:
		b = binary.AppendUvarint(append(b, formMap), uint64(len(x)))
		for _, k := range slices.Sorted(maps.Keys(x)) {
			b = appendValue(appendText(b, k), x[k])
		}
		return b
	}
	return append(b, formNull) // nil; fsm.Data lets no other type in
}

// A decoder reads what this package wrote, and anything else without harm: it
// takes no more memory than some times the length of its input. It keeps the
// texts that come again and again, such as names of states, so that instances
// share them. Used by one goroutine at a time.
type decoder struct {
	names  map[string]string
	replay bool     // leave out what no replay needs: the payloads of events
	keys   []string // scratch of data
	values []any
}

// maxNames bounds the texts that a decoder keeps.
const maxNames = 4096

func newDecoder() *decoder { return &decoder{names: map[string]string{}} }

func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(d.names) < maxNames && len(s) <= 256 {
		d.names[s] = s
	}
	return s
}

// uvarint returns the number that b begins with and what follows it.
func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errTruncated
	}
	return v, b[n:], nil
}

func text(b []byte) (s, rest []byte, err error) {
	n, b, err := uvarint(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, errTruncated
	}
	return b[:n], b[n:], nil
}

func (d *decoder) data(b []byte) (fsm.Data, error) {
	d.keys, d.values = d.keys[:0], d.values[:0]
	for len(b) > 0 {
		k, rest, err := text(b)
		if err != nil {
			return fsm.Data{}, err
		}
		v, rest, err := d.value(rest, 1)
		if err != nil {
			return fsm.Data{}, err
		}
		d.keys, d.values = append(d.keys, d.name(k)), append(d.values, v)
		b = rest
	}
	out, err := fsm.DataOf(d.keys, d.values)
	clear(d.values)
	return out, err
}

func (d *decoder) value(b []byte, depth int) (any, []byte, error) {
	if len(b) == 0 || depth > maxNesting {
		return nil, nil, errTruncated
	}
	form, b := b[0], b[1:]
	switch form {
	case formNull:
		return nil, b, nil
	case formFalse, formTrue:
		return form == formTrue, b, nil
	case formInt:
		v, n := binary.Varint(b)
		if n <= 0 {
			return nil, nil, errTruncated
		}
		return float64(v), b[n:], nil
	case formFloat:
		if len(b) < 8 {
			return nil, nil, errTruncated
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), b[8:], nil
	case formText, formNumber:
		s, b, err := text(b)
		if err != nil {
			return nil, nil, err
		}
		if form == formNumber {
			return json.Number(s), b, nil
		}
		return string(s), b, nil
	case formList:
		return d.list(b, depth)
	case formMap:
		return d.object(b, depth)
	}
	return nil, nil, errForm
}

func (d *decoder) list(b []byte, depth int) (any, []byte, error) {
	n, b, err := uvarint(b)
	if err != nil || n > uint64(len(b)) { // an element takes a byte at least
		return nil, nil, errTruncated
	}
	l := make([]any, n)
	for i := range l {
		if l[i], b, err = d.value(b, depth+1); err != nil {
			return nil, nil, err
		}
	}
	return l, b, nil
}

func (d *decoder) object(b []byte, depth int) (any, []byte, error) {
	n, b, err := uvarint(b)
	if err != nil || n > uint64(len(b)) {
		return nil, nil, errTruncated
	}
	m := make(map[string]any, min(n, 1024))
	for range n {
		k, rest, err := text(b)
		if err != nil {
			return nil, nil, err
		}
		v, rest, err := d.value(rest, depth+1)
		if err != nil {
			return nil, nil, err
		}
		m[d.name(k)] = v
		b = rest
	}
	return m, b, nil
}
