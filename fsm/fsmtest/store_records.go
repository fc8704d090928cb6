package fsmtest

import (
	"encoding/json"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// baseTime is when the histories of the suite begin: long ago, so that all of
// it is older than any time that Retain is given.
var baseTime = time.Date(2021, 3, 4, 5, 6, 7, 8e6, time.UTC).UnixMilli()

// A life builds the records of one instance, one after the other.
type life struct {
	t    *testing.T
	id   string
	last *fsm.Record
	// origin and created are those of the creation.
	origin  fsm.RecordOrigin
	created int64
}

// creations orders all instances of the suite.
var creations atomic.Uint64

func newLife(t *testing.T, id string) *life { return &life{t: t, id: id} }

// data makes Data of a map of plain values.
func data(t *testing.T, m map[string]any) fsm.Data {
	t.Helper()
	d, err := fsm.NewData(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// begin returns the creation record.
func (l *life) begin(origin fsm.RecordOrigin) *fsm.Record {
	origin.Order = creations.Add(1)
	l.origin, l.created = origin, baseTime
	l.last = &fsm.Record{
		Kind: fsm.KindCreated, Instance: l.id, Version: 1, Component: "Shop", Machine: "Order",
		Event: fsm.RecordEvent{Type: "INSTANCE_CREATED", Time: baseTime},
		After: "Draft", Time: baseTime,
		Data:   data(l.t, map[string]any{"n": 1}),
		Origin: &origin,
	}
	return l.last
}

// create is begin for an instance without anything special.
func (l *life) create() *fsm.Record { return l.begin(fsm.RecordOrigin{}) }

// next returns the record of the next transition, a second after the last.
func (l *life) next(change ...func(*fsm.Record)) *fsm.Record {
	l.t.Helper()
	v := l.last.Version + 1
	r := &fsm.Record{
		Kind: fsm.KindTransition, Instance: l.id, Version: v, Component: "Shop", Machine: "Order",
		Event:  fsm.RecordEvent{Type: "STEP", Time: l.last.Time + 999},
		Before: l.last.After, After: "Open", Time: l.last.Time + 1000,
		Data: data(l.t, map[string]any{"n": int(v)}),
	}
	for _, f := range change {
		f(r)
	}
	if r.Snapshot != nil {
		r.Snapshot = l.snapshot(r)
	}
	l.last = r
	return r
}

// snapshot returns the instance as it is after the record.
func (l *life) snapshot(r *fsm.Record) *fsm.Snapshot {
	s := &fsm.Snapshot{
		Instance: l.id, Version: r.Version, Component: r.Component, Machine: r.Machine,
		State: r.After, Status: r.Status, Data: r.Data, Context: r.Context, Timers: r.Timers,
		Origin: l.origin, CreatedAt: l.created, UpdatedAt: r.Time, EventIDs: r.Snapshot.EventIDs,
	}
	if r.EndData != nil {
		s.Data = *r.EndData
	}
	if r.EndContext != nil {
		s.Context = r.EndContext
	}
	return s
}

// snapshotted marks a record as one that holds a snapshot.
func snapshotted(r *fsm.Record) { r.Snapshot = &fsm.Snapshot{} }

// ending marks a record as the last of its instance.
func ending(r *fsm.Record) { r.After, r.Status = "Done", fsm.StatusCompleted }

// sending gives a record an effect for each list of targets.
func sending(targets ...[]string) func(*fsm.Record) {
	return func(r *fsm.Record) {
		for i, ids := range targets {
			r.Effects = append(r.Effects, fsm.Effect{
				N: i, Kind: fsm.EffectDeliver, Targets: ids, Component: "Shop", Machine: "Order", Event: "TOLD", Hops: 1, Source: "Shop",
			})
		}
	}
}

// outcomeOf makes a record the outcome of an effect.
func outcomeOf(cause *fsm.Record, n, target int) func(*fsm.Record) {
	return func(r *fsm.Record) {
		r.CausedBy = cause.ID()
		r.Effect = &fsm.EffectID{Record: cause.ID(), N: n, Target: target}
	}
}

// everything fills each field of a record with something that is easily lost.
func everything(t *testing.T) func(*fsm.Record) {
	return func(r *fsm.Record) {
		hard := data(t, map[string]any{
			"": "an empty key", "a.b/c *>": "a key of signs", "null": nil, "no": false, "yes": true,
			"zero": 0, "minus": -1.5, "tiny": 5e-324, "huge": 1.7976931348623157e308,
			"big": json.Number("9007199254740993"), "bigger": json.Number("123456789012345678901234567890"),
			"negative": json.Number("-9007199254740993"), "text": "grüße \u2028 \x00 \" \\ <&> 日本",
			"empty map": map[string]any{}, "empty list": []any{},
			"nested": map[string]any{"list": []any{nil, 1, "1", map[string]any{"deep": json.Number("18446744073709551615")}}},
		})
		r.Event = fsm.RecordEvent{ID: "id of the sender #1", Type: "a type / with signs", Payload: hard, Time: r.Time}
		r.Data = hard
		r.Context = ptr(data(t, map[string]any{"context": nil}))
		r.EndData = ptr(data(t, map[string]any{"end": []any{1}}))
		r.EndContext = ptr(data(t, map[string]any{"end context": 2}))
		r.Timers = []fsm.RecordTimer{{Transition: 3, Event: "LATE", To: "Gone", Due: r.Time + 5000}, {Event: "", To: "x", Due: -1}}
		r.CausedBy = fsm.RecordID{Instance: "who/7", Version: 1 << 60}
		r.Effect = &fsm.EffectID{Record: fsm.RecordID{Instance: "who/7", Version: 1 << 60}, N: 2, Target: 5}
		r.Source = "Elsewhere"
		r.Error = "machine_not_found"
		r.Effects = []fsm.Effect{
			{N: 0, Kind: fsm.EffectSend, Targets: []string{"x/1", "ÿ"}, Component: "Shop", Machine: "Order", Event: "E", Payload: hard, Hook: fsm.HookEntry, Method: "m", Hops: 9, Source: "Shop"},
			{N: 1, Kind: fsm.EffectDeliver, Component: "Else", Machine: "M", State: "S", Event: "E", Rules: []fsm.MatchingRule{{EventProperty: "a.b", InstanceProperty: "c", Operator: "!=="}}},
			{N: 2, Kind: fsm.EffectCreate, Targets: []string{"new"}, Component: "Else", Machine: "M", Payload: hard},
		}
		r.Snapshot = &fsm.Snapshot{EventIDs: []fsm.SeenEvent{{Hash: [16]byte{0, 255, 7}, Version: 1 << 60}}}
	}
}

func ptr[T any](v T) *T { return &v }

// sameRecord fails if two records differ in anything that is stored, the Go
// types of values included.
func sameRecord(t *testing.T, what string, got, want *fsm.Record) {
	t.Helper()
	g, w := *got, *want
	g.Of, w.Of = nil, nil
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", what, asJSON(g), asJSON(w))
	}
}

// sameRecords compares two lists of records.
func sameRecords(t *testing.T, what string, got, want []*fsm.Record) {
	t.Helper()
	sameRecordsBy(t, what, got, want, sameRecord)
}

// restoredRecords compares records that a restore gave: they may lack what no
// replay needs.
func restoredRecords(t *testing.T, got, want []*fsm.Record) {
	t.Helper()
	sameRecordsBy(t, "restored", got, want, func(t *testing.T, what string, got, want *fsm.Record) {
		t.Helper()
		w := *want
		if got.Event.Payload.Len() == 0 {
			w.Event.Payload = fsm.Data{}
		}
		sameRecord(t, what, got, &w)
	})
}

func sameRecordsBy(t *testing.T, what string, got, want []*fsm.Record, same func(t *testing.T, what string, got, want *fsm.Record)) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d records %v, want %d %v", what, len(got), recordIDs(got), len(want), recordIDs(want))
		return
	}
	for i := range got {
		same(t, what, got[i], want[i])
	}
}

func recordIDs(records []*fsm.Record) []string {
	ids := make([]string, 0, len(records))
	for _, r := range records {
		ids = append(ids, r.ID().String())
	}
	return ids
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// copied returns an equal record that shares nothing, as another process has
// it.
func copied(t *testing.T, r *fsm.Record) *fsm.Record {
	t.Helper()
	var c fsm.Record
	if err := json.Unmarshal([]byte(asJSON(r)), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}
