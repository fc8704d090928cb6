package fsm

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/internal/nearest"
)

// What the fields with a fixed set of values may hold. An empty field means
// the default in every case.
var (
	definitionModes           = []string{"singleton", "multiple"}
	definitionStateTypes      = []string{"entry", "regular", "final", "error"}
	definitionTransitionTypes = []string{"regular", "triggerable", "timeout", "auto", "inter_machine", "cross_component", "internal"}
	definitionOperators       = []string{"===", "!==", ">", "<", ">=", "<="}
	definitionFieldTypes      = []string{"text", "number", "boolean", "date", "select", "object", "array", "string", "integer"}
)

// maxTimeoutMs is the longest delay that a time.Duration holds, 292 years.
const maxTimeoutMs = math.MaxInt64 / 1_000_000

// Check returns all that is wrong with a component, errors and warnings, in
// the order of the definition. Problems have a Path and no position. It is
// what ParseComponent calls, for definitions that are built in Go. A nil
// result means that there is nothing to say. Check changes nothing and may be
// called from any goroutine as long as nobody writes to c.
//
// An error is what can't be run. What runs but is probably not meant (a state
// that nothing leads to, a timeout without a delay, a machine that is not
// there) is a warning.
func (c *Component) Check() []Problem {
	list := &problemList{}
	check := definitionCheck{component: c, list: list,
		broken: func(string) bool { return false },
		locate: func(string) (int, int) { return 0, 0 }}
	check.run()
	return list.sorted()
}

// A definitionCheck is one run over a component. broken tells what could not
// be read and so has been reported already, locate where a path is.
type definitionCheck struct {
	component *Component
	list      *problemList
	broken    func(path string) bool
	locate    func(path string) (line, column int)

	// Look-ups made once, so that the time is linear in the size.
	machineNames []string
	machineAt    map[string]int
	allMachines  bool // all names were read, so others are unknown
	indexes      []checkIndex
}

// A checkIndex is the states of a machine by name.
type checkIndex struct {
	names  []string
	states map[string]*State
	whole  bool // all names were read, so others are unknown
}

// index makes the look-ups.
func (k *definitionCheck) index() {
	machines := k.component.StateMachines
	k.machineAt = make(map[string]int, len(machines))
	k.allMachines = len(machines) > 0 && k.sound("stateMachines", len(machines))
	k.indexes = make([]checkIndex, len(machines))
	for i := range machines {
		name := machines[i].Name
		if _, twice := k.machineAt[name]; name == "" {
			k.allMachines = false // it may be the one that is meant
		} else if !twice {
			k.machineAt[name] = i
			k.machineNames = append(k.machineNames, name)
		}
		k.indexes[i] = k.indexStates(&machines[i], pathIndex("stateMachines", i)+".states")
	}
}

func (k *definitionCheck) indexStates(m *Machine, path string) checkIndex {
	x := checkIndex{states: make(map[string]*State, len(m.States)), whole: len(m.States) > 0 && k.sound(path, len(m.States))}
	for i := range m.States {
		s := &m.States[i]
		if _, twice := x.states[s.Name]; s.Name == "" {
			x.whole = false // it may be the one that is meant
		} else if !twice {
			x.states[s.Name] = s
			x.names = append(x.names, s.Name)
		}
	}
	return x
}

func (k *definitionCheck) error(path, hint, format string, args ...any) {
	k.add(SeverityError, path, hint, format, args...)
}

func (k *definitionCheck) warn(path, hint, format string, args ...any) {
	k.add(SeverityWarning, path, hint, format, args...)
}

func (k *definitionCheck) add(s Severity, path, hint, format string, args ...any) {
	if k.broken(path) {
		return
	}
	line, column := k.locate(path)
	k.list.add(Problem{Line: line, Column: column, Severity: s, Path: path,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// near is the hint, for a problem of that severity, for a word that is not
// among the ones there are.
func (k *definitionCheck) near(s Severity, word string, known []string) string {
	if k.list.full(s) {
		return ""
	}
	// The comparison has its price, so it is for files of a usual size.
	const most = 5000
	known = known[:min(len(known), most)]
	if near, ok := nearest.Match(word, known); ok {
		return fmt.Sprintf("did you mean %s?", problemQuote(near))
	}
	return checkListHint(known)
}

// checkListHint lists a few allowed words.
func checkListHint(known []string) string {
	const most = 8
	if len(known) == 0 {
		return ""
	}
	words := make([]string, 0, most)
	for _, w := range known[:min(len(known), most)] {
		words = append(words, problemQuote(w))
	}
	if len(known) > most {
		words = append(words, "…")
	}
	if len(known) == 1 {
		return "there is only " + words[0]
	}
	return "there are " + strings.Join(words, ", ")
}

func (k *definitionCheck) run() {
	c := k.component
	if c.Name == "" {
		k.error("name", "", "the component has no name")
	} else if bad := badName(c.Name); bad != "" {
		k.error("name", "", "the name of the component cannot be used: %s", bad)
	}
	k.index()
	k.oneOf("entryMachineMode", c.EntryMachineMode, definitionModes)
	if _, ok := k.machineAt[c.EntryMachine]; !ok && c.EntryMachine != "" && k.allMachines {
		k.error("entryMachine", k.near(SeverityError, c.EntryMachine, k.machineNames), "entry machine %s is not among the machines", problemQuote(c.EntryMachine))
	}
	k.machines()
	k.cascadeCycles()
}

// sound says whether a list of named things was read completely, so that a
// name that is not in it is wrong.
func (k *definitionCheck) sound(path string, n int) bool {
	if k.broken(path) {
		return false
	}
	for i := range n {
		if at := pathIndex(path, i); k.broken(at) || k.broken(at+".name") {
			return false
		}
	}
	return true
}

func (k *definitionCheck) machines() {
	c := k.component
	if len(c.StateMachines) == 0 {
		k.error("stateMachines", "", "the component has no machines")
		return
	}
	seen := newCheckNames(k, "machine")
	for i := range c.StateMachines {
		path := pathIndex("stateMachines", i)
		if k.broken(path) {
			continue
		}
		seen.name(path, c.StateMachines[i].Name)
		m := &checkMachine{definitionCheck: k, checkIndex: k.indexes[i], machine: &c.StateMachines[i], path: path}
		m.run()
	}
}

// oneOf checks a field with a fixed set of values, empty for the default.
func (k *definitionCheck) oneOf(path, value string, allowed []string) {
	if value == "" || slices.Contains(allowed, value) {
		return
	}
	hint := "use one of " + strings.Join(allowed, ", ")
	if near, ok := nearest.Match(value, allowed); ok {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	k.error(path, hint, "unknown %s %s", pathLast(path), problemQuote(value))
}

// A checkNames finds names that are missing, there twice, or differ only in
// case.
type checkNames struct {
	*definitionCheck
	what   string
	exact  map[string]bool
	folded map[string]string
}

func newCheckNames(k *definitionCheck, what string) *checkNames {
	return &checkNames{definitionCheck: k, what: what, exact: map[string]bool{}, folded: map[string]string{}}
}

func (n *checkNames) name(path, name string) {
	path += ".name"
	if name == "" {
		n.error(path, "", "a %s has no name", n.what)
		return
	}
	if bad := badName(name); bad != "" {
		n.error(path, "", "the name of a %s cannot be used: %s", n.what, bad)
		return
	}
	if n.exact[name] {
		n.error(path, "", "duplicate %s %s", n.what, problemQuote(name))
		return
	}
	n.exact[name] = true
	fold := strings.ToLower(name)
	if other, ok := n.folded[fold]; ok {
		n.warn(path, "case counts in names, so these are two", "%s %s differs from %s only in case", n.what, problemQuote(name), problemQuote(other))
		return
	}
	n.folded[fold] = name
}
