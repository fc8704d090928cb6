package fsm_test

import (
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// shop is a component without problems that the rows below change in one
// place. Lines count from 1.
const shop = `name: Shop
version: 1.0.0
entryMachine: Order
entryMachineMode: multiple
stateMachines:
  - name: Order
    initialState: Draft
    states:
      - name: Draft
        type: entry
      - name: Placed
        cascadingRules:
          - targetMachine: Parcel
            targetState: Waiting
            event: PACK
            matchingRules:
              - eventProperty: id
                instanceProperty: order
      - name: Done
        type: final
    transitions:
      - from: Draft
        to: Placed
        event: PLACE
        type: inter_machine
        targetMachine: Parcel
      - from: Placed
        to: Placed
        event: NOTE
        type: internal
      - from: Placed
        to: Done
        event: LATE
        type: timeout
        timeoutMs: 5000
      - from: Draft
        to: Done
        event: HAND_OVER
        type: cross_component
        targetComponent: Depot
        targetEvent: TAKE
        matchingRules:
          - eventProperty: id
            instanceProperty: order
            operator: "==="
  - name: Parcel
    initialState: Waiting
    states:
      - name: Waiting
      - name: Packed
        type: final
    transitions:
      - from: Waiting
        to: Packed
        event: PACK
`

// shopEnd is how shop ends.
const shopEnd = "to: Packed\n        event: PACK\n"

// A definitionRow is one change of shop and the problems it must give, one a
// line: "line:col: [warning: ]message; hint".
type definitionRow struct {
	name     string
	old, new string
	want     string
}

var checkRows = []definitionRow{
	{"nothing changed", "name: Shop", "name: Shop", ""},

	{"missing name", "name: Shop\n", "", "1:1: the component has no name"},
	{"empty name", "name: Shop\n", "name: ''\n", "1:7: the component has no name"},
	{"name with a control", "name: Shop\n", "name: \"Sh\\nop\"\n", `1:7: the name of the component cannot be used: it has the control character 0x0A`},
	{"long name of a machine", shopEnd, shopEnd + "  - {name: " + strings.Repeat("x", 600) + ", initialState: S, states: [{name: S}], transitions: [{from: S, to: S, event: E}]}\n", `56:12: the name of a machine cannot be used: it has 600 bytes, 512 are allowed`},
	{"duplicate machine", shopEnd, shopEnd + "  - {name: Order, initialState: S, states: [{name: S}], transitions: [{from: S, to: S, event: E}]}\n", `56:12: duplicate machine "Order"`},
	{"machine without a name", "  - name: Order\n    initial", "  - initial", "6:5: a machine has no name"},
	{"duplicate state", "name: Done\n        type: final", "name: Done\n        type: final\n      - name: Done", `21:15: duplicate state "Done"`},
	{"state without a name", "name: Done\n        type", "type", "19:9: a state has no name"},
	{"no initialState", "    initialState: Draft\n", "", `6:5: machine "Order" has no initialState`},
	{"unknown initialState", "initialState: Draft", "initialState: Drat", `7:19: initial state "Drat" is not among the states of machine "Order"; did you mean "Draft"?`},
	{"initial state is final", "        type: entry", "        type: final", `7:19: initial state "Draft" is of type final; an instance would have ended before it began
22:15: warning: state "Draft" is of type final, so this transition is never taken; instances end when they reach it
36:15: warning: state "Draft" is of type final, so this transition is never taken; instances end when they reach it`},
	{"initial state is error", "initialState: Waiting\n    states:\n      - name: Waiting\n", "initialState: Waiting\n    states:\n      - name: Waiting\n        type: error\n",
		`47:19: initial state "Waiting" is of type error; an instance would have ended before it began
54:15: warning: state "Waiting" is of type error, so this transition is never taken; instances end when they reach it`},
	{"from an unknown state", "from: Placed\n        to: Done", "from: Plaecd\n        to: Done", `31:15: state "Plaecd" is not among the states of machine "Order"; did you mean "Placed"?`},
	{"to an unknown state", "to: Packed", "to: Sent", `54:13: state "Sent" is not among the states of machine "Parcel"; there are "Waiting", "Packed"`},
	{"names in another case", "to: Packed", "to: packed", `54:13: state "packed" is not among the states of machine "Parcel"; did you mean "Packed"?`},
	{"missing from", "from: Waiting\n        to", "to", "53:9: a transition has no from"},
	{"missing to", "        to: Packed\n", "", "53:9: a transition has no to"},
	{"missing event", "        event: LATE\n", "", "31:9: a transition has no event; timers need one too: it is the name under which they are recorded"},
	{"missing event of a regular one", "to: Packed\n        event: PACK\n", "to: Packed\n", "53:9: a transition has no event"},
	{"unknown transition type", "type: timeout", "type: timeuot", `34:15: unknown type "timeuot"; did you mean timeout?`},
	{"unknown transition type, nothing near", "type: timeout", "type: xyz", `34:15: unknown type "xyz"; use one of regular, triggerable, timeout, auto, inter_machine, cross_component, internal`},
	{"unknown state type", "type: entry", "type: start", `10:15: unknown type "start"; use one of entry, regular, final, error`},
	{"negative timeoutMs", "timeoutMs: 5000", "timeoutMs: -1", "35:20: timeoutMs is negative: -1"},
	{"timeoutMs beyond all bounds", "timeoutMs: 5000", "timeoutMs: 9007199254740991", "35:20: timeoutMs is more than 292 years: 9007199254740991"},
	{"inter_machine without any target", "        targetMachine: Parcel\n", "", "22:9: an inter_machine transition has no target; name the machine of the child in targetMachine"},
	{"cross_component without targetComponent", "        targetComponent: Depot\n", "", "36:9: a cross_component transition has no targetComponent; name the other component"},
	{"unknown operator", `"==="`, `"=="`, `45:23: unknown operator "=="; did you mean ===?`},
	{"rule on an empty eventProperty", "eventProperty: id\n                instance", "eventProperty: ''\n                instance", "17:32: a matching rule has an empty eventProperty; give a path into the event's payload"},
	{"rule without instanceProperty", "            instanceProperty: order\n            operator", "            operator", "43:13: a matching rule has an empty instanceProperty; give a path into the instance's data"},
	{"entryMachine unknown", "entryMachine: Order", "entryMachine: Oder", `3:15: entry machine "Oder" is not among the machines; did you mean "Order"?`},
	{"bad mode", "entryMachineMode: multiple", "entryMachineMode: single", `4:19: unknown entryMachineMode "single"; use one of singleton, multiple`},
	{"internal that moves", "to: Placed\n        event: NOTE", "to: Draft\n        event: NOTE", `28:13: an internal transition stays in its state, but leads from "Placed" to "Draft"; set to to "Placed", or leave out the type`},
	{"notifyParent without an event", "event: LATE", "event: LATE\n        notifyParent: {includeState: true}", "34:23: notifyParent has no event"},
	{"cascading rule without an event", "            event: PACK\n            matching", "            matching", "13:13: a cascading rule has no event"},
	{"cascading rule without a machine", "          - targetMachine: Parcel\n            targetState", "          - targetState", "13:13: a cascading rule has no targetMachine"},
	{"cascading rule without a state", "            targetState: Waiting\n", "", "13:13: a cascading rule has no targetState"},

	{"inter_machine to a machine that is not declared", "type: inter_machine\n        targetMachine: Parcel", "type: inter_machine\n        targetMachine: Parzel",
		`26:24: warning: machine "Parzel" is not in this component: taking this transition will end the instance with an error; did you mean "Parcel"?`},
	{"inter_machine with a component only", "targetMachine: Parcel\n      - from", "targetComponent: Depot\n      - from", "26:26: warning: an inter_machine transition without targetMachine creates no child; name a machine in targetMachine"},
	{"cascade to a machine that is not declared", "- targetMachine: Parcel", "- targetMachine: Parcle",
		`13:28: warning: machine "Parcle" is not in this component: the rule will fail with a cascade_error whenever it is due; did you mean "Parcel"?`},
	{"cascade to a machine of another component", "- targetMachine: Parcel", "- targetComponent: Depot\n            targetMachine: Crate", ""},
	{"cascade to this component by name", "- targetMachine: Parcel", "- targetComponent: Shop\n            targetMachine: Crate",
		`14:28: warning: machine "Crate" is not in this component: the rule will fail with a cascade_error whenever it is due; there are "Order", "Parcel"`},
	{"cascade to an unknown state", "targetState: Waiting", "targetState: Wating", `14:26: warning: machine "Parcel" has no state "Wating", so the rule reaches nobody; did you mean "Waiting"?`},
	{"cross_component with targetEvent and no rules", "        matchingRules:\n          - eventProperty: id\n            instanceProperty: order\n            operator: \"===\"\n", "",
		`41:22: warning: without matchingRules event "TAKE" is delivered to nobody; add matchingRules that select the instances`},
	{"timeout without timeoutMs", "        timeoutMs: 5000\n", "", "31:9: warning: a timeout without timeoutMs never fires; set timeoutMs to a number above 0"},
	{"timeout with 0", "timeoutMs: 5000", "timeoutMs: 0", "35:20: warning: a timeout without timeoutMs never fires; set timeoutMs to a number above 0"},
	{"transition out of a final state", shopEnd, shopEnd + "      - {from: Packed, to: Waiting, event: BACK}\n",
		`56:16: warning: state "Packed" is of type final, so this transition is never taken; instances end when they reach it`},
	{"transition out of an error state", "        type: final\n    transitions:\n      - from: Waiting", "        type: error\n    transitions:\n      - {from: Packed, to: Waiting, event: BACK}\n      - from: Waiting",
		`53:16: warning: state "Packed" is of type error, so this transition is never taken; instances end when they reach it`},
	{"unreachable state", "      - name: Packed\n", "      - name: Lost\n        type: error\n      - name: Packed\n",
		`50:9: warning: state "Lost" can't be reached from "Waiting"; only creating an instance in it gets there`},
	{"state with no way out", "      - name: Packed\n        type: final", "      - name: Packed",
		`50:9: warning: no transition leads out of state "Packed"; make it final, or add a transition`},
	{"empty path in a mapping", "targetMachine: Parcel\n      - from", "targetMachine: Parcel\n        contextMapping: {a: ''}\n      - from",
		`27:29: warning: an empty path maps nothing to "a"; give the path of a value`},
	{"parent link without an event", "  - name: Parcel\n", "  - name: Parcel\n    parentLink: {enabled: true}\n",
		"47:17: warning: the parent link is enabled but has no event to send; name the event in onStateChange"},
	{"states that differ only in case", "      - name: Packed\n", "      - name: waiting\n        type: error\n      - name: Packed\n",
		`50:9: warning: state "waiting" can't be reached from "Waiting"; only creating an instance in it gets there
50:15: warning: state "waiting" differs from "Waiting" only in case; case counts in names, so these are two`},
	{"machines that differ only in case", shopEnd, shopEnd + "  - {name: parcel, initialState: S, states: [{name: S}], transitions: [{from: S, to: S, event: E}]}\n",
		`56:12: warning: machine "parcel" differs from "Parcel" only in case; case counts in names, so these are two`},
	{"cascade cycle", "      - name: Packed\n", "      - name: Packed\n        cascadingRules:\n          - {targetMachine: Order, targetState: Draft, event: PLACE}\n",
		`13:11: warning: cascade cycle: entering state "Placed" of machine "Order" can lead to entering it again; it ends only where an event is ignored, rules do not match, or at 1,000 hops`},
	{"unknown field type", "  - name: Parcel\n", "  - name: Parcel\n    contextSchema: {size: {type: nubmer}}\n",
		`47:34: warning: unknown field type "nubmer", so field "size" is not checked; did you mean "number"?`},
	{"min above max", "  - name: Parcel\n", "  - name: Parcel\n    contextSchema: {size: {type: number, min: 3, max: 2}}\n",
		`47:47: warning: min 3 of field "size" is above max 2; neither is checked`},
	{"minLength above maxLength", "  - name: Parcel\n", "  - name: Parcel\n    contextSchema: {size: {type: text, minLength: 3, maxLength: 2}}\n",
		`47:51: warning: minLength 3 of field "size" is above maxLength 2; neither is checked`},
	{"bad pattern, deep inside", "  - name: Parcel\n", "  - name: Parcel\n    contextSchema: {a: {type: object, properties: {b: {pattern: '(?=x)'}}}}\n",
		"47:65: warning: pattern of field \"b\" is not checked: \"error parsing regexp: invalid or unsupported Perl syntax: `(?=`\"; patterns are in RE2 syntax, which has no look-around and no back-references"},
}

func TestDefinitionRows(t *testing.T) {
	t.Parallel()
	for _, tt := range checkRows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkRow(t, tt)
		})
	}
}

// checkRow parses the changed file and compares its problems.
func checkRow(t *testing.T, tt definitionRow) {
	t.Helper()
	if n := strings.Count(shop, tt.old); n == 0 {
		t.Fatalf("the row changes nothing: %q is not in the file", tt.old)
	}
	text := strings.Replace(shop, tt.old, tt.new, 1)
	_, problems, err := fsm.ParseComponent([]byte(text))
	if got := problemLines(problems); got != tt.want {
		t.Errorf("got\n%s\nwant\n%s", got, tt.want)
	}
	wantErr := false
	for line := range strings.Lines(tt.want) {
		wantErr = wantErr || !strings.Contains(line, ": warning: ")
	}
	if (err != nil) != wantErr {
		t.Errorf("error: got %v, want one: %v", err, wantErr)
	}
	if _, _, err := fsm.ParseComponent([]byte(text), fsm.Strict()); (err != nil) != (tt.want != "") {
		t.Errorf("strict: got %v, want an error: %v", err, tt.want != "")
	}
}

func problemLines(problems []fsm.Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// shopComponent is shop, as a Go value to change.
func shopComponent(t *testing.T) *fsm.Component {
	t.Helper()
	c, _, err := fsm.ParseComponent([]byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheckOfAGoValue(t *testing.T) {
	t.Parallel()
	c := shopComponent(t)
	if got := c.Check(); got != nil {
		t.Fatalf("unchanged: got %v, want nil", got)
	}
	c.Name = ""
	c.StateMachines[0].Transitions[2].To = "Dnoe"
	c.StateMachines[0].Transitions[2].TimeoutMs = -5
	c.StateMachines[1].States[0].Type = "begin"
	want := `name: the component has no name
stateMachines[0].transitions[2].to: state "Dnoe" is not among the states of machine "Order"; did you mean "Done"?
stateMachines[0].transitions[2].timeoutMs: timeoutMs is negative: -5
stateMachines[1].states[0].type: unknown type "begin"; use one of entry, regular, final, error`
	if got := problemLines(c.Check()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCheckOfNothing(t *testing.T) {
	t.Parallel()
	want := "name: the component has no name\nstateMachines: the component has no machines"
	if got := problemLines((&fsm.Component{}).Check()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	c := &fsm.Component{Name: "A", StateMachines: []fsm.Machine{{Name: "M", InitialState: "S"}}}
	want = `stateMachines[0].states: machine "M" has no states`
	if got := problemLines(c.Check()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCascadeCycles(t *testing.T) {
	t.Parallel()
	cascade := func(machine, state, event string) []fsm.CascadingRule {
		return []fsm.CascadingRule{{TargetMachine: machine, TargetState: state, Event: event}}
	}
	machine := func(name, typ string, rules []fsm.CascadingRule) fsm.Machine {
		return fsm.Machine{Name: name, InitialState: "S", States: []fsm.State{{Name: "S", CascadingRules: rules}},
			Transitions: []fsm.Transition{{From: "S", To: "S", Event: "E", Type: typ}}}
	}
	tests := []struct {
		name     string
		machines []fsm.Machine
		want     int
	}{
		{"to itself", []fsm.Machine{machine("A", "", cascade("A", "S", "E"))}, 1},
		{"by an internal transition", []fsm.Machine{machine("A", "internal", cascade("A", "S", "E"))}, 0},
		{"an event nobody takes", []fsm.Machine{machine("A", "", cascade("A", "S", "X"))}, 0},
		{"of three", []fsm.Machine{machine("A", "", cascade("B", "S", "E")), machine("B", "", cascade("C", "S", "E")), machine("C", "", cascade("A", "S", "E"))}, 1},
		{"two apart", []fsm.Machine{machine("A", "", cascade("A", "S", "E")), machine("B", "", cascade("B", "S", "E"))}, 2},
		{"a way into one", []fsm.Machine{machine("A", "", cascade("B", "S", "E")), machine("B", "", cascade("B", "S", "E"))}, 1},
		{"a chain", []fsm.Machine{machine("A", "", cascade("B", "S", "E")), machine("B", "", nil)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			problems := (&fsm.Component{Name: "C", StateMachines: tt.machines}).Check()
			for _, p := range problems {
				if p.Severity != fsm.SeverityWarning || !strings.HasPrefix(p.Message, "cascade cycle") {
					t.Errorf("unexpected: %v", p)
				}
			}
			if got := len(problems); got != tt.want {
				t.Errorf("circles: got %d, want %d", got, tt.want)
			}
		})
	}
}
