package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

func TestCommands(t *testing.T) {
	w := newWorld(t, nil)
	big := "9007199254740993" // 2^53 + 1
	r := w.want(200, "POST /api/components/Orders/instances", `{"context": {"orderId": "A", "amount": `+big+`}, "key": "order:A/1"}`, "Idempotency-Key", "create-1")
	id := r.body["instanceId"].(string)
	if r.body["success"] != true || r.body["state"] != "Draft" || fmt.Sprint(r.body["version"]) != "1" || r.body["shown"] != true || r.body["repeated"] != false {
		t.Errorf("creation: %s", r.raw)
	}
	again := w.want(200, "POST /api/components/Orders/instances", `{"context": {"orderId": "A", "amount": `+big+`}, "key": "order:A/1"}`, "Idempotency-Key", "create-1")
	if again.body["instanceId"] != id || again.body["success"] != true {
		t.Errorf("the same creation again: %s", again.raw)
	}
	// By key, with a slash in it, and the big number as it was.
	got := w.want(200, "GET /api/components/Orders/keys/order:A%2F1", nil)
	if got.body["id"] != id || fmt.Sprint(got.body["context"].(map[string]any)["amount"]) != big || got.body["runtimeName"] != "Orders" {
		t.Errorf("by key: %s", got.raw)
	}
	meet := w.want(200, "PUT /api/components/Orders/keys/order:A%2F1", `{"context": {"orderId": "A", "amount": 2}}`)
	if meet.body["instanceId"] != id || meet.body["repeated"] != true {
		t.Errorf("get or create: %s", meet.raw)
	}
	w.refused(409, fsm.CodeKeyExists, "POST /api/components/Orders/instances", `{"context": {"orderId": "A", "amount": 2}, "key": "order:A/1"}`)

	sent := w.want(200, "POST /api/components/Orders/keys/order:A%2F1/events", `{"type": "PLACE", "payload": {"big": `+big+`}}`, "Idempotency-Key", "place-1")
	if sent.body["state"] != "AwaitingPayment" || fmt.Sprint(sent.body["version"]) != "2" || sent.body["shown"] != true {
		t.Errorf("sent: %s", sent.raw)
	}
	sent = w.want(200, "POST /api/instances/"+id+"/events", `{"type": "PLACE"}`, "Idempotency-Key", "place-1")
	if sent.body["repeated"] != true || fmt.Sprint(sent.body["version"]) != "2" {
		t.Errorf("sent again: %s", sent.raw)
	}
	for _, in := range w.want(200, "GET /api/instances?state=AwaitingPayment", nil).body["instances"].([]any) {
		if in := in.(map[string]any); in["id"] != id || fmt.Sprint(in["context"].(map[string]any)["big"]) != big {
			t.Errorf("in the list: %v", in)
		}
	}
	ignored := w.refused(409, fsm.CodeEventIgnored, "POST /api/instances/"+id+"/events", `{"event": "invoice_paid"}`)
	if ignored.body["state"] != "AwaitingPayment" || fmt.Sprint(ignored.body["accepted"]) != "[INVOICE_PAID GIVE_UP]" && fmt.Sprint(ignored.body["accepted"]) != "[INVOICE_PAID]" ||
		!strings.Contains(ignored.body["detail"].(string), `did you mean "INVOICE_PAID"?`) {
		t.Errorf("ignored: %s", ignored.raw)
	}
	w.refused(409, fsm.CodeVersionMoved, "POST /api/instances/"+id+"/events", `{"event": "INVOICE_PAID", "ifVersion": 1}`)
	w.want(200, "POST /api/instances/"+id+"/events", `{"event": "INVOICE_PAID", "ifVersion": 2}`)
	all := w.want(200, "POST /api/components/Orders/machines/Order/broadcast", `{"event": "SHIP", "state": "Paid"}`)
	if fmt.Sprint(all.body["count"]) != "1" {
		t.Errorf("broadcast: %s", all.raw)
	}
	ended := w.refused(410, fsm.CodeInstanceEnded, "POST /api/instances/"+id+"/events", `{"event": "NOTE"}`)
	if ended.body["instanceId"] != id {
		t.Errorf("ended: %s", ended.raw)
	}
}

func TestCreationIsChecked(t *testing.T) {
	w := newWorld(t, nil)
	r := w.refused(422, CodeBadContext, "POST /api/components/Orders/instances", `{"context": {"orderId": 7, "amount": 0}}`)
	if faults, _ := r.body["faults"].([]any); len(faults) != 2 {
		t.Errorf("all faults are to be named: %s", r.raw)
	}
	w.refused(422, CodeBadContext, "POST /api/components/Orders/instances", `{}`)
	ok := `{"orderId": "A", "amount": 1}`
	r = w.refused(404, fsm.CodeUnknownMachine, "POST /api/components/Orders/instances", `{"machineName": "order", "context": `+ok+`}`)
	if !strings.Contains(r.body["detail"].(string), `did you mean "Order"?`) {
		t.Errorf("machine: %s", r.raw)
	}
	r = w.refused(404, fsm.CodeUnknownComponent, "POST /api/components/orders/instances", `{"context": `+ok+`}`)
	if !strings.Contains(r.body["detail"].(string), `did you mean "Orders"?`) || r.body["error"] != "Component not found" {
		t.Errorf("component: %s", r.raw)
	}
	r = w.refused(404, fsm.CodeUnknownState, "POST /api/components/Orders/instances", `{"state": "paid", "context": `+ok+`}`)
	if !strings.Contains(r.body["detail"].(string), "Paid") {
		t.Errorf("state in wrong case: %s", r.raw)
	}
	w.refused(409, fsm.CodeStateFinal, "POST /api/components/Orders/instances", `{"state": "Done", "context": `+ok+`}`)
	w.want(200, "POST /api/components/Orders/instances", `{"state": "Paid", "id": "mine", "context": `+ok+`}`)
	w.refused(409, fsm.CodeIDExists, "POST /api/components/Orders/instances", `{"id": "mine", "context": `+ok+`}`)
	w.refused(400, CodeBadBody, "POST /api/components/Orders/instances", `{"orGet": true, "context": `+ok+`}`)
	w.refused(404, fsm.CodeUnknownInstance, "POST /api/components/Billing/instances/mine/events", `{"event": "PAY"}`)
	w.refused(404, fsm.CodeUnknownComponent, "POST /api/components/Nope/instances/mine/events", `{"event": "PAY"}`)

	single := load(t, "testdata/orders.yaml")
	single.Name, single.EntryMachineMode = "Single", "singleton"
	w.host("Single", single, "", 0)
	w.exact(3)
	w.want(200, "POST /api/components/Single/instances", `{"context": `+ok+`}`)
	w.refused(409, fsm.CodeSingletonExists, "POST /api/components/Single/instances", `{"context": `+ok+`}`)
}

// Commands are made to fail by what stands in for the mesh: these failures can't
// be brought about at will.
type failing struct {
	*mesh.Client
	err error
}

func (f failing) Send(context.Context, mesh.Target, fsm.Event, mesh.SendOptions) (*mesh.Outcome, error) {
	return nil, f.err
}

func (f failing) Broadcast(context.Context, string, string, string, fsm.Event, string) (int, error) {
	return 3, f.err
}

func TestFailuresHaveTheirStatus(t *testing.T) {
	f := &failing{}
	w := newWorld(t, func(c *Config) {
		f.Client = c.Commands.(*mesh.Client)
		c.Commands = f
	})
	for _, x := range []struct {
		err    error
		status int
		code   fsm.Code
		retry  bool
	}{
		{&fsm.Error{Code: fsm.CodeOverloaded}, 429, fsm.CodeOverloaded, true},
		{&fsm.Error{Code: fsm.CodeFenced}, 503, fsm.CodeFenced, true},
		{&fsm.Error{Code: fsm.CodeNotRunning}, 503, fsm.CodeNotRunning, true},
		{&fsm.Error{Code: fsm.CodeStoreFailed}, 503, fsm.CodeStoreFailed, true},
		{fmt.Errorf("send: %w", mesh.ErrNoAnswer), 504, CodeNoAnswer, true},
		{&mesh.MissingError{Runtimes: []string{"one/Orders"}}, 504, CodeMissing, true},
		{nats.ErrNoResponders, 503, CodeGone, true},
		{nats.ErrConnectionClosed, 503, CodeUnreachable, true},
		{errors.New("the secret is 1234"), 500, CodeInternal, false},
	} {
		f.err = x.err
		r := w.refused(x.status, x.code, "POST /api/instances/x/events", `{"event": "PLACE"}`)
		if (r.header.Get("Retry-After") == "1") != x.retry {
			t.Errorf("%v: Retry-After %q", x.err, r.header.Get("Retry-After"))
		}
		if strings.Contains(string(r.raw), "1234") {
			t.Errorf("an inner error got out: %s", r.raw)
		}
		if x.code == CodeMissing && fmt.Sprint(r.body["missing"]) != "[one/Orders]" {
			t.Errorf("missing: %s", r.raw)
		}
		if x.code == CodeNoAnswer && !strings.Contains(r.body["detail"].(string), "Idempotency-Key") {
			t.Errorf("what to do is not said: %s", r.raw)
		}
	}
	f.err = &mesh.MissingError{Runtimes: []string{"one/Orders"}}
	if r := w.refused(504, CodeMissing, "POST /api/components/Orders/machines/Order/broadcast", `{"event": "PLACE"}`); fmt.Sprint(r.body["count"]) != "3" {
		t.Errorf("who was reached is not said: %s", r.raw)
	}
}

// A command's answer waits for the view, and says so where that lags. A view
// that stands still is one that was closed.
func TestAnswerWaitsForTheView(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ShownWithin = 300 * time.Millisecond })
	id := w.order(map[string]any{"orderId": "A", "amount": 1})
	for i := range 50 {
		event := map[string]any{"type": "PLACE"}
		if i > 0 {
			event = map[string]any{"type": []string{"INVOICE_PAID", "NOTE"}[min(i-1, 1)], "payload": map[string]any{"n": i}}
		}
		r := w.want(200, "POST /api/instances/"+id+"/events", event)
		list := w.want(200, "GET /api/components/Orders/instances", nil).body["instances"].([]any)
		if got := fmt.Sprint(list[0].(map[string]any)["version"]); got != fmt.Sprint(r.body["version"]) {
			t.Fatalf("the list has version %s after an answer with %v", got, r.body["version"])
		}
	}
	if err := w.view.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	r := w.want(200, "POST /api/instances/"+id+"/events", map[string]any{"type": "NOTE"})
	if r.body["shown"] != false || r.body["note"] == "" || r.body["success"] != true {
		t.Errorf("behind a view that stands still: %s", r.raw)
	}
	if d := time.Since(begin); d < 300*time.Millisecond || d > 5*time.Second {
		t.Errorf("waited for %v", d)
	}
}

// letters stand in for a runtime that has given something up, which takes 24 h.
type letters struct {
	*mesh.Client
	list []mesh.DeadLetter
}

func (l *letters) DeadLetters(_ context.Context, component string) ([]mesh.DeadLetter, error) {
	if component == "Other" {
		return nil, nil
	}
	return l.list, nil
}
func (l *letters) Resend(_ context.Context, d mesh.DeadLetter) error {
	for i, x := range l.list {
		if x.Effect.Record == d.Effect.Record && x.Effect.Effect.N == d.Effect.Effect.N && x.RuntimeID == d.RuntimeID {
			l.list = append(l.list[:i:i], l.list[i+1:]...)
			return nil
		}
	}
	return fsm.ErrUnknownInstance
}

func TestDeadLetters(t *testing.T) {
	l := &letters{list: []mesh.DeadLetter{{RuntimeID: "r", DeadLetter: fsm.DeadLetter{Effect: fsm.RemoteEffect{Record: fsm.RecordID{Instance: "a/b", Version: 3}, Effect: fsm.Effect{N: 1, Event: "PAY", Component: "Gone"}}, Since: 5, Error: "nobody took it"}}}}
	w := newWorld(t, func(c *Config) {
		l.Client = c.Commands.(*mesh.Client)
		c.Commands = l
	})
	r := w.want(200, "GET /api/dead-letters", nil)
	if first := r.body["deadLetters"].([]any)[0].(map[string]any); first["record"] != "a/b/3" || first["componentName"] != "Gone" || first["error"] != "nobody took it" {
		t.Errorf("got %s", r.raw)
	}
	if r := w.want(200, "GET /api/dead-letters?component=Other", nil); fmt.Sprint(r.body["total"]) != "0" {
		t.Errorf("of another component: %s", r.raw)
	}
	w.refused(404, CodeNoLetter, "POST /api/dead-letters/resend", `{"record": "a/b/3", "n": 2}`)
	w.refused(400, CodeBadBody, "POST /api/dead-letters/resend", `{"record": "a", "n": 2}`)
	w.want(200, "POST /api/dead-letters/resend", `{"record": "a/b/3", "n": 1}`)
	if r := w.want(200, "GET /api/dead-letters", nil); fmt.Sprint(r.body["total"]) != "0" {
		t.Errorf("got %s", r.raw)
	}
}

// What is not configured is not there, and not in the document.
func TestWithoutStream(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Notices = nil })
	w.refused(404, CodeNoRoute, "GET /api/stream", nil)
	if raw := string(w.want(200, "GET "+openPath, nil).raw); strings.Contains(raw, "/api/stream") {
		t.Error("the document has what is not there")
	}
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	_, err := New(t.Context(), Config{})
	if err == nil || !strings.Contains(err.Error(), "Commands") || !strings.Contains(err.Error(), "View") {
		t.Errorf("got %v", err)
	}
	_, err = New(t.Context(), Config{Commands: &mesh.Client{}, View: &mesh.View{}, Notices: noNotices{}})
	if !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
}

type noNotices struct{}

func (noNotices) Notices(context.Context, string) (iter.Seq2[mesh.Told, error], error) {
	return nil, http.ErrServerClosed
}
