package fsmtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"gopkg.in/yaml.v3"
)

// A Scenario is a conformance scenario: definitions, steps to take on a runtime
// that runs them, and what must be observed.
type Scenario struct {
	Name       string           `yaml:"name"`
	Title      string           `yaml:"title"`
	Order      string           `yaml:"order"`
	Components []*fsm.Component `yaml:"components"`
	// Methods maps the name of a method to its operations.
	Methods     map[string][]action `yaml:"methods"`
	Persistence *persistence        `yaml:"persistence"`
	Check       []string            `yaml:"check"`
	Steps       []action            `yaml:"steps"`
	Expect      expectations        `yaml:"expect"`
}

// A persistence says which parts of it are on, and how often snapshots are
// taken.
type persistence struct {
	EventSourcing    *bool `yaml:"eventSourcing"`
	Snapshots        *bool `yaml:"snapshots"`
	SnapshotInterval int   `yaml:"snapshotInterval"`
}

func (p *persistence) records() bool   { return p.EventSourcing == nil || *p.EventSourcing }
func (p *persistence) snapshots() bool { return p.Snapshots == nil || *p.Snapshots }

// An action is a map with one key: a step of a scenario, or an operation of a
// method.
type action struct {
	name string
	arg  any
}

// UnmarshalYAML reads the one key and its value.
func (a *action) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		return fmt.Errorf("line %d: want a map with one key", n.Line)
	}
	v, err := plain(n.Content[1])
	a.name, a.arg = n.Content[0].Value, v
	return err
}

// args returns the value as a map, nil if it is none.
func (a *action) args() map[string]any {
	m, _ := a.arg.(map[string]any)
	return m
}

// text returns a string of the value, "" if it has none of that name.
func (a *action) text(key string) string {
	s, _ := a.args()[key].(string)
	return s
}

// object returns a map of the value, nil if it has none of that name.
func (a *action) object(key string) map[string]any {
	m, _ := a.args()[key].(map[string]any)
	return m
}

// An entry is one line of a list of observations.
type entry map[string]any

// UnmarshalYAML reads a map of plain values.
func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	v, err := plain(n)
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("line %d: want a map", n.Line)
	}
	*e = m
	return nil
}

type expectations struct {
	LoadError  string  `yaml:"loadError"`
	Events     []entry `yaml:"events"`
	Outcomes   []entry `yaml:"outcomes"`
	Broadcasts []entry `yaml:"broadcasts"`
	Cascades   []entry `yaml:"cascades"`
	Instances  []entry `yaml:"instances"`
	Persisted  []entry `yaml:"persisted"`
	Snapshots  []entry `yaml:"snapshots"`
}

// checks reports whether an extra thing is to be compared.
func (s *Scenario) checks(what string) bool { return slices.Contains(s.Check, what) }

// restarts reports whether a step restarts the engine.
func (s *Scenario) restarts() bool {
	return slices.ContainsFunc(s.Steps, func(a action) bool { return a.name == "restart" })
}

// LoadScenarios reads all scenarios of a folder, in the order of file names. A
// folder without any is an error.
func LoadScenarios(folder string) ([]*Scenario, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no scenario in %q", folder)
	}
	var out []*Scenario
	var faults []error
	for _, file := range files {
		s, err := loadScenario(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
			continue
		}
		out = append(out, s)
	}
	return out, errors.Join(faults...)
}

func loadScenario(file string) (*Scenario, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s, err := DecodeScenario(b)
	if err != nil {
		return nil, err
	}
	if want := strings.TrimSuffix(filepath.Base(file), ".yaml"); s.Name != want {
		return nil, fmt.Errorf("its name is %q", s.Name)
	}
	return s, nil
}

// DecodeScenario reads a scenario from YAML. Keys that definitions have beyond
// the schema are ignored.
func DecodeScenario(b []byte) (*Scenario, error) {
	var s Scenario
	if err := yaml.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if len(s.Components) == 0 {
		return nil, errors.New("no components")
	}
	if s.Order != "" && s.Order != "total" && s.Order != "per_instance" {
		return nil, fmt.Errorf("order %q", s.Order)
	}
	for i := range s.Steps {
		if _, ok := steps[s.Steps[i].name]; !ok {
			return nil, fmt.Errorf("step %d: no such step as %q", i+1, s.Steps[i].name)
		}
	}
	for name, list := range s.Methods {
		for _, op := range list {
			if _, ok := operations[op.name]; !ok {
				return nil, fmt.Errorf("method %q: no such operation as %q", name, op.name)
			}
		}
	}
	return &s, nil
}
