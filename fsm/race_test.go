//go:build race

package fsm

// Sizes of tests: less under the race detector, which keeps books on each byte.
const (
	hookBytes  = 64 << 20
	manyTimers = 20_000
)
