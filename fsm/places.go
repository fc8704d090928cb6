package fsm

import "sync"

// places are what only one instance may have at a time in the whole runtime:
// being the one of a singleton entry machine, and business keys. A place is
// reserved when a creation is asked for, and kept or given up when its commit
// is known.
type places struct {
	mu      sync.Mutex // guards all below
	singles map[*machine]string
	keys    map[keyRef]*keyPlace
}

type keyRef struct {
	comp *component
	key  string
}

// A keyPlace remembers the generation of a key after its instance has ended, so
// that the next one gets an id of its own: for as long as the instance is
// remembered in memory. What was before is looked up in the store.
type keyPlace struct {
	generation uint64
	id         string // "" while nobody has the key
	// reserved is closed once it is known what became of a reservation; nil if
	// there is none.
	reserved chan struct{}
}

func newPlaces() places {
	return places{singles: map[*machine]string{}, keys: map[keyRef]*keyPlace{}}
}

// single reports whether only one instance of the machine may be there.
func (m *machine) single() bool { return m.comp.singleton && m.comp.entry == m }

// takeSingleton reserves the one place of a singleton entry machine; for other
// machines it does nothing.
func (p *places) takeSingleton(m *machine, id string) error {
	if !m.single() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, taken := p.singles[m]; taken {
		return &Error{Code: CodeSingletonExists, Component: m.comp.name, Machine: m.name, Instance: other}
	}
	p.singles[m] = id
	return nil
}

// takeKey reserves a key. If somebody has it, it returns that place's id and a
// channel that is closed once the place is settled (nil if it is).
func (p *places) takeKey(c *component, key string) (id string, generation uint64, taken bool, wait chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ref := keyRef{c, key}
	k := p.keys[ref]
	if k == nil {
		k = &keyPlace{}
		p.keys[ref] = k
	}
	if k.id != "" {
		return k.id, k.generation, true, k.reserved
	}
	k.generation++
	k.id = keyedID(c.name, key, k.generation)
	k.reserved = make(chan struct{})
	return k.id, k.generation, false, nil
}

// renumber gives a reserved key another generation and returns its id.
func (p *places) renumber(c *component, key string, generation uint64) (id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[keyRef{c, key}]
	k.generation, k.id = generation, keyedID(c.name, key, generation)
	return k.id
}

// settle keeps what the instance reserved.
func (p *places) settle(in *Instance) {
	if in.origin.key == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.keys[keyRef{in.st.m.comp, in.origin.key}]; k != nil && k.id == in.id && k.reserved != nil {
		close(k.reserved)
		k.reserved = nil
	}
}

// drop gives up what an instance reserved that was not created.
func (p *places) drop(in *Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free(in, true)
}

// leave gives up the places of an instance that has ended.
func (p *places) leave(in *Instance) {
	if in.origin.key == "" && !in.st.m.single() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free(in, false)
}

func (p *places) free(in *Instance, unused bool) {
	m := in.st.m
	if m.single() && p.singles[m] == in.id {
		delete(p.singles, m)
	}
	ref := keyRef{m.comp, in.origin.key}
	k := p.keys[ref]
	if k == nil || k.id != in.id {
		return
	}
	k.id = ""
	if unused {
		k.generation--
	}
	if k.reserved != nil {
		close(k.reserved)
		k.reserved = nil
	}
}

// restore enters the places of an instance that a store gave back, ended ones
// too.
func (p *places) restore(in *Instance, active bool) {
	m := in.st.m
	if in.origin.key == "" && !m.single() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if active && m.single() {
		p.singles[m] = in.id
	}
	if in.origin.key == "" {
		return
	}
	ref := keyRef{m.comp, in.origin.key}
	k := p.keys[ref]
	if k == nil {
		k = &keyPlace{}
		p.keys[ref] = k
	}
	if in.origin.generation >= k.generation {
		k.generation = in.origin.generation
		k.id = ""
		if active {
			k.id = in.id
		}
	}
}

// forget drops a key's place once the last instance that had it is no longer
// remembered.
func (p *places) forget(in *Instance) {
	if in.origin.key == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ref := keyRef{in.st.m.comp, in.origin.key}
	if k := p.keys[ref]; k != nil && k.id == "" && k.generation == in.origin.generation {
		delete(p.keys, ref)
	}
}

// find returns the id of the instance that has the key now, or "" for none;
// generation is that of the last one.
func (p *places) find(c *component, key string) (id string, generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[keyRef{c, key}]
	if k == nil {
		return "", 0
	}
	return k.id, k.generation
}
