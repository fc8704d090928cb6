package fsm

import "strings"

type operator uint8

const (
	opEqual operator = iota
	opNotEqual
	opGreater
	opLess
	opGreaterEqual
	opLessEqual
)

var operators = map[string]operator{
	"": opEqual, "===": opEqual, "!==": opNotEqual, ">": opGreater, "<": opLess, ">=": opGreaterEqual, "<=": opLessEqual,
}

// A rule compares a value of the instance with one of the event.
type rule struct {
	event, inst []string // paths
	op          operator
	prop        *property // the index that finds instances by inst, or nil
}

func compileRules(defs []MatchingRule) ([]rule, error) {
	var rules []rule
	for _, d := range defs {
		op, ok := operators[d.Operator]
		if !ok {
			return nil, textError("unknown operator " + d.Operator)
		}
		if d.EventProperty == "" || d.InstanceProperty == "" {
			return nil, textError("a matching rule has an empty path")
		}
		rules = append(rules, rule{strings.Split(d.EventProperty, "."), strings.Split(d.InstanceProperty, "."), op, nil})
	}
	return rules, nil
}

// passes reports whether the rule holds. A value that is missing on either
// side fails with every operator.
func (r *rule) passes(payload, data Data) bool {
	want, ok := payload.lookup(r.event)
	if !ok {
		return false
	}
	have, ok := data.lookup(r.inst)
	return ok && r.compare(have, want)
}

func (r *rule) compare(have, want any) bool {
	switch r.op {
	case opEqual:
		return strictEqual(have, want)
	case opNotEqual:
		return !strictEqual(have, want)
	}
	var c int
	if a, ok := have.(string); ok {
		b, ok := want.(string)
		if !ok {
			return false
		}
		c = strings.Compare(a, b)
	} else if c, ok = compareNumbers(have, want); !ok {
		return false
	}
	switch r.op {
	case opGreater:
		return c > 0
	case opLess:
		return c < 0
	case opGreaterEqual:
		return c >= 0
	}
	return c <= 0
}

func allPass(rules []rule, payload, data Data) bool {
	for i := range rules {
		if !rules[i].passes(payload, data) {
			return false
		}
	}
	return true
}

// choose picks the transition that takes an event, nil if it is ignored: a
// single candidate without looking at its rules; of several the first whose
// rules pass, else the first without rules.
func (s *state) choose(event string, payload, data Data) *transition {
	candidates := s.byEvent[event]
	if len(candidates) < 2 {
		if len(candidates) == 0 {
			return nil
		}
		return candidates[0]
	}
	var fallback *transition
	for _, t := range candidates {
		switch {
		case len(t.rules) == 0:
			if fallback == nil {
				fallback = t
			}
		case allPass(t.rules, payload, data):
			return t
		}
	}
	return fallback
}

// A query says which instances of a machine are looked for.
type query struct {
	m *machine
	// any of these must fit
	alternatives []alternative
	payload      Data
}

type alternative struct {
	st    *state // nil: any
	rules []rule
}

// broadcastQuery makes the query for a broadcast of an event to instances in a
// state ("" or "*": any). If transitions for the event have rules, only they
// choose.
func broadcastQuery(m *machine, event, stateName string, payload Data) query {
	q := query{m: m, payload: payload}
	var in *state
	if stateName != "" && stateName != "*" {
		if in = m.states[stateName]; in == nil {
			return q
		}
	}
	for _, t := range m.routes[event] {
		if in == nil || t.from == in {
			q.alternatives = append(q.alternatives, alternative{t.from, t.rules})
		}
	}
	if len(q.alternatives) == 0 {
		q.alternatives = []alternative{{in, nil}}
	}
	return q
}

// matches reports whether an active instance is among those looked for.
func (q *query) matches(in *Instance) bool {
	if in.status != StatusActive || in.st.m != q.m {
		return false
	}
	for _, a := range q.alternatives {
		if (a.st == nil || a.st == in.st) && allPass(a.rules, q.payload, in.data) {
			return true
		}
	}
	return false
}

func joinPath(path []string) string { return strings.Join(path, ".") }
