//go:build race

package mesh

// defaultRuns is fewer with the race detector, which has little to detect in
// pure code and slows it down tenfold.
const defaultRuns = 5_000

// defaultDepth is that of the exhaustive simulation.
const defaultDepth = 3
