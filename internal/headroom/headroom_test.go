package headroom

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
)

// childEnv has the test program keep some MB and print how it is collected then.
const childEnv = "FSMESH_HEADROOM_TEST"

func TestMain(m *testing.M) {
	var size int
	if _, err := fmt.Sscan(os.Getenv(childEnv), &size); err != nil {
		os.Exit(m.Run())
	}
	Keep()
	Keep() // twice is as once
	kept := make([]byte, size<<20)
	collect()
	collect() // what the sentinel did in the first is done
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/heap/goal:bytes"}}
	metrics.Read(s)
	fmt.Println(int64(s[0].Value.Uint64()), s[1].Value.Uint64()>>20)
	runtime.KeepAlive(kept)
}

// collect runs a collection and the finalizers of all that it finds.
func collect() {
	done := make(chan struct{})
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) { close(done) })
	runtime.GC()
	<-done
}

func TestKeep(t *testing.T) {
	for _, c := range []struct {
		name         string
		size         string // MB
		env          []string
		percent      [2]int // from, to
		goalFrom, to int    // MB
	}{
		{"a small heap grows by 128 MB", "8", nil, [2]int{800, 1600}, 130, 160},
		{"a large one doubles", "160", nil, [2]int{100, 100}, 320, 360},
		{"GOGC is the user's", "8", []string{"GOGC=50"}, [2]int{50, 50}, 4, 30},
		{"GOGC=off is, too", "8", []string{"GOGC=off"}, [2]int{-1, -1}, 0, math.MaxInt},
		{"GOMEMLIMIT is kept to", "8", []string{"GOMEMLIMIT=30MiB"}, [2]int{800, 1600}, 8, 30},
	} {
		percent, goal := kept(t, c.size, c.env...)
		if percent < c.percent[0] || percent > c.percent[1] || goal < c.goalFrom || goal > c.to {
			t.Errorf("%s: the percentage is %d, want %v; the heap may grow to %d MB, want %d to %d", c.name, percent, c.percent, goal, c.goalFrom, c.to)
		}
	}
}

// kept runs a child, and returns the percentage that is set there and the size
// at which its heap is collected, in MB.
func kept(t *testing.T, size string, env ...string) (percent, goal int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOGC=") && !strings.HasPrefix(e, "GOMEMLIMIT=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(append(cmd.Env, childEnv+"="+size, "GORACE=atexit_sleep_ms=0"), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the child: %v", err)
	}
	if _, err := fmt.Sscan(string(out), &percent, &goal); err != nil {
		t.Fatalf("the child printed %q: %v", out, err)
	}
	return percent, goal
}

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 3200}, {1 << 20, 3200}, {4 << 20, 3200}, {16 << 20, 800}, {floor, 100}, {1 << 40, 100}} {
		if got := percent(c.live); got != c.want {
			t.Errorf("percent(%d) = %d, want %d", c.live, got, c.want)
		}
	}
}
