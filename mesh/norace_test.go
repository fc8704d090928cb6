//go:build !race

package mesh

// defaultRuns takes half a minute on two processors.
const defaultRuns = 100_000

// defaultDepth is that of the exhaustive simulation; each step more takes ten
// times as long.
const defaultDepth = 4
