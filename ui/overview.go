package ui

import (
	"fmt"
	"net/http"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
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
	stopped    bool
	inMotion   int
	ended      int
	rate       string
	failed     int
	upFor      string
	components []componentView
	recent     []changeView
	trouble    []troubleView
	missed     int
}

type componentView struct {
	name, version string
	inMotion      int
	machines      []machineRow
}

type machineRow struct {
	name, href string
	bar        barView
	inMotion   int
	ended      int
	inError    int
	rate       string
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
	name, href string
}

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request) {
	if setTheme(w, r) {
		return
	}
	p := d.activity.past()
	v := overviewView{frame: d.frame(r, "Fleet", "overview"), failed: p.failed, missed: p.missed}
	v.inMotion, v.upFor = v.total, span(v.now.Sub(p.since))
	select {
	case <-d.config.Runtime.Done():
		v.stopped = true
	default:
	}
	rate := 0.0
	for _, c := range d.config.Runtime.Components() {
		cv := componentView{name: c.Name, version: c.Version}
		for i := range c.StateMachines {
			row := d.machineRow(c.Name, &c.StateMachines[i], p)
			cv.inMotion += row.inMotion
			v.ended += row.ended
			rate += p.rates[[2]string{c.Name, row.name}]
			cv.machines = append(cv.machines, row)
		}
		v.components = append(v.components, cv)
	}
	v.rate = rateText(rate)
	for _, n := range p.recent {
		v.recent = append(v.recent, d.changeView(n))
	}
	for _, n := range p.trouble {
		v.trouble = append(v.trouble, troubleOf(n))
	}
	d.show(w, r, http.StatusOK, overviewPage(v))
}

func rateText(perSecond float64) string { return fmt.Sprintf("%.1f", perSecond) }

func (d *Dashboard) machineRow(component string, m *fsm.Machine, p past) machineRow {
	pop := d.population(component, m.Name)
	row := machineRow{
		name: m.Name, href: href("machine", "component", component, "machine", m.Name),
		bar: barOf(m, pop), inMotion: sum(pop), rate: rateText(p.rates[[2]string{component, m.Name}]),
	}
	for _, s := range m.States {
		n := p.ended[place{component, m.Name, s.Name}]
		row.ended += n
		if s.Type == "error" {
			row.inError += n
		}
	}
	return row
}

// barOf draws the population in the order of the states: definitions list them
// from early to late.
func barOf(m *fsm.Machine, pop map[string]int) barView {
	total := sum(pop)
	b := barView{label: m.Name + ": nothing in motion"}
	if total == 0 {
		return b
	}
	b.label = m.Name + ": "
	x, most, second := 0.0, "", ""
	for i, s := range m.States {
		n := pop[s.Name]
		if n == 0 {
			continue
		}
		width := 100 * float64(n) / float64(total)
		class := 1 + min(i*7/max(len(m.States), 1), 6)
		b.parts = append(b.parts, barPart{fmt.Sprintf("c%d", class), fmt.Sprintf("%.2f%%", x), fmt.Sprintf("%.2f%%", width)})
		x += width
		if len(b.parts) > 1 {
			b.label += ", "
		}
		b.label += s.Name + " " + number(n)
		switch {
		case most == "" || n > pop[most]:
			most, second = s.Name, most
		case second == "" || n > pop[second]:
			second = s.Name
		}
	}
	b.top = most + " " + number(pop[most])
	if second != "" {
		b.top += ", " + second + " " + number(pop[second])
	}
	return b
}

func (d *Dashboard) changeView(n fsm.Notice) changeView {
	m := d.find(n.Component, n.Machine)
	return changeView{
		at: n.Time, name: fullName(n.Machine, n.Key, n.Instance), href: href("instance", "id", n.Instance), machine: n.Machine,
		created: n.Kind == fsm.TraceCreated, from: n.From, to: badgeOf(m, n.State), event: n.Event,
	}
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

func troubleOf(n fsm.Notice) troubleView {
	t := troubleView{at: n.Time, name: n.Machine + " " + nameOf(n.Key, n.Instance), href: href("instance", "id", n.Instance), why: n.Error}
	switch n.Kind {
	case fsm.TraceUserCodeError:
		t.what = "Hook " + n.Method + " failed"
	case fsm.TraceCascadeError:
		t.what = "A cascade had no target"
	case fsm.TraceInstanceError:
		t.what = "An instance failed"
	case fsm.NoticeDeadLetter:
		t.what = "An effect was given up"
	case fsm.NoticeDropped:
		t.what = "Event " + n.Event + " was dropped"
	case fsm.NoticeQuarantined:
		t.what = "An instance is quarantined"
	default:
		t.what = "An instance could not be restored"
	}
	return t
}
