package ui

import (
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// maxBanners is how many runtimes have a line of their own above a page, if there are
// more.
const maxBanners = 3

// banners is how many of so many runtimes have one. "1 more" would take as much
// room as that one.
func banners(n int) int {
	if n <= maxBanners+1 {
		return n
	}
	return maxBanners
}

// trueFirst compares for sorting: what holds comes before what does not.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// An inexactView says of one runtime why what is shown of it may be wrong.
type inexactView struct {
	name, component string
	text            string
	since           time.Time
	lost            bool
}

// inexact lists the runtimes that a page is about and that the directory is not
// exact about. One that has said goodbye and left nothing behind is none: there
// is nothing to be wrong about.
func (f *fleet) inexact(about func(*member) bool) []inexactView {
	var out []inexactView
	for i := range f.runtimes {
		m := &f.runtimes[i]
		if m.Exactness.Exact || about != nil && !about(m) || m.Status == mesh.Stopped && m.InMotion() == 0 {
			continue
		}
		out = append(out, inexactView{
			name: m.Name, component: m.Component, text: whyInexact(m), since: m.Exactness.Since,
			lost: m.Status == mesh.Lost,
		})
	}
	slices.SortStableFunc(out, func(a, b inexactView) int { return trueFirst(a.lost, b.lost) })
	return out
}

// whyInexact puts the reason into words that end before "since".
func whyInexact(m *member) string {
	e := m.Exactness
	switch e.Reason {
	case mesh.ReasonStopped:
		return "has stopped; what is shown is how it was left"
	case mesh.ReasonLost:
		return "is lost; what is shown is how it was last heard"
	case mesh.ReasonSilent:
		return "is silent; what is shown may be old"
	case mesh.ReasonLate:
		return "is told of late; what is shown may be old; catching up"
	case mesh.ReasonRefused:
		return "has more than can be held here; some is not shown"
	case mesh.ReasonMissing:
		return "told of " + counted(int(min(e.Missing, 1<<53)), "change") + " that did not come yet; catching up"
	}
	if e.Page > 0 {
		return "is being read (" + counted(e.Page, "page") + " so far); catching up"
	}
	return "is being read; catching up"
}
