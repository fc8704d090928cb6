// Package headroom keeps a small heap from being collected all the time. By itself
// Go collects when a heap has doubled: one of 10 MB each time that as much has been
// allocated, which at some ten thousand events a second is several times a second,
// and a tenth of the processor time.
package headroom

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// floor is how much may be allocated between two collections at least.
	floor = 128 << 20
	// smallest is the heap below which no more is added to the percentage: Go lets
	// every heap grow to that times the percentage.
	smallest = 4 << 20
	usual    = 100
)

// Keep has the heap of this program grow by 128 MB before it is collected, or by
// its own size where that is more. What the user says has the last word: it does
// nothing where GOGC is set, and Go collects earlier where GOMEMLIMIT asks for it.
// Memory that nothing is written to is not taken from the system, so an idle program
// stays as small as it is. It is for the main of a program, not for libraries.
func Keep() {
	if os.Getenv("GOGC") == "" {
		once.Do(func() { runtime.SetFinalizer(&sentinel{percent: usual}, adjust) })
	}
}

var once sync.Once

// A sentinel is garbage that is found, and comes back, at each collection.
type sentinel struct {
	percent int // as it was set last
	_       *sentinel
}

func adjust(s *sentinel) {
	if p := percent(live()); p != s.percent {
		s.percent = p
		debug.SetGCPercent(p)
	}
	runtime.SetFinalizer(s, adjust)
}

// percent is by how much a heap may grow before the next collection.
func percent(live uint64) int { return max(usual, int(usual*floor/max(live, smallest))) }

// live is what the last collection left, in bytes.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return floor // the runtime does not tell any more: as if it were usual
	}
	return s[0].Value.Uint64()
}
