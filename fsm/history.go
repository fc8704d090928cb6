package fsm

import (
	"encoding/binary"
	"encoding/json"
	"math"
)

// keptRecords is how many records of an instance are kept without a store, at
// least. They are packed: whole they would take some 6 kB an instance.
const keptRecords = 16

// A history holds an instance's last records in two chunks: when the newer one
// is full it takes the place of the older, so nothing is ever moved or decoded
// on the way in.
type history struct {
	base *historyBase // nil until there is a record
	buf  []byte       // the newer chunk: slot.kept packed records
}

type historyBase struct {
	before *Instance // as it was before the newer chunk
	older  *chunk    // nil until the newer one was full once
}

// A chunk is a run of packed records, and the instance as it was before them.
type chunk struct {
	before *Instance
	n      int
	buf    []byte
}

// oldest returns the instance as it was before all that is kept.
func (s *slot) oldest() *Instance {
	switch b := s.hist.base; {
	case b == nil:
		return s.cur.Load()
	case b.older != nil:
		return b.older.before
	default:
		return b.before
	}
}

// unpack returns the records that are kept, oldest first.
func (s *slot) unpack(out []*Record) []*Record {
	b := s.hist.base
	if b == nil {
		return out
	}
	if b.older != nil {
		out = b.older.unpack(out)
	}
	newer := chunk{b.before, int(s.kept), s.hist.buf}
	return newer.unpack(out)
}

// What a packed record holds beyond the transition and the time.
const (
	packMerged  = 1 << iota // the payload was merged into the data
	packData                // the data follows whole
	packLate                // so does the data after the entry method
	packCause               // and the record that led here
	packEventID             // the event's id
	packSource              // the component that the event came from
	packFailed              // the code of why the engine could not complete it
)

// keep adds the record of a step.
func (s *slot) keep(before *Instance, d *delivery, out *outcome) {
	h := &s.hist
	switch {
	case h.base == nil:
		h.base = &historyBase{before: before}
	case s.kept == keptRecords:
		h.base = &historyBase{before, &chunk{h.base.before, int(s.kept), h.buf}}
		h.buf, s.kept = make([]byte, 0, len(h.buf)), 0
	}
	s.kept++
	h.buf = pack(h.buf, before, d, out)
}

func pack(b []byte, before *Instance, d *delivery, out *outcome) []byte {
	var flags byte
	switch {
	case out.same:
	case out.merged:
		flags |= packMerged
	default:
		flags |= packData
	}
	if out.late {
		flags |= packLate
	}
	if d.cause != (RecordID{}) {
		flags |= packCause
	}
	if d.eventID != "" {
		flags |= packEventID
	}
	if d.given.source != "" {
		flags |= packSource
	}
	if out.failed != "" {
		flags |= packFailed
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(out.tr.index))
	b = binary.AppendUvarint(b, uint64(max(0, out.after.updated/1e6-before.updated/1e6)))
	b = packFields(b, d.given.payload)
	if flags&packData != 0 {
		b = packFields(packFields(b, out.data), out.ctx)
	}
	if flags&packLate != 0 {
		b = packFields(packFields(b, out.after.data), out.after.ctx)
	}
	if flags&packCause != 0 {
		b = binary.AppendUvarint(packText(b, d.cause.Instance), d.cause.Version)
	}
	if flags&packEventID != 0 {
		b = packText(b, d.eventID)
	}
	if flags&packSource != 0 {
		b = packText(b, d.given.source)
	}
	if flags&packFailed != 0 {
		b = packText(b, string(out.failed))
	}
	return b
}

func packText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func packFields(b []byte, d Data) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.fields)))
	for _, f := range d.fields {
		b = packValue(packText(b, f.key), f.value)
	}
	return b
}

func packValue(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, 'n')
	case bool:
		if x {
			return append(b, 't')
		}
		return append(b, 'f')
	case string:
		return packText(append(b, 's'), x)
	case float64:
		if i := int64(x); float64(i) == x && i >= 0 && i < 1<<40 && !(x == 0 && math.Signbit(x)) {
			return binary.AppendUvarint(append(b, 'i'), uint64(i))
		}
		return binary.LittleEndian.AppendUint64(append(b, 'd'), math.Float64bits(x))
	}
	return packText(append(b, 'j'), string(appendValue(nil, v)))
}

// An unpacker reads what pack wrote. It is only ever given that.
type unpacker struct{ b []byte }

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.b)
	u.b = u.b[n:]
	return v
}

func (u *unpacker) byte() byte {
	c := u.b[0]
	u.b = u.b[1:]
	return c
}

func (u *unpacker) text() string {
	n := u.uvarint()
	s := string(u.b[:n])
	u.b = u.b[n:]
	return s
}

func (u *unpacker) fields() Data {
	n := u.uvarint()
	if n == 0 {
		return Data{}
	}
	fs := make([]field, 0, n)
	for range n {
		fs = append(fs, field{u.text(), u.value()})
	}
	return Data{fs}
}

func (u *unpacker) value() any {
	switch u.byte() {
	case 't':
		return true
	case 'f':
		return false
	case 's':
		return u.text()
	case 'i':
		return float64(u.uvarint())
	case 'd':
		v := binary.LittleEndian.Uint64(u.b)
		u.b = u.b[8:]
		return math.Float64frombits(v)
	case 'j':
		var v any
		if decodeJSON([]byte(u.text()), &v) == nil {
			v, _ = normalize(v, 1)
		}
		return v
	}
	return nil
}

// unpack returns the records of a chunk, oldest first.
func (c *chunk) unpack(out []*Record) []*Record {
	in := c.before
	m := in.st.m
	data, ctx, at, st, version := in.data, in.ctx, in.updated/1e6, in.st, in.version
	u := unpacker{c.buf}
	for range c.n {
		flags := u.byte()
		tr := m.trs[u.uvarint()]
		at += int64(u.uvarint())
		version++
		rec := &Record{
			Kind: KindTransition, Instance: in.id, Version: version, Component: m.comp.name, Machine: m.name,
			Event:  RecordEvent{Type: tr.event, Payload: u.fields(), Time: at},
			Before: st.name, After: tr.to.name, Time: at,
		}
		switch {
		case flags&packMerged != 0:
			data = data.merge(rec.Event.Payload)
			if m.public {
				ctx = ctx.merge(rec.Event.Payload)
			}
		case flags&packData != 0:
			data, ctx = u.fields(), u.fields()
		}
		rec.Data = data
		if m.public {
			c := ctx
			rec.Context = &c
		}
		if flags&packLate != 0 {
			data, ctx = u.fields(), u.fields()
			d, c := data, ctx
			rec.EndData = &d
			if m.public {
				rec.EndContext = &c
			}
		}
		if flags&packCause != 0 {
			rec.CausedBy = RecordID{u.text(), u.uvarint()}
		}
		if flags&packEventID != 0 {
			rec.Event.ID = u.text()
		}
		if flags&packSource != 0 {
			rec.Source = u.text()
		}
		rec.Status = tr.to.status()
		if flags&packFailed != 0 {
			rec.Error, rec.Status = u.text(), StatusError
		}
		st = tr.to
		out = append(out, rec)
	}
	return out
}

// MarshalJSON writes the status as its name.
func (s Status) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Status) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err != nil {
		return err
	}
	for _, c := range []Status{StatusActive, StatusCompleted, StatusError, StatusQuarantined} {
		if c.String() == name {
			*s = c
			return nil
		}
	}
	return textError("unknown status " + name)
}
