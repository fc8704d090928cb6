package fsm

import (
	"context"
	"iter"
	"time"
)

// What has been: the records of an instance, and where it stood.

// History yields the records of an instance after a version, live or ended,
// oldest first; 0 is from the first. With a store it is all that the store
// retains; without, it is the last 16 at least. It yields nothing for an id that
// is not known. While the runtime stands by or restores it waits, within the
// context.
//
// A record's Data is the context after the payload was merged; Diff shows what
// changed from one to the next.
func (rt *Runtime) History(ctx context.Context, id string, after uint64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		if err := rt.Ready(ctx); err != nil {
			yield(nil, err)
			return
		}
		if rt.log != nil {
			rt.log.History(ctx, id, after)(yield)
			return
		}
		for _, r := range rt.kept(ctx, id) {
			if r.Version > after && !yield(r, nil) {
				return
			}
		}
	}
}

// A Past is an instance as it was after one of its records.
type Past struct {
	// Record is what led there.
	Record *Record
	State  string
	Status Status
	// Data is what rules and methods saw then, the entry method's changes
	// included; Context is the context, which is the same but for a machine
	// with a public member.
	Data, Context Data
}

// Past returns the instance as it was after the record.
func (r *Record) Past() *Past {
	p := &Past{Record: r, State: r.After, Status: r.Status, Data: r.Data}
	context := r.Context
	if r.EndData != nil {
		p.Data, context = *r.EndData, r.EndContext
	}
	p.Context = p.Data
	if context != nil {
		p.Context = *context
	}
	return p
}

// StateAt returns an instance as it was at a version: after its record of that
// version. It fails with ErrUnknownRecord if there is no such record, or it is
// not kept any more.
func (rt *Runtime) StateAt(ctx context.Context, id string, version uint64) (*Past, error) {
	r, err := rt.record(ctx, RecordID{id, version})
	if err != nil {
		return nil, err
	}
	return r.Past(), nil
}

// StateAtTime returns an instance as it was at a time: after its last record
// that is not later. It fails with ErrUnknownRecord if the instance was not
// there yet, or its records of that time are not kept any more.
func (rt *Runtime) StateAtTime(ctx context.Context, id string, at time.Time) (*Past, error) {
	var last *Record
	for r, err := range rt.History(ctx, id, 0) {
		if err != nil {
			return nil, err
		}
		if r.Time > at.UnixMilli() {
			break
		}
		last = r
	}
	if last == nil {
		return nil, &Error{Code: CodeUnknownRecord, Instance: id, Detail: "none is kept of " + at.Format(time.RFC3339Nano) + " or before"}
	}
	return last.Past(), nil
}

// record returns one record.
func (rt *Runtime) record(ctx context.Context, id RecordID) (*Record, error) {
	if id.Version > 0 {
		for r, err := range rt.History(ctx, id.Instance, id.Version-1) {
			if err != nil {
				return nil, err
			}
			if r.Version == id.Version {
				return r, nil
			}
			break
		}
	}
	return nil, &Error{Code: CodeUnknownRecord, Instance: id.Instance, Version: id.Version, Detail: "there is none, or it is not kept any more"}
}
