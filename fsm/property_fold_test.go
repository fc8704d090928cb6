package fsm_test

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
)

// A folded is an instance as its records say that it is.
type folded struct {
	records []*fsm.Record
	origin  fsm.RecordOrigin
	last    *fsm.Record
}

// fold groups the records of a log by instance, in the order of creation.
func fold(records []*fsm.Record) (byID map[string]*folded, order []string) {
	byID = map[string]*folded{}
	for _, r := range records {
		f := byID[r.Instance]
		if f == nil {
			f = &folded{}
			byID[r.Instance] = f
			order = append(order, r.Instance)
		}
		if r.Origin != nil {
			f.origin = *r.Origin
		}
		f.records, f.last = append(f.records, r), r
	}
	return byID, order
}

// inTable reports whether the instance is one of the table.
func (f *folded) inTable() bool { return f.last.Status == fsm.StatusActive || f.origin.EntryPoint }

func (f *folded) data() fsm.Data {
	if f.last.EndData != nil {
		return *f.last.EndData
	}
	return f.last.Data
}

func (f *folded) context() *fsm.Data {
	if f.last.EndContext != nil {
		return f.last.EndContext
	}
	return f.last.Context
}

// differs returns how an instance of a table differs from what its records
// say, "" if it does not. Values must have the same Go types.
func (f *folded) differs(in *fsm.Instance) string {
	var out []string
	check := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			out = append(out, fmt.Sprintf("%s: in the table %#v, by the records %#v", what, got, want))
		}
	}
	check("component", in.Component(), f.last.Component)
	check("machine", in.Machine(), f.last.Machine)
	check("state", in.State(), f.last.After)
	check("status", in.Status(), f.last.Status)
	check("version", in.Version(), f.last.Version)
	check("data", in.Data().Map(), f.data().Map())
	if c := f.context(); c != nil {
		check("context", in.Context().Map(), c.Map())
	}
	check("parent", in.Parent(), f.origin.Parent)
	check("key", in.Key(), f.origin.Key)
	check("entry point", in.EntryPoint(), f.origin.EntryPoint)
	check("timers", tableTimers(in), recordTimers(f.last))
	return strings.Join(out, "\n")
}

func tableTimers(in *fsm.Instance) []string {
	var out []string
	for _, t := range in.Timers() {
		out = append(out, fmt.Sprintf("%s to %s at %d", t.Event, t.TargetState, t.Due.UnixMilli()))
	}
	return out
}

func recordTimers(r *fsm.Record) []string {
	var out []string
	for _, t := range r.Timers {
		out = append(out, fmt.Sprintf("%s to %s at %d", t.Event, t.To, t.Due))
	}
	return out
}
