package api

import (
	"net/http"

	"github.com/fsmesh/fsmesh/fsm"
)

// An operation is one row of the table: what the router and the OpenAPI
// document are made from.
type operation struct {
	method, path string
	id, summary  string
	tag          string
	query        []parameter
	// body is the schema of what it takes, "" for nothing. fields are the names
	// in it.
	body   string
	fields []string
	// repeatable says that it takes an Idempotency-Key.
	repeatable bool
	// answer is the schema of what it answers, content its type where that is
	// not JSON.
	answer, content string
	// codes are those of the errors that are its own; all may answer those of
	// commonCodes.
	codes []fsm.Code
	do    func(http.ResponseWriter, *http.Request) error
}

// operationKey marks the context of a request with its row of the table, so that
// what a handler takes is what the document says.
type operationKey struct{}

// operationOf is the row of the table that a request is for.
func operationOf(r *http.Request) *operation { return r.Context().Value(operationKey{}).(*operation) }

// A parameter is one of the query.
type parameter struct {
	name, text string
	schema     schema
}

const (
	streamPath = "/api/stream"
	openPath   = "/api/openapi.json"
)

// The codes that belong together.
var (
	commonCodes = []fsm.Code{CodeBadParameter, CodeInternal}
	bodyCodes   = []fsm.Code{CodeBadBody, CodeMediaType, CodeBodyTooLarge}
	meshCodes   = []fsm.Code{
		fsm.CodeOverloaded, fsm.CodeFenced, fsm.CodeNotRunning, fsm.CodeStoreFailed, CodeGone, CodeUnreachable, CodeNoAnswer, CodeMissing,
		fsm.CodeUnknownOutcome,
	}
	targetCodes = []fsm.Code{fsm.CodeUnknownInstance, fsm.CodeQuarantined, fsm.CodeAmbiguous}
	sendCodes   = join(bodyCodes, meshCodes, targetCodes, []fsm.Code{
		CodeNoEventType, fsm.CodeBadValue, fsm.CodeEventIgnored, fsm.CodeInstanceEnded, fsm.CodeInstanceInactive, fsm.CodeVersionMoved,
		fsm.CodeContextTooLarge, fsm.CodeHookTimeout, fsm.CodeHookStuck, fsm.CodeConflict, fsm.CodeTooMany,
	})
	createCodes = join(bodyCodes, meshCodes, []fsm.Code{
		fsm.CodeUnknownComponent, fsm.CodeUnknownMachine, fsm.CodeUnknownState, fsm.CodeStateFinal, fsm.CodeSingletonExists,
		fsm.CodeKeyExists, fsm.CodeIDExists, fsm.CodeAmbiguous, CodeBadContext, fsm.CodeContextTooLarge, fsm.CodeBadValue,
	})
	listCodes = []fsm.Code{CodeBadFilter, CodeBadCursor, fsm.CodeUnknownMachine, fsm.CodeUnknownState}
)

func join[T any](lists ...[]T) (out []T) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// The parameters of lists.
var (
	inComponent = parameter{"component", "Only instances of this component.", stringSchema}
	listQuery   = []parameter{
		{"machine", "Only instances of this machine.", stringSchema},
		{"state", "Only instances in this state.", stringSchema},
		{"status", "Only instances with this status; ended is all but active.", enumSchema(statuses...)},
		{"key", "Only the instance with this business key.", stringSchema},
		{"prefix", "Only instances whose id or key begins so.", stringSchema},
		{"runtime", "Only instances of the runtime of this name.", stringSchema},
		{"filter", "Conditions on the context: PATH OPERATOR VALUE, with \"and\" between: amount >= 10 and customer.name = \"Ada\". May be repeated; all have to hold.", schema{"type": "array", "items": stringSchema}},
		{"q", "Only instances with this text in id, key or context, whatever the case.", stringSchema},
		{"order", "The order in which instances were first met. Defaults to oldest.", enumSchema("oldest", "newest")},
		{"limit", "The most instances of a page. With it, or a cursor, the answer is a page; without, all.", between(1, maxPage)},
		{"cursor", "Where to go on: the nextCursor of the last page, empty for the first.", stringSchema},
	}
	historyQuery = []parameter{
		{"limit", "The most records. Defaults to 1,000.", between(1, maxHistory)},
		{"after", "Only records after this version.", schema{"type": "integer", "minimum": 0}},
	}
	searchQuery = []parameter{
		inComponent,
		{"machine", "Only instances of this machine.", stringSchema},
		{"state", "Only instances in this state.", stringSchema},
		{"q", "Only instances with this text in id, key or context, whatever the case.", stringSchema},
		{"field", "A name, or several with dots between, in the context. With value.", stringSchema},
		{"value", "What the field has to be; a number and its text are the same.", stringSchema},
		{"limit", "The most instances. Defaults to 100. They are streamed, in no order.", between(1, maxSearch)},
	}
	momentQuery = []parameter{
		{"version", "The version of a record.", schema{"type": "integer", "minimum": 1}},
		{"time", "In place of a version: Unix milliseconds, or a time as RFC 3339 has it.", stringSchema},
	}
	currentState = parameter{"currentState", "The state to mark.", stringSchema}
)

// operations returns the table: all that there is below /api and beside it.
func (a *API) operations() []operation {
	list := join([]parameter{inComponent}, listQuery)
	ops := []operation{
		{method: "GET", path: "/health", id: "health", tag: "process", summary: "How the process is, as the ancestor says it", answer: "Health", do: a.getHealth},
		{method: "GET", path: "/healthz", id: "healthz", tag: "process", summary: "Whether the process answers", answer: "Alive", do: a.getHealthz},
		{method: "GET", path: "/readyz", id: "readyz", tag: "process", summary: "Whether the process can do its work; 503 with the reason if not", answer: "Ready", do: a.getReadyz},
		{method: "GET", path: "/metrics", id: "metrics", tag: "process", summary: "Counters and latencies, for Prometheus", content: "text/plain", do: a.getMetrics},
		{method: "GET", path: openPath, id: "openapi", tag: "process", summary: "This document", answer: "Document", do: a.getDocument},

		{method: "GET", path: "/api/components", id: "listComponents", tag: "components", summary: "All components with their definitions", answer: "Components", do: a.getComponents},
		{method: "GET", path: "/api/components/{component}", id: "getComponent", tag: "components", summary: "One component with its definition", answer: "Component", codes: []fsm.Code{fsm.CodeUnknownComponent}, do: a.getComponent},
		{method: "GET", path: "/api/components/{component}/machines", id: "listMachines", tag: "components", summary: "The machines of a component", answer: "Machines", codes: []fsm.Code{fsm.CodeUnknownComponent}, do: a.getMachines},
		{method: "GET", path: "/api/components/{component}/diagrams/{machine}", id: "getComponentDiagram", tag: "components", summary: "The diagram of a component's machine, as Mermaid", query: []parameter{currentState}, answer: "Diagram", codes: []fsm.Code{fsm.CodeUnknownComponent, fsm.CodeUnknownMachine, fsm.CodeUnknownState}, do: a.getComponentDiagram},
		{method: "GET", path: "/api/machines/{machine}/diagram", id: "getDiagram", tag: "components", summary: "The diagram of a machine, as Mermaid", query: []parameter{currentState, {"component", "Its component, needed where several have such a machine.", stringSchema}}, answer: "Diagram", codes: []fsm.Code{fsm.CodeUnknownMachine, fsm.CodeUnknownState, fsm.CodeAmbiguous}, do: a.getDiagram},
		{method: "GET", path: "/api/runtimes", id: "listRuntimes", tag: "components", summary: "The runtimes, and whether the lists are exact about them", answer: "Runtimes", do: a.getRuntimes},
		{method: "GET", path: "/api/bridges", id: "listBridges", tag: "components", summary: "The bridges of the mesh to brokers, with what they have counted", answer: "Bridges", do: a.getBridges},

		{method: "GET", path: "/api/instances", id: "listInstances", tag: "instances", summary: "Instances, live and lately ended", query: list, answer: "Instances", codes: listCodes, do: a.getInstances},
		{method: "GET", path: "/api/components/{component}/instances", id: "listComponentInstances", tag: "instances", summary: "Instances of a component; none of one that is not known", query: listQuery, answer: "Instances", codes: listCodes, do: a.getInstances},
		{method: "GET", path: "/api/history/instances", id: "searchInstances", tag: "instances", summary: "Instances that the runtimes find, live or ended, as far back as they are kept", query: searchQuery, answer: "Found", codes: meshCodes, do: a.getSearch},
		{method: "GET", path: "/api/instances/{instance}", id: "getInstance", tag: "instances", summary: "One instance, as its runtime has it now", answer: "Instance", codes: join(targetCodes, meshCodes), do: a.getInstance},
		{method: "GET", path: "/api/components/{component}/keys/{key}", id: "getByKey", tag: "instances", summary: "The instance with a business key", answer: "Instance", codes: join(targetCodes, meshCodes, []fsm.Code{fsm.CodeUnknownComponent}), do: a.getInstance},

		{method: "GET", path: "/api/instances/{instance}/history", id: "getHistory", tag: "history", summary: "The records of an instance, oldest first", query: historyQuery, answer: "History", codes: join(targetCodes, meshCodes), do: a.history("history")},
		{method: "GET", path: "/api/components/{component}/keys/{key}/history", id: "getHistoryByKey", tag: "history", summary: "The records of the instance with a business key", query: historyQuery, answer: "History", codes: join(targetCodes, meshCodes, []fsm.Code{fsm.CodeUnknownComponent}), do: a.history("history")},
		{method: "GET", path: "/api/history/instances/{instance}/events", id: "getEvents", tag: "history", summary: "The same records, under the ancestor's other name", query: historyQuery, answer: "Events", codes: join(targetCodes, meshCodes), do: a.history("events")},
		{method: "GET", path: "/api/history/correlated/{instance}", id: "getCorrelated", tag: "history", summary: "The records of all instances that share the instance's orderId, requestId, id, transactionId or correlationId", query: []parameter{{"limit", "The most records. Defaults to 1,000.", between(1, maxCorrelatedEvents)}}, answer: "Correlated", codes: join(targetCodes, meshCodes), do: a.getCorrelated},
		{method: "GET", path: "/api/instances/{instance}/at", id: "getInstanceAt", tag: "history", summary: "An instance as it was at a version or a time", query: momentQuery, answer: "PastInstance", codes: join(targetCodes, meshCodes, []fsm.Code{fsm.CodeUnknownRecord}), do: a.getAt},
		{method: "GET", path: "/api/instances/{instance}/records/{version}/causes", id: "getCauses", tag: "history", summary: "What led to a record: the record itself first, then the one that led to it, and so on, across components", answer: "Causes", codes: join(targetCodes, meshCodes, []fsm.Code{fsm.CodeUnknownRecord}), do: a.getCauses},
		{method: "GET", path: "/api/instances/{instance}/records/{version}/caused", id: "getCaused", tag: "history", summary: "What a record led to, as a tree, across components", query: []parameter{{"limit", "The most records. Defaults to 1,000.", between(1, maxCaused)}}, answer: "Caused", codes: join(targetCodes, meshCodes, []fsm.Code{fsm.CodeUnknownRecord}), do: a.getCaused},

		{method: "POST", path: "/api/components/{component}/instances", id: "createInstance", tag: "commands", summary: "Create an instance", body: "Creation", repeatable: true, answer: "Done", codes: createCodes, do: a.postInstance},
		{method: "PUT", path: "/api/components/{component}/keys/{key}", id: "getOrCreateInstance", tag: "commands", summary: "Create the instance with a business key, unless it is there: repeated is true then", body: "Creation", repeatable: true, answer: "Done", codes: createCodes, do: a.putKey},
		{method: "POST", path: "/api/instances/{instance}/events", id: "sendEvent", tag: "commands", summary: "Send an event to an instance", body: "Event", repeatable: true, answer: "Done", codes: sendCodes, do: a.send(sentToRuntime)},
		{method: "POST", path: "/api/instances/{instance}/trigger", id: "triggerEvent", tag: "commands", summary: "The same, under the ancestor's other name", body: "Event", repeatable: true, answer: "Done", codes: sendCodes, do: a.send(sentToRuntimes)},
		{method: "POST", path: "/api/components/{component}/instances/{instance}/events", id: "sendComponentEvent", tag: "commands", summary: "Send an event to an instance of a component", body: "Event", repeatable: true, answer: "Done", codes: join(sendCodes, []fsm.Code{fsm.CodeUnknownComponent}), do: a.send(sentToRuntime)},
		{method: "POST", path: "/api/components/{component}/keys/{key}/events", id: "sendEventByKey", tag: "commands", summary: "Send an event to the instance with a business key", body: "Event", repeatable: true, answer: "Done", codes: join(sendCodes, []fsm.Code{fsm.CodeUnknownComponent}), do: a.send(sentToRuntime)},
		{method: "POST", path: "/api/components/{component}/machines/{machine}/broadcast", id: "broadcast", tag: "commands", summary: "Send an event to all instances of a machine, or to those in a state", body: "BroadcastEvent", repeatable: true, answer: "Broadcast", codes: join(bodyCodes, meshCodes, []fsm.Code{CodeNoEventType, fsm.CodeUnknownComponent, fsm.CodeUnknownMachine, fsm.CodeUnknownState, fsm.CodeBadValue, fsm.CodeContextTooLarge, fsm.CodeTooMany}), do: a.postBroadcast},

		{method: "GET", path: "/api/dead-letters", id: "listDeadLetters", tag: "dead letters", summary: "Effects for other components that runtimes have given up", query: []parameter{{"component", "Only those that this component sent.", stringSchema}}, answer: "DeadLetters", codes: meshCodes, do: a.getLetters},
		{method: "POST", path: "/api/dead-letters/resend", id: "resendDeadLetter", tag: "dead letters", summary: "Put a dead letter back on its way", body: "LetterName", answer: "Sent", codes: join(bodyCodes, meshCodes, []fsm.Code{CodeNoLetter}), do: a.postLetter},
	}
	if a.hub != nil {
		ops = append(ops, operation{method: "GET", path: streamPath, id: "stream", tag: "stream", summary: "What happens, as server-sent events", query: []parameter{
			{"component", "Only notices of this component.", stringSchema},
			{"machine", "Only notices of this machine.", stringSchema},
			{"instance", "Only notices of this instance.", stringSchema},
			{"kind", "Only notices of this kind.", enumSchema(streamKinds...)},
		}, content: "text/event-stream", codes: []fsm.Code{fsm.CodeOverloaded}, do: a.getStream})
	}
	return ops
}

func (a *API) getMetrics(w http.ResponseWriter, r *http.Request) error {
	a.scrape.ServeHTTP(w, r)
	return nil
}

func (a *API) getDocument(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.document) // who asked may be gone
	return nil
}
