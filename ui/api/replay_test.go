package api

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The recorded requests of the ancestor's dashboard, against a server with the
// same instances, in the order in which they were made. Recorded keys and values
// are there, but for ids, times and what is added. What differs on purpose is
// named.
func TestReplayOfTheAncestor(t *testing.T) {
	w := newWorld(t, nil)
	b, err := os.ReadFile("testdata/rest.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Request  string          `json:"request"`
		Body     json.RawMessage `json:"body"`
		Status   int             `json:"status"`
		Response json.RawMessage `json:"response"`
	}
	if err := json.Unmarshal(b, &recorded); err != nil || len(recorded) != 18 {
		t.Fatalf("%d recorded requests, %v; want 18", len(recorded), err)
	}

	// What had been before the recording begins: ORD-7 waits for its payment,
	// the invoice for ORD-9 was refused.
	order := w.order(map[string]any{"orderId": "ORD-7", "amount": 120.5, "channel": "web"})
	w.want(200, "POST /api/instances/"+order+"/events", map[string]any{"type": "PLACE"})
	invoice := ""
	eventually(t, "the invoice is there", func() bool {
		list := w.want(200, "GET /api/components/Billing/instances", nil).body["instances"].([]any)
		for _, in := range list {
			invoice = in.(map[string]any)["instanceId"].(string)
		}
		return invoice != ""
	})
	refusedInvoice := w.want(200, "POST /api/components/Billing/instances", map[string]any{"context": map[string]any{"orderId": "ORD-9", "due": 1}, "machineName": "Invoice"}).body["instanceId"].(string)
	w.want(200, "POST /api/instances/"+refusedInvoice+"/events", map[string]any{"type": "REFUSE", "payload": map[string]any{"reason": "fraud"}})
	ids := strings.NewReplacer("53ae8609-128b-41a2-aa8c-c6ae424ad72a", order, "d5132019-99f2-4cf5-890a-184dd5866a6a", invoice,
		"a8ff087c-e5ca-46d4-bb99-5ebe7a4e8edd", refusedInvoice)

	differs := map[string]string{
		"POST /api/components/Orders/instances/" + order + "/events": "success before anything happened: PLACE, which the state ignores, is 409",
		"GET /api/instances/" + order + "/history":                   "the empty history: ours has the records",
		"GET /api/history/instances?limit=5":                         "the empty search: ours finds the instances",
		"GET /api/history/correlated/" + order:                       "the empty correlation: ours has the records of both",
		"GET /health":                                                "keys only",
	}
	met := map[string]bool{}
	for _, x := range recorded {
		request := ids.Replace(x.Request)
		var body any
		if len(x.Body) > 0 {
			body = ids.Replace(string(x.Body))
		}
		var want any
		if err := json.Unmarshal([]byte(ids.Replace(string(x.Response))), &want); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(x.Body), `"NOTE"`) {
			eventually(t, "the payment has reached the order", func() bool {
				return w.do("GET /api/instances/"+order, nil).body["currentState"] == "Paid"
			})
		}
		if strings.Contains(request, "GET /health") {
			// Between the commands and the questions ORD-7 was shipped.
			w.want(200, "POST /api/instances/"+order+"/events", map[string]any{"type": "SHIP"})
		}
		got := w.do(request, body)
		if why := differs[request]; why != "" && string(x.Body) != "{}" {
			met[request] = true
			w.differs(request, got, want)
			continue
		}
		if got.status != x.Status {
			t.Errorf("%s: got %d %s, want %d", request, got.status, got.raw, x.Status)
			continue
		}
		var have any
		if err := json.Unmarshal(got.raw, &have); err != nil {
			t.Fatal(err)
		}
		for _, fault := range lacks(request, have, want) {
			t.Error(fault)
		}
	}
	if len(met) != len(differs) {
		t.Errorf("%d of the %d differences were met: %v", len(met), len(differs), met)
	}
}

// differs checks what ours answers where the ancestor's answer is not wanted.
func (w *world) differs(request string, got reply, want any) {
	w.t.Helper()
	switch {
	case strings.HasPrefix(request, "POST"):
		if got.status != 409 || got.body["code"] != "event_ignored" {
			w.t.Errorf("%s: got %d %s, want 409", request, got.status, got.raw)
		}
	case request == "GET /health":
		for k := range want.(map[string]any) {
			if _, ok := got.body[k]; !ok {
				w.t.Errorf("%s: key %q is missing", request, k)
			}
		}
	default:
		for k, v := range want.(map[string]any) {
			if _, isList := v.([]any); isList {
				if list, _ := got.body[k].([]any); len(list) < 2 {
					w.t.Errorf("%s: %d in %q, want at least 2", request, len(list), k)
				}
			}
		}
	}
}

// changing are fields that no two runs have alike.
var changing = map[string]bool{"instanceId": true, "id": true, "runtimeId": true, "lastSeen": true}

// lacks returns what is in want and not in got. Elements of lists may come in
// another order.
func lacks(at string, got, want any) (faults []string) {
	switch want := want.(type) {
	case map[string]any:
		have, ok := got.(map[string]any)
		if !ok {
			return []string{at + ": no object"}
		}
		for k, v := range want {
			g, ok := have[k]
			switch {
			case !ok:
				faults = append(faults, at+"."+k+" is missing")
			case changing[k]:
			default:
				faults = append(faults, lacks(at+"."+k, g, v)...)
			}
		}
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			return []string{at + ": got " + string(a) + ", want " + string(b)}
		}
		for _, v := range want {
			var closest []string
			found := false
			for _, g := range have {
				f := lacks(at+"[]", g, v)
				if found = len(f) == 0; found {
					break
				}
				if closest == nil || len(f) < len(closest) {
					closest = f
				}
			}
			if !found {
				faults = append(faults, closest...)
			}
		}
	default:
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			faults = append(faults, at+": got "+string(a)+", want "+string(b))
		}
	}
	return faults
}
