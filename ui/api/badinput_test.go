package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// Each row is one kind of bad input; the answer says what and where. None of
// them reaches a runtime.
func TestBadInput(t *testing.T) {
	w := newWorld(t, nil)
	id := w.order(map[string]any{"orderId": "A", "amount": 1})
	send := "POST /api/instances/" + id + "/events"
	for _, x := range []struct {
		name    string
		request string
		body    any
		headers []string
		status  int
		code    fsm.Code
		says    string
	}{
		{"no body", send, "", nil, 400, CodeBadBody, "empty"},
		{"not JSON", send, "type=PLACE", nil, 400, CodeBadBody, "1:"},
		{"trailing garbage", send, `{"type":"PLACE"} x`, nil, 400, CodeBadBody, "text after it"},
		{"two objects", send, `{"type":"PLACE"}{}`, nil, 400, CodeBadBody, "text after it"},
		{"array", send, `["PLACE"]`, nil, 400, CodeBadBody, "a list"},
		{"string", send, `"PLACE"`, nil, 400, CodeBadBody, "a string"},
		{"null", send, `null`, nil, 400, CodeBadBody, "null"},
		{"duplicate key", send, `{"type":"PLACE","payload":{"a":1,"a":2}}`, nil, 400, CodeBadBody, `"a" is there twice`},
		{"2 MB", send, `{"type":"PLACE","payload":{"a":"` + strings.Repeat("x", 2<<20) + `"}}`, nil, 413, CodeBodyTooLarge, "1048576"},
		{"depth 10,000", send, `{"type":"PLACE","payload":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + "}", nil, 400, CodeBadBody, "deeper than 100"},
		{"NaN", send, `{"type":"PLACE","payload":{"a":NaN}}`, nil, 400, CodeBadBody, "N"},
		{"infinity", send, `{"type":"PLACE","payload":{"a":1e999}}`, nil, 400, fsm.CodeBadValue, "1e999"},
		{"not UTF-8", send, "{\"type\":\"PL\xff\"}", nil, 400, CodeBadBody, "UTF-8"},
		{"unclosed", send, `{"type":"PLACE"`, nil, 400, CodeBadBody, "ends too early"},
		{"wrong content type", send, `{"type":"PLACE"}`, []string{"Content-Type", "text/plain"}, 415, CodeMediaType, "text/plain"},
		{"form", send, `type=PLACE`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, CodeMediaType, "application/json"},
		{"no content type", send, `{"type":"PLACE"}`, []string{"Content-Type", ""}, 415, CodeMediaType, "application/json"},
		{"other charset", send, `{"type":"PLACE"}`, []string{"Content-Type", "application/json; charset=utf-16"}, 415, CodeMediaType, "UTF-8"},
		{"no event type", "POST /api/instances/nobody/events", `{}`, nil, 400, CodeNoEventType, "Missing event type"},
		{"empty event type", "POST /api/instances/nobody/trigger", `{"event":""}`, nil, 400, CodeNoEventType, "Missing event type"},
		{"event of wrong type", send, `{"event":{"type":"PLACE"}}`, nil, 400, CodeBadBody, `"event" is an object`},
		{"payload of wrong type", send, `{"event":"PLACE","payload":[1]}`, nil, 400, CodeBadBody, `"payload" is a list`},
		{"two faults", send, `{"type":7,"payload":[1]}`, nil, 400, CodeBadBody, `"payload" is a list`},
		{"two types", send, `{"event":"PLACE","type":"SHIP"}`, nil, 400, CodeBadBody, "one of them"},
		{"misspelt field", send, `{"event":"PLACE","ifversion":7}`, nil, 400, CodeBadBody, `no field "ifversion" here; did you mean "ifVersion"?`},
		{"state of an event", send, `{"event":"PLACE","state":"Draft"}`, nil, 400, CodeBadBody, "there are: event, ifVersion, payload, type"},
		{"misspelt field of a creation", "POST /api/components/Orders/instances", `{"machineName":"Order","contex":{}}`, nil, 400, CodeBadBody, `did you mean "context"?`},
		{"misspelt field of a broadcast", "POST /api/components/Orders/machines/Order/broadcast", `{"event":"PLACE","sate":"Draft"}`, nil, 400, CodeBadBody, `did you mean "state"?`},
		{"misspelt field of a dead letter", "POST /api/dead-letters/resend", `{"recrod":"x/1","n":0}`, nil, 400, CodeBadBody, `did you mean "record"?`},
		{"version below 0", send, `{"event":"PLACE","ifVersion":-1}`, nil, 400, CodeBadBody, `"ifVersion"`},
		{"empty Idempotency-Key", send, `{"event":"PLACE"}`, []string{"Idempotency-Key", ""}, 400, CodeBadParameter, "Idempotency-Key"},
		{"long Idempotency-Key", send, `{"event":"PLACE"}`, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, CodeBadParameter, "255"},
		{"unknown instance", "GET /api/instances/nobody", nil, nil, 404, fsm.CodeUnknownInstance, "nobody"},
		{"history of nobody", "GET /api/instances/nobody/history", nil, nil, 404, fsm.CodeUnknownInstance, "nobody"},
		{"send to nobody", "POST /api/instances/nobody/events", `{"event":"PLACE"}`, nil, 404, fsm.CodeUnknownInstance, "nobody"},
		{"unknown key", "GET /api/components/Orders/keys/nobody", nil, nil, 404, fsm.CodeUnknownInstance, "nobody"},
		{"unknown component", "GET /api/components/Nope/machines", nil, nil, 404, fsm.CodeUnknownComponent, "there are:"},
		{"unknown event", send, `{"event":"NOPE"}`, nil, 409, fsm.CodeEventIgnored, "PLACE"},
		{"broadcast to an unknown machine", "POST /api/components/Orders/machines/Nope/broadcast", `{"event":"PLACE"}`, nil, 404, fsm.CodeUnknownMachine, "Order"},
		{"broadcast to a state in wrong case", "POST /api/components/Orders/machines/Order/broadcast", `{"event":"PLACE","state":"draft"}`, nil, 404, fsm.CodeUnknownState, `"Draft"`},
		{"limit 0", "GET /api/instances?limit=0", nil, nil, 400, CodeBadParameter, "1 to 10000"},
		{"limit -1", "GET /api/instances?limit=-1", nil, nil, 400, CodeBadParameter, "1 to 10000"},
		{"limit 10^9", "GET /api/instances?limit=1000000000", nil, nil, 400, CodeBadParameter, "1 to 10000"},
		{"limit in words", "GET /api/instances?limit=ten", nil, nil, 400, CodeBadParameter, "1 to 10000"},
		{"history limit 0", "GET /api/instances/" + id + "/history?limit=0", nil, nil, 400, CodeBadParameter, "1 to 1000000"},
		{"history limit 1,000,001", "GET /api/instances/" + id + "/history?limit=1000001", nil, nil, 400, CodeBadParameter, "1 to 1000000"},
		{"history after", "GET /api/instances/" + id + "/history?after=-1", nil, nil, 400, CodeBadParameter, "version"},
		{"bad cursor", "GET /api/instances?cursor=@@", nil, nil, 400, CodeBadCursor, "nextCursor"},
		{"unknown parameter", "GET /api/instances?stat=Draft", nil, nil, 400, CodeBadParameter, `"state"`},
		{"parameter twice", "GET /api/instances?state=Draft&state=Paid", nil, nil, 400, CodeBadParameter, "2 times"},
		{"unreadable query", "GET /api/instances?state=%zz", nil, nil, 400, CodeBadParameter, "%zz"},
		{"status", "GET /api/instances?status=actve", nil, nil, 400, CodeBadParameter, `"active"`},
		{"order", "GET /api/instances?order=up", nil, nil, 400, CodeBadParameter, "newest"},
		{"state in wrong case", "GET /api/instances?state=draft", nil, nil, 404, fsm.CodeUnknownState, `"Draft"`},
		{"machine in wrong case", "GET /api/instances?machine=order", nil, nil, 404, fsm.CodeUnknownMachine, `"Order"`},
		{"diagram state", "GET /api/machines/Order/diagram?currentState=paid", nil, nil, 404, fsm.CodeUnknownState, `"Paid"`},
		{"diagram machine", "GET /api/machines/order/diagram", nil, nil, 404, fsm.CodeUnknownMachine, `"Order"`},
		{"stream kind", "GET /api/stream?kind=state_chang", nil, nil, 400, CodeBadParameter, `"state_change"`},
		{"method", "DELETE /api/instances/" + id, nil, nil, 405, CodeBadMethod, "GET"},
	} {
		r := w.refused(x.status, x.code, x.request, x.body, x.headers...)
		if !strings.Contains(r.body["detail"].(string), x.says) {
			t.Errorf("%s: %q does not say %q", x.name, r.body["detail"], x.says)
		}
	}
	if got := w.want(200, "GET /api/instances/"+id, nil); fmt.Sprint(got.body["version"]) != "1" {
		t.Errorf("something got through: %s", got.raw)
	}
	if r := w.want(200, "GET /api/components/Nope/instances", nil); len(r.body["instances"].([]any)) != 0 {
		t.Errorf("the instances of an unknown component: %s", r.raw)
	}
}
