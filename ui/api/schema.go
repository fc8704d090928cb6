package api

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A schema is one of JSON Schema, draft 2020-12, as OpenAPI 3.1 has it.
type schema map[string]any

var (
	stringSchema  = schema{"type": "string"}
	anyObject     = schema{"type": "object"}
	wholeSchema   = schema{"type": "integer", "minimum": 0}
	successSchema = schema{"const": true}
)

func enumSchema(values ...string) schema { return schema{"type": "string", "enum": values} }

func between(low, high int) schema {
	return schema{"type": "integer", "minimum": low, "maximum": high}
}

func listOf(items schema) schema { return schema{"type": "array", "items": items} }

func refTo(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

// fields is an object with fields, of which some are required.
func fields(properties schema, required ...string) schema {
	return schema{"type": "object", "properties": properties, "required": required}
}

// schemas are all that operations refer to. Those of answers are made from the
// types that are written, where there is one.
func schemas() schema {
	text := func(s string) schema { return schema{"type": "string", "description": s} }
	event := schema{
		"type":    text("The type of the event. \"event\" is the same under another name; one of them is needed."),
		"event":   text("The same as \"type\"."),
		"payload": schema{"type": []string{"object", "null"}, "description": "What it carries. Integers of any size are passed on as they are."},
	}
	sent := schema{"ifVersion": schema{"type": "integer", "minimum": 0, "description": "Refuse if the instance has another version; 0 does not ask."}}
	broadcast := schema{"state": text("Only instances in this state; \"*\" is any.")}
	for k, v := range event {
		sent[k], broadcast[k] = v, v
	}
	eventNeeds := []any{schema{"required": []string{"type"}}, schema{"required": []string{"event"}}}
	return schema{
		"Problem":        structSchema(reflect.TypeFor[Problem]()),
		"Instance":       structSchema(reflect.TypeFor[instance]()),
		"Record":         structSchema(reflect.TypeFor[record]()),
		"Runtime":        structSchema(reflect.TypeFor[runtimeRow]()),
		"Notice":         structSchema(reflect.TypeFor[notice]()),
		"Done":           structSchema(reflect.TypeFor[done]()),
		"Letter":         structSchema(reflect.TypeFor[letter]()),
		"Count":          structSchema(reflect.TypeFor[count]()),
		"Document":       anyObject,
		"Alive":          fields(schema{"status": stringSchema}, "status"),
		"Ready":          fields(schema{"ready": schema{"type": "boolean"}, "reason": stringSchema, "done": wholeSchema, "total": wholeSchema}, "ready"),
		"Health":         fields(schema{"status": stringSchema, "mode": stringSchema, "broker": stringSchema, "database": schema{"type": "boolean"}, "databaseType": schema{"type": []string{"string", "null"}}, "connectedRuntimes": wholeSchema, "components": listOf(stringSchema)}, "status", "mode", "broker", "database", "databaseType", "connectedRuntimes", "components"),
		"Component":      fields(schema{"name": stringSchema, "version": stringSchema, "entryMachine": stringSchema, "stateMachines": listOf(anyObject), "known": schema{"type": "boolean", "description": "False where the definition is not known, or broken."}, "runtimes": wholeSchema, "instances": refTo("Count"), "population": schema{"type": "object", "description": "By machine and state.", "additionalProperties": schema{"type": "object", "additionalProperties": refTo("Count")}}}, "name", "stateMachines", "known", "runtimes", "instances", "population"),
		"Components":     fields(schema{"components": listOf(refTo("Component"))}, "components"),
		"Machines":       fields(schema{"machines": listOf(anyObject)}, "machines"),
		"Diagram":        fields(schema{"diagram": stringSchema, "machineName": stringSchema, "componentName": stringSchema, "currentState": schema{"type": []string{"string", "null"}}}, "diagram", "machineName", "componentName", "currentState"),
		"Bridge":         structSchema(reflect.TypeFor[bridgeRow]()),
		"Bridges":        fields(schema{"bridges": listOf(refTo("Bridge"))}, "bridges"),
		"Runtimes":       fields(schema{"runtimes": listOf(refTo("Runtime"))}, "runtimes"),
		"Instances":      fields(schema{"instances": listOf(refTo("Instance")), "total": wholeSchema, "nextCursor": schema{"type": []string{"string", "null"}}}, "instances"),
		"Found":          fields(schema{"instances": listOf(refTo("Instance")), "more": schema{"type": "boolean"}, "missingRuntimes": listOf(stringSchema)}, "instances"),
		"PastInstance":   structSchema(reflect.TypeFor[pastInstance]()),
		"Causes":         fields(schema{"records": listOf(refTo("Record"))}, "records"),
		"Caused":         fields(schema{"tree": refTo("CausedNode"), "missingRuntimes": listOf(stringSchema)}, "tree"),
		"CausedNode":     fields(schema{"record": refTo("Record"), "caused": listOf(refTo("CausedNode")), "cut": schema{"type": "boolean"}}, "record", "caused"),
		"History":        fields(schema{"history": listOf(refTo("Record")), "more": schema{"type": "boolean"}, "nextAfter": wholeSchema}, "history"),
		"Events":         fields(schema{"events": listOf(refTo("Record")), "more": schema{"type": "boolean"}, "nextAfter": wholeSchema}, "events"),
		"Correlated":     fields(schema{"events": listOf(refTo("Record")), "correlationKey": schema{"type": []string{"string", "null"}}, "correlationValue": schema{}, "instances": listOf(stringSchema), "more": schema{"type": "boolean"}, "missing": listOf(stringSchema), "missingRuntimes": listOf(stringSchema)}, "events", "correlationKey"),
		"Broadcast":      fields(schema{"success": successSchema, "message": stringSchema, "count": wholeSchema}, "success", "message", "count"),
		"Sent":           fields(schema{"success": successSchema, "message": stringSchema}, "success", "message"),
		"DeadLetters":    fields(schema{"deadLetters": listOf(refTo("Letter")), "total": wholeSchema, "missingRuntimes": listOf(stringSchema)}, "deadLetters", "total"),
		"LetterName":     fields(schema{"record": stringSchema, "n": wholeSchema}, "record"),
		"Event":          schema{"type": "object", "properties": sent, "anyOf": eventNeeds},
		"BroadcastEvent": schema{"type": "object", "properties": broadcast, "anyOf": eventNeeds},
		"Creation": schema{"type": "object", "properties": schema{
			"machineName": text("The machine. Defaults to the component's entry machine, or its only one."),
			"context":     schema{"type": []string{"object", "null"}, "description": "The data of the new instance, as the machine's contextSchema says."},
			"key":         text("A business key, which no other live instance of the component has."),
			"id":          text("An id, in place of one that is made up."),
			"state":       text("The state to begin in, in place of the initial one."),
			"orGet":       schema{"type": "boolean", "description": "Answer with the instance that has the key, if there is one."},
		}},
	}
}

// structSchema is the schema of a struct as encoding/json writes it.
func structSchema(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = typeSchema(f.Type)
		if !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
	}
	return fields(properties, required...)
}

func typeSchema(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return schema{} // anything
	case reflect.TypeFor[fsm.Data]():
		return anyObject
	case reflect.TypeFor[mesh.Event]():
		return structSchema(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem())
	case reflect.String:
		return stringSchema
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": typeSchema(t.Elem())}
	case reflect.Slice:
		return listOf(typeSchema(t.Elem()))
	case reflect.Struct:
		return structSchema(t)
	case reflect.Interface:
		return schema{}
	case reflect.Uint64:
		return wholeSchema
	}
	return schema{"type": "integer"}
}
