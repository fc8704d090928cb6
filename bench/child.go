package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
)

// childEnv makes the program a child: it says how many instances to make. A
// child measures on a heap of its own, which is as large as its instances and
// no larger.
const childEnv = "FSMESH_BENCH_CHILD"

// serveChild is what a child does: for each line "what n" on its input it does
// n of that and prints the time for one in ns.
func serveChild() bool {
	var size int
	if _, err := fmt.Sscan(os.Getenv(childEnv), &size); err != nil {
		return false
	}
	rt, ids := started(fsm.Config{}, size)
	defer rt.Stop(ctx)
	raw := lookups(ids)
	for i := range ids { // their first history
		must(rt.Send(ctx, ids[i], fsm.Event{Type: "NEXT"}))
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var what string
		var n int
		must(fmt.Sscan(in.Text(), &what, &n))
		s := raw
		switch {
		case strings.HasPrefix(what, "none"):
			s = sends("", rt, ids, 1, nil)
		case strings.HasPrefix(what, "three"):
			s = sends("", rt, ids, 1, payload())
		}
		off := strings.HasSuffix(what, "-off")
		if off {
			runtime.GC()
			debug.SetGCPercent(-1)
		}
		cpu := cpuTime()
		wall := timed(s.run, n)
		cpu = max(1, cpuTime()-cpu) // it may be coarse
		fmt.Println(float64(wall)/float64(n), float64(cpu)/float64(n))
		if off {
			debug.SetGCPercent(100)
		}
	}
	return true
}

// lookups finds an object in a Go map by its id and changes it: what no
// registry of instances can be cheaper than.
func lookups(ids []string) side {
	type object struct {
		id    string
		state int
		_     [96]byte
	}
	m := make(map[string]*object, len(ids))
	for _, id := range ids {
		m[id] = &object{id: id}
	}
	return side{"map", func(n int) {
		spread(1, n, len(ids), func(i int32) { m[ids[i]].state++ })
	}}
}

// A child is a process that measures when it is asked.
type child struct {
	cmd *exec.Cmd
	in  *bufio.Writer
	out *bufio.Scanner
	end func() error
}

// spawn starts the program anew with some more of an environment, and waits
// until it is ready.
func spawn(env ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a child: %w", err)
	}
	c := &child{cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
	c.end = func() error { in.Close(); return cmd.Wait() }
	if !c.out.Scan() || strings.TrimSpace(c.out.Text()) != "ready" {
		c.end()
		return nil, fmt.Errorf("a child with %q did not get ready", env)
	}
	return c, nil
}

func startChild(size int) (*child, error) { return spawn(fmt.Sprintf("%s=%d", childEnv, size)) }

// kill ends the child at once, as a power cut would.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill a child: %w", err)
	}
	c.end() // it says that it was killed
	return nil
}

// ask has the child do something and returns the numbers that it answers with.
func (c *child) ask(format string, args ...any) ([]float64, error) {
	what := fmt.Sprintf(format, args...)
	fmt.Fprintln(c.in, what)
	if err := c.in.Flush(); err != nil {
		return nil, fmt.Errorf("ask the child: %w", err)
	}
	if !c.out.Scan() {
		return nil, fmt.Errorf("the child did not answer to %q", what)
	}
	var out []float64
	for f := range strings.FieldsSeq(c.out.Text()) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return nil, fmt.Errorf("the child answered %q to %q", c.out.Text(), what)
		}
		out = append(out, v)
	}
	return out, nil
}

// measure has the child do something n times and returns the ns and the ns of
// CPU time for one.
func (c *child) measure(what string, n int) (wall, cpu float64, err error) {
	out, err := c.ask("%s %d", what, n)
	if err != nil {
		return 0, 0, err
	}
	return out[0], out[1], nil
}

// benchScale measures what a send costs more where there are many instances.
func benchScale(b *bench) error {
	sizes := pick(b, []int{1_000, 1_000_000}, []int{100, 2_000})
	n := pick(b, 200_000, 20_000)
	var children []*child
	defer func() {
		for _, c := range children {
			c.end()
		}
	}()
	for _, size := range sizes {
		c, err := startChild(size)
		if err != nil {
			return err
		}
		children = append(children, c)
	}
	for _, what := range []struct{ key, name string }{
		{"none", "Send, no payload"}, {"none-off", "– while nothing is collected"},
		{"three", "Send, 3 fields"}, {"three-off", "– while nothing is collected"}, {"map", "raw: find in a Go map and change"},
	} {
		var wall, cpu [2]series
		for round := range b.rounds/2 + 1 {
			for k := range 2 {
				i := (round + k) % 2
				w, c, err := children[i].measure(what.key, n)
				if err != nil {
					return err
				}
				wall[i], cpu[i] = append(wall[i], w), append(cpu[i], c)
			}
		}
		row := func(name string, s [2]series) (*line, stat) {
			d := s[1].less(s[0])
			return b.add(fmt.Sprintf("%s, difference %s [%s – %s]", name, ns(d.mid), ns(d.lo), ns(d.hi)),
				fmt.Sprintf("%s at %d", ns(s[1].mid()), sizes[1]), fmt.Sprintf("%s at %d", ns(s[0].mid()), sizes[0]), s[1].over(s[0])), d
		}
		l, d := row(what.name, wall)
		if what.key == "none" || what.key == "three" {
			l.want("<= 1 µs more", d.mid <= 1000)
		}
		row("– in CPU time", cpu)
	}
	b.note("1 caller, ids in random order, each size in a process of its own: collecting the heap is part of the cost of having it.\nThe collector works beside the caller where a processor is free: on a busy machine its part grows.\nTime includes waiting for a processor, CPU time does not, but has the collector on other processors.")
	return nil
}
