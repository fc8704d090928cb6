package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A decoder reads one message in binary form. Raw JSON and strings are parts of the
// body: an allocation for each of thousands of notices would cost more than all the
// rest.
type decoder struct {
	body []byte
	text string // the body again
	at   int
	err  error

	names    []string
	events   []Event // room for those to come
	rowsOnly bool    // see Notices
}

// decodeBinary reads a body that begins with formBinary.
func decodeBinary(body []byte, m Message) error {
	if len(body) < 2 {
		return errForm
	}
	d := decoder{body: body, text: textOf(body), at: 2}
	switch m := m.(type) {
	case *Notices:
		return d.notices(body[1], m)
	case *PageReply:
		return d.page(body[1], m)
	case *RepairReply:
		return d.repair(body[1], m)
	}
	return errForm
}

func (d *decoder) notices(kind byte, m *Notices) error {
	if kind != formNotices {
		return errForm
	}
	n, err := d.count()
	if err != nil {
		return err
	}
	m.RuntimeID, d.rowsOnly = "", m.rowsOnly
	m.Notices = sized(m.Notices, n.items)
	i := 0
	for f, ok := d.next(len(d.body)); ok; f, ok = d.next(len(d.body)) {
		switch f.num {
		case fieldRuntimeID:
			m.RuntimeID = d.owned(f)
		case fieldNames:
			d.names = append(d.names, d.owned(f))
		case fieldItems:
			d.notice(d.message(f), &m.Notices[i])
			i++
		default:
			d.skip(f)
		}
	}
	return d.err
}

func (d *decoder) page(kind byte, m *PageReply) error {
	if kind != formPage {
		return errForm
	}
	n, err := d.count()
	if err != nil {
		return err
	}
	*m = PageReply{Rows: sized[Row](nil, n.items)}
	i := 0
	for f, ok := d.next(len(d.body)); ok; f, ok = d.next(len(d.body)) {
		switch f.num {
		case fieldCursor:
			m.Cursor = d.owned(f)
		case fieldNext:
			m.Next = d.owned(f)
		case fieldAsOf:
			m.AsOf = d.number(f)
		case fieldSeq:
			m.Seq = d.number(f)
		case fieldBadCursor:
			m.BadCursor = protowire.DecodeBool(d.number(f))
		case fieldNames:
			d.names = append(d.names, d.owned(f))
		case fieldItems:
			d.row(d.message(f), &m.Rows[i])
			i++
		default:
			d.identity(f, &m.Identity)
		}
	}
	return d.err
}

func (d *decoder) repair(kind byte, m *RepairReply) error {
	if kind != formRepair {
		return errForm
	}
	n, err := d.count()
	if err != nil {
		return err
	}
	*m = RepairReply{Rows: sized[Row](nil, n.items), Gone: sized[Gone](nil, n.gone)}
	i, j := 0, 0
	for f, ok := d.next(len(d.body)); ok; f, ok = d.next(len(d.body)) {
		switch f.num {
		case fieldSeq:
			m.Seq = d.number(f)
		case fieldTooOld:
			m.TooOld = protowire.DecodeBool(d.number(f))
		case fieldCovered:
			m.Covered = d.covered(f)
		case fieldNames:
			d.names = append(d.names, d.owned(f))
		case fieldItems:
			d.row(d.message(f), &m.Rows[i])
			i++
		case fieldGone:
			d.gone(d.message(f), &m.Gone[j])
			j++
		default:
			d.identity(f, &m.Identity)
		}
	}
	return d.err
}

func (d *decoder) identity(f binaryField, id *Identity) {
	switch f.num {
	case fieldRuntimeID:
		id.RuntimeID = d.owned(f)
	case fieldComponent:
		id.Component = d.owned(f)
	case fieldName:
		id.Name = d.owned(f)
	case fieldEpoch:
		id.Epoch = d.number(f)
	case fieldLog:
		id.Log = d.owned(f)
	case fieldProcess:
		id.Process = d.owned(f)
	default:
		d.skip(f)
	}
}

func (d *decoder) notice(end int, n *Notice) {
	for f, ok := d.next(end); ok; f, ok = d.next(end) {
		switch f.num {
		case rowID:
			n.Instance = d.string(f)
		case rowMachine:
			n.Machine = d.name(f)
		case rowState:
			n.State = d.name(f)
		case rowStatus:
			n.Status = Status(d.name(f))
		case rowContext:
			n.Context = d.raw(f)
		case rowPublic:
			n.PublicMember = d.raw(f)
		case rowTimeouts:
			n.PendingTimeouts = d.raw(f)
		case rowVersion:
			n.Version = d.number(f)
		case rowPart:
			n.Part = int(d.number(f))
		case rowSeq:
			n.Seq = d.number(f)
		case rowKey:
			n.Key = d.string(f)
		case rowParent:
			n.Parent = d.string(f)
		case rowCreatedAt:
			n.CreatedAt = d.time(f)
		case rowUpdatedAt:
			n.Timestamp = d.time(f)
		case noticeKind:
			n.Kind = Kind(d.name(f))
		case noticePrevious:
			n.Previous = d.name(f)
		case noticeID:
			n.ID = d.string(f)
		case noticeError:
			n.Error = d.string(f)
		case noticeEvent:
			if d.rowsOnly {
				d.skip(f)
				continue
			}
			if n.Event != nil {
				d.fail(errTwice)
				return
			}
			n.Event = d.event(d.message(f))
		default:
			d.skip(f)
		}
	}
}

func (d *decoder) row(end int, r *Row) {
	for f, ok := d.next(end); ok; f, ok = d.next(end) {
		switch f.num {
		case rowID:
			r.ID = d.string(f)
		case rowMachine:
			r.Machine = d.name(f)
		case rowState:
			r.State = d.name(f)
		case rowStatus:
			r.Status = Status(d.name(f))
		case rowContext:
			r.Context = d.raw(f)
		case rowPublic:
			r.PublicMember = d.raw(f)
		case rowTimeouts:
			r.PendingTimeouts = d.raw(f)
		case rowVersion:
			r.Version = d.number(f)
		case rowPart:
			r.Part = int(d.number(f))
		case rowSeq:
			r.Seq = d.number(f)
		case rowKey:
			r.Key = d.string(f)
		case rowParent:
			r.Parent = d.string(f)
		case rowCreatedAt:
			r.CreatedAt = d.time(f)
		case rowUpdatedAt:
			r.UpdatedAt = d.time(f)
		default:
			d.skip(f)
		}
	}
}

func (d *decoder) event(end int) *Event {
	if len(d.events) == 0 {
		d.events = make([]Event, 64)
	}
	ev := &d.events[0]
	d.events = d.events[1:]
	for f, ok := d.next(end); ok; f, ok = d.next(end) {
		switch f.num {
		case eventID:
			ev.ID = d.string(f)
		case eventType:
			ev.Type = d.name(f)
		case eventPayload:
			ev.Payload = d.raw(f)
		case eventTimestamp:
			ev.Timestamp = d.time(f)
		case eventSource:
			ev.SourceComponent = d.name(f)
		default:
			d.skip(f)
		}
	}
	return ev
}

func (d *decoder) gone(end int, g *Gone) {
	for f, ok := d.next(end); ok; f, ok = d.next(end) {
		switch f.num {
		case goneID:
			g.ID = d.string(f)
		case goneSeq:
			g.Seq = d.number(f)
		default:
			d.skip(f)
		}
	}
}

func (d *decoder) covered(f binaryField) Ranges {
	end := d.message(f)
	if (end-d.at)/2 > maxItems {
		d.fail(errTooMany)
		return nil
	}
	var out Ranges
	for last := uint64(0); d.err == nil && d.at < end; {
		from := last + d.varint(end)
		last = from + d.varint(end)
		out = append(out, Range{from, last})
	}
	return out
}

// counts are how many of what is repeated a message has.
type counts struct{ items, gone int }

// count goes over the fields of the message, so that there is room for all that
// it has, and none for what a short body only claims to have.
func (d *decoder) count() (counts, error) {
	var n counts
	names := 0
	start := d.at
	for f, ok := d.next(len(d.body)); ok; f, ok = d.next(len(d.body)) {
		switch f.num {
		case fieldItems:
			n.items++
		case fieldGone:
			n.gone++
		case fieldNames:
			names++
		}
		d.skip(f)
	}
	d.at = start
	if d.err == nil && (n.items > maxItems || n.gone > maxItems || names > maxItems) {
		return n, errTooMany
	}
	return n, d.err
}

// sized returns n zero values, in the room of s if there is enough.
func sized[T any](s []T, n int) []T {
	if n == 0 {
		return nil
	}
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// A binaryField is the beginning of a field: its number, its type and where its
// tag was.
type binaryField struct {
	num  protowire.Number
	typ  protowire.Type
	from int
}

var (
	errEnd   = errors.New("it ends in the middle of a field")
	errTwice = errors.New("a notice has two events")
)

// fail notes the first thing that is wrong, after which nothing is read.
func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.at = len(d.body)
}

// next reads the tag of the field that begins before end, where what is read
// ends.
func (d *decoder) next(end int) (binaryField, bool) {
	if d.err != nil || d.at >= end {
		if d.at > end {
			d.fail(errEnd)
		}
		return binaryField{}, false
	}
	from := d.at
	tag := d.varint(end)
	num, typ := protowire.DecodeTag(tag)
	if d.err == nil && !num.IsValid() {
		d.fail(fmt.Errorf("a field has number %d", num))
	}
	return binaryField{num, typ, from}, d.err == nil
}

// varint reads a number that ends before end.
func (d *decoder) varint(end int) uint64 {
	if d.at < end && d.body[d.at] < 0x80 {
		d.at++
		return uint64(d.body[d.at-1])
	}
	if d.at > end {
		d.fail(errEnd)
		return 0
	}
	v, n := protowire.ConsumeVarint(d.body[d.at:end])
	if n < 0 {
		d.fail(errEnd)
		return 0
	}
	d.at += n
	return v
}

// is reports whether a field has the type that its number says.
func (d *decoder) is(f binaryField, typ protowire.Type) bool {
	if f.typ != typ {
		d.fail(fmt.Errorf("field %d has type %d, not %d", f.num, f.typ, typ))
		return false
	}
	return true
}

func (d *decoder) number(f binaryField) uint64 {
	if !d.is(f, protowire.VarintType) {
		return 0
	}
	return d.varint(len(d.body))
}

func (d *decoder) time(f binaryField) int64 { return protowire.DecodeZigZag(d.number(f)) }

// message returns where the contents of the field end; they begin at d.at.
func (d *decoder) message(f binaryField) int {
	if !d.is(f, protowire.BytesType) {
		return 0
	}
	n := d.varint(len(d.body))
	if n > uint64(len(d.body)-d.at) {
		d.fail(errEnd)
		return 0
	}
	return d.at + int(n)
}

// span returns the contents of the field as a part of the body.
func (d *decoder) span(f binaryField) (from, to int) {
	to = d.message(f)
	if d.err != nil {
		return 0, 0
	}
	from, d.at = d.at, to
	return from, to
}

// string returns a part of the body's text.
func (d *decoder) string(f binaryField) string {
	from, to := d.span(f)
	s := d.text[from:to]
	if !utf8.ValidString(s) {
		d.fail(fmt.Errorf("field %d is not UTF-8: %.20q", f.num, s))
	}
	return s
}

// owned returns text that does not keep the body in memory.
func (d *decoder) owned(f binaryField) string { return string([]byte(d.string(f))) }

// raw returns JSON as a part of the body.
func (d *decoder) raw(f binaryField) json.RawMessage {
	from, to := d.span(f)
	b := d.body[from:to:to]
	if d.err == nil && !validJSON(b) {
		d.fail(fmt.Errorf("field %d is not JSON: %.20q", f.num, b))
	}
	return b
}

// name returns one of the message's names.
func (d *decoder) name(f binaryField) string {
	i := d.number(f)
	if i == 0 || i > uint64(len(d.names)) {
		d.fail(fmt.Errorf("field %d is name %d of %d", f.num, i, len(d.names)))
		return ""
	}
	return d.names[i-1]
}

// skip leaves out a field that is not known.
func (d *decoder) skip(f binaryField) {
	if d.err != nil {
		return
	}
	n := protowire.ConsumeFieldValue(f.num, f.typ, d.body[d.at:])
	if n < 0 {
		d.fail(errEnd)
		return
	}
	d.at += n
}
