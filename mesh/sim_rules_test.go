package mesh

import (
	"reflect"
	"testing"
)

// rarelyNeeded are the rules whose absence random runs meet too seldom, or that
// are about load. A named trace shows what they are for.
var rarelyNeeded = map[string]bool{"NoTombUnknown": true, "NoRepairBeside": true, "NoJitter": true}

// begins says where the search for a run that fails begins, where the first is
// far from seed 0. Anything would do, but this is faster.
var begins = map[string]uint64{"TakeOlderPage": 8_750, "AskAlways": 13_000, "SeqAsAsked": 3_000}

// TestEveryRuleIsNeeded leaves out one rule of the protocol at a time (I7): the
// simulation has to find that something does not hold then.
func TestEveryRuleIsNeeded(t *testing.T) {
	pureOnly(t)
	t.Parallel()
	for i := range reflect.TypeFor[rules]().NumField() {
		name := reflect.TypeFor[rules]().Field(i).Name
		t.Run(name, func(t *testing.T) {
			var off rules
			reflect.ValueOf(&off).Elem().Field(i).SetBool(true)
			if rarelyNeeded[name] {
				for _, tr := range traces {
					if broken := tr.play(off); broken != "" {
						t.Logf("%s: %s", tr.name, broken)
						return
					}
				}
				t.Errorf("no trace fails without it")
				return
			}
			mustBreak(t, begins[name], off, simBad{})
		})
	}
	for i := range reflect.TypeFor[simBad]().NumField() {
		name := reflect.TypeFor[simBad]().Field(i).Name
		t.Run(name, func(t *testing.T) {
			var bad simBad
			reflect.ValueOf(&bad).Elem().Field(i).SetBool(true)
			mustBreak(t, begins[name], rules{}, bad)
		})
	}
}

// mustBreak plays runs until something does not hold.
func mustBreak(t *testing.T, first uint64, off rules, bad simBad) {
	t.Helper()
	const runs = 100_000
	r, ok := firstBroken(first, runs, off, bad)
	if !ok {
		t.Fatalf("nothing fails in %d runs", runs)
	}
	r = shrink(r)
	t.Logf("seed %d, %d steps: %s", r.seed, len(r.steps), r.play(nil))
}

// TestTraces plays what went wrong in earlier versions of the protocol.
func TestTraces(t *testing.T) {
	t.Parallel()
	for _, tr := range traces {
		t.Run(tr.name, func(t *testing.T) {
			if broken := tr.play(rules{}); broken != "" {
				t.Error(broken)
			}
		})
	}
}
