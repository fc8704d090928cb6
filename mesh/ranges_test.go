package mesh

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRangesAsSets checks every operation against a set of single numbers.
func TestRangesAsSets(t *testing.T) {
	t.Parallel()
	const top = 40
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var rs Ranges
		var set [top + 1]bool
		for range 1 + rng.IntN(25) {
			if rng.IntN(6) == 0 {
				n := rng.IntN(top / 2)
				rs.Cut(uint64(n))
				for i := range n + 1 {
					set[i] = false
				}
			} else {
				from := 1 + rng.IntN(top)
				to := min(top, from+rng.IntN(5)-1)
				rs.Add(Range{uint64(from), uint64(to)})
				for i := from; i <= to; i++ {
					set[i] = true
				}
			}
			if !rs.Valid() {
				t.Fatalf("seed %d: not a set: %v", seed, rs)
			}
			count := uint64(0)
			for n, want := range set {
				if got := rs.Contains(uint64(n)); got != want {
					t.Fatalf("seed %d: %v contains %d: got %v, want %v", seed, rs, n, got, want)
				}
				if want {
					count++
				}
			}
			if got := rs.Count(); got != count {
				t.Fatalf("seed %d: count of %v: got %d, want %d", seed, rs, got, count)
			}
			floor, known := uint64(rng.IntN(top)), uint64(rng.IntN(top+1))
			miss := rs.Missing(floor, known, top)
			if !miss.Valid() {
				t.Fatalf("seed %d: missing is not a set: %v", seed, miss)
			}
			for n := range uint64(top + 1) {
				want := n > floor && n <= known && !set[n]
				if got := miss.Contains(n); got != want {
					t.Fatalf("seed %d: missing of %v in (%d,%d] has %d: got %v, want %v", seed, rs, floor, known, n, got, want)
				}
			}
			if got, want := rs.MissingCount(floor, known), miss.Count(); got != want {
				t.Fatalf("seed %d: number missing of %v in (%d,%d]: got %d, want %d", seed, rs, floor, known, got, want)
			}
			if few := rs.Missing(floor, known, 2); !slices.Equal(few, miss[:min(2, len(miss))]) {
				t.Fatalf("seed %d: the first 2 of %v: got %v", seed, miss, few)
			}
			if rs.meets(miss) {
				t.Fatalf("seed %d: %v meets what it misses, %v", seed, rs, miss)
			}
			all := slices.Clone(rs)
			for _, r := range miss {
				all.Add(r)
			}
			if !all.covers(rs) || !all.covers(miss) || len(miss) > 0 && rs.covers(miss) {
				t.Fatalf("seed %d: covers is wrong for %v and %v", seed, rs, miss)
			}
		}
	}
}

func TestRangeJSON(t *testing.T) {
	t.Parallel()
	in := Ranges{{1, 1}, {3, MaxSeq}}
	b, err := json.Marshal(in)
	if err != nil || string(b) != "[[1,1],[3,9007199254740991]]" {
		t.Fatalf("got %s, %v", b, err)
	}
	var out Ranges
	if err := json.Unmarshal(b, &out); err != nil || !slices.Equal(in, out) {
		t.Fatalf("got %v, %v", out, err)
	}
	for _, bad := range []string{"[[1]]", "[[1,2,3]]", "[[-1,2]]", `[["1",2]]`, "[5]", "[[1.5,2]]"} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
	for _, bad := range []Ranges{{{0, 1}}, {{2, 1}}, {{1, 2}, {3, 4}}, {{5, 6}, {1, 2}}, {{1, MaxSeq + 1}}} {
		if bad.Valid() {
			t.Errorf("%v: got valid", bad)
		}
	}
}
