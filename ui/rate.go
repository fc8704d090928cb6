package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

const (
	// rateStep is what one point of the chart is the mean of.
	rateStep = 5 * time.Second
	// ratePoints is how many points the chart has: 15 minutes.
	ratePoints = 180
)

// steps count changes in the last ratePoints steps, and in the one that goes on.
type steps [ratePoints + 1]struct {
	step  int64
	count int
}

func stepOf(t time.Time) int64 { return t.UnixNano() / int64(rateStep) }

// add counts a change.
func (s *steps) add(now time.Time) {
	at := &s[stepOf(now)%int64(len(s))]
	if at.step != stepOf(now) {
		at.step, at.count = stepOf(now), 0
	}
	at.count++
}

// rates are the changes a second of the full steps since a moment, oldest
// first: ratePoints at most. end is when the last of them ended.
func (s *steps) rates(since, now time.Time) (rates []float64, end time.Time) {
	last := stepOf(now) - 1
	first := max(stepOf(since)+1, last-ratePoints+1)
	for step := first; step <= last; step++ {
		n := 0
		if at := s[step%int64(len(s))]; at.step == step {
			n = at.count
		}
		rates = append(rates, float64(n)/rateStep.Seconds())
	}
	return rates, time.Unix(0, (last+1)*int64(rateStep))
}

// A chartView is the rate of changes over time, as it is drawn.
type chartView struct {
	title          string
	area, line     string // paths
	grid           []tickView
	times          []tickView
	marks          []markView
	mean, peak     string
	meanOf, peakAt string
	any            bool // there is something to draw
}

// A tickView is a text with its place.
type tickView struct{ at, text, anchor string }

// A markView is a moment at which something happened.
type markView struct {
	x, textX, y, anchor, text string
}

// The frame of the chart, in its own units.
const (
	chartLeft, chartRight  = 34.0, 390.0
	chartTop, chartBottom  = 14.0, 124.0
	chartMarks             = 3
	chartGrid              = 3
	chartPoint             = (chartRight - chartLeft) / (ratePoints - 1)
	chartSpan              = ratePoints * rateStep
	chartHeight            = chartBottom - chartTop
	chartPerMinute         = (chartRight - chartLeft) / 15
	chartMarkTextFromRight = 270.0
)

// chartOf draws the rates, and when runtimes of a fleet were heard last that
// are lost.
func chartOf(rates []float64, end time.Time, fl *fleet) chartView {
	v := chartView{any: len(rates) > 1, mean: "–", peak: "–"}
	if !v.any {
		return v
	}
	total, peak := 0.0, 0
	for i, r := range rates {
		if total += r; r > rates[peak] {
			peak = i
		}
	}
	mean := total / float64(len(rates))
	over := time.Duration(len(rates)) * rateStep
	v.mean, v.peak = rateText(mean), rateText(rates[peak])
	v.meanOf = "over " + span(over)
	v.peakAt = "at " + clock(end.Add(-time.Duration(len(rates)-1-peak)*rateStep))
	v.title = fmt.Sprintf("Changes a second over %s: %s in the mean, %s at most, %s last", span(over), v.mean, v.peak, rateText(rates[len(rates)-1]))

	top := ceiling(rates[peak])
	y := func(r float64) float64 { return chartBottom - chartHeight*r/top }
	x := func(i int) float64 { return chartRight - chartPoint*float64(len(rates)-1-i) }
	var line strings.Builder
	for i, r := range rates {
		fmt.Fprintf(&line, "%s%.1f %.1f", map[bool]string{true: "M", false: " L"}[i == 0], x(i), y(r))
	}
	v.line = line.String()
	v.area = fmt.Sprintf("%s L%.1f %g L%.1f %gZ", v.line, x(len(rates)-1), chartBottom, x(0), chartBottom)
	for i := range chartGrid + 1 {
		r := top * float64(i) / chartGrid
		v.grid = append(v.grid, tickView{at: fmt.Sprintf("%.1f", y(r)), text: fmt.Sprintf("%.3g", r)})
	}
	for _, minutes := range []int{0, 7, 14} {
		at := end.Add(-time.Duration(minutes) * time.Minute)
		anchor := "middle"
		if minutes == 0 {
			anchor = "end"
		}
		v.times = append(v.times, tickView{fmt.Sprintf("%.1f", chartRight-chartPerMinute*float64(minutes)), at.UTC().Format("15:04"), anchor})
	}
	v.marks = marksOf(fl, end)
	return v
}

// marksOf are the moments at which runtimes fell silent that are lost.
func marksOf(fl *fleet, end time.Time) (marks []markView) {
	for i := range fl.runtimes {
		m := &fl.runtimes[i]
		before := end.Sub(m.Heard)
		if m.Status != mesh.Lost || before < 0 || before > chartSpan || len(marks) == chartMarks {
			continue
		}
		x := chartRight - chartPerMinute*before.Minutes()
		mark := markView{x: fmt.Sprintf("%.1f", x), textX: fmt.Sprintf("%.1f", x+4), y: fmt.Sprint(18 + 12*len(marks)), anchor: "start", text: m.Name + " silent " + clock(m.Heard)}
		if x > chartMarkTextFromRight {
			mark.textX, mark.anchor = fmt.Sprintf("%.1f", x-4), "end"
		}
		marks = append(marks, mark)
	}
	return marks
}

// ceiling is a round number that a rate stays below: 3, 6 or 15 and tens or
// tenths of these, which the grid divides evenly.
func ceiling(r float64) float64 {
	for unit := 0.3; ; unit *= 10 {
		for _, f := range []float64{1, 2, 5} {
			if r <= unit*f {
				return unit * f
			}
		}
	}
}
