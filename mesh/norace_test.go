//go:build !race

package mesh

// defaultRuns takes half a minute on two processors.
const defaultRuns = 100_000

// raceDetector says that it is on.
const raceDetector = false

// defaultDepth is that of the exhaustive simulation; each step more takes ten
// times as long.
const defaultDepth = 4

// defaultScale is the size of the tests over a real bus, in percent of the full
// one, which make soak runs.
const defaultScale = 30

// slowdown is by how much the promised times are stretched.
const slowdown = 1
