package api

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// documentOf reads the document that the server gives out.
func (w *world) documentOf() map[string]any {
	w.t.Helper()
	raw := w.want(200, "GET "+openPath, nil).raw
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	return v.(map[string]any)
}

// The document is what the schema of the OpenAPI Initiative asks for, with the
// formats that are in it.
func TestOpenAPIDocumentFitsTheOfficialSchema(t *testing.T) {
	w := newWorld(t, nil)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	official, err := c.Compile("testdata/openapi/schema-2022-10-07.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := official.Validate(w.documentOf()); err != nil {
		t.Errorf("%#v", err)
	}
	// It finds what is wrong.
	for name, spoil := range map[string]func(map[string]any){
		"no info":             func(doc map[string]any) { delete(doc, "info") },
		"version of 3.0":      func(doc map[string]any) { doc["openapi"] = "3.0.3" },
		"unknown member":      func(doc map[string]any) { doc["path"] = map[string]any{} },
		"path without a /":    func(doc map[string]any) { doc["paths"].(map[string]any)["health"] = map[string]any{} },
		"answer without text": func(doc map[string]any) { answers(doc)["200"] = map[string]any{} },
		"status of a word":    func(doc map[string]any) { answers(doc)["fine"] = map[string]any{"description": "x"} },
	} {
		doc := w.documentOf()
		if spoil(doc); official.Validate(doc) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

// answers is what the document says of the answers of an operation.
func answers(doc map[string]any) map[string]any {
	return doc["paths"].(map[string]any)["/health"].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any)
}

// The document has the structure that this server's has. The check is a
// schema of our own for what the document uses: every key is named in it, so
// that a misspelt one is found. Besides: references lead somewhere, parameters of
// paths are those in braces, ids are unique, schemas compile as 2020-12.
func TestOpenAPIDocumentIsValid(t *testing.T) {
	w := newWorld(t, nil)
	doc := w.documentOf()
	c := jsonschema.NewCompiler()
	structure, err := c.Compile("testdata/openapi-structure.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := structure.Validate(doc); err != nil {
		t.Errorf("structure: %#v", err)
	}
	if err := c.AddResource("urn:doc", doc); err != nil {
		t.Fatal(err)
	}
	for name := range doc["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := c.Compile("urn:doc#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	ids := map[string]bool{}
	braces := regexp.MustCompile(`\{(\w+)\}`)
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			id := op["operationId"].(string)
			if ids[id] {
				t.Errorf("operationId %q is there twice", id)
			}
			ids[id] = true
			var want, got []string
			for _, m := range braces.FindAllStringSubmatch(path, -1) {
				want = append(want, m[1])
			}
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				if p := p.(map[string]any); p["in"] == "path" {
					got = append(got, p["name"].(string))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s: parameters %v, in the path are %v", method, path, got, want)
			}
		}
	}
	w.references(doc, doc)
	broken := w.documentOf()
	broken["paths"].(map[string]any)["/health"].(map[string]any)["get"].(map[string]any)["respones"] = map[string]any{}
	if structure.Validate(broken) == nil {
		t.Error("a misspelt key was not found")
	}
}

// references checks that each $ref leads somewhere.
func (w *world) references(doc, v any) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			at := doc
			for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
				at = at.(map[string]any)[step]
				if at == nil {
					w.t.Fatalf("%s leads nowhere", ref)
				}
			}
		}
		for _, x := range v {
			w.references(doc, x)
		}
	case []any:
		for _, x := range v {
			w.references(doc, x)
		}
	}
}

// A test calls every operation of the document, and its answer is as its schema
// says; nothing else is there.
func TestOpenAPIIsWhatThereIs(t *testing.T) {
	w := newWorld(t, nil)
	doc := w.documentOf()
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:doc", doc); err != nil {
		t.Fatal(err)
	}
	id := w.order(map[string]any{"orderId": "ORD-1", "amount": 5})
	path := strings.NewReplacer("{component}", "Orders", "{machine}", "Order", "{instance}", id, "{key}", "order:1", "{version}", "1", "/at", "/at?version=1")
	bodies := map[string]string{
		"Creation": `{"context": {"orderId": "ORD-2", "amount": 7}}`, "Event": `{"type": "PLACE"}`, "BroadcastEvent": `{"type": "SHIP", "state": "Paid"}`,
	}
	// What is not answered with 200 here, and why.
	others := map[string]int{
		"POST /api/dead-letters/resend":                                404, // there is none
		"POST /api/instances/{instance}/trigger":                       409, // PLACE was taken before
		"POST /api/components/{component}/keys/{key}/events":           0,
		"POST /api/components/{component}/instances/{instance}/events": 409,
	}
	bodies["LetterName"] = `{"record": "x/1", "n": 0}`
	w.want(200, "PUT /api/components/Orders/keys/order:1", bodies["Creation"])
	n := 0
	for _, op := range w.api.table {
		item, _ := doc["paths"].(map[string]any)[op.path].(map[string]any)
		described, _ := item[strings.ToLower(op.method)].(map[string]any)
		if described == nil {
			t.Errorf("%s %s is not in the document", op.method, op.path)
			continue
		}
		n++
		if op.path == streamPath {
			if r := w.want(200, "HEAD "+op.path, nil); r.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("stream: %v", r.header)
			}
			continue
		}
		var body any
		if op.body != "" {
			body = bodies[op.body]
		}
		r := w.do(op.method+" "+path.Replace(op.path), body)
		want, other := others[op.method+" "+op.path]
		if !other || want == 0 {
			want = 200
		}
		if r.status != want {
			t.Errorf("%s %s: got %d %s, want %d", op.method, op.path, r.status, r.raw, want)
			continue
		}
		name := op.answer
		if r.status != 200 {
			name = "Problem"
		}
		if _, described := described["responses"].(map[string]any)[strconv.Itoa(r.status)]; !described {
			t.Errorf("%s %s: status %d is not described", op.method, op.path, r.status)
		}
		if name == "" {
			continue
		}
		s, err := c.Compile("urn:doc#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s %s: the answer is not a %s: %v\n%s", op.method, op.path, name, err, r.raw)
		}
	}
	described := 0
	for p, item := range doc["paths"].(map[string]any) {
		described += len(item.(map[string]any))
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			if _, there := item.(map[string]any)[strings.ToLower(method)]; !there {
				r := w.refused(405, CodeBadMethod, method+" "+path.Replace(p), nil)
				if r.header.Get("Allow") == "" {
					t.Errorf("%s %s: no Allow", method, p)
				}
			}
		}
	}
	if n != described || n < 25 {
		t.Errorf("%d operations in the table, %d in the document", n, described)
	}
	for _, p := range []string{"/api", "/api/", "/api/nope", "/api/components/Orders/nope", "/api/instances/" + id + "/nope", "/api/history", "/api/stream/x", "/nope", "/"} {
		w.refused(404, CodeNoRoute, "GET "+p, nil)
	}
}

// A handler reads what the document says that it takes: a parameter with a value
// that fits nothing changes the answer, a field of another type is refused by name.
// What the document lacks is refused, and so cannot be read.
func TestOpenAPIParametersAndFieldsAreRead(t *testing.T) {
	w := newWorld(t, nil)
	id := w.order(map[string]any{"orderId": "ORD-1", "amount": 5})
	w.want(200, "PUT /api/components/Orders/keys/order:1", `{"context": {"orderId": "ORD-2", "amount": 7}}`)
	for _, event := range []string{"PLACE", "PAY"} { // so that there is history to leave out
		w.do("POST /api/components/Orders/keys/order:1/events", `{"type": "`+event+`"}`)
		w.do("POST /api/instances/"+id+"/events", `{"type": "`+event+`"}`)
	}
	path := strings.NewReplacer("{component}", "Orders", "{machine}", "Order", "{instance}", id, "{key}", "order:1", "{version}", "1")
	n := 0
	for _, op := range w.api.table {
		address := op.method + " " + path.Replace(op.path)
		if op.query != nil || op.body != "" {
			w.refused(400, CodeBadParameter, address+"?surely-not=1", `{}`)
		}
		if op.path == streamPath || op.path == "/api/dead-letters" {
			continue // TestStream, TestDeadLetters: it takes more to see a difference
		}
		plain := w.do(address, nil)
		for _, p := range op.query {
			n++
			if r := w.do(address+"?"+p.name+"=~nope~", nil); r.status == plain.status && bytes.Equal(r.raw, plain.raw) {
				t.Errorf("%s?%s= is documented and makes no difference: %d %s", address, p.name, r.status, r.raw)
			}
		}
		if op.body == "" {
			continue
		}
		w.refused(400, CodeBadBody, address, `{"surely-not": 1}`)
		properties := schemas()[op.body].(schema)["properties"].(schema)
		for name := range properties {
			n++
			body := `{"` + name + `": [1]}`
			if properties["type"] != nil && name != "type" {
				body = `{"type": "PLACE", "` + name + `": [1]}`
			}
			r := w.refused(400, CodeBadBody, address, body)
			if !strings.Contains(string(r.raw), `\"`+name+`\" is a list`) {
				t.Errorf("%s: %q is documented and not read: %s", address, name, r.raw)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d parameters and fields were looked at", n)
	}
}

// Every status that a test of this package meets as a problem is one of the
// table, and each code has one meaning.
func TestMeaningsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Meanings() {
		if seen[string(m.Code)] {
			t.Errorf("%s is there twice", m.Code)
		}
		seen[string(m.Code)] = true
		if m.Status < 400 || m.Status > 599 || m.Exit < 1 || m.Exit > 4 || m.Title == "" {
			t.Errorf("%s: %+v", m.Code, m)
		}
	}
	b, err := json.Marshal(Mean("something_new"))
	if err != nil || !strings.Contains(string(b), `"something_new"`) || Mean("something_new").Status != 500 {
		t.Errorf("an unknown code: %s, %v", b, err)
	}
}
