package ui

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A createView is the form that makes an instance. Without a machine it is the
// list of those to choose from.
type createView struct {
	frame
	component, machine string
	choices            []navComponent
	key, state, data   string
	states             []optionView
	fields             []fieldView
	outcome            *outcome
}

// A fieldView is an entry of the machine's contextSchema, in words.
type fieldView struct {
	name, label, kind, rules string
	required                 bool
}

func (d *Dashboard) createForm(r *http.Request) page {
	q := r.URL.Query()
	fl := d.read(nil)
	if q.Get("machine") == "" {
		return page{http.StatusOK, createPage(chooseOf(d.frame(r, fl, "Create an instance", "create", none), q.Get("component")))}
	}
	m, other := d.machineOf(r, fl, q.Get("component"), q.Get("machine"))
	if other != nil {
		return *other
	}
	v := createOf(d.frame(r, fl, "Create "+m.name, "create", none), m)
	v.data = indented(exampleOf(m.def))
	return page{http.StatusOK, createPage(v)}
}

func chooseOf(f frame, component string) createView {
	v := createView{frame: f}
	v.live, v.fixed = false, true
	for _, c := range v.nav {
		if component != "" && c.name != component {
			continue
		}
		choice := navComponent{name: c.name, version: c.version}
		for _, m := range c.machines {
			m.href = href("create", "component", c.name, "machine", m.name)
			choice.machines = append(choice.machines, m)
		}
		v.choices = append(v.choices, choice)
	}
	return v
}

func createOf(f frame, m *machine) createView {
	v := createView{frame: f, component: m.component, machine: m.name}
	// While somebody fills in a form nothing of the page moves.
	v.live, v.fixed = false, true
	if m.def == nil {
		return v
	}
	v.fields = fieldsIn(m.def.ContextSchema, "")
	for _, s := range m.def.States {
		if s.Type != "final" && s.Type != "error" && s.Name != m.def.InitialState {
			v.states = append(v.states, optionView{label: s.Name, value: s.Name})
		}
	}
	return v
}

// fieldsIn puts a schema into words, in alphabetical order, the required ones
// first.
func fieldsIn(schema map[string]fsm.Field, prefix string) []fieldView {
	var out []fieldView
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		f := schema[name]
		v := fieldView{name: prefix + name, label: f.Label, kind: f.Type, required: f.Required, rules: rulesOf(f)}
		if v.label == "" {
			v.label = f.Description
		}
		out = append(out, v)
		out = append(out, fieldsIn(f.Properties, prefix+name+".")...)
	}
	slices.SortStableFunc(out, func(a, b fieldView) int { return trueFirst(a.required, b.required) })
	return out
}

func rulesOf(f fsm.Field) string {
	var out []string
	if f.Min != nil {
		out = append(out, "at least "+compact(*f.Min))
	}
	if f.Max != nil {
		out = append(out, "at most "+compact(*f.Max))
	}
	if f.MinLength != nil {
		out = append(out, fmt.Sprintf("at least %d long", *f.MinLength))
	}
	if f.MaxLength != nil {
		out = append(out, fmt.Sprintf("at most %d long", *f.MaxLength))
	}
	if f.Pattern != "" {
		out = append(out, "like "+f.Pattern)
	}
	if len(f.Options) > 0 {
		out = append(out, "one of "+strings.Trim(compact(f.Options), "[]"))
	}
	if f.Default != nil {
		out = append(out, "default "+compact(f.Default))
	}
	return strings.Join(out, ", ")
}

// exampleOf is what the form begins with: defaults, placeholders, and an empty
// value for what else is required.
func exampleOf(m *fsm.Machine) map[string]any {
	out := map[string]any{}
	if m == nil {
		return out
	}
	for name, f := range m.ContextSchema {
		switch {
		case f.Default != nil:
			out[name] = f.Default
		case !f.Required:
		case f.Placeholder != "":
			out[name] = f.Placeholder
		case len(f.Options) > 0:
			out[name] = f.Options[0]
		default:
			out[name] = emptyOf(f.Type)
		}
	}
	return out
}

func emptyOf(kind string) any {
	switch kind {
	case "number", "integer":
		return 0
	case "boolean":
		return false
	case "object":
		return map[string]any{}
	case "array":
		return []any{}
	}
	return ""
}

// create makes an instance from a form, and leads to it. What is wrong is all
// shown at once, with the form as it was filled in.
func (d *Dashboard) create(w http.ResponseWriter, r *http.Request) {
	if err := readForm(r); err != nil {
		d.show(w, r, d.badForm(r, err))
		return
	}
	f, fl := r.PostForm, d.read(nil)
	m, other := d.machineOf(r, fl, f.Get("component"), f.Get("machine"))
	if other != nil {
		d.show(w, r, *other)
		return
	}
	v := createOf(d.frame(r, fl, "Create "+m.name, "create", none), m)
	v.self = href("create", "component", v.component, "machine", v.machine)
	v.key, v.state, v.data = strings.TrimSpace(f.Get("key")), f.Get("state"), f.Get("data")
	for i := range v.states {
		v.states[i].selected = v.states[i].value == v.state
	}
	refuse := func(status int, o outcome) {
		v.outcome = &o
		d.show(w, r, page{status, createPage(v)})
	}
	data, err := readObject(v.data)
	if err != nil {
		refuse(http.StatusBadRequest, outcome{heading: "Not created: the data is not a JSON object", lines: []string{sentence(err.Error()) + "."}})
		return
	}
	if m.def != nil {
		if faults := m.def.CheckContext(data); len(faults) > 0 {
			refuse(http.StatusUnprocessableEntity, outcome{heading: "Not created: the data does not fit the schema", lines: faultLines(faults)})
			return
		}
	}
	out, err := d.config.Client.Create(r.Context(), m.component, m.name, data, mesh.CreateOptions{Key: v.key, State: v.state})
	if err != nil {
		o := outcome{heading: "Not created", lines: []string{sentence(err.Error()) + "."}}
		switch {
		case errors.Is(err, mesh.ErrNoAnswer):
			o.heading = "It is not known whether it was created"
		case errors.Is(err, fsm.ErrKeyExists), errors.Is(err, fsm.ErrSingletonExists):
			o.refused = true
		}
		refuse(httpStatus(err), o)
		return
	}
	redirect(w, d.shown(r.Context(), out, "instance", "id", out.Instance, "component", m.component))
}

func faultLines(faults []fsm.ContextFault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Field+": "+f.Message)
	}
	return out
}
