package jetstream

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// The table holds what a map would, through growth, removal and runs that go over
// its end.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		keys := make([]key, 1+r.IntN(60))
		for i := range keys {
			// Few homes, the last ones among them, so that runs are long.
			keys[i] = key{uint32(r.IntN(4)) * 0x55555555, uint32(i + 1), r.Uint32()}
		}
		var table places
		if r.IntN(2) == 0 {
			table.expect(r.IntN(40))
		}
		want := map[key]place{}
		for range 400 {
			k, p := keys[r.IntN(len(keys))], newPlace(r.Uint64N(1<<48), 1+r.Uint64N(1<<40), r.IntN(2) == 0)
			switch r.IntN(5) {
			case 0, 1:
				table.set(k, p)
				want[k] = p
			case 2:
				table.remove(k)
				delete(want, k)
			case 3:
				*table.at(k) = p
				want[k] = p
			}
			got, is := table.get(k)
			if exp, should := want[k]; got != exp || is != should {
				t.Fatalf("seed %d: get is %v, %v; want %v, %v", seed, got, is, exp, should)
			}
		}
		if got := maps.Collect(table.all()); !maps.Equal(got, want) || table.n != len(want) {
			t.Fatalf("seed %d: %d places, counted %d, want %d", seed, len(got), table.n, len(want))
		}
		for k, p := range want {
			if got, is := table.get(k); got != p || !is {
				t.Fatalf("seed %d: a place is lost: %v, %v, want %v", seed, got, is, p)
			}
		}
	}
}
