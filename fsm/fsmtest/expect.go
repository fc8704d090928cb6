package fsmtest

import (
	"fmt"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// compare compares all that the scenario says.
func (r *runner) compare() {
	r.t.Helper()
	e, s := r.scenario.Expect, r.scenario
	perInstance := r.options.PerInstance || r.options.Notices || s.Order == "per_instance"
	list := r.observer.trace
	want := e.Events
	if r.options.Notices {
		list = r.observer.notices
		want = slices.DeleteFunc(slices.Clone(want), func(e entry) bool { return isMethod(fsm.Kind(fmt.Sprint(e["kind"]))) })
	}
	got := r.observer.events(list, len(s.Components))
	if r.options.PerInstance {
		// A report that an event could not be delivered has no fixed place
		// among what its instance does meanwhile.
		var gotReports, wantReports []entry
		got, gotReports = splitReports(got)
		want, wantReports = splitReports(want)
		sameSets(r.t, "reports of events that could not be delivered", lines(gotReports), lines(wantReports))
	}
	if perInstance {
		samePerInstance(r.t, "events", got, want)
	} else {
		sameLists(r.t, "events", lines(got), lines(want))
	}
	sameLists(r.t, "outcomes", lines(r.outcomes), lines(e.Outcomes))
	sameSets(r.t, "broadcasts", lines(r.observer.counted(fsm.TraceBroadcast)), lines(e.Broadcasts))
	sameSets(r.t, "cascades", lines(r.observer.counted(fsm.TraceCascade)), lines(e.Cascades))
	if r.options.PerInstance {
		sameSets(r.t, "instances", lines(r.table()), lines(e.Instances))
	} else {
		sameLists(r.t, "instances", lines(r.table()), lines(e.Instances))
	}
	if s.checks("persisted") {
		r.comparePersisted()
	}
	if s.checks("snapshots") {
		sameSets(r.t, "snapshots", lines(r.snapshots(r.options.PerInstance)), lines(relative(e.Snapshots, e.Persisted, r.options.PerInstance)))
	}
}

func splitReports(list []entry) (rest, reports []entry) {
	for _, e := range list {
		code := fmt.Sprint(e["error"])
		undelivered := code == string(fsm.CodeUnknownInstance) || code == string(fsm.CodeInstanceInactive)
		if e["kind"] == string(fsm.TraceUserCodeError) && undelivered {
			reports = append(reports, e)
		} else {
			rest = append(rest, e)
		}
	}
	return rest, reports
}

// table returns the instances as they are now.
func (r *runner) table() []entry {
	var out []entry
	for in := range r.rt.Instances(fsm.Filter{}) {
		e := entry{
			"inst": r.aliases.name(in.ID()), "machine": in.Machine(), "state": in.State(),
			"status": in.Status().String(), "context": r.aliases.out(in.Context().Map()),
		}
		if public, ok := in.PublicMember(); ok {
			e["publicMember"] = r.aliases.out(public.Map())
		}
		if in.Parent() != "" {
			e["parent"] = r.aliases.name(in.Parent())
		}
		if in.EntryPoint() {
			e["entryPoint"] = true
		}
		if len(r.scenario.Components) > 1 {
			e["component"] = in.Component()
		}
		out = append(out, e)
	}
	return out
}
