package mesh

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestSelectAgainstAll compares selections with sorting everything.
func TestSelectAgainstAll(t *testing.T) {
	t.Parallel()
	s := crowd(1500)
	rng := rand.New(rand.NewPCG(5, 6))
	found := 0
	for range 200 {
		var f Filter
		pick := func(p *string, xs ...string) {
			if rng.IntN(3) == 0 {
				*p = xs[rng.IntN(len(xs))]
			}
		}
		pick(&f.Component, "C", "D")
		pick(&f.Machine, "M", "O")
		pick(&f.State, "S0", "S1")
		f.Live = rng.IntN(2) == 0
		sel := Selection{Filter: f, Order: Order(rng.IntN(4)), Skip: rng.IntN(60), Limit: 1 + rng.IntN(30)}
		pick(&sel.Text, "key-3", "id-1", "EY-1")
		var want []Instance
		for _, in := range pages(t, s.d, f, true, 1000, false) {
			text := strings.ToLower(sel.Text)
			if strings.Contains(strings.ToLower(in.ID), text) || strings.Contains(strings.ToLower(in.Key), text) {
				want = append(want, in)
			}
		}
		switch sel.Order {
		case Oldest:
			slices.Reverse(want)
		case Unchanged:
			slices.Reverse(want)
			slices.SortStableFunc(want, func(a, b Instance) int { return cmp.Compare(a.UpdatedAt, b.UpdatedAt) })
		case Recent:
			slices.SortStableFunc(want, func(a, b Instance) int { return cmp.Compare(b.UpdatedAt, a.UpdatedAt) })
		}
		got := s.d.Select(sel)
		if got.Total != len(want) {
			t.Fatalf("%+v: total %d, want %d", sel, got.Total, len(want))
		}
		want = want[min(sel.Skip, len(want)):]
		want = want[:min(sel.Limit, len(want))]
		same := func(a, b Instance) bool { return a.RuntimeID == b.RuntimeID && a.ID == b.ID }
		if !slices.EqualFunc(got.Instances, want, same) {
			t.Fatalf("%+v: got %d instances, want %d, or another order", sel, len(got.Instances), len(want))
		}
		found += len(want)
	}
	if found < 1000 {
		t.Errorf("only %d instances were selected in all", found)
	}
}

// TestSelectIsBounded asks for more than is given.
func TestSelectIsBounded(t *testing.T) {
	t.Parallel()
	d := crowd(300).d
	if got := d.Select(Selection{Skip: -5, Limit: 0}); len(got.Instances) != 1 {
		t.Errorf("limit 0: %d instances, want 1", len(got.Instances))
	}
	if got := d.Select(Selection{Skip: 1 << 60, Limit: 1 << 60}); len(got.Instances) != 0 || got.Total == 0 {
		t.Errorf("skip beyond all: %d instances of %d, want none of some", len(got.Instances), got.Total)
	}
}
