package api

import (
	"errors"
	"net/http"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

const (
	// maxSearch is the most instances of a search's answer. They are streamed.
	maxSearch = 1_000_000
	// someSearch is how many there are where no limit is given.
	someSearch = 100
)

// getSearch shows the instances that the runtimes find, those that ended among
// them as far back as they are kept.
func (a *API) getSearch(w http.ResponseWriter, r *http.Request) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	limit, err := q.limit(maxSearch, someSearch)
	if err != nil {
		return err
	}
	s := fsm.Search{
		Component: q.text("component"), Machine: q.text("machine"), State: q.text("state"), Text: q.text("q"), Field: q.text("field"), Value: q.text("value"),
	}
	if q.has("value") && s.Field == "" {
		return wrong(CodeBadParameter, "a value is given without a field")
	}
	l := lister{w: w, name: "instances", timeout: a.c.WriteTimeout}
	var missing []string
	var piece []any
	n, fields := 0, map[string]any{}
	// One more tells whether there are more.
	for in, err := range a.c.Commands.Search(r.Context(), s, limit+1) {
		if missing, err = silent(err); err != nil {
			return err
		}
		if missing != nil {
			break
		}
		if n++; n > limit {
			fields["more"] = true
			break
		}
		if piece = append(piece, instanceOf(&in)); len(piece) == step {
			if err := l.add(piece); err != nil {
				return err
			}
			piece = piece[:0]
		}
	}
	if err := l.add(piece); err != nil {
		return err
	}
	return l.end(withMissing(fields, missing))
}

// silent takes the names of those who did not answer out of an error that says
// no more than that.
func silent(err error) ([]string, error) {
	if m, ok := errors.AsType[*mesh.MissingError](err); ok {
		return m.Runtimes, nil
	}
	return nil, err
}

// withMissing says in an answer who has no part in it.
func withMissing(fields map[string]any, runtimes []string) map[string]any {
	if len(runtimes) > 0 {
		fields["missingRuntimes"] = runtimes
	}
	return fields
}
