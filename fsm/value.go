package fsm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep maps and lists may be nested in a value.
const maxDepth = 100

// maxSafe is the largest integer up to which every integer is a float64.
const maxSafe = 1 << 53

// NewData brings a map of Go values to Data. Integers and floats become
// float64 (integers beyond 2^53 json.Number), structs and other types go
// through encoding/json. The map is copied. It fails with ErrBadValue where a
// value has no JSON form (NaN, a channel), or is nested deeper than 100 levels.
func NewData(m map[string]any) (Data, error) {
	if len(m) == 0 {
		return Data{}, nil
	}
	fs := make([]field, 0, len(m))
	budget, repaired := maxValues, false
	for k, v := range m {
		n, err := budget.normalize(v, 1)
		if err != nil {
			return Data{}, &Error{Code: CodeBadValue, Detail: fmt.Sprintf("value of %q", k), Err: err}
		}
		if !utf8.ValidString(k) {
			k, repaired = validText(k), true
		}
		fs = append(fs, field{k, n})
	}
	sortFields(fs)
	if repaired { // some keys may have become one
		fs = slices.CompactFunc(fs, func(a, b field) bool { return a.key == b.key })
	}
	return Data{fs}, nil
}

// DataOf makes Data of keys in ascending order and their values, which must
// have the forms that Data describes and are not copied: decoders make it that
// way without a map in between. It fails with ErrBadValue for what NewData would
// not have made.
func DataOf(keys []string, values []any) (Data, error) {
	if len(keys) != len(values) {
		return Data{}, &Error{Code: CodeBadValue, Detail: fmt.Sprintf("%d keys with %d values", len(keys), len(values))}
	}
	if len(keys) == 0 {
		return Data{}, nil
	}
	fs := make([]field, len(keys))
	for i, k := range keys {
		if i > 0 && k <= keys[i-1] {
			return Data{}, &Error{Code: CodeBadValue, Detail: fmt.Sprintf("key %q does not come before %q", k, keys[i-1])}
		}
		if !utf8.ValidString(k) || !wellFormed(values[i], 1) {
			return Data{}, &Error{Code: CodeBadValue, Detail: fmt.Sprintf("value of %q", k)}
		}
		fs[i] = field{k, values[i]}
	}
	return Data{fs}, nil
}

// wellFormed reports whether a value is as normalize would leave it.
func wellFormed(v any, depth int) bool {
	switch x := v.(type) {
	case nil, bool:
		return true
	case string:
		return utf8.ValidString(x)
	case float64:
		return !math.IsNaN(x) && !math.IsInf(x, 0)
	case json.Number:
		n, err := number(x)
		return err == nil && n == any(x)
	case []any:
		for _, e := range x {
			if depth > maxDepth || !wellFormed(e, depth+1) {
				return false
			}
		}
		return true
	case map[string]any:
		for k, e := range x {
			if depth > maxDepth || !utf8.ValidString(k) || !wellFormed(e, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

func sortFields(fs []field) {
	if len(fs) > 12 {
		slices.SortFunc(fs, func(a, b field) int { return strings.Compare(a.key, b.key) })
		return
	}
	for i := 1; i < len(fs); i++ {
		for j := i; j > 0 && fs[j].key < fs[j-1].key; j-- {
			fs[j], fs[j-1] = fs[j-1], fs[j]
		}
	}
}

// validText replaces what is not UTF-8, as encoding/json would at the first
// encoding: a value must be the same before and after a restart.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// A values is how many more values may be taken in. Maps that are shared within
// a value count each time: some lines of code can make more than memory holds.
type values int

// maxValues bounds the values of one Data: more do not fit into any limit.
const maxValues values = 2_000_000

func normalize(v any, depth int) (any, error) {
	budget := maxValues
	return budget.normalize(v, depth)
}

func (left *values) normalize(v any, depth int) (any, error) {
	if *left--; *left < 0 {
		return nil, fmt.Errorf("more than %d values", maxValues)
	}
	switch x := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		if utf8.ValidString(x) {
			return v, nil
		}
		return validText(x), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%v is not a number that JSON can hold", x)
		}
		return v, nil
	case int:
		return integer(int64(x)), nil
	case int64:
		return integer(x), nil
	case int32:
		return float64(x), nil
	case json.Number:
		return number(x)
	case map[string]any:
		if depth > maxDepth {
			return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
		}
		m := make(map[string]any, len(x))
		for k, e := range x {
			n, err := left.normalize(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", k, err)
			}
			m[validText(k)] = n
		}
		return m, nil
	case []any:
		if depth > maxDepth {
			return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
		}
		l := make([]any, len(x))
		for i, e := range x {
			n, err := left.normalize(e, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			l[i] = n
		}
		return l, nil
	case Data:
		return left.normalize(x.Map(), depth)
	}
	return left.normalizeOther(v, depth)
}

// normalizeOther takes the types that are rare in payloads the long way round.
func (left *values) normalizeOther(v any, depth int) (any, error) {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if _, custom := v.(json.Marshaler); !custom {
			return integer(r.Int()), nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u := r.Uint(); u <= maxSafe {
			return float64(u), nil
		}
		return json.Number(strconv.FormatUint(r.Uint(), 10)), nil
	case reflect.Float32:
		return left.normalize(r.Float(), depth)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	if err := decodeJSON(b, &out); err != nil {
		return nil, err
	}
	return left.normalize(out, depth)
}

func integer(n int64) any {
	if n >= -maxSafe && n <= maxSafe {
		return float64(n)
	}
	return json.Number(strconv.FormatInt(n, 10))
}

// number gives a JSON number its one form: float64, unless it is an integer
// that a float64 would change.
func number(n json.Number) (any, error) {
	s := string(n)
	if !validNumber(s) {
		return nil, fmt.Errorf("%q is not a number", s)
	}
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return integer(i), nil
		}
		// Canonical already: JSON allows no leading zeros and no plus sign.
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is beyond what a number can hold", s)
	}
	return f, nil
}

// validNumber bounds the length, too: comparing numbers of a megabyte would
// take seconds.
func validNumber(s string) bool {
	return len(s) > 0 && len(s) <= 400 && json.Valid([]byte(s)) && (s[0] == '-' || s[0] >= '0' && s[0] <= '9')
}

// decodeJSON decodes one JSON value and keeps numbers as they are written.
func decodeJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("text after the JSON value")
	}
	return nil
}

// UnmarshalJSON reads a JSON object; integers beyond 2^53 are kept unchanged.
func (d *Data) UnmarshalJSON(b []byte) error {
	var m map[string]any
	if err := decodeJSON(b, &m); err != nil {
		return err
	}
	n, err := NewData(m)
	if err != nil {
		return err
	}
	*d = n
	return nil
}

// MarshalJSON writes a JSON object with its keys sorted.
func (d Data) MarshalJSON() ([]byte, error) { return d.AppendJSON(nil), nil }

// AppendJSON appends what MarshalJSON returns, for who writes many into one
// buffer.
func (d Data) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, f := range d.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, f.key)
		b = append(b, ':')
		b = appendValue(b, f.value)
	}
	return append(b, '}')
}

func appendValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, x)
	case string:
		return appendString(b, x)
	case float64:
		return appendFloat(b, x)
	case json.Number:
		return append(b, x...)
	case []any:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e)
		}
		return append(b, ']')
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b = append(b, '{')
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, k)
			b = append(b, ':')
			b = appendValue(b, x[k])
		}
		return append(b, '}')
	}
	// normalize lets no other type in.
	return append(b, "null"...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			q, _ := json.Marshal(s)
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendFloat(b []byte, f float64) []byte {
	if f == math.Trunc(f) {
		if math.Abs(f) <= maxSafe {
			return strconv.AppendInt(b, int64(f), 10)
		}
		// With an exponent it is read as a float64 again.
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	q, _ := json.Marshal(f)
	return append(b, q...)
}

// size returns the length of the data's JSON form in bytes, or a little more.
func (d Data) size() int {
	n := 2
	for i := range d.fields {
		n += stringSize(d.fields[i].key) + 2 + valueSize(d.fields[i].value)
	}
	return n
}

// exceeds reports whether the JSON form is longer than limit bytes. The cheap
// estimate decides unless escaping could matter.
func (d Data) exceeds(limit int) bool {
	n := 2
	for i := range d.fields {
		n += 6*len(d.fields[i].key) + 32
		switch v := d.fields[i].value.(type) {
		case string:
			n += 6 * len(v)
		case json.Number:
			n += len(v)
		case []any, map[string]any:
			return d.size() > limit
		}
	}
	return n > limit && d.size() > limit
}

func valueSize(v any) int {
	switch x := v.(type) {
	case string:
		return stringSize(x)
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1e6 {
			return 7
		}
		return 24
	case json.Number:
		return len(x)
	case []any:
		n := 2
		for _, e := range x {
			n += valueSize(e) + 1
		}
		return n
	case map[string]any:
		n := 2
		for k, e := range x {
			n += stringSize(k) + 2 + valueSize(e)
		}
		return n
	}
	return 5
}

func stringSize(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20, c == '<', c == '>', c == '&':
			n += 5
		case c == '"', c == '\\':
			n++
		case c == 0xe2: // may begin a line separator, which is escaped
			n += 3
		}
	}
	return n
}

// strictEqual is === of a rule: same type and same value, maps and lists never.
func strictEqual(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case string:
		y, ok := b.(string)
		return ok && x == y
	}
	c, ok := compareNumbers(a, b)
	return ok && c == 0
}

// compareNumbers orders two numbers by value; ok is false if one is none.
func compareNumbers(a, b any) (c int, ok bool) {
	x, aFloat := a.(float64)
	y, bFloat := b.(float64)
	if aFloat && bFloat {
		return cmp.Compare(x, y), true
	}
	p, okA := bigNumber(a)
	q, okB := bigNumber(b)
	if !okA || !okB {
		return 0, false
	}
	return p.Cmp(q), true
}

func bigNumber(v any) (*big.Float, bool) {
	switch x := v.(type) {
	case float64:
		return big.NewFloat(x), true
	case json.Number:
		f, _, err := big.ParseFloat(string(x), 10, 2048, big.ToNearestEven)
		return f, err == nil
	}
	return nil, false
}

// deepEqual compares values of the forms that normalize gives.
func deepEqual(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, deepEqual)
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			w, ok := y[k]
			if !ok || !deepEqual(v, w) {
				return false
			}
		}
		return true
	}
	return strictEqual(a, b)
}
