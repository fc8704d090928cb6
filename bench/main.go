// Command bench measures fsmesh against its raw limits and against other state
// machine libraries, and prints a table of ratios. Both sides of a ratio are
// measured in one run, in turns, so that what else the machine does meanwhile
// hits them alike. How to read the table is in README.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/internal/headroom"
)

func main() {
	if serveChild() || serveIdle() || serveStore() {
		return
	}
	var o options
	flag.StringVar(&o.run, "run", "", "measure only the groups whose name matches this `regexp`")
	flag.BoolVar(&o.short, "short", false, "small sizes: to see that everything runs, not to measure")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds in which the sides of a ratio are measured in turns (default 15, short: 2)")
	flag.Parse()
	o.out = os.Stdout
	headroom.Keep() // as the programs do
	if _, err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	run    string
	short  bool
	rounds int
	out    io.Writer
}

// A group is a part of the table that can be chosen by its name.
type group struct {
	name  string
	title string
	run   func(*bench) error
}

// groups are all of them, in the order of the table.
var groups = []group{
	{"engine", "Engine step against other libraries (ratio: their time / ours)", benchEngine},
	{"send", "Runtime.Send in memory (ratio: our rate / the reference's)", benchSend},
	{"parts", "What a send in memory is made of (ratio: the part's CPU time / an engine step)", benchParts},
	{"scale", "A send at many instances against one at few (ratio: time at many / time at few)", benchScale},
	{"heap", "Live heap of an instance (ratio: ours / the reference's)", benchHeap},
	{"around", "Sends with hooks and watchers (ratio: our rate / that of plain sends)", benchAround},
	{"commit", "Sends through the committer, a store that waits (ratio: our rate / the reference's)", benchCommit},
	{"fanout", "One event that cascades to many instances (ratio: our time / the reference's)", benchFanout},
	{"notices", "Notices from a runtime to a directory (ratio: our rate / the reference's)", benchNotices},
	{"directory", "A directory of many instances (ratio: ours / the reference's)", benchDirectory},
	{"commands", "Commands over the bus (ratio: our rate / the reference's)", benchCommands},
	{"pages", "Pages of many instances while events come (ratio: ours / the reference's)", benchPages},
	{"idle", "A node that has nothing to do (ratio: ours / a program that does nothing)", benchIdle},
	{"restore", "Start from a store (ratio: our time / the reference's)", benchRestore},
	{"durable", "Sends that are on the disk, the embedded store (ratio: our rate / the reference's)", benchDurable},
	{"start", "The embedded store with many instances (ratio: ours / the reference's)", benchDurableStart},
}

// run measures the chosen groups and prints them as they are done.
func run(o options) ([]line, error) {
	which, err := regexp.Compile(o.run)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	if o.rounds <= 0 {
		o.rounds = 15
		if o.short {
			o.rounds = 2
		}
	}
	fmt.Fprintf(o.out, "%s %s/%s, %d processors, %d rounds, load %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), o.rounds, load())
	if o.short {
		fmt.Fprintln(o.out, "SHORT RUN: sizes are too small for the numbers to mean anything")
	}
	var all []line
	met, missed := 0, 0
	for _, g := range groups {
		if !which.MatchString(g.name) {
			continue
		}
		b := &bench{options: o, group: g.name}
		start := time.Now()
		if err := g.run(b); err != nil {
			return all, fmt.Errorf("%s: %w", g.name, err)
		}
		runtime.GC()
		fmt.Fprintf(o.out, "\n%s: %s\n", g.name, g.title)
		b.print(o.out)
		fmt.Fprintf(o.out, "  (%.1f s, load %s)\n", time.Since(start).Seconds(), load())
		for _, l := range b.lines {
			switch {
			case l.target == "":
			case l.met:
				met++
			default:
				missed++
			}
		}
		all = append(all, b.lines...)
	}
	fmt.Fprintf(o.out, "\ntargets: %d met, %d missed\n", met, missed)
	return all, nil
}

// load is the machine's load average, where the system tells it.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 2 {
		return strings.Join(f[:3], " ")
	}
	return "unknown"
}
