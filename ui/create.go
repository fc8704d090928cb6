package ui

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
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
	faults             []fsm.ContextFault
	outcome            *outcome
}

// A fieldView is an entry of the machine's contextSchema, in words.
type fieldView struct {
	name, label, kind, rules string
	required                 bool
}

func (d *Dashboard) createForm(w http.ResponseWriter, r *http.Request) {
	if setTheme(w, r) {
		return
	}
	q := r.URL.Query()
	component, name := q.Get("component"), q.Get("machine")
	if name == "" {
		d.show(w, r, http.StatusOK, createPage(d.chooseView(r, component)))
		return
	}
	component, m := d.machineOf(w, r, component, name)
	if m == nil {
		return
	}
	v := d.createView(r, component, m)
	v.data = indented(exampleOf(m))
	d.show(w, r, http.StatusOK, createPage(v))
}

func (d *Dashboard) chooseView(r *http.Request, component string) createView {
	v := createView{frame: d.frame(r, "Create an instance", "create")}
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

func (d *Dashboard) createView(r *http.Request, component string, m *fsm.Machine) createView {
	v := createView{frame: d.frame(r, "Create "+m.Name, "create"), component: component, machine: m.Name}
	// While somebody fills in a form nothing of the page moves.
	v.live = false
	v.fields = fieldsIn(m.ContextSchema, "")
	for _, s := range m.States {
		if s.Type != "final" && s.Type != "error" && s.Name != m.InitialState {
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
	slices.SortStableFunc(out, func(a, b fieldView) int {
		switch {
		case a.required == b.required:
			return 0
		case a.required:
			return -1
		}
		return 1
	})
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
		d.badForm(w, r, err)
		return
	}
	f := r.PostForm
	component, m := d.machineOf(w, r, f.Get("component"), f.Get("machine"))
	if m == nil {
		return
	}
	v := d.createView(r, component, m)
	v.self = href("create", "component", v.component, "machine", v.machine)
	v.key, v.state, v.data = strings.TrimSpace(f.Get("key")), f.Get("state"), f.Get("data")
	for i := range v.states {
		v.states[i].selected = v.states[i].value == v.state
	}
	data, err := readObject(v.data)
	if err != nil {
		v.outcome = &outcome{heading: "Not created: the data is not a JSON object", lines: []string{sentence(err.Error()) + "."}}
		d.show(w, r, http.StatusBadRequest, createPage(v))
		return
	}
	if v.faults = m.CheckContext(data); len(v.faults) > 0 {
		v.outcome = &outcome{heading: "Not created: the data does not fit the schema", lines: faultLines(v.faults)}
		d.show(w, r, http.StatusUnprocessableEntity, createPage(v))
		return
	}
	in, err := d.config.Runtime.Create(r.Context(), m.Name, data, v.createOptions()...)
	if err != nil {
		v.outcome = &outcome{heading: "Not created", lines: []string{sentence(err.Error()) + "."}}
		if e, ok := errors.AsType[*fsm.Error](err); ok && (e.Code == fsm.CodeKeyExists || e.Code == fsm.CodeSingletonExists) {
			v.outcome.refused = true
		}
		d.show(w, r, httpStatus(err), createPage(v))
		return
	}
	redirect(w, href("instance", "id", in.ID(), "done", "1"))
}

func (v *createView) createOptions() []fsm.CreateOption {
	opts := []fsm.CreateOption{fsm.WithComponent(v.component)}
	if v.key != "" {
		opts = append(opts, fsm.WithKey(v.key))
	}
	if v.state != "" {
		opts = append(opts, fsm.InState(v.state))
	}
	return opts
}

func faultLines(faults []fsm.ContextFault) []string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Field+": "+f.Message)
	}
	return out
}
