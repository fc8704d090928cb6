//go:build race

package mesh

// defaultRuns is fewer with the race detector, which has little to detect in
// pure code and slows it down tenfold.
const defaultRuns = 1_000

// raceDetector says that it is on.
const raceDetector = true

// defaultDepth is that of the exhaustive simulation.
const defaultDepth = 3

// defaultScale is the size of the tests over a real bus, in percent of the full
// one, which make soak runs.
const defaultScale = 5

// slowdown is by how much the promised times are stretched.
const slowdown = 3
