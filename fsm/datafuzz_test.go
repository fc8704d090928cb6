package fsm

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzData: what is read from JSON is written as the same JSON, is equal to
// itself, packs and unpacks, and merges as maps do.
func FuzzData(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":{"b":[1,2.5,null,true,"x"]},"c":""}`, `{"n":9007199254740993,"m":-9007199254740993,"z":-0}`,
		`{"n":123456789012345678901234567890}`, `{"f":1e15,"g":1.5e-300,"h":1e20,"i":1e22}`, `{"":"\u2028<&>\ud800"}`, `{"a":1,"a":2}`,
	} {
		f.Add(s, `{"a":2,"c":[{}]}`)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		var a, b Data
		if a.UnmarshalJSON([]byte(one)) != nil || b.UnmarshalJSON([]byte(two)) != nil {
			return
		}
		checkData(t, a)
		checkMerge(t, a, b)
	})
}

func checkData(t *testing.T, d Data) {
	t.Helper()
	text, err := d.MarshalJSON()
	if err != nil || !json.Valid(text) || !utf8.Valid(text) {
		t.Fatalf("%+v is written as %q: %v", d, text, err)
	}
	if n := d.size(); n < len(text) {
		t.Errorf("size says %d, but it is %d: %s", n, len(text), text)
	}
	var back Data
	if err := back.UnmarshalJSON(text); err != nil {
		t.Fatalf("%s cannot be read back: %v", text, err)
	}
	if !back.Equal(d) || !d.Equal(back) {
		t.Errorf("%s comes back as another", text)
	}
	again, _ := back.MarshalJSON()
	if string(again) != string(text) {
		t.Errorf("%s is written as %s the second time", text, again)
	}
	u := unpacker{packFields(nil, d)}
	if got := u.fields(); !got.Equal(d) || len(u.b) != 0 {
		t.Errorf("%s unpacks as %+v with %d bytes left", text, got, len(u.b))
	}
	for i := 1; i < len(d.fields); i++ {
		if d.fields[i-1].key >= d.fields[i].key {
			t.Errorf("keys %q and %q are out of order", d.fields[i-1].key, d.fields[i].key)
		}
	}
	for k, v := range d.All() {
		if got, ok := d.Get(k); !ok || !reflect.DeepEqual(got, v) {
			t.Errorf("Get(%q) is %v, %v", k, got, ok)
		}
	}
}

// checkMerge compares with maps, and checks that neither side has changed.
func checkMerge(t *testing.T, a, b Data) {
	t.Helper()
	wasA, _ := a.MarshalJSON()
	wasB, _ := b.MarshalJSON()
	want := a.Map()
	maps.Copy(want, b.Map())
	got := a.merge(b)
	if !reflect.DeepEqual(got.Map(), want) || got.Len() != len(want) {
		t.Errorf("%s with %s is %v, want %v", wasA, wasB, got.Map(), want)
	}
	if cap(got.fields) != len(got.fields) && len(a.fields) > 0 && len(b.fields) > 0 {
		t.Errorf("the merge has room for %d, and %d keys", cap(got.fields), len(got.fields))
	}
	isA, _ := a.MarshalJSON()
	isB, _ := b.MarshalJSON()
	if string(isA) != string(wasA) || string(isB) != string(wasB) {
		t.Error("a merge has changed what it was made from")
	}
}

// The same over random maps of up to thirty keys: both ways of looking up.
func TestDataProperties(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	random := func() Data {
		m := map[string]any{}
		for range rnd.IntN(30) {
			m[string(rune('a'+rnd.IntN(40)))] = randomValue(rnd, 3)
		}
		d, err := NewData(m)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for range 2000 {
		a, b := random(), random()
		checkData(t, a)
		checkMerge(t, a, b)
		if !a.merge(a).Equal(a) || !a.merge(Data{}).Equal(a) || !(Data{}).merge(a).Equal(a) {
			t.Fatal("merging with itself or with nothing changes data")
		}
		if a.merge(b).merge(b).Equal(a.merge(b)) == false {
			t.Fatal("merging twice differs from merging once")
		}
	}
}

func randomValue(rnd *rand.Rand, depth int) any {
	switch n := rnd.IntN(9); {
	case n == 0:
		return nil
	case n == 1:
		return rnd.IntN(2) == 0
	case n == 2:
		return strings.Repeat("ü\"<", rnd.IntN(3))
	case n == 3:
		return rnd.NormFloat64()
	case n == 4:
		return rnd.Int64() - rnd.Int64()
	case n == 5:
		return rnd.IntN(10)
	case n == 6 && depth > 0:
		var l []any
		for range rnd.IntN(3) {
			l = append(l, randomValue(rnd, depth-1))
		}
		return l
	case n == 7 && depth > 0:
		m := map[string]any{}
		for range rnd.IntN(3) {
			m[string(rune('a'+rnd.IntN(5)))] = randomValue(rnd, depth-1)
		}
		return m
	}
	return "x"
}

func TestDataPaths(t *testing.T) {
	t.Parallel()
	d, err := NewData(map[string]any{"a": map[string]any{"b": []any{1, map[string]any{"c": nil}}, "": "empty", "0": "zero"}, "s": "text"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want any
		ok   bool
	}{
		{"a.b.0", 1.0, true}, {"a.b.1.c", nil, true}, {"a.", "empty", true}, {"a.0", "zero", true}, {"s", "text", true},
		{"a.b.2", nil, false}, {"a.b.01", nil, false}, {"a.b.-1", nil, false}, {"a.b.+0", nil, false}, {"a.b.length", nil, false},
		{"s.0", nil, false}, {"s.length", nil, false}, {"a.b.1.c.d", nil, false}, {"", nil, false}, {"x.y", nil, false}, {"a.b.99999999999", nil, false},
	} {
		got, ok := d.Path(c.path)
		if ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("path %q gives %v, %v; want %v, %v", c.path, got, ok, c.want, c.ok)
		}
	}
}

// What is handed out is a copy.
func TestDataIsNotShared(t *testing.T) {
	t.Parallel()
	m := map[string]any{"l": []any{1}, "m": map[string]any{"k": 1}}
	d, _ := NewData(m)
	m["l"].([]any)[0] = 2
	m["m"].(map[string]any)["k"] = 2
	v, _ := d.Get("l")
	v.([]any)[0] = 3
	p, _ := d.Path("m")
	p.(map[string]any)["k"] = 3
	for _, v := range d.All() {
		if l, ok := v.([]any); ok {
			l[0] = 4
		}
	}
	d.Map()["m"].(map[string]any)["k"] = 4
	if got, _ := d.MarshalJSON(); string(got) != `{"l":[1],"m":{"k":1}}` {
		t.Errorf("the data has become %s", got)
	}
}
