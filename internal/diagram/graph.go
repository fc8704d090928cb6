package diagram

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A Kind is the kind of a state. It decides the shape of its node.
type Kind string

// The kinds of states.
const (
	Entry   Kind = "entry"
	Regular Kind = "regular"
	Final   Kind = "final"
	Error   Kind = "error"
	Unknown Kind = "unknown" // not declared, but a transition or initialState names it
)

// An EdgeKind says what makes an instance follow an edge, or what following it
// does elsewhere. It decides the style of the line.
type EdgeKind string

// The kinds of edges.
const (
	Start   EdgeKind = "start"   // the creation of an instance: from nowhere to the initial state
	Event   EdgeKind = "event"   // an event; also what has an unknown type
	Timeout EdgeKind = "timeout" // a delay that has passed
	Auto    EdgeKind = "auto"    // at once, or after a delay
	Creates EdgeKind = "creates" // inter_machine: creates an instance of another machine
	Tells   EdgeKind = "tells"   // cross_component: sends an event to another component
)

// A LineKind is the kind of a line of an edge's label.
type LineKind string

// The kinds of lines.
const (
	EventLine  LineKind = "event"  // the event's name
	ClockLine  LineKind = "clock"  // the event's name of a timeout, after a clock
	DetailLine LineKind = "detail" // a delay, or "auto"
	PillLine   LineKind = "pill"   // what happens elsewhere: "creates X", "tells X"
)

// A graph is a machine as it is drawn.
type graph struct {
	machine string
	nodes   []gnode
	edges   []gedge
	initial int // index into nodes; -1 without an initial state
}

type gnode struct {
	state    int // index into the machine's states; -1 if not declared
	name     string
	kind     Kind
	internal []string // events of its internal transitions
}

// A gedge is one transition. merge groups them.
type gedge struct {
	from, to   int // indexes into nodes
	kind       EdgeKind
	transition int // index into the machine's transitions
	lines      []line
}

type line struct {
	kind LineKind
	text string // not escaped, not shortened
}

// newGraph reads a machine. Of several states of one name the first counts.
func newGraph(m *fsm.Machine) *graph {
	g := &graph{machine: m.Name, initial: -1}
	index := make(map[string]int, len(m.States))
	for i, s := range m.States {
		if _, dup := index[s.Name]; dup {
			continue
		}
		index[s.Name] = len(g.nodes)
		g.nodes = append(g.nodes, gnode{state: i, name: s.Name, kind: stateKind(s.Type)})
	}
	node := func(name string) int {
		n, ok := index[name]
		if !ok {
			n = len(g.nodes)
			index[name] = n
			g.nodes = append(g.nodes, gnode{state: -1, name: name, kind: Unknown})
		}
		return n
	}
	if m.InitialState != "" {
		g.initial = node(m.InitialState)
	}
	for i := range m.Transitions {
		t := &m.Transitions[i]
		from := node(t.From)
		if t.Type == "internal" {
			g.nodes[from].internal = append(g.nodes[from].internal, eventName(t.Event))
			continue
		}
		kind := edgeKind(t.Type)
		g.edges = append(g.edges, gedge{from: from, to: node(t.To), kind: kind, transition: i, lines: lines(t, kind)})
	}
	return g
}

func stateKind(typ string) Kind {
	switch k := Kind(typ); k {
	case Entry, Final, Error:
		return k
	}
	return Regular
}

func edgeKind(typ string) EdgeKind {
	switch typ {
	case "timeout":
		return Timeout
	case "auto":
		return Auto
	case "inter_machine":
		return Creates
	case "cross_component":
		return Tells
	}
	return Event
}

// lines is the label of one transition: its event, and below it what is
// special about it.
func lines(t *fsm.Transition, kind EdgeKind) []line {
	event := line{EventLine, eventName(t.Event)}
	switch kind {
	case Timeout:
		event.kind = ClockLine
		return []line{event, {DetailLine, delay(t.TimeoutMs, "never: no delay")}}
	case Auto:
		after := line{DetailLine, strings.TrimSpace("auto " + delay(t.TimeoutMs, ""))}
		if t.Event == "" {
			return []line{after}
		}
		return []line{event, after}
	case Creates:
		return []line{event, {PillLine, "creates " + orUnknown(t.TargetMachine)}}
	case Tells:
		return []line{event, {PillLine, "tells " + orUnknown(t.TargetComponent)}}
	}
	return []line{event}
}

func eventName(name string) string {
	if name == "" {
		return "(no event)"
	}
	return name
}

func orUnknown(name string) string {
	if name == "" {
		return "?"
	}
	return name
}

// delay is "after 5m", or none if there is no delay.
func delay(ms int64, none string) string {
	switch {
	case ms <= 0:
		return none
	case ms > math.MaxInt64/int64(time.Millisecond):
		return "after " + strconv.FormatInt(ms, 10) + "ms"
	}
	text := (time.Duration(ms) * time.Millisecond).String() // 1h0m0s
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return "after " + text
}

// A merged edge is all transitions of one kind from one state to another. It
// is drawn as one line with the labels below each other.
type merged struct {
	from, to    int
	kind        EdgeKind
	transitions []int
	lines       []line
}

// merge groups the edges, in the order of each group's first transition.
func (g *graph) merge() []merged {
	type key struct {
		from, to int
		kind     EdgeKind
	}
	index := make(map[key]int, len(g.edges))
	var out []merged
	for _, e := range g.edges {
		k := key{e.from, e.to, e.kind}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			out = append(out, merged{from: e.from, to: e.to, kind: e.kind})
		}
		out[i].transitions = append(out[i].transitions, e.transition)
		out[i].lines = append(out[i].lines, e.lines...)
	}
	return out
}
