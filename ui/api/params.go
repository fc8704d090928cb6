package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fsmesh/fsmesh/internal/nearest"
)

// A query is the parameters of a request, those that the operation takes.
type query url.Values

// queryOf reads the parameters. One that the operation's row of the table lacks is
// refused: left out of account, a misspelt filter would give what it was to keep out.
func queryOf(r *http.Request) (query, error) {
	var known []string
	for _, p := range operationOf(r).query {
		known = append(known, p.name)
	}
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, wrong(CodeBadParameter, "the query cannot be read: %v", err)
	}
	for name, values := range v {
		if !slices.Contains(known, name) {
			if near, ok := nearest.Match(name, known); ok {
				return nil, wrong(CodeBadParameter, "there is no parameter %q here; did you mean %q?", name, near)
			}
			allowed := strings.Join(known, ", ")
			if allowed == "" {
				allowed = "none"
			}
			return nil, wrong(CodeBadParameter, "there is no parameter %q here; allowed: %s", name, allowed)
		}
		if len(values) > 1 && name != "filter" {
			return nil, wrong(CodeBadParameter, "parameter %q is given %d times; once is allowed", name, len(values))
		}
	}
	return query(v), nil
}

func (q query) text(name string) string { return url.Values(q).Get(name) }

func (q query) has(name string) bool { return url.Values(q).Has(name) }

// limit reads a limit of 1 to most; without one it is the given default.
func (q query) limit(most, or int) (int, error) {
	if !q.has("limit") {
		return or, nil
	}
	n, err := strconv.Atoi(q.text("limit"))
	if err != nil || n < 1 || n > most {
		return 0, wrong(CodeBadParameter, "limit is %q; a whole number from 1 to %d is allowed", q.text("limit"), most)
	}
	return n, nil
}

// after reads a version.
func (q query) after() (uint64, error) {
	if !q.has("after") {
		return 0, nil
	}
	n, err := strconv.ParseUint(q.text("after"), 10, 64)
	if err != nil {
		return 0, wrong(CodeBadParameter, "after is %q; the version of a record, from 0, is allowed", q.text("after"))
	}
	return n, nil
}
