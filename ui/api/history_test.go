package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

func TestHistory(t *testing.T) {
	w := newWorld(t, nil)
	id := w.order(map[string]any{"orderId": "A", "amount": 1})
	w.want(200, "POST /api/instances/"+id+"/events", `{"event": "PLACE", "payload": {"n": 9007199254740993}}`, "Idempotency-Key", "e-1")
	w.want(200, "POST /api/instances/"+id+"/events", `{"event": "INVOICE_PAID"}`)
	list := w.want(200, "GET /api/instances/"+id+"/history", nil).body["history"].([]any)
	if len(list) != 3 {
		t.Fatalf("%d records", len(list))
	}
	first, second := list[0].(map[string]any), list[1].(map[string]any)
	if first["event"].(map[string]any)["type"] != "INSTANCE_CREATED" || first["stateBefore"] != "" || first["stateAfter"] != "Draft" || fmt.Sprint(first["version"]) != "1" {
		t.Errorf("creation: %v", first)
	}
	for _, k := range []string{"id", "instanceId", "machineName", "componentName", "event", "stateBefore", "stateAfter", "persistedAt", "caused", "publicMemberSnapshot"} {
		if _, ok := second[k]; !ok {
			t.Errorf("the ancestor's field %q is missing", k)
		}
	}
	event := second["event"].(map[string]any)
	if second["eventId"] != "e-1" || event["type"] != "PLACE" || fmt.Sprint(event["payload"].(map[string]any)["n"]) != "9007199254740993" || second["stateBefore"] != "Draft" {
		t.Errorf("transition: %v", second)
	}
	some := w.want(200, "GET /api/instances/"+id+"/history?limit=1&after=1", nil)
	if l := some.body["history"].([]any); len(l) != 1 || fmt.Sprint(l[0].(map[string]any)["version"]) != "2" || some.body["more"] != true || fmt.Sprint(some.body["nextAfter"]) != "2" {
		t.Errorf("a piece: %s", some.raw)
	}
	events := w.want(200, "GET /api/history/instances/"+id+"/events", nil)
	if len(events.body["events"].([]any)) != 3 {
		t.Errorf("events: %s", events.raw)
	}
	eventually(t, "the invoice is there", func() bool {
		return len(w.want(200, "GET /api/components/Billing/instances", nil).body["instances"].([]any)) == 1
	})
	c := w.want(200, "GET /api/history/correlated/"+id, nil)
	list = c.body["events"].([]any)
	if len(list) != 4 || c.body["correlationKey"] != "orderId" || c.body["correlationValue"] != "A" || len(c.body["instances"].([]any)) != 2 {
		t.Errorf("correlated: %s", c.raw)
	}
	caused := false
	last := int64(0)
	for _, e := range list {
		e := e.(map[string]any)
		caused = caused || e["componentName"] == "Billing" && e["causedBy"] == id+"/2"
		at, err := e["persistedAt"].(json.Number).Int64()
		if err != nil || at < last {
			t.Errorf("not in the order of time: %v", e)
		}
		last = at
	}
	if !caused {
		t.Errorf("the invoice does not say what it was caused by: %s", c.raw)
	}
}

// An endless stands in for an instance with a million records.
type endless struct{ *mesh.Client }

func (endless) History(_ context.Context, t mesh.Target, after uint64, limit int) (*mesh.Outcome, error) {
	out := &mesh.Outcome{OK: true, Instance: t.ID, More: true}
	for n := range uint64(limit) {
		out.Records = append(out.Records, &fsm.Record{Instance: t.ID, Version: after + n + 1, Kind: fsm.KindTransition})
	}
	return out, nil
}

// Records are streamed: the memory in use while a hundred thousand are read is not
// that of all of them, some 60 MB.
func TestHistoryIsStreamed(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Commands = endless{c.Commands.(*mesh.Client)} })
	const n = 100_000
	r, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprint(w.server.URL, "/api/instances/x/history?limit=", n), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, uint64(0)
	d := json.NewDecoder(bufio.NewReaderSize(res.Body, 1<<16))
	for range 3 { // { "history" [
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for ; d.More(); got++ {
		var rec struct{ Version int }
		if err := d.Decode(&rec); err != nil || rec.Version != got+1 {
			t.Fatalf("record %d: %+v, %v", got, rec, err)
		}
		if got%10_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if got != n {
		t.Errorf("%d records, want %d", got, n)
	}
	if most > before+20<<20 {
		t.Errorf("%d MB more in use while reading", (most-before)>>20)
	}
}

// A history that breaks off is seen to: the answer is cut, not ended.
func TestBrokenHistoryIsCutOff(t *testing.T) {
	for title, then := range map[string]func(*mesh.Outcome) error{
		"no answer": func(*mesh.Outcome) error { return mesh.ErrNoAnswer },
		"what comes next was dropped": func(o *mesh.Outcome) error {
			o.Records = o.Records[3:]
			return nil
		},
	} {
		t.Run(title, func(t *testing.T) {
			b := &breaking{then: then}
			w := newWorld(t, func(c *Config) {
				b.Client = c.Commands.(*mesh.Client)
				c.Commands = b
			})
			rec := httptest.NewRecorder()
			defer func() {
				if recover() != http.ErrAbortHandler || json.Valid(rec.Body.Bytes()) || rec.Body.Len() == 0 {
					t.Errorf("the answer looks whole: %.80s", rec.Body)
				}
			}()
			w.api.ServeHTTP(rec, httptest.NewRequest("GET", "/api/instances/x/history?limit=5000", nil))
		})
	}
}

// A breaking client has something happen behind the first piece of a history.
type breaking struct {
	*mesh.Client
	then func(*mesh.Outcome) error
}

func (b *breaking) History(ctx context.Context, t mesh.Target, after uint64, limit int) (*mesh.Outcome, error) {
	out, err := endless{}.History(ctx, t, after, limit)
	if err == nil && after > 0 {
		err = b.then(out)
	}
	return out, err
}

// An instance with many records gives each once, over many answers of its
// runtime.
func TestLongHistory(t *testing.T) {
	w := newWorld(t, nil)
	id := w.order(map[string]any{"orderId": "A", "amount": 1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := range 3000 {
		event := "NOTE"
		if i < 2 {
			event = []string{"PLACE", "INVOICE_PAID"}[i]
		}
		if _, err := w.orders.Send(ctx, id, fsm.Event{Type: event, Payload: map[string]any{"i": i, "text": "a text of some length, so that one answer does not hold all"}}); err != nil {
			t.Fatal(err)
		}
	}
	list := w.want(200, "GET /api/instances/"+id+"/history?limit=1000000", nil).body["history"].([]any)
	for i, r := range list {
		if fmt.Sprint(r.(map[string]any)["version"]) != fmt.Sprint(i+1) {
			t.Fatalf("record %d has version %v", i, r.(map[string]any)["version"])
		}
	}
	if len(list) != 3001 {
		t.Errorf("%d records, want 3001", len(list))
	}
}

// What has been is to be had over HTTP: found though it ended, as it was, what
// led to it and what it led to.
func TestPast(t *testing.T) {
	w := newWorld(t, nil)
	id := w.order(map[string]any{"orderId": "A", "amount": 1})
	other := w.order(map[string]any{"orderId": "B", "amount": 2})
	w.want(200, "POST /api/instances/"+id+"/events", `{"event": "PLACE"}`)
	list := func(query string) reply { return w.want(200, "GET /api/history/instances"+query, nil) }
	eventually(t, "the invoice is found", func() bool {
		return len(list("?machine=Invoice&field=orderId&value=A").body["instances"].([]any)) == 1
	})
	invoice := list("?machine=Invoice").body["instances"].([]any)[0].(map[string]any)["instanceId"].(string)
	w.want(200, "POST /api/instances/"+invoice+"/events", `{"event": "REFUSE"}`)
	ended := list("?machine=Invoice").body["instances"].([]any)[0].(map[string]any)
	if ended["instanceId"] != invoice || ended["status"] == "active" || ended["context"].(map[string]any)["orderId"] != "A" {
		t.Errorf("the invoice that ended: %v", ended)
	}
	if r := list("?component=Orders&limit=1"); len(r.body["instances"].([]any)) != 1 || r.body["more"] != true {
		t.Errorf("one of two: %s", r.raw)
	}
	if r := list("?component=Orders&limit=1000000"); len(r.body["instances"].([]any)) != 2 || r.body["more"] != nil || !strings.Contains(string(r.raw), other) {
		t.Errorf("both: %s", r.raw)
	}
	w.refused(400, CodeBadParameter, "GET /api/history/instances?limit=1000001", nil)

	at := w.want(200, "GET /api/instances/"+id+"/at?version=1", nil)
	if at.body["currentState"] != "Draft" || at.body["record"].(map[string]any)["id"] != id+"/1" {
		t.Errorf("at version 1: %s", at.raw)
	}
	if now := w.want(200, "GET /api/instances/"+id+"/at?time=2999-01-01T00:00:00Z", nil); now.body["currentState"] == "Draft" {
		t.Errorf("at a time to come: %s", now.raw)
	}
	w.refused(404, fsm.CodeUnknownRecord, "GET /api/instances/"+id+"/at?version=99", nil)
	for _, q := range []string{"", "?version=0", "?time=noon", "?version=1&time=1"} {
		w.refused(400, CodeBadParameter, "GET /api/instances/"+id+"/at"+q, nil)
	}

	tree := w.want(200, "GET /api/instances/"+id+"/records/2/caused", nil)
	below := tree.body["tree"].(map[string]any)["caused"].([]any)
	if len(below) != 1 || below[0].(map[string]any)["record"].(map[string]any)["id"] != invoice+"/1" {
		t.Errorf("caused: %s", tree.raw)
	}
	causes := w.want(200, "GET /api/instances/"+invoice+"/records/1/causes", nil)
	if l := causes.body["records"].([]any); len(l) != 2 || l[1].(map[string]any)["id"] != id+"/2" {
		t.Errorf("causes: %s", causes.raw)
	}
	w.refused(404, fsm.CodeUnknownRecord, "GET /api/instances/"+id+"/records/99/caused", nil)
	w.refused(400, CodeBadParameter, "GET /api/instances/"+id+"/records/x/causes", nil)
}
