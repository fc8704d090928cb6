package fsmtest

import (
	"fmt"
	"slices"

	"github.com/fsmesh/fsmesh/fsm"
)

// comparePersisted compares the records in the order of appending, or for each
// instance. In the second case numbers of records are relative to it.
func (r *runner) comparePersisted() {
	r.t.Helper()
	got, want := r.persisted(), r.scenario.Expect.Persisted
	if !r.scenario.checks("causality") {
		want = without(want, "causedBy", "caused")
		got = without(got, "causedBy", "caused")
	}
	if r.options.PerInstance {
		samePerInstance(r.t, "records", relative(got, got, true), relative(want, want, true))
		return
	}
	sameLists(r.t, "records", lines(got), lines(want))
}

// persisted returns the records of the store.
func (r *runner) persisted() []entry {
	if r.memory == nil {
		return nil
	}
	records := r.memory.Records(logName)
	seq := recordNumbers(records)
	caused := map[fsm.RecordID][]any{}
	for _, rec := range records {
		if n, ok := seq[rec.CausedBy]; ok && n > 0 {
			caused[rec.CausedBy] = append(caused[rec.CausedBy], seq[rec.ID()])
		}
	}
	var out []entry
	for _, rec := range records {
		e := entry{
			"seq": seq[rec.ID()], "inst": r.aliases.name(rec.Instance), "event": rec.Event.Type,
			"from": rec.Before, "to": rec.After, "context": r.aliases.out(rec.Data.Map()),
		}
		if rec.Source != "" {
			e["source"] = rec.Source
		}
		if n, ok := seq[rec.CausedBy]; ok {
			e["causedBy"] = []any{n}
		}
		if list := caused[rec.ID()]; len(list) > 0 {
			e["caused"] = list
		}
		out = append(out, e)
	}
	return out
}

// recordNumbers numbers records from 1.
func recordNumbers(records []*fsm.Record) map[fsm.RecordID]int {
	seq := map[fsm.RecordID]int{}
	for i, rec := range records {
		seq[rec.ID()] = i + 1
	}
	return seq
}

// snapshots returns the latest snapshot of each instance.
func (r *runner) snapshots(perInstance bool) []entry {
	var seq map[fsm.RecordID]int
	if r.memory != nil {
		seq = recordNumbers(r.memory.Records(logName))
	}
	var out []entry
	for _, s := range r.latest() {
		e := entry{
			"inst": r.aliases.name(s.Instance), "state": s.State, "status": s.Status.String(),
			"context": r.aliases.out(s.Data.Map()),
		}
		if seq != nil {
			e["lastEvent"] = seq[fsm.RecordID{Instance: s.Instance, Version: s.Version}]
		}
		out = append(out, e)
	}
	if perInstance {
		return without(out, "lastEvent")
	}
	return out
}

// relative replaces the numbers of records by names that do not depend on the
// order of the instances: the n-th record of an instance. Without persisted
// records to number by, numbers are left out.
func relative(list, records []entry, perInstance bool) []entry {
	if !perInstance {
		return list
	}
	names, count := map[string]string{}, map[any]int{}
	for _, e := range records {
		count[e["inst"]]++
		names[fmt.Sprint(e["seq"])] = fmt.Sprintf("%v/%d", e["inst"], count[e["inst"]])
	}
	var out []entry
	for _, e := range without(list, "seq", "lastEvent") {
		for _, key := range []string{"causedBy", "caused"} {
			numbers, ok := e[key].([]any)
			if !ok {
				continue
			}
			var named []string
			for _, n := range numbers {
				named = append(named, names[fmt.Sprint(n)])
			}
			slices.Sort(named)
			e[key] = named
		}
		out = append(out, e)
	}
	return out
}

// without returns copies of entries that lack some keys.
func without(list []entry, keys ...string) []entry {
	var out []entry
	for _, e := range list {
		less := entry{}
		for k, v := range e {
			if !slices.Contains(keys, k) {
				less[k] = v
			}
		}
		out = append(out, less)
	}
	return out
}
