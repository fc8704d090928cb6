package ui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// TestSteps counts full steps only, and forgets what is older than the chart.
func TestSteps(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1_000_000_000, 0)
	var s steps
	for range 10 {
		s.add(begin.Add(rateStep))
	}
	s.add(begin.Add(3 * rateStep))
	now := begin.Add(3*rateStep + time.Second)
	rates, end := s.rates(begin, now)
	if want := []float64{2, 0}; !slices.Equal(rates, want) || !end.Equal(begin.Add(3*rateStep)) {
		t.Errorf("got %v until %v, want %v", rates, end, want)
	}
	if rates, _ := s.rates(now, now); len(rates) != 0 {
		t.Errorf("at the start there are %v", rates)
	}
	later := begin.Add((ratePoints + 2) * rateStep)
	s.add(later)
	rates, _ = s.rates(begin, later)
	if len(rates) != ratePoints || rates[0] != 0 || rates[1] != 0.2 {
		t.Errorf("after the length of the chart: %d points, the first are %v", len(rates), rates[:2])
	}
}

// TestChart draws within its frame, and marks when a runtime fell silent.
func TestChart(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 3, 14, 3, 12, 0, 0, time.UTC)
	fl := &fleet{runtimes: []member{
		{RuntimeInfo: mesh.RuntimeInfo{Identity: mesh.Identity{Name: "gone"}, Status: mesh.Lost, Heard: end.Add(-time.Minute)}},
		{RuntimeInfo: mesh.RuntimeInfo{Identity: mesh.Identity{Name: "long gone"}, Status: mesh.Lost, Heard: end.Add(-time.Hour)}},
		{RuntimeInfo: mesh.RuntimeInfo{Identity: mesh.Identity{Name: "fine"}, Status: mesh.Live, Heard: end}},
	}}
	v := chartOf([]float64{1, 6, 2}, end, fl)
	if v.line != "M386.0 105.7 L388.0 14.0 L390.0 87.3" {
		t.Errorf("the line is %s", v.line)
	}
	if v.mean != "3.0" || v.peak != "6.0" || v.peakAt != "at 03:11:55" || v.meanOf != "over 15 s" {
		t.Errorf("mean %s %s, peak %s %s", v.mean, v.meanOf, v.peak, v.peakAt)
	}
	if len(v.marks) != 1 || v.marks[0].text != "gone silent 03:11:00" || v.marks[0].anchor != "end" {
		t.Errorf("marks: %+v", v.marks)
	}
	if got := chartOf(nil, end, fl); got.any || got.peak == "" {
		t.Errorf("without a past: %+v", got)
	}
	if still := chartOf([]float64{0, 0}, end, fl); !still.any || strings.Contains(still.line, "NaN") {
		t.Errorf("where nothing happens: %+v", still)
	}
}

func TestCeiling(t *testing.T) {
	t.Parallel()
	for r, want := range map[float64]float64{0: 0.3, 0.3: 0.3, 0.4: 0.6, 1: 1.5, 2: 3, 5: 6, 6.1: 15, 125: 150, 151: 300} {
		if got := ceiling(r); got < want*0.999 || got > want*1.001 {
			t.Errorf("ceiling(%v) is %v, want %v", r, got, want)
		}
	}
}
