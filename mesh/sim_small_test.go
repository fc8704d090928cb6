package mesh

import (
	"flag"
	"testing"
)

var simDepth = flag.Int("sim.depth", defaultDepth, "how many steps the exhaustive simulation takes")

// smallSteps are what the exhaustive simulation chooses from: one runtime, one
// or two ids, and a bus that delivers the oldest or the newest message.
var smallSteps = []step{
	{opCommit, 0, 0, 1},      // create a, or change it
	{opCommit, 0, 0, 3},      // create a, or end it in two notices
	{opSilent, 0, 1, 5},      // create b, or end it, and nobody hears of it
	{opDeliver, 0, 0, 0},     // the oldest message
	{opDeliver, 255, 255, 0}, // some other
	{opLose, 0, 0, 0},
	{opDouble, 0, 0, 0},
	{opTick, 3, 0, 0}, // 210 ms
	{opTick, 6, 0, 0}, // 1.1 s
	{opTakeover, 0, 0, 0},
}

// TestSimulationExhaustive plays every run of a few steps, after the directory
// has read the runtimes once.
func TestSimulationExhaustive(t *testing.T) {
	pureOnly(t)
	t.Parallel()
	n := 0
	for _, c := range []simConfig{
		{ring: 2, piece: 1, replyBytes: 1, cap: 1},
		{ring: 1000, piece: 512, cap: 1, remembers: true},
	} {
		steps := []step{{opCommit, 0, 0, 1}, {opRun, 0, 3, 0}}
		var play func(depth int)
		play = func(depth int) {
			if depth == 0 {
				n++
				if r := (run{cfg: c, steps: steps}); r.play(nil) != "" {
					t.Fatal(report(r))
				}
				return
			}
			for _, s := range smallSteps {
				steps = append(steps, s)
				play(depth - 1)
				steps = steps[:len(steps)-1]
			}
		}
		play(*simDepth)
	}
	t.Logf("%d runs of %d steps", n, *simDepth)
}
