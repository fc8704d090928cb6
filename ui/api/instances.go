package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// An instance is one as lists show it.
type instance struct {
	InstanceID string          `json:"instanceId"`
	ID         string          `json:"id"` // the same: the ancestor has both
	Machine    string          `json:"machineName"`
	State      string          `json:"currentState"`
	Context    json.RawMessage `json:"context"`
	Component  string          `json:"componentName"`

	Status          string          `json:"status"`
	Version         uint64          `json:"version"`
	Key             string          `json:"key,omitempty"`
	Parent          string          `json:"parentInstanceId,omitempty"`
	PublicMember    json.RawMessage `json:"publicMember,omitempty"`
	PendingTimeouts json.RawMessage `json:"pendingTimeouts,omitempty"`
	CreatedAt       int64           `json:"createdAt,omitempty"` // Unix ms
	UpdatedAt       int64           `json:"updatedAt,omitempty"` // Unix ms
	RuntimeID       string          `json:"runtimeId,omitempty"`
	RuntimeName     string          `json:"runtimeName,omitempty"`
	Stale           bool            `json:"stale,omitempty"`
}

func instanceOf(in *mesh.Instance) instance {
	out := instance{
		InstanceID: in.ID, ID: in.ID, Machine: in.Machine, State: in.State, Context: in.Context, Component: in.Component,
		Status: string(in.Status), Version: in.Version, Key: in.Key, Parent: in.Parent, PublicMember: in.PublicMember,
		PendingTimeouts: in.PendingTimeouts, CreatedAt: in.CreatedAt, UpdatedAt: in.UpdatedAt,
		RuntimeID: in.RuntimeID, RuntimeName: in.Name, Stale: in.Stale,
	}
	if len(out.Context) == 0 {
		out.Context = json.RawMessage("{}")
	}
	if out.Status == "" {
		out.Status = string(mesh.Active)
	}
	return out
}

// A selection says which instances a list is of: a filter that the view
// understands, and what is left to look at in each row.
type selection struct {
	filter     mesh.Filter
	status     mesh.Status
	key        string
	conditions []condition
	text       string // in lower case
	newest     bool
	limit      int
	cursor     string
	paged      bool // limit or cursor was given
}

// maxPage is the most instances of a page.
const maxPage = 10_000

// statuses are what ?status= takes.
var statuses = []string{"active", "ended", "completed", "error", "quarantined", "gone"}

// selectionOf reads the parameters of a list. name is the component of the
// path, or "".
func (a *API) selectionOf(r *http.Request, name string) (*selection, error) {
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	s := &selection{
		key: q.text("key"), text: strings.ToLower(q.text("q")), cursor: q.text("cursor"), paged: q.has("limit") || q.has("cursor"),
		filter: mesh.Filter{
			Component: name, Machine: q.text("machine"), State: q.text("state"), Prefix: q.text("prefix"), Name: q.text("runtime"),
		},
	}
	if name == "" {
		s.filter.Component = q.text("component")
	}
	if s.key != "" && s.filter.Prefix == "" {
		s.filter.Prefix = s.key
	}
	if s.limit, err = q.limit(maxPage, 100); err != nil {
		return nil, err
	}
	if err := s.setStatus(q.text("status")); err != nil {
		return nil, err
	}
	switch q.text("order") {
	case "", "oldest":
	case "newest":
		s.newest = true
	default:
		return nil, wrong(CodeBadParameter, "order is %q; oldest or newest is allowed", q.text("order"))
	}
	if err := s.setFilter(q["filter"]); err != nil {
		return nil, err
	}
	var of []*component
	for _, c := range a.components() {
		if s.filter.Component == "" || c.name == s.filter.Component {
			of = append(of, c)
		}
	}
	return s, checkNames(of, s.filter.Machine, s.filter.State)
}

func (s *selection) setStatus(status string) error {
	switch status {
	case "":
	case "active":
		s.filter.Live = true
	case "ended":
		s.filter.Ended = true
	case "completed", "error", "gone":
		s.filter.Ended = true
		s.status = mesh.Status(status)
	case "quarantined": // which is neither alive nor ended
		s.status = mesh.Status(status)
	default:
		return wrong(CodeBadParameter, "status is %q%s", status, suggest(status, statuses))
	}
	return nil
}

func (s *selection) setFilter(texts []string) error {
	for _, text := range texts {
		conditions, err := parseFilter(text)
		if err != nil {
			return err
		}
		for _, c := range conditions {
			if p, ok := c.exact(); ok {
				s.filter.Properties = append(s.filter.Properties, p)
			} else {
				s.conditions = append(s.conditions, c)
			}
		}
		if len(s.conditions)+len(s.filter.Properties) > maxConditions {
			return wrong(CodeBadFilter, "at most %d conditions are allowed in all", maxConditions)
		}
	}
	return nil
}

// simple reports whether the view alone decides.
func (s *selection) simple() bool {
	return s.status == "" && s.key == "" && s.text == "" && len(s.conditions) == 0
}

func (s *selection) wants(in *mesh.Instance) bool {
	if s.status != "" && in.Status != s.status || s.key != "" && in.Key != s.key {
		return false
	}
	if s.text != "" && !holdsText(in, s.text) {
		return false
	}
	for i := range s.conditions {
		if !s.conditions[i].holds(in.Context, in.PublicMember) {
			return false
		}
	}
	return true
}

func holdsText(in *mesh.Instance, text string) bool {
	for _, s := range []string{in.ID, in.Key, readable(in.Context), readable(in.PublicMember)} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// readable is a document without the escapes that it could do without.
func readable(doc json.RawMessage) string {
	if !bytes.ContainsRune(doc, '\\') {
		return string(doc)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(doc)
	}
	b, err := encode(v)
	if err != nil {
		return string(doc)
	}
	return string(b)
}

// step is how many rows are taken from the view in one go; it does not change
// meanwhile, and waits.
const step = 500

// pick returns up to limit instances from where the cursor points, and the
// cursor to go on from. It may return fewer and still a cursor.
func (a *API) pick(s *selection, cursor string, limit int) (found []mesh.Instance, next string, err error) {
	if s.simple() {
		var p mesh.Page
		a.c.View.Read(func(d *mesh.Directory) { p, err = d.List(s.filter, s.newest, cursor, min(limit, step)) })
		return p.Instances, p.Next, err
	}
	a.c.View.Read(func(d *mesh.Directory) {
		var p mesh.Page
		if p, err = d.List(s.filter, s.newest, cursor, step); err != nil {
			return
		}
		next = p.Next
		for i := range p.Instances {
			if !s.wants(&p.Instances[i]) {
				continue
			}
			if found = append(found, p.Instances[i]); len(found) == limit && i+1 < len(p.Instances) {
				// The cursor behind this row is that of a page that ends here.
				p, err = d.List(s.filter, s.newest, cursor, i+1)
				next = p.Next
				return
			}
		}
	})
	return found, next, err
}

// page gathers a whole page.
func (a *API) page(ctx context.Context, s *selection) (found []mesh.Instance, next string, err error) {
	next = s.cursor
	for {
		var some []mesh.Instance
		if some, next, err = a.pick(s, next, s.limit-len(found)); err != nil {
			return nil, "", err
		}
		found = append(found, some...)
		if next == "" || len(found) == s.limit {
			return found, next, nil
		}
		if err := context.Cause(ctx); err != nil {
			return nil, "", err
		}
	}
}

// total counts all that a selection is for.
func (a *API) total(ctx context.Context, s *selection) (n int, err error) {
	if s.simple() {
		var c mesh.Count
		a.c.View.Read(func(d *mesh.Directory) { c = d.Count(s.filter) })
		switch {
		case s.filter.Live:
			return c.Active + c.Stale, nil
		case s.filter.Ended:
			return c.Ended, nil
		}
		return c.All(), nil
	}
	for cursor := ""; ; {
		var some []mesh.Instance
		if some, cursor, err = a.pick(s, cursor, step); err != nil {
			return 0, err
		}
		n += len(some)
		if cursor == "" {
			return n, nil
		}
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
	}
}

func (a *API) getInstances(w http.ResponseWriter, r *http.Request) error {
	return a.list(w, r, r.PathValue("component"))
}

// list writes a page with its total, or, where none is asked for, all.
func (a *API) list(w http.ResponseWriter, r *http.Request, component string) error {
	s, err := a.selectionOf(r, component)
	if err != nil {
		return err
	}
	if !s.paged {
		return a.listAll(w, r, s)
	}
	found, next, err := a.page(r.Context(), s)
	if err != nil {
		return badCursor(err, s.cursor)
	}
	total, err := a.total(r.Context(), s)
	if err != nil {
		return err
	}
	list := []any{}
	for i := range found {
		list = append(list, instanceOf(&found[i]))
	}
	l := lister{w: w, name: "instances", timeout: a.c.WriteTimeout}
	if err := l.add(list); err != nil {
		return err
	}
	return l.end(map[string]any{"total": total, "nextCursor": orNull(next)})
}

func badCursor(err error, cursor string) error {
	if CodeOf(err) != CodeBadCursor {
		return err
	}
	return wrong(CodeBadCursor, "cursor is %q, which no list has given; leave it empty for the first page, then give the nextCursor of the last", cursor)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// listAll writes all, as they are read.
func (a *API) listAll(w http.ResponseWriter, r *http.Request, s *selection) error {
	l := lister{w: w, name: "instances", timeout: a.c.WriteTimeout}
	for cursor := ""; ; {
		found, next, err := a.pick(s, cursor, step)
		if err != nil {
			return err
		}
		list := make([]any, 0, len(found))
		for i := range found {
			list = append(list, instanceOf(&found[i]))
		}
		if err := l.add(list); err != nil {
			return err
		}
		if cursor = next; cursor == "" {
			return l.end(nil)
		}
		if err := context.Cause(r.Context()); err != nil {
			return err
		}
	}
}

// getInstance shows an instance as its runtime has it now, or, where that does
// not know it any more, as the view does.
func (a *API) getInstance(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	t := target(r)
	out, err := a.c.Commands.Get(r.Context(), t)
	if err == nil {
		in := mesh.Instance{Row: *out.Row, RuntimeID: out.RuntimeID, Component: out.Component, Name: a.nameOf(out.RuntimeID)}
		return answer(w, instanceOf(&in))
	}
	if code := CodeOf(err); code == fsm.CodeUnknownInstance || code == CodeGone || code == CodeMissing {
		if in, ok := a.shown(t); ok {
			return answer(w, instanceOf(&in))
		}
	}
	return a.explain(t, err)
}

// shown finds an instance in the view.
func (a *API) shown(t mesh.Target) (in mesh.Instance, ok bool) {
	if t.ID == "" {
		return in, false
	}
	a.c.View.Read(func(d *mesh.Directory) {
		for _, found := range d.Find(t.ID) {
			if t.Component == "" || found.Component == t.Component {
				in, ok = found, true
			}
		}
	})
	return in, ok
}

func (a *API) nameOf(runtimeID string) (name string) {
	a.c.View.Read(func(d *mesh.Directory) {
		for _, i := range d.Runtimes(time.Now()) {
			if i.RuntimeID == runtimeID {
				name = i.Name
			}
		}
	})
	return name
}

// target is the instance that a path names.
func target(r *http.Request) mesh.Target {
	return mesh.Target{ID: r.PathValue("instance"), Component: r.PathValue("component"), Key: r.PathValue("key")}
}

// explain says of an instance that is not there that its component is not
// either.
func (a *API) explain(t mesh.Target, err error) error {
	if t.Component == "" || CodeOf(err) != fsm.CodeUnknownInstance {
		return err
	}
	if _, unknown := a.component(t.Component); unknown != nil {
		return unknown
	}
	return err
}
