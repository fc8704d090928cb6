package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A record is one as the ancestor stores it, with what is added.
type record struct {
	ID         string      `json:"id"`
	InstanceID string      `json:"instanceId"`
	Machine    string      `json:"machineName"`
	Component  string      `json:"componentName"`
	Event      recordEvent `json:"event"`
	Before     string      `json:"stateBefore"`
	After      string      `json:"stateAfter"`
	Time       int64       `json:"persistedAt"` // Unix ms
	// CausedBy is the id of the record whose transition led here.
	CausedBy string `json:"causedBy,omitempty"`
	// Caused is always empty, as with the ancestor: what a record led to says
	// so in its CausedBy.
	Caused []string `json:"caused"`
	Source string   `json:"sourceComponentName,omitempty"`
	Target string   `json:"targetComponentName,omitempty"`
	// Data is the context, or the public member where there is one, after the
	// transition.
	Data    fsm.Data `json:"publicMemberSnapshot"`
	Version uint64   `json:"version"`
	EventID string   `json:"eventId,omitempty"`
	Kind    string   `json:"kind"`
	Status  string   `json:"status"`
	Error   string   `json:"error,omitempty"`
}

type recordEvent struct {
	Type    string `json:"type"`
	Payload any    `json:"payload"`
	Time    int64  `json:"timestamp"` // Unix ms
}

func recordOf(r *fsm.Record) record {
	out := record{
		ID: r.ID().String(), InstanceID: r.Instance, Machine: r.Machine, Component: r.Component,
		Event:  recordEvent{r.Event.Type, r.Event.Payload, r.Event.Time},
		Before: r.Before, After: r.After, Time: r.Time, CausedBy: r.CausedBy.String(), Caused: []string{},
		Source: r.Source, Data: r.Data, Version: r.Version, EventID: r.Event.ID, Kind: string(r.Kind), Status: r.Status.String(), Error: r.Error,
	}
	if r.Remote != nil && out.CausedBy == "" {
		out.CausedBy = r.Remote.Record.String()
	}
	for _, e := range r.Effects {
		if e.Component != "" && e.Component != r.Component {
			out.Target = e.Component
		}
	}
	return out
}

const (
	// maxHistory is the most records of one answer. They are streamed.
	maxHistory = 1_000_000
	// someHistory is how many there are where no limit is given.
	someHistory = 1000
	// historyPiece is how many are asked of a runtime at a time.
	historyPiece = 1000
)

// history is the addresses that show the records of an instance, under the name
// that they give the list.
func (a *API) history(name string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		q, err := queryOf(r)
		if err != nil {
			return err
		}
		limit, err := q.limit(maxHistory, someHistory)
		if err != nil {
			return err
		}
		after, err := q.after()
		if err != nil {
			return err
		}
		t := target(r)
		l := lister{w: w, name: name, timeout: a.c.WriteTimeout}
		more, err := a.records(r.Context(), t, after, limit, func(some []*fsm.Record) error {
			list := make([]any, len(some))
			for i, rec := range some {
				list[i] = recordOf(rec)
				after = rec.Version
			}
			return l.add(list)
		})
		if err != nil {
			return a.explain(t, err)
		}
		fields := map[string]any{}
		if more {
			fields["more"], fields["nextAfter"] = true, after
		}
		return l.end(fields)
	}
}

// records hands over up to limit records of an instance, piece by piece, and
// reports whether there are more.
func (a *API) records(ctx context.Context, t mesh.Target, after uint64, limit int, take func([]*fsm.Record) error) (more bool, err error) {
	for n := 0; ; {
		out, err := a.c.Commands.History(ctx, t, after, min(limit-n, historyPiece))
		if err == nil && n > 0 {
			err = out.Follows(after)
		}
		if err != nil {
			return false, err
		}
		if err := take(out.Records); err != nil {
			return false, err
		}
		if n += len(out.Records); !out.More || len(out.Records) == 0 || n >= limit {
			return out.More, nil
		}
		after = out.Records[len(out.Records)-1].Version
		t = mesh.Target{ID: out.Instance, Component: t.Component} // a key may pass on to another meanwhile
	}
}

// correlationKeys are the names that the ancestor looks for, in its order.
var correlationKeys = []string{"orderId", "requestId", "id", "transactionId", "correlationId"}

const (
	// maxCorrelated is the most instances of which records are put together.
	maxCorrelated = 100
	// maxCorrelatedEvents is the most records of that.
	maxCorrelatedEvents = 10_000
)

// getCorrelated puts the records together of all instances that share the
// instance's value of a correlation key.
func (a *API) getCorrelated(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	limit, err := q.limit(maxCorrelatedEvents, someHistory)
	if err != nil {
		return err
	}
	t := target(r)
	var public, doc json.RawMessage
	if in, ok := a.shown(t); ok {
		doc, public = in.Context, in.PublicMember
	} else {
		out, err := a.c.Commands.Get(r.Context(), t)
		if err != nil {
			return err
		}
		doc, public = out.Row.Context, out.Row.PublicMember
	}
	c, ok := correlation(public, doc)
	if !ok {
		return answer(w, map[string]any{"events": []any{}, "correlationKey": nil})
	}
	var found []mesh.Instance
	var silent []string
	for in, err := range a.c.Commands.Correlated(r.Context(), fmt.Sprint(c.value), maxCorrelated+1) {
		if m, ok := errors.AsType[*mesh.MissingError](err); ok {
			silent = m.Runtimes
			break
		}
		if err != nil {
			return err
		}
		found = append(found, in)
	}
	tooMany := len(found) > maxCorrelated
	found = found[:min(len(found), maxCorrelated)]
	events, missing, more := a.merge(r.Context(), found, limit)
	list := make([]any, len(events))
	for i, e := range events {
		list[i] = recordOf(e)
	}
	ids := []any{}
	for _, in := range found {
		ids = append(ids, in.ID)
	}
	l := lister{w: w, name: "events", timeout: a.c.WriteTimeout}
	if err := l.add(list); err != nil {
		return err
	}
	fields := map[string]any{"correlationKey": c.path[0], "correlationValue": c.value, "instances": ids}
	if more || tooMany {
		fields["more"] = true
	}
	if len(missing) > 0 {
		fields["missing"] = missing
	}
	return l.end(withMissing(fields, silent))
}

// correlation returns the condition that correlated instances meet.
func correlation(documents ...json.RawMessage) (condition, bool) {
	for _, name := range correlationKeys {
		for _, d := range documents {
			v, ok := lookUp(d, []string{name})
			if !ok {
				continue
			}
			switch v.(type) {
			case string, json.Number:
				return condition{[]string{name}, "=", v}, true
			}
		}
	}
	return condition{}, false
}
