package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// openAPI makes the document from the table.
func (a *API) openAPI() []byte {
	paths := schema{}
	for i := range a.table {
		op := &a.table[i]
		item, ok := paths[op.path].(schema)
		if !ok {
			item = schema{}
			paths[op.path] = item
		}
		item[strings.ToLower(op.method)] = op.describe()
	}
	b, err := json.MarshalIndent(schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "fsmesh", "version": a.c.Version,
			"description": "Instances of state machines on a mesh: what there is, what happens, and commands. Errors are problems (RFC 9457) with a stable code.",
			"license":     schema{"name": "see the repository"},
		},
		"servers": []any{schema{"url": "/"}},
		"tags":    a.tags(),
		"paths":   paths,
		"components": schema{
			"schemas": schemas(),
			"securitySchemes": schema{
				"token":   schema{"type": "http", "scheme": "bearer", "description": "Where the server has a token."},
				"session": schema{"type": "apiKey", "in": "cookie", "name": "fsmesh_session", "description": "Where the server has a password, after its login page."},
			},
		},
		// None is needed unless the server was given credentials.
		"security": []any{schema{}, schema{"token": []string{}}, schema{"session": []string{}}},
	}, "", "  ")
	if err != nil {
		panic(err) // maps, strings and numbers only
	}
	return append(b, '\n')
}

func (a *API) tags() []any {
	var out []any
	var seen []string
	for _, op := range a.table {
		if !slices.Contains(seen, op.tag) {
			seen = append(seen, op.tag)
			out = append(out, schema{"name": op.tag})
		}
	}
	return out
}

func (op *operation) describe() schema {
	out := schema{"operationId": op.id, "summary": op.summary, "tags": []string{op.tag}, "responses": op.responses()}
	var parameters []any
	for _, name := range pathNames(op.path) {
		parameters = append(parameters, schema{"name": name, "in": "path", "required": true, "schema": stringSchema})
	}
	for _, p := range op.query {
		parameters = append(parameters, schema{"name": p.name, "in": "query", "description": p.text, "schema": p.schema})
	}
	if op.repeatable {
		parameters = append(parameters, schema{
			"name": "Idempotency-Key", "in": "header", "schema": schema{"type": "string", "minLength": 1, "maxLength": maxKey},
			"description": op.repeats(),
		})
	}
	if op.path == streamPath {
		parameters = append(parameters, schema{
			"name": "Last-Event-ID", "in": "header", "schema": stringSchema,
			"description": "The id of the last event that was read: goes on after it, or says in an event \"missed\" that something was left out.",
		})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if op.body != "" {
		out["requestBody"] = schema{"required": true, "content": schema{"application/json": schema{"schema": refTo(op.body)}}}
	}
	return out
}

// repeats says what an Idempotency-Key does.
func (op *operation) repeats() string {
	if op.id == "broadcast" {
		return "An id of this request. Repeated with it, the request takes effect once in each instance. Instances are chosen anew: one that came meanwhile gets the event."
	}
	return "An id of this request. Repeated with it, the request takes effect once and is answered with the first outcome."
}

// responses has the answer, and a problem for each status that the operation's
// codes lead to.
func (op *operation) responses() schema {
	content := schema{}
	switch {
	case op.answer != "":
		content["application/json"] = schema{"schema": refTo(op.answer)}
	default:
		content[op.content] = schema{"schema": stringSchema}
	}
	out := schema{"200": schema{"description": "Done.", "content": content}}
	if op.path == "/readyz" {
		out["503"] = schema{"description": "Not ready.", "content": content}
	}
	byStatus := map[int][]string{}
	for _, c := range join(commonCodes, op.codes) {
		m := Mean(c)
		if !slices.Contains(byStatus[m.Status], string(c)) {
			byStatus[m.Status] = append(byStatus[m.Status], string(c))
		}
	}
	for status, codes := range byStatus {
		key := strconv.Itoa(status)
		if _, taken := out[key]; taken {
			continue
		}
		out[key] = schema{
			"description": "A problem with the code " + strings.Join(codes, ", ") + ".",
			"content":     schema{"application/problem+json": schema{"schema": refTo("Problem")}},
		}
	}
	return out
}

// pathNames are the names in braces of a path.
func pathNames(path string) (names []string) {
	for _, part := range strings.Split(path, "/") {
		if strings.HasPrefix(part, "{") {
			names = append(names, strings.Trim(part, "{}"))
		}
	}
	return names
}
