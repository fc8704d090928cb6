package api

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestFilter(t *testing.T) {
	doc := json.RawMessage(`{"amount": 120.5, "big": 9007199254740993, "name": "Ada \"L\"", "nested": {"a": {"b": [1, 2.0]}}, "no": null, "yes": true, "day": "2026-01-31"}`)
	for text, want := range map[string]bool{
		`amount = 120.5`: true, `amount=120.50`: true, `amount==1.205e2`: true, `amount === 120.5`: true, `amount != 120.5`: false, `amount !== 1`: true,
		`amount > 120`: true, `amount >= 120.5`: true, `amount < 120.5`: false, `amount <= 120.5`: true, `amount > "120"`: false,
		`big = 9007199254740993`: true, `big = 9007199254740992`: false, `big > 9007199254740992`: true,
		`name = "Ada \"L\""`: true, `name = Ada`: false, `nested.a.b = [1, 2]`: true, `nested.a.b = [1]`: false, `nested.a = {"b": [1, 2]}`: true,
		`no = null`: true, `no != null`: false, `missing != 1`: true, `missing = 1`: false, `missing > 1`: false, `nested.x.y = 1`: false,
		`yes = true`: true, `yes = "true"`: false, `day > 2026-01-01 and day < 2026-02-01`: true, `day > 2026-01-01 && amount > 200`: false,
		`  yes  =  true  AND  amount>1 `: true, `amount > 1e9999999`: false,
	} {
		conditions, err := parseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := true
		for _, c := range conditions {
			got = got && c.holds(doc, nil)
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestFilterErrorsHaveTheirPosition(t *testing.T) {
	for text, want := range map[string]int{
		``: 1, `  `: 3, `amount`: 7, `amount >`: 9, `= 1`: 1, `amount > 1 or b = 2`: 12, `a..b = 1`: 1, `ä = 1 and ö ~ 2`: 13,
		`a = "x`: 5, `a = x=y`: 5, `a = {"b": }`: 5, `a = 1 and`: 7, `a = 1 and `: 11, `a = 1 b = 2`: 7,
	} {
		_, err := parseFilter(text)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != CodeBadFilter || e.Position != want {
			t.Errorf("%q: got %v, want position %d", text, err, want)
		}
	}
}

// Whatever a filter is, it is read or refused with a position inside it, and
// comparing with it does not fail.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{`a = 1`, `a.b >= "x" and c != null`, `a = {"b": [1]} && d < -1e5`, `ä = ö`, "a = \xff", `a = "`} {
		f.Add(s)
	}
	doc := json.RawMessage(`{"a": 1, "b": {"c": "x"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		conditions, err := parseFilter(text)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Position < 1 || e.Position > len(text)+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(conditions) == 0 {
			t.Fatalf("%q: no conditions", text)
		}
		for _, c := range conditions {
			equal := condition{c.path, "=", c.value}
			differs := condition{c.path, "!=", c.value}
			if equal.holds(doc) == differs.holds(doc) {
				t.Fatalf("%q is both equal and not", text)
			}
		}
	})
}
