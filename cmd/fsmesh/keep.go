package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/internal/nearest"
)

// A keeping is the value of a flag that says how long something is kept: a time for
// all machines, and others for some. It may be given several times, but once for each.
type keeping struct {
	all   time.Duration
	given bool                     // all is no default
	of    map[string]time.Duration // by machine, or component/machine
}

// String returns the time for all machines: it is the default that the help shows.
func (k *keeping) String() string {
	if k.all == 0 {
		return ""
	}
	return k.all.String()
}

// Type is shown in the help.
func (k *keeping) Type() string { return "duration" }

// Set takes a time for all machines, or for one.
func (k *keeping) Set(s string) error {
	machine, text := "", s
	if i := strings.LastIndexByte(s, '='); i >= 0 {
		if machine, text = s[:i], s[i+1:]; machine == "" {
			return fmt.Errorf("%q names no machine", s)
		}
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no time such as 24h, 30m or 0", text)
	case d < 0:
		return fmt.Errorf("%q is less than 0", text)
	case machine == "" && k.given:
		return fmt.Errorf("a time for all machines is given twice, %v and %v; for one machine it is MACHINE=TIME", k.all, d)
	case machine == "":
		k.all, k.given = d, true
		return nil
	}
	if before, twice := k.of[machine]; twice {
		return fmt.Errorf("the machine %q is given twice, with %v and %v", machine, before, d)
	}
	if k.of == nil {
		k.of = map[string]time.Duration{}
	}
	k.of[machine] = d
	return nil
}

// time is how long it is for a machine, and whether that is said of it by name.
func (k *keeping) time(component, machine string) (d time.Duration, named bool) {
	for _, name := range []string{component + "/" + machine, machine} {
		if d, ok := k.of[name]; ok {
			return d, true
		}
	}
	return k.all, false
}

// retentionOf returns the retention of the machines of a component for which one of
// the flags has a time by name, as fsm.Config has it.
func (s *storage) retentionOf(c *fsm.Component) map[string]fsm.Retention {
	out := map[string]fsm.Retention{}
	for i := range c.StateMachines {
		machine := c.StateMachines[i].Name
		ended, a := s.keepEnded.time(c.Name, machine)
		records, b := s.keepRecords.time(c.Name, machine)
		if a || b {
			out[c.Name+"/"+machine] = fsm.Retention{Ended: ended, Records: records}
		}
	}
	return out
}

// retention is that of the machines of which no flag has a time by name.
func (s *storage) retention() fsm.Retention {
	return fsm.Retention{Ended: s.keepEnded.all, Records: s.keepRecords.all}
}

// checkMachines refuses times for machines that no component has.
func (s *storage) checkMachines(components ...*fsm.Component) error {
	var names []string
	known := map[string]bool{}
	for _, c := range components {
		for i := range c.StateMachines {
			machine := c.StateMachines[i].Name
			names = append(names, machine)
			known[machine], known[c.Name+"/"+machine] = true, true
		}
	}
	for flag, k := range map[string]*keeping{"keep-ended": &s.keepEnded, "keep-records": &s.keepRecords} {
		for _, name := range slices.Sorted(maps.Keys(k.of)) {
			if known[name] {
				continue
			}
			if near, ok := nearest.Match(name, names); ok {
				return usage("--%s names the machine %q, which is not served; did you mean %q?", flag, name, near)
			}
			return usage("--%s names the machine %q, which is not served; there are %s", flag, name, strings.Join(names, ", "))
		}
	}
	return nil
}
