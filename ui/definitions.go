package ui

import (
	"encoding/json"
	"sync"

	"github.com/fsmesh/fsmesh/fsm"
)

// maxDefinitions bounds the definitions that are kept; then all are read anew.
const maxDefinitions = 1000

// definitions reads the components that runtimes announce, each once. What
// comes from outside may be broken: then there is none.
type definitions struct {
	mu sync.Mutex // guards known
	// known has them by the announced bytes themselves, which a directory
	// keeps as they came.
	known map[*byte]*fsm.Component
}

func newDefinitions() *definitions { return &definitions{known: map[*byte]*fsm.Component{}} }

// read returns the component of a definition, nil if it can't be read.
func (d *definitions) read(raw json.RawMessage) *fsm.Component {
	if len(raw) == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.known[&raw[0]]
	if !ok {
		if len(d.known) >= maxDefinitions {
			clear(d.known)
		}
		c, _, _ = fsm.ParseComponent(raw, fsm.Lenient())
		d.known[&raw[0]] = c
	}
	return c
}
