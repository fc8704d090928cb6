package jetstream

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fsmesh/fsmesh/fsm"
)

// The fields of a stored snapshot.
const (
	snapInstance  protowire.Number = 1
	snapVersion   protowire.Number = 2
	snapComponent protowire.Number = 3
	snapMachine   protowire.Number = 4
	snapState     protowire.Number = 5
	snapStatus    protowire.Number = 6
	snapData      protowire.Number = 7
	snapContext   protowire.Number = 8
	snapTimer     protowire.Number = 9
	snapOrigin    protowire.Number = 10
	snapCreated   protowire.Number = 11
	snapUpdated   protowire.Number = 12
	snapEvent     protowire.Number = 13
)

func appendSnapshot(b []byte, s *fsm.Snapshot) []byte {
	b = putText(b, snapInstance, s.Instance)
	b = putUint(b, snapVersion, s.Version)
	b = putText(b, snapComponent, s.Component)
	b = putText(b, snapMachine, s.Machine)
	b = putText(b, snapState, s.State)
	b = putUint(b, snapStatus, uint64(s.Status))
	if s.Data.Len() > 0 {
		b = putData(b, snapData, &s.Data)
	}
	b = putData(b, snapContext, s.Context)
	b = putTimers(b, snapTimer, s.Timers)
	if s.Origin != (fsm.RecordOrigin{}) {
		b = putOrigin(b, snapOrigin, &s.Origin)
	}
	b = putInt(b, snapCreated, s.CreatedAt)
	b = putInt(b, snapUpdated, s.UpdatedAt)
	for i := range s.EventIDs {
		e := &s.EventIDs[i]
		var at int
		b, at = begin(b, snapEvent)
		b = protowire.AppendBytes(protowire.AppendTag(b, 1, protowire.BytesType), e.Hash[:])
		b = putUint(b, 2, e.Version)
		b = end(putText(b, 3, e.State), at)
	}
	return b
}

func (d *decoder) snapshot(b []byte) (*fsm.Snapshot, error) {
	s := &fsm.Snapshot{}
	f := fieldReader{rest: b}
	var err error
	for f.next() && err == nil {
		switch f.num {
		case snapInstance:
			s.Instance = string(f.b)
		case snapVersion:
			s.Version = f.v
		case snapComponent:
			s.Component = d.name(f.b)
		case snapMachine:
			s.Machine = d.name(f.b)
		case snapState:
			s.State = d.name(f.b)
		case snapStatus:
			s.Status, err = status(f.v)
		case snapData:
			s.Data, err = d.data(f.b)
		case snapContext:
			s.Context, err = pointer(d.data(f.b))
		case snapTimer:
			s.Timers, err = d.timer(s.Timers, f.b)
		case snapOrigin:
			s.Origin, err = d.origin(f.b)
		case snapCreated:
			s.CreatedAt = f.int()
		case snapUpdated:
			s.UpdatedAt = f.int()
		case snapEvent:
			s.EventIDs, err = d.seen(s.EventIDs, f.b)
		}
	}
	if err == nil {
		err = f.err
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (d *decoder) seen(list []fsm.SeenEvent, b []byte) ([]fsm.SeenEvent, error) {
	var e fsm.SeenEvent
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			if len(f.b) != len(e.Hash) {
				return nil, errForm
			}
			copy(e.Hash[:], f.b)
		case 2:
			e.Version = f.v
		case 3:
			e.State = d.name(f.b)
		}
	}
	return append(list, e), f.err
}

// lastState returns an ended instance as its last record left it. Where the
// record holds no snapshot, it does not know where the instance came from.
func lastState(r *fsm.Record) *fsm.Snapshot {
	if r.Snapshot != nil {
		return r.Snapshot
	}
	s := &fsm.Snapshot{
		Instance: r.Instance, Version: r.Version, Component: r.Component, Machine: r.Machine,
		State: r.After, Status: r.Status, Data: r.Data, Context: r.Context, Timers: r.Timers, UpdatedAt: r.Time,
	}
	if r.Origin != nil {
		s.Origin, s.CreatedAt = *r.Origin, r.Time
	}
	if r.EndData != nil {
		s.Data, s.Context = *r.EndData, r.EndContext
	}
	return s
}
