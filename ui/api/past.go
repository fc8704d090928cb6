package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A pastInstance is an instance as it was after one of its records.
type pastInstance struct {
	InstanceID string   `json:"instanceId"`
	Machine    string   `json:"machineName"`
	Component  string   `json:"componentName"`
	State      string   `json:"currentState"`
	Status     string   `json:"status"`
	Version    uint64   `json:"version"`
	Context    fsm.Data `json:"context"`
	// Data is the public member where there is one, else the context.
	Data   fsm.Data `json:"publicMemberSnapshot"`
	Record record   `json:"record"` // that led there
}

// getAt shows an instance as it was at a version or a time.
func (a *API) getAt(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	m, err := q.moment()
	if err != nil {
		return err
	}
	p, err := a.c.Commands.StateAt(r.Context(), target(r), m)
	if err != nil {
		return err
	}
	return answer(w, pastInstance{
		InstanceID: p.Record.Instance, Machine: p.Record.Machine, Component: p.Record.Component, State: p.State, Status: p.Status.String(),
		Version: p.Record.Version, Context: p.Context, Data: p.Data, Record: recordOf(p.Record),
	})
}

// moment reads a version or a time, as RFC 3339 or in Unix ms.
func (q query) moment() (m mesh.Moment, err error) {
	version, at := q.text("version"), q.text("time")
	if (version == "") == (at == "") {
		return m, wrong(CodeBadParameter, "one of version and time is needed")
	}
	if version != "" {
		if m.Version, err = strconv.ParseUint(version, 10, 64); err != nil || m.Version == 0 {
			return m, wrong(CodeBadParameter, "version is %q; the version of a record, from 1, is allowed", version)
		}
		return m, nil
	}
	if ms, err := strconv.ParseInt(at, 10, 64); err == nil {
		m.Time = time.UnixMilli(ms)
	} else if m.Time, err = time.Parse(time.RFC3339, at); err != nil {
		return m, wrong(CodeBadParameter, "time is %q; Unix milliseconds, or a time such as 2026-01-31T12:00:00Z, are allowed", at)
	}
	return m, nil
}

// recordID is the record that a path names.
func recordID(r *http.Request) (fsm.RecordID, error) {
	text := r.PathValue("version")
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil || version == 0 {
		return fsm.RecordID{}, wrong(CodeBadParameter, "the version is %q; that of a record, from 1, is allowed", text)
	}
	return fsm.RecordID{Instance: r.PathValue("instance"), Version: version}, nil
}

// getCauses shows what led to a record, the record itself first.
func (a *API) getCauses(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	id, err := recordID(r)
	if err != nil {
		return err
	}
	chain, err := a.c.Commands.Causes(r.Context(), id)
	if err != nil {
		return err
	}
	list := []record{}
	for _, rec := range chain {
		list = append(list, recordOf(rec))
	}
	return answer(w, map[string]any{"records": list})
}

// A causedNode is a record with those that it led to.
type causedNode struct {
	Record record       `json:"record"`
	Caused []causedNode `json:"caused"`
	// Cut is true where there is more below.
	Cut bool `json:"cut,omitempty"`
}

func causedOf(n *fsm.CausedNode) causedNode {
	out := causedNode{Record: recordOf(n.Record), Caused: []causedNode{}, Cut: n.Cut}
	for _, c := range n.Caused {
		out.Caused = append(out.Caused, causedOf(c))
	}
	return out
}

// maxCaused is the most records of a tree.
const maxCaused = 10_000

// getCaused shows what a record led to.
func (a *API) getCaused(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	limit, err := q.limit(maxCaused, someHistory)
	if err != nil {
		return err
	}
	id, err := recordID(r)
	if err != nil {
		return err
	}
	tree, err := a.c.Commands.Caused(r.Context(), id, fsm.CausedOptions{Count: limit})
	missing, other := silent(err)
	if tree == nil {
		return err
	}
	if other != nil {
		return other
	}
	return answer(w, withMissing(map[string]any{"tree": causedOf(tree)}, missing))
}
