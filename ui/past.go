package ui

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// A pastView is an instance as it was after one of its records.
type pastView struct {
	version      uint64
	at           time.Time
	state        badge
	event        string
	payload      string
	by, byHref   string
	failure      string
	timers       []pastTimerView
	changes      []changeLine
	data         fsm.Data
	context      *fsm.Data // of a machine with a public member
	previous     string    // address of the record before, "" if there is none
	before       uint64    // and its version
	next         string
	after        uint64
	now          string // address of the page as it is now
	missing      bool   // the record is not known
	missingWords string
}

type pastTimerView struct {
	event string
	to    badge
	left  string
}

// A changeLine is a line of what a record changed: what was there, or is.
type changeLine struct{ kind, text string } // kind is add or del

// currentStep marks the record that is shown.
func currentStep(on bool) templ.Attributes {
	if on {
		return templ.Attributes{"aria-current": "step"}
	}
	return nil
}

// atOf is the record that an address asks for, 0 for none.
func atOf(q url.Values) uint64 {
	at, err := strconv.ParseUint(q.Get("at"), 10, 64)
	if err != nil {
		return 0
	}
	return at
}

// pastOf shows an instance as it was after the record of a version. href makes
// the address of the page at a record, 0 being now.
func pastOf(m *fsm.Machine, in *mesh.Instance, records []*fsm.Record, at uint64, href func(uint64) string) *pastView {
	v := &pastView{version: at, now: href(0)}
	if at > 1 {
		v.previous, v.before = href(min(at-1, in.Version)), min(at-1, in.Version)
	}
	if at < in.Version {
		v.next, v.after = href(at+1), at+1
	}
	i := slices.IndexFunc(records, func(r *fsm.Record) bool { return r.Version == at })
	if i < 0 {
		v.missing, v.missingWords = true, "The runtime has no record "+strconv.FormatUint(at, 10)+" of it."
		return v
	}
	rec := records[i]
	row := recordOf(m, rec, nil)
	v.at, v.state, v.event, v.by, v.byHref, v.failure = row.at, row.to, row.event, row.by, row.byHref, rec.Error
	v.data, v.context = endData(rec), endContext(rec)
	if rec.Event.Payload.Len() > 0 {
		v.payload = indented(rec.Event.Payload)
	}
	for _, t := range rec.Timers {
		v.timers = append(v.timers, pastTimerView{event: t.Event, to: badgeOf(m, t.To), left: span(time.Duration(t.Due-rec.Time) * time.Millisecond)})
	}
	switch {
	case i > 0:
		v.changes = diff(endData(records[i-1]), v.data)
	case at == 1:
		v.changes = diff(fsm.Data{}, v.data)
	}
	return v
}

// endContext is the context after the entry method, nil where there is none.
func endContext(r *fsm.Record) *fsm.Data {
	if r.EndContext != nil {
		return r.EndContext
	}
	return r.Context
}

// diff lists what differs, field by field. Data is merged, so no field ever
// goes by an event; a hook may take one out.
func diff(before, after fsm.Data) (out []changeLine) {
	for k, now := range after.All() {
		was, had := before.Get(k)
		if had && indented(was) == indented(now) {
			continue
		}
		if had {
			out = append(out, changeLine{"del", k + ": " + compact(was)})
		}
		out = append(out, changeLine{"add", k + ": " + compact(now)})
	}
	for k, was := range before.All() {
		if _, has := after.Get(k); !has {
			out = append(out, changeLine{"del", k + ": " + compact(was)})
		}
	}
	return out
}
