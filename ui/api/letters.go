package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/fsmesh/fsmesh/fsm"
)

// A letter is an effect that was given up.
type letter struct {
	// Record and N are its name.
	Record    string         `json:"record"`
	N         int            `json:"n"`
	Kind      fsm.EffectKind `json:"kind"`
	Component string         `json:"componentName"`
	Machine   string         `json:"machineName,omitempty"`
	Event     string         `json:"event,omitempty"`
	Payload   fsm.Data       `json:"payload"`
	Source    string         `json:"sourceComponentName,omitempty"`
	Since     int64          `json:"since"` // Unix ms
	Error     string         `json:"error"`
	RuntimeID string         `json:"runtimeId"` // that gave it up
}

func (a *API) getLetters(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	letters, err := a.c.Commands.DeadLetters(r.Context(), q.text("component"))
	missing, err := silent(err)
	if err != nil {
		return err
	}
	list := []any{}
	for i := range letters {
		l := &letters[i]
		e := &l.Effect.Effect
		list = append(list, letter{
			Record: l.Effect.Record.String(), N: e.N, Kind: e.Kind, Component: e.Component, Machine: e.Machine, Event: e.Event,
			Payload: e.Payload, Source: e.Source, Since: l.Since, Error: l.Error, RuntimeID: l.RuntimeID,
		})
	}
	l := lister{w: w, name: "deadLetters", timeout: a.c.WriteTimeout}
	if err := l.add(list); err != nil {
		return err
	}
	return l.end(withMissing(map[string]any{"total": len(list)}, missing))
}

// postLetter puts a dead letter back on its way.
func (a *API) postLetter(w http.ResponseWriter, r *http.Request) error {
	if _, err := queryOf(r); err != nil {
		return err
	}
	o, err := a.readObject(w, r)
	if err != nil {
		return err
	}
	text, err := o.text("record")
	if err != nil {
		return err
	}
	n, err := o.count("n")
	if err != nil {
		return err
	}
	var id fsm.RecordID
	if err := id.UnmarshalText([]byte(text)); err != nil || text == "" {
		return wrong(CodeBadBody, `"record" is %q; the record of a dead letter, as instance/version, is expected`, text)
	}
	err = a.resend(r.Context(), id, n)
	if errors.Is(err, fsm.ErrUnknownInstance) {
		return wrong(CodeNoLetter, "there is no dead letter %d of record %q; GET /api/dead-letters lists them", n, text)
	}
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"success": true, "message": "Dead letter is on its way again"})
}

// resend finds out which runtime has a dead letter. Who did not answer may have
// it.
func (a *API) resend(ctx context.Context, id fsm.RecordID, n uint64) error {
	letters, missing := a.c.Commands.DeadLetters(ctx, "")
	for _, l := range letters {
		if l.Effect.Record == id && uint64(l.Effect.Effect.N) == n {
			return a.c.Commands.Resend(ctx, l)
		}
	}
	return cmp.Or(missing, error(fsm.ErrUnknownInstance))
}
