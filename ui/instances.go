package ui

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// An instancesView answers: which ones exactly?
type instancesView struct {
	frame
	component, machine, state string
	sort                      string
	rows                      rowsView
	machines                  []optionView
	states                    []optionView
	chips                     []chipView
	first, last               int
	previous, next            string
}

type optionView struct {
	label, value string
	selected     bool
}

// A chipView is a filter in force, with the address of the page without it.
type chipView struct{ name, value, without string }

// A rowsView is a table of instances.
type rowsView struct {
	rows  []rowView
	total int // that match, of which rows are a part
}

type rowView struct {
	name, href string
	component  string
	machine    string
	state      badge
	version    uint64
	unchanged  string
	since      time.Time
	age        string
	fields     string
}

// A rowsQuery says which instances a table shows.
type rowsQuery struct {
	component, machine, state, text string
	oldest                          bool // longest unchanged first, not newest first
	skip, size                      int
}

// pageSize is the number of rows of the list.
const pageSize = 25

// rows reads the runtime's table. It keeps pointers only, so a large table
// costs 8 bytes an instance, for the time of the request.
func (d *Dashboard) rows(q rowsQuery) rowsView {
	var found []*fsm.Instance
	for in := range d.config.Runtime.Instances(fsm.Filter{Component: q.component, Machine: q.machine, State: q.state}) {
		if q.text == "" || matches(in, q.text) {
			found = append(found, in)
		}
	}
	if q.oldest {
		slices.SortStableFunc(found, func(a, b *fsm.Instance) int { return a.UpdatedAt().Compare(b.UpdatedAt()) })
	} else {
		slices.Reverse(found)
	}
	v := rowsView{total: len(found)}
	now := d.config.Now()
	from := min(q.skip, len(found))
	for _, in := range found[from:min(from+q.size, len(found))] {
		v.rows = append(v.rows, d.rowView(in, now))
	}
	return v
}

// matches looks for text in what an instance is known by.
func matches(in *fsm.Instance, text string) bool {
	return strings.Contains(strings.ToLower(in.Key()), text) || strings.Contains(strings.ToLower(in.ID()), text)
}

func (d *Dashboard) rowView(in *fsm.Instance, now time.Time) rowView {
	return rowView{
		name: nameOf(in.Key(), in.ID()), href: href("instance", "id", in.ID()),
		component: in.Component(), machine: in.Machine(), state: badge{in.State(), in.StateType()},
		version: in.Version(), unchanged: ago(now, in.UpdatedAt()), since: in.UpdatedAt(), age: ago(now, in.CreatedAt()),
		fields: fieldsOf(d.find(in.Component(), in.Machine()), in.Data()),
	}
}

// fieldsOf shows a few fields of the data: those that the schema requires
// first, as they say most about an instance.
func fieldsOf(m *fsm.Machine, data fsm.Data) string {
	var names, rest []string
	for k, v := range data.All() {
		switch v.(type) {
		case map[string]any, []any, nil:
			continue
		}
		if m != nil && m.ContextSchema[k].Required {
			names = append(names, k)
		} else {
			rest = append(rest, k)
		}
	}
	names = append(names, rest...)
	var out []string
	for _, k := range names[:min(3, len(names))] {
		v, _ := data.Get(k)
		out = append(out, k+" "+strings.Trim(compact(v), `"`))
	}
	return strings.Join(out, ", ")
}

func (d *Dashboard) instances(w http.ResponseWriter, r *http.Request) {
	if setTheme(w, r) {
		return
	}
	q := r.URL.Query()
	// One select names machines by component and name; links may use two
	// parameters.
	component, machine, state := q.Get("component"), q.Get("machine"), q.Get("state")
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil || page < 1 || page > 1<<30 {
		page = 1
	}
	v := instancesView{frame: d.frame(r, "Instances", "instances"), component: component, machine: machine, state: state, sort: q.Get("sort")}
	v.query = strings.TrimSpace(q.Get("q"))
	v.rows = d.rows(rowsQuery{
		component: component, machine: machine, state: state, text: strings.ToLower(v.query),
		oldest: v.sort == "unchanged", skip: (page - 1) * pageSize, size: pageSize,
	})
	v.options(d.config.Runtime.Components())
	v.first, v.last = (page-1)*pageSize+1, (page-1)*pageSize+len(v.rows.rows)
	if page > 1 {
		v.previous = v.address("page", strconv.Itoa(page-1))
	}
	if v.last < v.rows.total {
		v.next = v.address("page", strconv.Itoa(page+1))
	}
	d.show(w, r, http.StatusOK, instancesPage(v))
}

// address is that of the list with one parameter changed.
func (v *instancesView) address(key, value string) string {
	p := map[string]string{"component": v.component, "machine": v.machine, "state": v.state, "q": v.query, "sort": v.sort}
	p[key] = value
	return href("instances", "component", p["component"], "machine", p["machine"], "state", p["state"], "q", p["q"], "sort", p["sort"], "page", p["page"])
}

// options fills what can be chosen, and the filters in force.
func (v *instancesView) options(components []*fsm.Component) {
	seen := map[string]bool{}
	for _, c := range components {
		for _, m := range c.StateMachines {
			if v.component != "" && c.Name != v.component {
				continue
			}
			v.machines = append(v.machines, optionView{m.Name, m.Name, m.Name == v.machine})
			if v.machine != "" && m.Name != v.machine {
				continue
			}
			for _, s := range m.States {
				if !seen[s.Name] && s.Type != "final" && s.Type != "error" {
					seen[s.Name] = true
					v.states = append(v.states, optionView{s.Name, s.Name, s.Name == v.state})
				}
			}
		}
	}
	for _, f := range []struct{ key, value string }{{"component", v.component}, {"machine", v.machine}, {"state", v.state}, {"q", v.query}} {
		if f.value != "" {
			name := f.key
			if name == "q" {
				name = "key or id has"
			}
			v.chips = append(v.chips, chipView{name, f.value, v.address(f.key, "")})
		}
	}
}
