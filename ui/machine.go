package ui

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/fsmesh/fsmesh/mesh"
)

// A machineView answers: where do the instances of a machine pile up?
type machineView struct {
	frame
	component, version, name string
	figures                  string
	differ                   bool
	createHref               string
	diagram                  templ.Component
	states                   []stateView
	selected                 string
	rows                     rowsView
}

type stateView struct {
	badge    badge
	href     string
	selected bool
	count    int
	note     string
}

// machineOf finds the machine that a request names, or makes the page that says
// that there is none. The component may be left out where only one has such a
// machine.
func (d *Dashboard) machineOf(r *http.Request, fl *fleet, component, name string) (*machine, *page) {
	if m := fl.find(component, name); m != nil {
		return m, nil
	}
	var names, having []string
	for _, c := range fl.components {
		for _, m := range c.machines {
			if m.name == name {
				having = append(having, c.name)
			}
			if component == "" || c.name == component {
				names = append(names, m.name)
			}
		}
	}
	if component == "" && len(having) == 1 {
		return fl.find(having[0], name), nil
	}
	heading, text := fmt.Sprintf("No machine %q in component %q", name, component), "Names are compared exactly."
	meant := linkView{}
	switch near, ok := nearest.Match(name, names); {
	case component == "" && len(having) > 1:
		heading, text = fmt.Sprintf("More than one component has a machine %q", name), "Say which: "+strings.Join(having, ", ")+"."
	case ok && near != name:
		q := r.URL.Query()
		q.Set("machine", near)
		page, _, _ := strings.Cut(selfOf(r), "?")
		meant = linkView{near, page + "?" + q.Encode()}
	case fl.named(component) == nil:
		text = "No runtime on the mesh hosts that component now."
	}
	p := d.problemNear(r, http.StatusNotFound, heading, text, meant)
	return nil, &p
}

// of says which runtimes host a component; "" is any.
func of(component string) func(*member) bool {
	return func(m *member) bool { return component == "" || m.Component == component }
}

func (d *Dashboard) machine(r *http.Request) page {
	q := r.URL.Query()
	selected := q.Get("state")
	m, none := d.machineOf(r, d.read(nil), q.Get("component"), q.Get("machine"))
	if none != nil {
		return *none
	}
	var rows mesh.Selected
	fl := d.read(func(dir *mesh.Directory) {
		rows = dir.Select(mesh.Selection{
			Filter: mesh.Filter{Component: m.component, Machine: m.name, State: selected, Live: !endsIn(m.def, selected)},
			Order:  mesh.Unchanged, Limit: 10,
		})
	})
	if now := fl.find(m.component, m.name); now != nil {
		m = now
	}
	v := machineOf(d.frame(r, fl, m.name, "machine", of(m.component)), fl, m, selected)
	v.rows = rowsOf(fl, rows)
	v.diagram = d.drawing(r.Context(), m.def, diagram.SVGOptions{Population: m.shown(), Current: selected, Embed: true})
	return page{http.StatusOK, machinePage(v)}
}

// endsIn reports whether instances end in a state.
func endsIn(m *fsm.Machine, state string) bool {
	kind := kindOf(m, state)
	return kind == "final" || kind == "error"
}

// shown counts what is in motion, and what ended where instances end.
func (m *machine) shown() map[string]int {
	out := map[string]int{}
	for name, n := range m.states {
		if out[name] = inMotion(n); endsIn(m.def, name) {
			out[name] += n.Ended
		}
	}
	return out
}

func machineOf(f frame, fl *fleet, m *machine, selected string) machineView {
	c := fl.named(m.component)
	v := machineView{
		frame: f, component: m.component, name: m.name, selected: selected,
		createHref: href("create", "component", m.component, "machine", m.name),
	}
	v.figures = number(inMotion(m.count)) + " in motion"
	if m.count.Stale > 0 {
		v.figures += " (" + number(m.count.Stale) + " stale)"
	}
	v.figures += ", " + number(m.count.Ended) + " ended of late"
	if m.count.Quarantined > 0 {
		v.figures += ", " + number(m.count.Quarantined) + " quarantined"
	}
	if c != nil {
		v.version, v.differ = c.version, c.differ
		v.figures += ", on " + hostsOf(c)
	}
	shown := m.shown()
	for _, name := range m.stateNames() {
		s := stateView{badge: badgeOf(m.def, name), selected: name == selected, count: shown[name], note: "in motion"}
		if endsIn(m.def, name) {
			s.note = "ended, of late"
		} else if n := m.states[name].Stale; n > 0 {
			s.note += ", " + number(n) + " stale"
		}
		if n := m.states[name].Quarantined; n > 0 {
			s.note += ", " + number(n) + " quarantined"
		}
		if s.selected {
			s.href = href("machine", "component", m.component, "machine", m.name)
		} else {
			s.href = href("machine", "component", m.component, "machine", m.name, "state", name) + "#rows"
		}
		v.states = append(v.states, s)
	}
	return v
}
