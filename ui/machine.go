package ui

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/diagram"
	"github.com/fsmesh/fsmesh/internal/nearest"
)

// A machineView answers: where do the instances of a machine pile up?
type machineView struct {
	frame
	component, version, name string
	inMotion, ended          int
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

// machineOf finds the machine that a request names, or answers that there is
// none. The component may be left out where only one has such a machine.
func (d *Dashboard) machineOf(w http.ResponseWriter, r *http.Request, component, name string) (string, *fsm.Machine) {
	if m := d.find(component, name); m != nil {
		return component, m
	}
	var names, having []string
	for _, c := range d.config.Runtime.Components() {
		for _, m := range c.StateMachines {
			if m.Name == name {
				having = append(having, c.Name)
			}
			if component == "" || c.Name == component {
				names = append(names, m.Name)
			}
		}
	}
	if component == "" && len(having) == 1 {
		return having[0], d.find(having[0], name)
	}
	heading, text := fmt.Sprintf("No machine %q in component %q", name, component), "Names are compared exactly."
	switch near, ok := nearest.Match(name, names); {
	case component == "" && len(having) > 1:
		heading, text = fmt.Sprintf("More than one component has a machine %q", name), "Say which: "+strings.Join(having, ", ")+"."
	case ok && near != name:
		text += fmt.Sprintf(" Did you mean %s?", near)
	}
	d.problem(w, r, http.StatusNotFound, heading, text)
	return "", nil
}

func (d *Dashboard) machine(w http.ResponseWriter, r *http.Request) {
	if setTheme(w, r) {
		return
	}
	q := r.URL.Query()
	component, name, selected := q.Get("component"), q.Get("machine"), q.Get("state")
	component, m := d.machineOf(w, r, component, name)
	if m == nil {
		return
	}
	pop, p := d.population(component, name), d.activity.past()
	v := machineView{
		frame: d.frame(r, name, "machine"), component: component, name: name, selected: selected,
		inMotion: sum(pop), createHref: href("create", "component", component, "machine", name),
	}
	for _, c := range d.config.Runtime.Components() {
		if c.Name == component {
			v.version = c.Version
		}
	}
	counts := map[string]int{}
	for _, s := range m.States {
		sv := stateView{badge: badgeOf(m, s.Name), selected: s.Name == selected, count: pop[s.Name], note: "in motion"}
		if s.Type == "final" || s.Type == "error" {
			ended := p.ended[place{component, name, s.Name}]
			sv.count, sv.note = ended, "since "+clock(p.since)
			v.ended += ended
		}
		counts[s.Name] = sv.count
		if sv.selected {
			sv.href = href("machine", "component", component, "machine", name)
		} else {
			sv.href = href("machine", "component", component, "machine", name, "state", s.Name) + "#rows"
		}
		v.states = append(v.states, sv)
	}
	v.diagram = d.drawing(r.Context(), m, diagram.SVGOptions{Population: counts, Current: selected, Embed: true})
	v.rows = d.rows(rowsQuery{component: component, machine: name, state: selected, oldest: true, size: 10})
	d.show(w, r, http.StatusOK, machinePage(v))
}

// drawing is the state diagram as part of a page. One that can't be drawn is
// replaced by the reason: the rest of the page is worth having.
func (d *Dashboard) drawing(ctx context.Context, m *fsm.Machine, o diagram.SVGOptions) templ.Component {
	layout, err := d.layouts.Layout(ctx, m)
	if err != nil {
		return noDrawing(err.Error())
	}
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		// The outer element gives it its natural size, which it may shrink
		// from but not grow beyond. The writer escapes all names itself.
		fit := min(max(int(layout.Width)/100, 1), 30)
		if _, err := fmt.Fprintf(w, `<svg class="fit fit-%d" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f">`, fit, layout.Width, layout.Height, layout.Width, layout.Height); err != nil {
			return err
		}
		if err := layout.SVG(w, o); err != nil {
			return err
		}
		_, err := io.WriteString(w, "</svg>")
		return err
	})
}
