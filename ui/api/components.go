package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/nearest"
	"github.com/fsmesh/fsmesh/mesh"
)

// definitions are the components that were announced, read once each.
type definitions struct {
	mu     sync.Mutex // guards byName
	byName map[string]definition
}

type definition struct {
	raw       json.RawMessage
	component *fsm.Component // nil if it cannot be read
}

// maxDefinitions bounds what is kept; more are read anew.
const maxDefinitions = 1000

func (d *definitions) read(name string, raw json.RawMessage) *fsm.Component {
	if len(raw) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byName[name]; ok && bytes.Equal(known.raw, raw) {
		return known.component
	}
	c := &fsm.Component{}
	if json.Unmarshal(raw, c) != nil {
		c = nil // it comes from outside and may be broken
	}
	if d.byName == nil || len(d.byName) >= maxDefinitions {
		d.byName = map[string]definition{}
	}
	d.byName[name] = definition{raw, c}
	return c
}

// A component is one that runtimes on the mesh have.
type component struct {
	name     string
	raw      json.RawMessage
	def      *fsm.Component // nil if it is not known, or broken
	runtimes int            // that are live
	info     mesh.ComponentInfo
}

// components returns those of all runtimes that are known, in the order in
// which they were first heard of.
func (a *API) components() []*component {
	var infos []mesh.RuntimeInfo
	var sums []mesh.ComponentInfo
	a.c.View.Read(func(d *mesh.Directory) {
		infos = d.Runtimes(time.Now())
		sums = d.Components()
	})
	byName := map[string]*component{}
	var out []*component
	for _, i := range infos {
		if i.Status == mesh.Superseded {
			continue
		}
		c := byName[i.Component]
		if c == nil {
			c = &component{name: i.Component}
			byName[i.Component] = c
			out = append(out, c)
		}
		// The newest that is alive is right about what the component is.
		if i.Status == mesh.Live {
			c.runtimes++
		}
		if len(i.Definition) > 0 && (c.raw == nil || i.Status == mesh.Live) {
			c.raw = i.Definition
		}
	}
	for _, s := range sums {
		if c := byName[s.Name]; c != nil {
			c.info = s
		}
	}
	for _, c := range out {
		c.def = a.definitions.read(c.name, c.raw)
	}
	return out
}

func (a *API) component(name string) (*component, error) {
	all := a.components()
	for _, c := range all {
		if c.name == name {
			return c, nil
		}
	}
	return nil, unknownComponent(name, all)
}

func unknownComponent(name string, all []*component) error {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	e := wrong(fsm.CodeUnknownComponent, "no runtime of a component %q is known%s", name, suggest(name, names))
	e.Ancestor = "Component not found"
	return e
}

// suggest says what was probably meant, or what there is.
func suggest(word string, names []string) string {
	if near, ok := nearest.Match(word, names); ok {
		return "; did you mean \"" + near + "\"?"
	}
	if len(names) == 0 {
		return ""
	}
	more := ""
	if len(names) > 20 {
		names, more = names[:20], ", …"
	}
	return "; there are: " + strings.Join(names, ", ") + more
}

// A count is how many instances there are.
type count struct {
	Active int `json:"active"`
	Stale  int `json:"stale"`
	Ended  int `json:"ended"`
	// Quarantined are those that nothing moves, in none of the other three.
	Quarantined int `json:"quarantined,omitempty"`
}

func countOf(c mesh.Count) count { return count{c.Active, c.Stale, c.Ended, c.Quarantined} }

// describe gives a component as it was announced, with what is added to it.
func (c *component) describe() map[string]any {
	out := map[string]any{"name": c.name, "stateMachines": []any{}}
	if c.def != nil {
		var fields map[string]json.RawMessage
		if json.Unmarshal(c.raw, &fields) == nil {
			for k, v := range fields {
				out[k] = v
			}
		}
	}
	population := map[string]map[string]count{}
	for _, m := range c.info.Machines {
		states := map[string]count{}
		for _, s := range m.States {
			states[s.Name] = countOf(s.Count)
		}
		population[m.Name] = states
	}
	out["known"] = c.def != nil
	out["runtimes"] = c.runtimes
	out["instances"] = countOf(c.info.Count)
	out["population"] = population
	return out
}

func (a *API) getComponents(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	list := []any{}
	for _, c := range a.components() {
		list = append(list, c.describe())
	}
	return answer(w, map[string]any{"components": list})
}

func (a *API) getComponent(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	c, err := a.component(r.PathValue("component"))
	if err != nil {
		return err
	}
	return answer(w, c.describe())
}

func (a *API) getMachines(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	c, err := a.component(r.PathValue("component"))
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"machines": c.describe()["stateMachines"]})
}

// machine finds a machine of a component's definition.
func (c *component) machine(name string) *fsm.Machine {
	if c.def == nil {
		return nil
	}
	for i := range c.def.StateMachines {
		if m := &c.def.StateMachines[i]; m.Name == name {
			return m
		}
	}
	return nil
}

// namesOf returns the machines and states that components have, of one machine
// if it is named: those of the definitions, and those that instances are in.
func namesOf(all []*component, machine string) (machines, states map[string]bool) {
	machines, states = map[string]bool{}, map[string]bool{}
	for _, c := range all {
		if c.def != nil {
			for _, m := range c.def.StateMachines {
				machines[m.Name] = true
				if machine == "" || m.Name == machine {
					for _, s := range m.States {
						states[s.Name] = true
					}
				}
			}
		}
		for _, m := range c.info.Machines {
			machines[m.Name] = true
			if machine == "" || m.Name == machine {
				for _, s := range m.States {
					states[s.Name] = true
				}
			}
		}
	}
	return machines, states
}

// checkNames refuses a machine or state that none of the components has: a
// misspelt one would give an empty list. Where no component is known nothing is
// refused.
func checkNames(all []*component, machine, state string) error {
	if len(all) == 0 {
		return nil
	}
	for _, c := range all {
		if c.def == nil {
			return nil // it may have any
		}
	}
	machines, states := namesOf(all, machine)
	if machine != "" && !machines[machine] {
		return wrong(fsm.CodeUnknownMachine, "no component here has a machine %q%s", machine, suggest(machine, slices.Sorted(maps.Keys(machines))))
	}
	if state != "" && !states[state] {
		if machine != "" {
			return wrong(fsm.CodeUnknownState, "machine %q has no state %q%s", machine, state, suggest(state, slices.Sorted(maps.Keys(states))))
		}
		return wrong(fsm.CodeUnknownState, "no machine here has a state %q%s", state, suggest(state, slices.Sorted(maps.Keys(states))))
	}
	return nil
}

// A runtimeRow is a runtime as /api/runtimes shows it.
type runtimeRow struct {
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	LastSeen  int64  `json:"lastSeen"` // Unix ms
	Name      string `json:"name"`
	Status    string `json:"status"`
	Since     int64  `json:"since"` // Unix ms; of the status
	// Exact says that the lists have all of its instances as they are; else
	// Reason says why not.
	Exact     bool   `json:"exact"`
	Reason    string `json:"reason,omitempty"`
	Missing   uint64 `json:"missing,omitempty"`
	Instances int    `json:"instances"`
	Ended     int    `json:"ended"`
	// Quarantined are those that are set aside, in neither of the other two.
	Quarantined int    `json:"quarantined,omitempty"`
	Epoch       uint64 `json:"epoch,omitempty"`
	// Store says in words where its instances are kept, and when on disk.
	Store    string `json:"store,omitempty"`
	Protocol int    `json:"protocol,omitempty"`
	// Followed says that it is behind a bridge and does not number what it tells:
	// its instances are as of its last answer, AsOf, and what it told since.
	Followed bool  `json:"followed,omitempty"`
	AsOf     int64 `json:"asOf,omitempty"` // Unix ms
}

func (a *API) getRuntimes(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	var infos []mesh.RuntimeInfo
	a.c.View.Read(func(d *mesh.Directory) { infos = d.Runtimes(time.Now()) })
	rows := []runtimeRow{}
	for _, i := range infos {
		if i.Status == mesh.Superseded {
			continue // who took it over is there
		}
		row := runtimeRow{
			RuntimeID: i.RuntimeID, Component: i.Component, Host: i.Host, Port: i.Port, LastSeen: i.Heard.UnixMilli(),
			Name: i.Name, Status: string(i.Status), Since: i.Since.UnixMilli(), Exact: i.Exactness.Exact,
			Reason: string(i.Exactness.Reason), Missing: i.Exactness.Missing, Instances: i.InMotion(), Ended: i.Ended,
			Quarantined: i.Quarantined, Epoch: i.Epoch, Store: i.Store, Protocol: i.Protocol, Followed: i.Followed,
		}
		if i.Followed && !i.AsOf.IsZero() {
			row.AsOf = i.AsOf.UnixMilli()
		}
		rows = append(rows, row)
	}
	return answer(w, map[string]any{"runtimes": rows})
}
