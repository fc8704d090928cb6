package mesh

import (
	"cmp"
	"slices"
)

// A Count is how many instances there are somewhere.
type Count struct {
	// Active are live instances of live runtimes.
	Active int
	// Stale were live when their runtime was last heard, which is lost or
	// stopped since.
	Stale int
	// Ended are those that ended not long ago.
	Ended int
	// Quarantined are those that nothing moves: they have not ended, and may go
	// on after a restart of their runtime.
	Quarantined int
}

// All is the sum.
func (c Count) All() int { return c.Active + c.Stale + c.Ended + c.Quarantined }

func (c *Count) add(o Count) {
	c.Active += o.Active
	c.Stale += o.Stale
	c.Ended += o.Ended
	c.Quarantined += o.Quarantined
}

// A ComponentInfo is what all runtimes of a component have together. It is
// made from counts that are kept, not by counting.
type ComponentInfo struct {
	Name     string
	Runtimes []string // runtimeIds of those that are not superseded
	Count    Count
	Machines []MachineInfo // by name
}

// A MachineInfo is the part of a ComponentInfo about one machine.
type MachineInfo struct {
	Name   string
	Count  Count
	States []StateInfo // those that an instance was met in, by name
}

// A StateInfo is how many instances are in one state, or ended in it.
type StateInfo struct {
	Name  string
	Count Count
}

// Components returns all components of runtimes that are known, by name.
func (d *Directory) Components() []ComponentInfo {
	byName := map[string]*componentSum{}
	for _, m := range d.list {
		if m.status == Superseded {
			continue
		}
		c := byName[m.Component]
		if c == nil {
			c = &componentSum{}
			byName[m.Component] = c
		}
		c.add(m)
	}
	out := make([]ComponentInfo, 0, len(byName))
	for name, c := range byName {
		out = append(out, c.info(name))
	}
	slices.SortFunc(out, func(a, b ComponentInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Component returns one component. ok is false if no runtime of it is known.
func (d *Directory) Component(name string) (c ComponentInfo, ok bool) {
	var sum componentSum
	for _, m := range d.list {
		if m.status != Superseded && m.Component == name {
			sum.add(m)
			ok = true
		}
	}
	return sum.info(name), ok
}

// A componentSum adds up what runtimes have.
type componentSum struct {
	runtimes []string
	machines map[string]map[string]Count
}

func (c *componentSum) add(m *member) {
	c.runtimes = append(c.runtimes, m.RuntimeID)
	if c.machines == nil {
		c.machines = map[string]map[string]Count{}
	}
	for _, mc := range m.table.machines {
		states := c.machines[mc.name]
		if states == nil {
			states = map[string]Count{}
			c.machines[mc.name] = states
		}
		for _, p := range mc.states {
			n := states[p.name]
			n.add(p.count(m.status))
			states[p.name] = n
		}
	}
}

func (p *population) count(s RuntimeStatus) Count {
	c := Count{Ended: p.ended, Quarantined: p.held}
	if live := len(p.entries) - p.ended - p.held; s == Live {
		c.Active = live
	} else {
		c.Stale = live
	}
	return c
}

func (c *componentSum) info(name string) ComponentInfo {
	out := ComponentInfo{Name: name, Runtimes: c.runtimes, Machines: make([]MachineInfo, 0, len(c.machines))}
	for machine, states := range c.machines {
		mi := MachineInfo{Name: machine, States: make([]StateInfo, 0, len(states))}
		for state, n := range states {
			mi.States = append(mi.States, StateInfo{state, n})
			mi.Count.add(n)
		}
		slices.SortFunc(mi.States, func(a, b StateInfo) int { return cmp.Compare(a.Name, b.Name) })
		out.Machines = append(out.Machines, mi)
		out.Count.add(mi.Count)
	}
	slices.SortFunc(out.Machines, func(a, b MachineInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
