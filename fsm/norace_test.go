//go:build !race

package fsm

// Sizes of tests.
const (
	hookBytes  = 1 << 30
	manyTimers = 100_000
)
