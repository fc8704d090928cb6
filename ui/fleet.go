package ui

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A fleet is what a directory says at one moment, as far as all pages need it.
type fleet struct {
	now        time.Time
	mesh       string
	connected  bool
	runtimes   []member // but for superseded ones
	components []*component
	bridges    []bridgeView
}

// A member is a runtime with its definition, nil if that can't be read.
type member struct {
	mesh.RuntimeInfo
	definition *fsm.Component
}

// A component is what all of its runtimes have together.
type component struct {
	name     string
	version  string
	members  []*member
	machines []*machine
	count    mesh.Count
	// differ says that its runtimes have different definitions; what is shown
	// is that of the runtime that came last.
	differ bool
}

// A machine is one of a component.
type machine struct {
	component, name string
	def             *fsm.Machine // nil where no runtime tells it
	count           mesh.Count
	states          map[string]mesh.Count
}

// read looks at the directory once. more, if set, reads what else a page needs
// at the same moment.
func (d *Dashboard) read(more func(*mesh.Directory)) *fleet {
	f := &fleet{now: d.config.Now(), mesh: d.config.Bus.Mesh(), connected: d.config.Bus.Connected()}
	var infos []mesh.RuntimeInfo
	var counts []mesh.ComponentInfo
	var bridges []mesh.BridgeInfo
	d.config.View.Read(func(dir *mesh.Directory) {
		infos, counts = dir.Runtimes(f.now), dir.Components()
		bridges = dir.Bridges(f.now)
		if more != nil {
			more(dir)
		}
	})
	f.bridges = bridgesOf(bridges, f.now)
	for _, i := range infos {
		if i.Status != mesh.Superseded {
			f.runtimes = append(f.runtimes, member{i, d.definitions.read(i.Definition)})
		}
	}
	slices.SortStableFunc(f.runtimes, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Epoch, b.Epoch))
	})
	for _, c := range counts {
		f.components = append(f.components, f.component(c))
	}
	return f
}

// component puts together what the runtimes of one have.
func (f *fleet) component(info mesh.ComponentInfo) *component {
	c := &component{name: info.Name, count: info.Count}
	var of *member
	for i := range f.runtimes {
		m := &f.runtimes[i]
		if m.Component != info.Name {
			continue
		}
		c.members = append(c.members, m)
		if m.definition == nil {
			continue
		}
		c.differ = c.differ || of != nil && !bytes.Equal(of.Definition, m.Definition)
		if of == nil || cmp.Or(cmp.Compare(rank(m), rank(of)), cmp.Compare(m.Epoch, of.Epoch)) > 0 {
			of = m
		}
	}
	if of != nil {
		c.version = of.definition.Version
		for i := range of.definition.StateMachines {
			def := &of.definition.StateMachines[i]
			c.machines = append(c.machines, &machine{component: c.name, name: def.Name, def: def, states: map[string]mesh.Count{}})
		}
	}
	for _, mi := range info.Machines {
		m := c.machine(mi.Name)
		if m == nil {
			m = &machine{component: c.name, name: mi.Name, states: map[string]mesh.Count{}}
			c.machines = append(c.machines, m)
		}
		m.count = mi.Count
		for _, s := range mi.States {
			m.states[s.Name] = s.Count
		}
	}
	return c
}

// rank prefers runtimes that are there.
func rank(m *member) int {
	if m.Status == mesh.Live {
		return 1
	}
	return 0
}

func (c *component) machine(name string) *machine {
	for _, m := range c.machines {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (f *fleet) named(name string) *component {
	for _, c := range f.components {
		if c.name == name {
			return c
		}
	}
	return nil
}

// find returns a machine of a component, nil if none is known.
func (f *fleet) find(component, name string) *machine {
	if c := f.named(component); c != nil {
		return c.machine(name)
	}
	return nil
}

// definitionOf is a machine as the runtime of an instance has it, which may be
// another version than that of others; nil if it is not known.
func (f *fleet) definitionOf(runtimeID, name string) *fsm.Machine {
	for i := range f.runtimes {
		m := &f.runtimes[i]
		if m.RuntimeID != runtimeID || m.definition == nil {
			continue
		}
		for k := range m.definition.StateMachines {
			if def := &m.definition.StateMachines[k]; def.Name == name {
				return def
			}
		}
	}
	return nil
}

// inMotion counts what has not ended, also where its runtime is away.
func inMotion(c mesh.Count) int { return c.Active + c.Stale }

// population counts what is in motion by state.
func (m *machine) population() map[string]int {
	out := map[string]int{}
	for name, n := range m.states {
		out[name] = inMotion(n)
	}
	return out
}
