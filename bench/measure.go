package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A bench collects the lines of one group.
type bench struct {
	options
	group string
	lines []line
	notes []string
}

// pick returns full, or small in a short run.
func pick[T any](b *bench, full, small T) T {
	if b.short {
		return small
	}
	return full
}

// A line is one ratio of the table.
type line struct {
	group, name string
	ours        string
	ref         string // what the reference is, and its value
	ratio       stat
	target      string // "" if there is none
	met         bool
}

// add appends a line without a target.
func (b *bench) add(name, ours, ref string, ratio stat) *line {
	b.lines = append(b.lines, line{group: b.group, name: name, ours: ours, ref: ref, ratio: ratio})
	return &b.lines[len(b.lines)-1]
}

// want sets the target of a line and whether it is met.
func (l *line) want(target string, met bool) { l.target, l.met = target, met }

// note adds a remark that is printed below the group's lines.
func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

func (b *bench) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  what\tours\treference\tratio [spread]\ttarget")
	for _, l := range b.lines {
		target := ""
		if l.target != "" {
			target = l.target + ": MISSED"
			if l.met {
				target = l.target + ": met"
			}
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", l.name, l.ours, l.ref, l.ratio, target)
	}
	t.Flush()
	for _, n := range b.notes {
		fmt.Fprintf(w, "  - %s\n", strings.ReplaceAll(n, "\n", "\n    "))
	}
}

// A stat is the median of some rounds with the quartiles: what half of the
// rounds are within. The extremes say more about the machine than about what is
// measured.
type stat struct{ mid, lo, hi float64 }

func newStat(v []float64) stat {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return stat{(s[(n-1)/2] + s[n/2]) / 2, s[(n-1)/4], s[n-1-(n-1)/4]}
}

// single is the stat of what was measured once.
func single(v float64) stat { return stat{v, v, v} }

func (s stat) String() string {
	if s.lo == s.hi {
		return fmt.Sprintf("%.2f [once]", s.mid)
	}
	return fmt.Sprintf("%.2f [%.2f – %.2f]", s.mid, s.lo, s.hi)
}

func (s stat) finite() bool {
	return !math.IsNaN(s.mid) && !math.IsInf(s.mid, 0) && s.mid > 0
}

// A side is one thing to be measured; run does it n times.
type side struct {
	name string
	run  func(n int)
}

// A series is a side's time for one operation in ns, round by round.
type series []float64

func (s series) mid() float64 { return newStat(s).mid }

// rate is the median in operations a second.
func (s series) rate() float64 { return 1e9 / s.mid() }

// over is the ratio of two series, round by round.
func (s series) over(o series) stat {
	r := make([]float64, len(s))
	for i := range s {
		r[i] = s[i] / o[i]
	}
	return newStat(r)
}

// less is the difference of two series, round by round.
func (s series) less(o series) stat {
	r := make([]float64, len(s))
	for i := range s {
		r[i] = s[i] - o[i]
	}
	return newStat(r)
}

// compare measures the sides in turns: every round does all of them, beginning
// with another one each time. How often a side does its thing in a round is
// found beforehand so that it takes about the same time as the others.
func (b *bench) compare(sides ...side) []series {
	return b.compareFor(pick(b, 40*time.Millisecond, 2*time.Millisecond), sides...)
}

func (b *bench) compareFor(slice time.Duration, sides ...side) []series {
	counts := make([]int, len(sides))
	for i, s := range sides {
		n := 64
		for {
			took := timed(s.run, n)
			if took >= slice/2 {
				n = int(float64(n) * float64(slice) / float64(took))
				break
			}
			n = int(float64(n) * min(8, max(1.5, float64(slice)/float64(max(took, 1)))))
		}
		counts[i] = max(n, 1)
	}
	out := make([]series, len(sides))
	for round := range b.rounds {
		for k := range sides {
			i := (round + k) % len(sides)
			out[i] = append(out[i], float64(timed(sides[i].run, counts[i]))/float64(counts[i]))
		}
	}
	return out
}

func timed(f func(int), n int) time.Duration {
	start := time.Now()
	f(n)
	return time.Since(start)
}

// ns prints a time for one operation.
func ns(v float64) string {
	switch a := math.Abs(v); {
	case a < 10_000:
		return fmt.Sprintf("%.0f ns", v)
	case a < 10_000_000:
		return fmt.Sprintf("%.1f µs", v/1e3)
	}
	return fmt.Sprintf("%.1f ms", v/1e6)
}

// perSecond prints a rate.
func perSecond(v float64) string {
	if v >= 1e6 {
		return fmt.Sprintf("%.2f M/s", v/1e6)
	}
	return fmt.Sprintf("%.1f k/s", v/1e3)
}

// quantile is the value that a part q of them does not exceed.
func quantile[T cmp.Ordered](v []T, q float64) T {
	s := slices.Sorted(slices.Values(v))
	return s[min(len(s)-1, int(math.Ceil(q*float64(len(s))))-1)]
}
