package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/internal/headroom"
	"github.com/fsmesh/fsmesh/mesh"
)

// idleEnv makes the program a child that has nothing to do: with a node in it,
// or with nothing.
const idleEnv = "FSMESH_BENCH_IDLE"

// serveIdle is what such a child does: it says when it is up, and after a line
// on its input what memory it takes.
func serveIdle() bool {
	what := os.Getenv(idleEnv)
	if what == "" {
		return false
	}
	if what == "node" {
		headroom.Keep() // as fsmesh node does
		n := must(mesh.Start(ctx, mesh.Config{Logger: quiet()}))
		defer n.Stop(ctx)
		b := must(n.Connect(mesh.BusOptions{Logger: quiet()}))
		defer b.Close(ctx)
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	fmt.Println(resident())
	in.Scan() // until it is closed
	return true
}

// resident is the memory of the process in bytes, where the system tells it;
// else what Go has got from the system.
func resident() int64 {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(l, "VmRSS: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// idles starts a child, and returns how long it took to be up and what memory
// it has after a while.
func idles(what string, wait time.Duration) (up time.Duration, memory float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, fmt.Errorf("find the program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), idleEnv+"="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, 0, fmt.Errorf("start a child: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, fmt.Errorf("start a child: %w", err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("start a child: %w", err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		return 0, 0, fmt.Errorf("the child with %s did not get ready: %q", what, lines.Text())
	}
	up = time.Since(start)
	time.Sleep(wait)
	fmt.Fprintln(in)
	if !lines.Scan() {
		return 0, 0, fmt.Errorf("the child with %s did not answer", what)
	}
	if _, err := fmt.Sscan(lines.Text(), &memory); err != nil {
		return 0, 0, fmt.Errorf("the child answered %q: %w", lines.Text(), err)
	}
	return up, memory, nil
}

// benchIdle measures a process with an embedded node that nobody uses.
func benchIdle(b *bench) error {
	var up, memory [2]series
	for range b.rounds {
		for i, what := range []string{"node", "nothing"} {
			u, m, err := idles(what, pick(b, time.Second, 50*time.Millisecond))
			if err != nil {
				return err
			}
			up[i], memory[i] = append(up[i], float64(u)), append(memory[i], m)
		}
	}
	mb := func(v float64) string { return fmt.Sprintf("%.1f MB", v/1e6) }
	b.add("resident memory", mb(memory[0].mid()), "nothing "+mb(memory[1].mid()), memory[0].over(memory[1])).
		want("< 60 MB", memory[0].mid() < 60e6)
	b.add("time until it is up", ns(up[0].mid()), "nothing "+ns(up[1].mid()), up[0].over(up[1])).
		want("< 300 ms", up[0].mid() < 300e6)
	b.note("Processes of their own: one with an embedded node and a connection to it, one with nothing. Time is from the start of the\nprocess; memory after it was idle for a second.")
	return nil
}
