package fsmtest

import (
	"fmt"
	"strings"
	"sync"
)

// aliases translates between the names that a scenario has for instances and
// their ids.
type aliases struct {
	mu      sync.Mutex // guards all below
	ids     map[string]string
	names   map[string]string
	pending string // for the instance that the step at hand creates
	count   int    // of instances without a name of their own
}

func newAliases() *aliases {
	return &aliases{ids: map[string]string{}, names: map[string]string{}}
}

// expect gives the next instance that is created a name; "" takes that back.
func (a *aliases) expect(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = name
}

// created names an instance, once.
func (a *aliases) created(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.names[id]; ok {
		return
	}
	name := a.pending
	a.pending = ""
	if name == "" {
		a.count++
		name = fmt.Sprintf("new%d", a.count)
	}
	a.ids[name], a.names[id] = id, name
}

// id returns the id of a name. A name that was never given stands for an id
// that does not exist.
func (a *aliases) id(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, ok := a.ids[name]; ok {
		return id
	}
	return nobody + name
}

const nobody = "nobody of the name "

// name returns the name of an id; what is none stays as it is.
func (a *aliases) name(id string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name, ok := a.names[id]; ok {
		return name
	}
	return strings.TrimPrefix(id, nobody)
}

// in replaces "@name" by the id, wherever it is in a value.
func (a *aliases) in(v any) any {
	return mapStrings(v, func(s string) string {
		if name, ok := strings.CutPrefix(s, "@"); ok {
			return a.id(name)
		}
		return s
	})
}

// out replaces ids by "@name", wherever they are in a value.
func (a *aliases) out(v any) any {
	return mapStrings(v, func(s string) string {
		if name := a.name(s); name != s {
			return "@" + name
		}
		return s
	})
}

// inMap is in for a map.
func (a *aliases) inMap(m map[string]any) map[string]any {
	out, _ := a.in(m).(map[string]any)
	return out
}

func mapStrings(v any, f func(string) string) any {
	switch x := v.(type) {
	case string:
		return f(x)
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, e := range x {
			m[k] = mapStrings(e, f)
		}
		return m
	case []any:
		l := make([]any, 0, len(x))
		for _, e := range x {
			l = append(l, mapStrings(e, f))
		}
		return l
	}
	return v
}
