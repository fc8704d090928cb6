package jetstream

import (
	"encoding/binary"

	"github.com/fsmesh/fsmesh/fsm"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of a stored record. Those that decide whether the rest is needed
// come first, and the links last: they are known last. (Before, recPrevious was in
// the order of its number.)
const (
	recInstance   protowire.Number = 1
	recVersion    protowire.Number = 2
	recEffect     protowire.Number = 3
	recRemote     protowire.Number = 4
	recPrevious   protowire.Number = 5 // position of the instance's previous record; none if it is in the same frame
	recKind       protowire.Number = 6
	recComponent  protowire.Number = 7
	recMachine    protowire.Number = 8
	recEventID    protowire.Number = 9
	recEventType  protowire.Number = 10
	recPayload    protowire.Number = 11
	recEventTime  protowire.Number = 12
	recBefore     protowire.Number = 13
	recAfter      protowire.Number = 14
	recStatus     protowire.Number = 15
	recTime       protowire.Number = 16
	recData       protowire.Number = 17
	recContext    protowire.Number = 18
	recEndData    protowire.Number = 19
	recEndContext protowire.Number = 20
	recTimer      protowire.Number = 21
	recOrigin     protowire.Number = 22
	recCausedBy   protowire.Number = 23
	recSource     protowire.Number = 24
	recError      protowire.Number = 25
	recEffects    protowire.Number = 26
	recSnapshot   protowire.Number = 27
	recEarlier    protowire.Number = 28 // positions of the records before, newest first
)

// A links value says where the records of an instance before this one are.
type links struct {
	// previous is the position of the one before: 0 if there is none or it is
	// in the same frame.
	previous uint64
	// earlier are the positions of those before, newest first and the previous
	// one included, where the record carries them.
	earlier []uint64
}

// appendRecord writes a record. Equal records give equal bytes.
func appendRecord(b []byte, r *fsm.Record, l links) []byte {
	if r.Encoded != nil {
		return appendLinks(append(b, r.Encoded...), l)
	}
	b = putText(b, recInstance, r.Instance)
	b = putUint(b, recVersion, r.Version)
	if r.Effect != nil {
		b = putEffectID(b, recEffect, *r.Effect)
	}
	if r.Remote != nil {
		b = putRemote(b, recRemote, *r.Remote)
	}
	b = putText(b, recKind, string(r.Kind))
	b = putText(b, recComponent, r.Component)
	b = putText(b, recMachine, r.Machine)
	b = putText(b, recEventID, r.Event.ID)
	b = putText(b, recEventType, r.Event.Type)
	if r.Event.Payload.Len() > 0 {
		b = putData(b, recPayload, &r.Event.Payload)
	}
	b = putInt(b, recEventTime, r.Event.Time)
	b = putText(b, recBefore, r.Before)
	b = putText(b, recAfter, r.After)
	b = putUint(b, recStatus, uint64(r.Status))
	b = putInt(b, recTime, r.Time)
	if r.Data.Len() > 0 {
		b = putData(b, recData, &r.Data)
	}
	b = putData(b, recContext, r.Context)
	b = putData(b, recEndData, r.EndData)
	b = putData(b, recEndContext, r.EndContext)
	b = putTimers(b, recTimer, r.Timers)
	if r.Origin != nil {
		b = putOrigin(b, recOrigin, r.Origin)
	}
	b = putRecordID(b, recCausedBy, r.CausedBy)
	b = putText(b, recSource, r.Source)
	b = putText(b, recError, r.Error)
	for i := range r.Effects {
		b = putEffect(b, recEffects, &r.Effects[i])
	}
	if r.Snapshot != nil {
		var at int
		b, at = begin(b, recSnapshot)
		b = end(appendSnapshot(b, r.Snapshot), at)
	}
	return appendLinks(b, l)
}

// appendLinks ends a record.
func appendLinks(b []byte, l links) []byte {
	b = putUint(b, recPrevious, l.previous)
	if len(l.earlier) > 0 {
		var at int
		b, at = begin(b, recEarlier)
		b = end(appendPositions(b, l.earlier), at)
	}
	return b
}

// A head is what of a stored record decides whether the rest is needed.
type head struct {
	instance []byte // part of the frame
	version  uint64
	effect   *fsm.EffectID
	bucket   int // these two: only of a restore
	key      key
}

func (d *decoder) head(b []byte) (head, error) {
	var h head
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case recInstance:
			h.instance = f.b
		case recVersion:
			h.version = f.v
		case recEffect:
			id, err := d.effectID(f.b)
			if err != nil {
				return h, err
			}
			h.effect = &id
		}
		if f.num > recEffect {
			break
		}
	}
	return h, f.err
}

func (d *decoder) record(b []byte) (*fsm.Record, links, error) {
	r, l := &fsm.Record{}, links{}
	f := fieldReader{rest: b}
	var err error
	for f.next() && err == nil {
		switch f.num {
		case recInstance:
			r.Instance = string(f.b)
		case recVersion:
			r.Version = f.v
		case recEffect:
			r.Effect, err = pointer(d.effectID(f.b))
		case recRemote:
			r.Remote, err = pointer(d.remote(f.b))
		case recPrevious:
			l.previous = f.v
		case recKind:
			r.Kind = fsm.RecordKind(d.name(f.b))
		case recComponent:
			r.Component = d.name(f.b)
		case recMachine:
			r.Machine = d.name(f.b)
		case recEventID:
			r.Event.ID = string(f.b)
		case recEventType:
			r.Event.Type = d.name(f.b)
		case recPayload:
			if !d.replay {
				r.Event.Payload, err = d.data(f.b)
			}
		case recEventTime:
			r.Event.Time = f.int()
		case recBefore:
			r.Before = d.name(f.b)
		case recAfter:
			r.After = d.name(f.b)
		case recStatus:
			r.Status, err = status(f.v)
		case recTime:
			r.Time = f.int()
		case recData:
			r.Data, err = d.data(f.b)
		case recContext:
			r.Context, err = pointer(d.data(f.b))
		case recEndData:
			r.EndData, err = pointer(d.data(f.b))
		case recEndContext:
			r.EndContext, err = pointer(d.data(f.b))
		case recTimer:
			r.Timers, err = d.timer(r.Timers, f.b)
		case recOrigin:
			r.Origin, err = pointer(d.origin(f.b))
		case recCausedBy:
			r.CausedBy, err = d.recordID(f.b)
		case recSource:
			r.Source = d.name(f.b)
		case recError:
			r.Error = d.name(f.b)
		case recEffects:
			var e fsm.Effect
			e, err = d.effect(f.b)
			r.Effects = append(r.Effects, e)
		case recSnapshot:
			r.Snapshot, err = d.snapshot(f.b)
		case recEarlier:
			l.earlier, err = positions(f.b)
		}
	}
	if err == nil {
		err = f.err
	}
	if err != nil {
		return nil, links{}, err
	}
	return r, l, nil
}

func pointer[T any](v T, err error) (*T, error) { return &v, err }

func status(v uint64) (fsm.Status, error) {
	if v > uint64(fsm.StatusError) {
		return 0, errForm
	}
	return fsm.Status(v), nil
}

// putData writes data that is there, even if it is empty.
func putData(b []byte, n protowire.Number, d *fsm.Data) []byte {
	if d == nil {
		return b
	}
	b, at := begin(b, n)
	return end(appendData(b, *d), at)
}

func putTimers(b []byte, n protowire.Number, timers []fsm.RecordTimer) []byte {
	for i := range timers {
		t := &timers[i]
		var at int
		b, at = begin(b, n)
		b = putInt(b, 1, int64(t.Transition))
		b = putText(b, 2, t.Event)
		b = putText(b, 3, t.To)
		b = end(putInt(b, 4, t.Due), at)
	}
	return b
}

func (d *decoder) timer(list []fsm.RecordTimer, b []byte) ([]fsm.RecordTimer, error) {
	var t fsm.RecordTimer
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			t.Transition = int(f.int())
		case 2:
			t.Event = d.name(f.b)
		case 3:
			t.To = d.name(f.b)
		case 4:
			t.Due = f.int()
		}
	}
	return append(list, t), f.err
}

func putOrigin(b []byte, n protowire.Number, o *fsm.RecordOrigin) []byte {
	b, at := begin(b, n)
	b = putText(b, 1, o.Parent)
	b = putText(b, 2, o.ParentMachine)
	b = putText(b, 3, o.ParentComponent)
	b = putText(b, 4, o.Key)
	b = putUint(b, 5, o.Generation)
	b = putBool(b, 6, o.EntryPoint)
	b = putText(b, 7, o.CreateID)
	b = putRecordID(b, 8, o.Cause)
	return end(putUint(b, 9, o.Order), at)
}

func (d *decoder) origin(b []byte) (o fsm.RecordOrigin, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			o.Parent = string(f.b)
		case 2:
			o.ParentMachine = d.name(f.b)
		case 3:
			o.ParentComponent = d.name(f.b)
		case 4:
			o.Key = string(f.b)
		case 5:
			o.Generation = f.v
		case 6:
			o.EntryPoint = f.v != 0
		case 7:
			o.CreateID = string(f.b)
		case 8:
			o.Cause, err = d.recordID(f.b)
		case 9:
			o.Order = f.v
		}
	}
	if err == nil {
		err = f.err
	}
	return o, err
}

func putRecordID(b []byte, n protowire.Number, id fsm.RecordID) []byte {
	if id == (fsm.RecordID{}) {
		return b
	}
	b, at := begin(b, n)
	b = putText(b, 1, id.Instance)
	return end(putUint(b, 2, id.Version), at)
}

func (d *decoder) recordID(b []byte) (id fsm.RecordID, err error) {
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			id.Instance = string(f.b)
		case 2:
			id.Version = f.v
		}
	}
	return id, f.err
}

func putEffectID(b []byte, n protowire.Number, id fsm.EffectID) []byte {
	b, at := begin(b, n)
	b = putRecordID(b, 1, id.Record)
	b = putInt(b, 2, int64(id.N))
	return end(putInt(b, 3, int64(id.Target)), at)
}

func (d *decoder) effectID(b []byte) (id fsm.EffectID, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			id.Record, err = d.recordID(f.b)
		case 2:
			id.N = int(f.int())
		case 3:
			id.Target = int(f.int())
		}
	}
	if err == nil {
		err = f.err
	}
	return id, err
}

func putRemote(b []byte, n protowire.Number, id fsm.RemoteID) []byte {
	b, at := begin(b, n)
	b = putText(b, 1, id.From)
	b = putText(b, 2, id.Log)
	b = putRecordID(b, 3, id.Record)
	return end(putInt(b, 4, int64(id.N)), at)
}

func (d *decoder) remote(b []byte) (id fsm.RemoteID, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			id.From = d.name(f.b)
		case 2:
			id.Log = d.name(f.b)
		case 3:
			id.Record, err = d.recordID(f.b)
		case 4:
			id.N = int(f.int())
		}
	}
	if err == nil {
		err = f.err
	}
	return id, err
}

func putEffect(b []byte, n protowire.Number, e *fsm.Effect) []byte {
	b, at := begin(b, n)
	b = putInt(b, 1, int64(e.N))
	b = putText(b, 2, string(e.Kind))
	for _, t := range e.Targets {
		b = protowire.AppendString(protowire.AppendTag(b, 3, protowire.BytesType), t)
	}
	b = putText(b, 4, e.Component)
	b = putText(b, 5, e.Machine)
	b = putText(b, 6, e.State)
	b = putText(b, 7, e.Event)
	if e.Payload.Len() > 0 {
		b = putData(b, 8, &e.Payload)
	}
	for i := range e.Rules {
		var rule int
		b, rule = begin(b, 9)
		b = putText(b, 1, e.Rules[i].EventProperty)
		b = putText(b, 2, e.Rules[i].InstanceProperty)
		b = end(putText(b, 3, e.Rules[i].Operator), rule)
	}
	b = putText(b, 10, string(e.Hook))
	b = putText(b, 11, e.Method)
	b = putInt(b, 12, int64(e.Hops))
	return end(putText(b, 13, e.Source), at)
}

func (d *decoder) effect(b []byte) (e fsm.Effect, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			e.N = int(f.int())
		case 2:
			e.Kind = fsm.EffectKind(d.name(f.b))
		case 3:
			e.Targets = append(e.Targets, string(f.b))
		case 4:
			e.Component = d.name(f.b)
		case 5:
			e.Machine = d.name(f.b)
		case 6:
			e.State = d.name(f.b)
		case 7:
			e.Event = d.name(f.b)
		case 8:
			e.Payload, err = d.data(f.b)
		case 9:
			var r fsm.MatchingRule
			r, err = d.rule(f.b)
			e.Rules = append(e.Rules, r)
		case 10:
			e.Hook = fsm.HookPoint(d.name(f.b))
		case 11:
			e.Method = d.name(f.b)
		case 12:
			e.Hops = int(f.int())
		case 13:
			e.Source = d.name(f.b)
		}
	}
	if err == nil {
		err = f.err
	}
	return e, err
}

func (d *decoder) rule(b []byte) (r fsm.MatchingRule, err error) {
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			r.EventProperty = d.name(f.b)
		case 2:
			r.InstanceProperty = d.name(f.b)
		case 3:
			r.Operator = d.name(f.b)
		}
	}
	return r, f.err
}

// appendPositions writes positions that go down, each as the distance to the one
// before.
func appendPositions(b []byte, list []uint64) []byte {
	last := uint64(0)
	for i, p := range list {
		if i == 0 {
			b = binary.AppendUvarint(b, p)
		} else {
			b = binary.AppendUvarint(b, last-p)
		}
		last = p
	}
	return b
}

func positions(b []byte) ([]uint64, error) {
	var out []uint64
	last := uint64(0)
	for len(b) > 0 {
		v, rest, err := uvarint(b)
		if err != nil {
			return nil, err
		}
		if len(out) > 0 {
			v = last - v
		}
		out, last, b = append(out, v), v, rest
	}
	return out, nil
}
