package fsm

import (
	"encoding/json"
	"reflect"
	"strings"
)

// JSONSchema returns a JSON Schema (draft 2020-12) of component files, for
// editors and other tools. It is made from the Go types, so it can't differ
// from what ParseComponent reads. The bytes are the same on every call.
//
// It covers the form of a file: keys, types, and fixed sets of values. What
// names refer to is checked by ParseComponent only.
func JSONSchema() []byte {
	g := schemaGenerator{defs: map[string]any{}}
	root := g.structure(reflect.TypeFor[Component]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "fsmesh component"
	root["description"] = "A component file: state machines and the policy for their entry point."
	root["$defs"] = g.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, strings and numbers only
	}
	return append(out, '\n')
}

type schemaGenerator struct{ defs map[string]any }

// schemaObject is a piece of a schema. Encoding sorts its keys.
type schemaObject = map[string]any

// structure is the schema of a struct.
func (g schemaGenerator) structure(t reflect.Type) schemaObject {
	properties := schemaObject{}
	var required []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := yamlKey(f)
		s := g.value(f.Type)
		for k, v := range schemaLimits(t.Name(), key) {
			s[k] = v
		}
		if text := schemaTexts[t.Name()+"."+key]; text != "" {
			s["description"] = text
		} else if text := schemaTexts[key]; text != "" {
			s["description"] = text
		}
		properties[key] = s
		if schemaRequires(t.Name(), f) {
			required = append(required, key)
			if f.Type.Kind() == reflect.String {
				s["minLength"] = 1
			}
		}
	}
	out := schemaObject{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// schemaRequires says whether a key must be there: those that a Go value
// always writes, but for a parent link, which is off when it does not say.
func schemaRequires(owner string, f reflect.StructField) bool {
	return !strings.Contains(f.Tag.Get("yaml"), "omitempty") && owner != "ParentLink"
}

// value is the schema of a type. Structs are defined once, under $defs.
func (g schemaGenerator) value(t reflect.Type) schemaObject {
	switch t.Kind() {
	case reflect.Pointer:
		return g.value(t.Elem())
	case reflect.Struct:
		if _, done := g.defs[t.Name()]; !done {
			g.defs[t.Name()] = nil // it may hold itself
			def := g.structure(t)
			def["title"] = t.Name()
			g.defs[t.Name()] = def
		}
		return schemaObject{"$ref": "#/$defs/" + t.Name()}
	case reflect.Slice:
		return schemaObject{"type": "array", "items": g.value(t.Elem())}
	case reflect.Map:
		return schemaObject{"type": "object", "additionalProperties": g.value(t.Elem())}
	case reflect.Interface:
		return schemaObject{} // anything
	case reflect.Bool:
		return schemaObject{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schemaObject{"type": "integer"}
	case reflect.Float64:
		return schemaObject{"type": "number"}
	default:
		return schemaObject{"type": "string"}
	}
}

// schemaLimits narrows a key beyond its Go type.
func schemaLimits(owner, key string) schemaObject {
	switch owner + "." + key {
	case "Component.version":
		return schemaObject{"type": []string{"string", "number"}}
	case "Component.entryMachineMode":
		return schemaObject{"enum": definitionModes, "default": "singleton"}
	case "Component.stateMachines", "Machine.states":
		return schemaObject{"minItems": 1}
	case "State.type":
		return schemaObject{"enum": definitionStateTypes, "default": "regular"}
	case "Transition.type":
		return schemaObject{"enum": definitionTransitionTypes, "default": "regular"}
	case "Transition.timeoutMs":
		return schemaObject{"minimum": 0}
	case "Transition.resetOnTransition", "NotifyParent.includeState":
		return schemaObject{"default": true}
	case "MatchingRule.operator":
		return schemaObject{"enum": definitionOperators, "default": "==="}
	case "Field.type":
		return schemaObject{"examples": definitionFieldTypes} // others are not checked
	}
	return nil
}

// schemaTexts describes the keys, by type and key, or by key where it means
// the same in every type.
var schemaTexts = map[string]string{
	"metadata": "Free-form data of your own. Carried without effect.",
	"layout":   "Free-form data for diagrams. Carried without effect.",

	"Component.name":                 "How other components and the mesh address this one.",
	"Component.version":              "Free text, shown but never compared.",
	"Component.entryMachine":         "The machine whose instance is the entry point of the component.",
	"Component.entryMachineMode":     "singleton allows one instance of the entry machine, multiple any number.",
	"Component.autoCreateEntryPoint": "Whether an entry point is created at start. Default: true for singleton, false for multiple.",
	"Component.stateMachines":        "The machines of the component.",

	"Machine.name":             "The name of the machine, unique in the component.",
	"Machine.initialState":     "The state in which instances begin.",
	"Machine.states":           "The states of the machine.",
	"Machine.transitions":      "The ways from state to state.",
	"Machine.publicMemberType": "Gives instances a public member of this type: creation data goes there, and the context starts empty.",
	"Machine.parentLink":       "Tells the parent of each transition of a child of this machine.",
	"Machine.contextSchema":    "The fields of the data that instances are created with. The engine does not enforce it.",

	"ParentLink.enabled":       "Whether the parent is told.",
	"ParentLink.onStateChange": "The event that the parent gets.",

	"State.name":           "The name of the state, unique in the machine.",
	"State.type":           "final and error end the instance; entry marks the initial state.",
	"State.onEntry":        "The hook that is run when the state has been entered.",
	"State.onExit":         "The hook that is run when the state is about to be left.",
	"State.entryMethod":    "Older name of onEntry, used where that is missing.",
	"State.exitMethod":     "Older name of onExit, used where that is missing.",
	"State.cascadingRules": "Events sent to other instances each time the state is entered.",

	"Transition.from":              "The state that it leaves.",
	"Transition.to":                "The state that it enters.",
	"Transition.event":             "The event that triggers it.",
	"Transition.type":              "What the transition does besides changing the state.",
	"Transition.timeoutMs":         "The delay of a timeout or auto transition in milliseconds.",
	"Transition.resetOnTransition": "Whether a self-loop restarts the timeout.",
	"Transition.targetMachine":     "The machine of the child (inter_machine), or in the other component (cross_component).",
	"Transition.targetComponent":   "The component that a cross_component transition addresses.",
	"Transition.targetEvent":       "The event sent to matching instances there. Without it an instance is created.",
	"Transition.contextMapping":    "Keys of the data sent on, each with a path into the instance's data. Without it everything is sent, with an empty one nothing.",
	"Transition.triggeredMethod":   "The hook that is run between exit and entry.",
	"Transition.matchingRules":     "Conditions that choose between transitions and select the targets of broadcasts.",
	"Transition.notifyParent":      "An event for the parent after this transition.",

	"MatchingRule.eventProperty":    "A path into the payload of the event.",
	"MatchingRule.instanceProperty": "A path into the data of the instance.",
	"MatchingRule.operator":         "How the instance's value (left) compares with the event's (right).",

	"NotifyParent.event":          "The event that the parent gets.",
	"NotifyParent.includeState":   "Whether the payload has the new state.",
	"NotifyParent.includeContext": "Whether the payload has the child's data.",

	"CascadingRule.targetComponent": "The component of the targets. Default: this one.",
	"CascadingRule.targetMachine":   "The machine of the targets.",
	"CascadingRule.targetState":     "The state the targets are in.",
	"CascadingRule.event":           "The event that they get.",
	"CascadingRule.payload":         "The payload of the event. \"{{path}}\" is replaced by a value of the source's data.",
	"CascadingRule.matchingRules":   "Conditions on the targets.",

	"Field.type":        "text, number, boolean, date, select, object or array. Other types are not checked.",
	"Field.label":       "The name that forms show.",
	"Field.description": "Help that forms show.",
	"Field.placeholder": "What an empty input of a form shows.",
	"Field.required":    "Whether the field must be there.",
	"Field.default":     "The value that forms start with.",
	"Field.min":         "The lowest number allowed.",
	"Field.max":         "The highest number allowed.",
	"Field.minLength":   "The least number of characters, or items of an array.",
	"Field.maxLength":   "The greatest number of characters, or items of an array.",
	"Field.pattern":     "A regular expression (RE2) that text must match.",
	"Field.options":     "The values of a select: plain, or maps with value and label.",
	"Field.properties":  "The fields of an object.",
}
