package ui

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// An instancesView answers: which ones exactly?
type instancesView struct {
	frame
	component, machine, state string
	runtime                   string
	sort, ended               string
	far                       bool // further than is looked
	bare                      bool // no runtime is known, and nothing is filtered
	rows                      rowsView
	components                []optionView
	runtimes                  []optionView
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
type chipView struct {
	key, name, value, without string
	// found is how many match without it, where with it nothing does.
	found int
}

// A rowsView is a table of instances.
type rowsView struct {
	rows  []rowView
	total int // that match, of which rows are a part
	// names says that the runtime has to be told: it is not the same for all
	// that there could be.
	names bool
	// sorts are where the columns that can be sorted by lead; nil where none
	// can.
	sorts *sortsView
}

// A sortsView has the columns of a list that it can be sorted by.
type sortsView struct{ unchanged, age sortView }

// A sortView is a column's heading: a click sorts by it, another one turns the
// order round.
type sortView struct {
	href string
	now  string // "ascending" or "descending" while the list is sorted by it
}

// mark shows which way the list is sorted.
func (s sortView) mark() string {
	switch s.now {
	case "ascending":
		return "↑"
	case "descending":
		return "↓"
	}
	return ""
}

// attributes tell readers of screens.
func (s sortView) attributes() templ.Attributes {
	if s.now == "" {
		return nil
	}
	return templ.Attributes{"aria-sort": s.now}
}

// listOrders are what a list can be sorted by, by their names in addresses.
var listOrders = map[string]mesh.Order{"": mesh.Newest, "unchanged": mesh.Unchanged, "oldest": mesh.Oldest, "changed": mesh.Recent}

type rowView struct {
	name, href string
	component  string
	runtime    string
	stale      bool
	held       bool // quarantined
	machine    string
	state      badge
	version    uint64
	unchanged  string
	since      time.Time
	age        string
	fields     string
}

// heldOnly is what the address of the list says for quarantined instances only.
const heldOnly = "quarantined"

// pageSize is the number of rows of the list.
const pageSize = 25

// rowsOf makes a table of what was selected.
func rowsOf(fl *fleet, found mesh.Selected) rowsView {
	v := rowsView{total: found.Total, names: len(fl.runtimes) > 1}
	for i := range found.Instances {
		v.rows = append(v.rows, rowOf(fl, &found.Instances[i]))
	}
	return v
}

func rowOf(fl *fleet, in *mesh.Instance) rowView {
	def := fl.definitionOf(in.RuntimeID, in.Machine)
	changed := time.UnixMilli(in.UpdatedAt)
	return rowView{
		name: nameOf(in.Key, in.ID), href: addressOf(in, false), component: in.Component, runtime: in.Name, stale: in.Stale, held: in.Status == mesh.Quarantined,
		machine: in.Machine, state: badgeOf(def, in.State), version: in.Version, unchanged: ago(fl.now, changed), since: changed,
		age: ago(fl.now, time.UnixMilli(in.CreatedAt)), fields: fieldsOf(def, dataOf(in)),
	}
}

// addressOf is the page of an instance. With its id alone it would be that of
// another where two runtimes have one id; exactly, also after a restart under
// the same name.
func addressOf(in *mesh.Instance, exactly bool) string {
	if exactly {
		return href("instance", "id", in.ID, "component", in.Component, "runtime", in.Name, "runtimeId", in.RuntimeID)
	}
	return href("instance", "id", in.ID, "component", in.Component, "runtime", in.Name)
}

// dataOf is what hooks and rules see: the public member where there is one. It
// comes from outside and may be no object: then it is shown as empty.
func dataOf(in *mesh.Instance) fsm.Data {
	if len(in.PublicMember) > 0 {
		return readData(in.PublicMember)
	}
	return readData(in.Context)
}

func readData(raw json.RawMessage) fsm.Data {
	var d fsm.Data
	if len(raw) > 0 && d.UnmarshalJSON(raw) != nil {
		return fsm.Data{}
	}
	return d
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

func (d *Dashboard) instances(r *http.Request) page {
	q := r.URL.Query()
	at, err := strconv.Atoi(q.Get("page"))
	if err != nil || at < 1 || at > 1<<30 {
		at = 1
	}
	v := instancesView{component: q.Get("component"), machine: q.Get("machine"), state: q.Get("state"), runtime: q.Get("runtime"), sort: q.Get("sort"), ended: q.Get("ended")}
	text := strings.TrimSpace(q.Get("q"))
	s := mesh.Selection{
		Filter: mesh.Filter{Name: v.runtime, Component: v.component, Machine: v.machine, State: v.state, Live: v.ended == "", Ended: v.ended == "only"},
		Text:   text, Quarantined: v.ended == heldOnly, Skip: (at - 1) * pageSize, Limit: pageSize,
	}
	if _, known := listOrders[v.sort]; !known {
		v.sort = ""
	}
	s.Order = listOrders[v.sort]
	var found mesh.Selected
	fl := d.read(func(dir *mesh.Directory) { found = dir.Select(s) })
	v.frame = d.frame(r, fl, "Instances", "instances", func(m *member) bool {
		return (v.component == "" || m.Component == v.component) && (v.runtime == "" || m.Name == v.runtime)
	})
	v.query, v.rows = text, rowsOf(fl, found)
	v.rows.sorts = v.sorts()
	v.options(fl)
	v.bare = len(fl.runtimes) == 0 && len(v.chips) == 0
	if found.Total == 0 && len(v.chips) > 1 {
		d.blame(&v, s)
	}
	v.page(at)
	return page{http.StatusOK, instancesPage(v)}
}

// blame counts what would match without each of the filters.
func (d *Dashboard) blame(v *instancesView, s mesh.Selection) {
	s.Skip, s.Limit = 0, 1
	d.config.View.Read(func(dir *mesh.Directory) {
		for i := range v.chips {
			less := s
			switch c := &v.chips[i]; c.key {
			case "component":
				less.Filter.Component = ""
			case "machine":
				less.Filter.Machine = ""
			case "state":
				less.Filter.State = ""
			case "runtime":
				less.Filter.Name = ""
			case "q":
				less.Text = ""
			case "ended":
				less.Filter.Live, less.Filter.Ended, less.Quarantined = true, false, false
			}
			v.chips[i].found = dir.Select(less).Total
		}
	})
}

// sorts are the headings of the columns. A great age is a small time, so that
// what people see as ascending is a later time first.
func (v *instancesView) sorts() *sortsView {
	heading := func(ascending, descending string) sortView {
		switch v.sort {
		case ascending:
			return sortView{v.address("sort", descending), "ascending"}
		case descending:
			return sortView{v.address("sort", ascending), "descending"}
		}
		return sortView{v.address("sort", descending), ""}
	}
	return &sortsView{unchanged: heading("changed", "unchanged"), age: heading("", "oldest")}
}

// page fills where the table stands in all that match.
func (v *instancesView) page(at int) {
	v.first, v.last = (at-1)*pageSize+1, (at-1)*pageSize+len(v.rows.rows)
	if at > 1 {
		v.previous = v.address("page", strconv.Itoa(at-1))
	}
	if v.last < v.rows.total && v.last < mesh.MaxSkip {
		v.next = v.address("page", strconv.Itoa(at+1))
	}
	v.far = v.first > mesh.MaxSkip+1
}

// address is that of the list with one parameter changed.
func (v *instancesView) address(key, value string) string {
	p := map[string]string{"component": v.component, "machine": v.machine, "state": v.state, "runtime": v.runtime, "ended": v.ended, "q": v.query, "sort": v.sort}
	p[key] = value
	return href("instances", "component", p["component"], "machine", p["machine"], "state", p["state"], "runtime", p["runtime"], "ended", p["ended"], "q", p["q"], "sort", p["sort"], "page", p["page"])
}

// options fills what can be chosen, and the filters in force.
func (v *instancesView) options(fl *fleet) {
	machines, states, runtimes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range fl.components {
		v.components = append(v.components, optionView{c.name, c.name, c.name == v.component})
		if v.component != "" && c.name != v.component {
			continue
		}
		for _, m := range c.members {
			add(&v.runtimes, runtimes, m.Name, v.runtime)
		}
		for _, m := range c.machines {
			add(&v.machines, machines, m.name, v.machine)
			if v.machine != "" && m.name != v.machine {
				continue
			}
			for _, s := range m.stateNames() {
				if v.ended != "" || !endsIn(m.def, s) {
					add(&v.states, states, s, v.state)
				}
			}
		}
	}
	for _, f := range []struct{ key, name, value string }{
		{"component", "component", v.component}, {"machine", "machine", v.machine}, {"state", "state", v.state},
		{"runtime", "runtime", v.runtime}, {"q", "key or id has", v.query}, {"ended", "ended", v.ended},
	} {
		if f.value != "" {
			v.chips = append(v.chips, chipView{key: f.key, name: f.name, value: f.value, without: v.address(f.key, "")})
		}
	}
}

// add adds a choice once.
func add(to *[]optionView, seen map[string]bool, name, chosen string) {
	if !seen[name] {
		seen[name] = true
		*to = append(*to, optionView{name, name, name == chosen})
	}
}
