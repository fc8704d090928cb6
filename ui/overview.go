package ui

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/mesh"
)

// current marks the link of the page itself.
func current(on bool) templ.Attributes {
	if on {
		return templ.Attributes{"aria-current": "page"}
	}
	return nil
}

// An overviewView answers: what is here, what moves, what went wrong?
type overviewView struct {
	frame
	empty      bool // no runtime is known
	verdict    string
	detail     string
	ok         bool
	inMotion   int
	stale      int
	ended      int
	rate       string
	failed     int
	upFor      string
	components []componentView
	recent     []changeView
	trouble    []troubleView
	lost       bool
	chart      chartView
}

type componentView struct {
	name, version string
	runtimes      string
	inMotion      int
	differ        bool
	machines      []machineRow
}

type machineRow struct {
	name, href  string
	bar         barView
	inMotion    int
	stale       int
	ended       int
	quarantined int
	inError     int
	rate        string
}

// A barView is the share of each state in motion, early to late in the flow.
type barView struct {
	label string
	top   string
	parts []barPart
}

type barPart struct{ class, x, width string }

type changeView struct {
	at      time.Time
	name    string
	href    string
	machine string
	created bool
	from    string
	to      badge
	event   string
}

type troubleView struct {
	at         time.Time
	what, why  string
	note       string
	name, href string
}

func (d *Dashboard) overview(r *http.Request) page {
	fl := d.read(nil)
	v := overviewOf(d.frame(r, fl, "Overview", "overview", nil), fl, d.activity.past())
	return page{http.StatusOK, overviewPage(v)}
}

func overviewOf(f frame, fl *fleet, p past) overviewView {
	v := overviewView{frame: f, failed: p.failed, lost: p.lost, inMotion: f.total, upFor: span(fl.now.Sub(p.since)), empty: len(fl.runtimes) == 0}
	v.verdict, v.detail, v.ok = verdictOf(fl)
	rate := 0.0
	for _, c := range fl.components {
		cv := componentView{name: c.name, version: c.version, inMotion: inMotion(c.count), differ: c.differ, runtimes: hostsOf(c)}
		for _, m := range c.machines {
			row := m.row(p)
			rate += p.rates[[2]string{c.name, m.name}]
			cv.machines = append(cv.machines, row)
		}
		v.ended += c.count.Ended
		v.stale += c.count.Stale
		v.components = append(v.components, cv)
	}
	v.rate = rateText(rate)
	v.chart = chartOf(p.over, p.end, fl)
	for _, n := range p.recent {
		v.recent = append(v.recent, changeOf(fl, n))
	}
	for _, n := range p.trouble {
		v.trouble = append(v.trouble, troubleOf(n))
	}
	return v
}

// verdictOf says in one line how it stands.
func verdictOf(fl *fleet) (verdict, detail string, ok bool) {
	if !fl.connected {
		return "The mesh can't be reached", "What is shown is what was known before. Runtimes go on by themselves; it is tried again all the time.", false
	}
	live, lost, catching := 0, "", 0
	for i := range fl.runtimes {
		switch m := &fl.runtimes[i]; {
		case m.Status == mesh.Lost:
			lost += ", " + m.Name + " (" + m.Component + ")"
		case m.Status == mesh.Live:
			live++
			if !m.Exactness.Exact {
				catching++
			}
		}
	}
	verdict, ok = counted(live, "runtime")+" live, all exact", true
	detail = "What is shown is what they have, but for what happened since they were last heard: a second at most."
	switch {
	case len(fl.runtimes) == 0:
		return "No runtime is on the mesh", "It shows here as soon as one is.", true
	case live == 0:
		verdict, detail, ok = "No runtime is live", "What is shown is how they were last heard.", false
	case catching > 0:
		verdict, detail = counted(live, "runtime")+" live, "+number(catching)+" not exact", "What is shown of those may be out of date. They are being read."
	}
	if lost != "" {
		verdict, ok = verdict+", lost: "+lost[2:], false
	}
	return verdict, detail, ok
}

// hostsOf names the runtimes of a component.
func hostsOf(c *component) string {
	var names []string
	for _, m := range c.members {
		name := m.Name
		if m.Status != mesh.Live {
			name += " (" + string(m.Status) + ")"
		}
		names = append(names, name)
	}
	if len(names) > 4 {
		return strings.Join(names[:3], ", ") + " and " + number(len(names)-3) + " more"
	}
	return strings.Join(names, ", ")
}

func rateText(perSecond float64) string { return fmt.Sprintf("%.1f", perSecond) }

func (m *machine) row(p past) machineRow {
	row := machineRow{
		name: m.name, href: href("machine", "component", m.component, "machine", m.name), inMotion: inMotion(m.count),
		stale: m.count.Stale, ended: m.count.Ended, quarantined: m.count.Quarantined, bar: barOf(m), rate: rateText(p.rates[[2]string{m.component, m.name}]),
	}
	for name, n := range m.states {
		if kindOf(m.def, name) == "error" {
			row.inError += n.Ended
		}
	}
	return row
}

// stateNames are those of the definition, in its order, and after them those
// that only instances tell of.
func (m *machine) stateNames() []string {
	var out []string
	if m.def != nil {
		for _, s := range m.def.States {
			out = append(out, s.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.states)) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// barOf draws the population in the order of the states: definitions list them
// from early to late.
func barOf(m *machine) barView {
	pop, names := m.population(), m.stateNames()
	total := sum(pop)
	b := barView{label: m.name + ": nothing in motion"}
	if total == 0 {
		return b
	}
	b.label = m.name + ": "
	x, most, second := 0.0, "", ""
	for i, name := range names {
		n := pop[name]
		if n == 0 {
			continue
		}
		width := 100 * float64(n) / float64(total)
		class := 1 + min(i*7/max(len(names), 1), 6)
		b.parts = append(b.parts, barPart{fmt.Sprintf("c%d", class), fmt.Sprintf("%.2f%%", x), fmt.Sprintf("%.2f%%", width)})
		x += width
		if len(b.parts) > 1 {
			b.label += ", "
		}
		b.label += name + " " + number(n)
		switch {
		case most == "" || n > pop[most]:
			most, second = name, most
		case second == "" || n > pop[second]:
			second = name
		}
	}
	b.top = most + " " + number(pop[most])
	if second != "" {
		b.top += ", " + second + " " + number(pop[second])
	}
	return b
}

func changeOf(fl *fleet, n mesh.Told) changeView {
	v := changeView{
		at: time.UnixMilli(n.Timestamp), name: fullName(n.Machine, n.Key, n.Notice.Instance), machine: n.Machine,
		href:    href("instance", "id", n.Notice.Instance, "component", n.Component),
		created: n.Kind == mesh.KindCreated, from: n.Previous, to: badge{n.State, kindOf(fl.definitionOf(n.RuntimeID, n.Machine), n.State)},
	}
	if n.Event != nil {
		v.event = n.Event.Type
	}
	return v
}

// fullName says the machine, too, where there is only an id.
func fullName(machine, key, id string) string {
	if key != "" {
		return key
	}
	return machine + " " + shortID(id)
}

// nameOf is what people know an instance by.
func nameOf(key, id string) string {
	if key != "" {
		return key
	}
	return shortID(id)
}

func troubleOf(n mesh.Told) troubleView {
	t := troubleView{
		at: time.UnixMilli(n.Timestamp), name: n.Machine + " " + nameOf(n.Key, n.Notice.Instance),
		href: href("instance", "id", n.Notice.Instance, "component", n.Component), why: n.Error,
	}
	switch n.Kind {
	case mesh.KindHookError:
		t.what, t.note = "A hook failed", "Its transition went on."
	case mesh.KindDeadLetter:
		t.what, t.note = "An effect was given up", "What it was for did not happen."
	case mesh.KindQuarantined:
		t.what, t.note = "An instance is quarantined", "The store holds another version of it."
	case mesh.KindFenced:
		t.what, t.note = "A runtime was taken over", "Another one has its instances."
	default:
		t.what, t.note = "An instance failed", "It has ended."
	}
	return t
}
