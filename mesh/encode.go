package mesh

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// An encoder writes one message after the other in binary form. Its buffers
// are used again, so what end returns is good until the next begin. The zero
// value is ready.
type encoder struct {
	head  []byte // what is about the message as a whole
	items []byte
	one   []byte // an item, before its length is known
	event []byte
	names []string
	place map[string]uint64 // in names, once there are many
	n     int               // items
}

func (e *encoder) begin(kind byte) {
	e.head = append(e.head[:0], formBinary, kind)
	e.items = e.items[:0]
	e.names = e.names[:0]
	clear(e.place)
	e.n = 0
}

// end returns the message. Names come before the items that need them.
func (e *encoder) end() []byte {
	for _, n := range e.names {
		e.head = protowire.AppendTag(e.head, fieldNames, protowire.BytesType)
		e.head = protowire.AppendString(e.head, validText(n))
	}
	e.head = append(e.head, e.items...)
	return e.head
}

// size is about that of the message so far.
func (e *encoder) size() int { return len(e.head) + len(e.items) }

func (e *encoder) runtimeID(id string) { e.head = appendText(e.head, fieldRuntimeID, id) }

func (e *encoder) identity(id *Identity) {
	e.runtimeID(id.RuntimeID)
	e.head = appendText(e.head, fieldComponent, id.Component)
	e.head = appendText(e.head, fieldName, id.Name)
	e.head = appendNumber(e.head, fieldEpoch, id.Epoch)
	e.head = appendText(e.head, fieldLog, id.Log)
	e.head = appendText(e.head, fieldProcess, id.Process)
}

// covered writes ranges as pairs: the distance from the end of the last one,
// and how many numbers follow the first.
func (e *encoder) covered(rs Ranges) {
	if len(rs) == 0 {
		return
	}
	b, last := e.one[:0], uint64(0)
	for _, r := range rs {
		b = protowire.AppendVarint(b, r.From-last)
		b = protowire.AppendVarint(b, r.To-r.From)
		last = r.To
	}
	e.head = appendBytes(e.head, fieldCovered, b)
	e.one = b
}

func (e *encoder) row(r *Row) {
	b := e.one[:0]
	b = appendText(b, rowID, r.ID)
	b = e.appendName(b, rowMachine, r.Machine)
	b = e.appendName(b, rowState, r.State)
	b = e.appendName(b, rowStatus, string(r.Status))
	b = appendParts(b, r.Context, r.PublicMember, r.PendingTimeouts)
	b = appendNumber(b, rowVersion, r.Version)
	b = appendNumber(b, rowPart, uint64(r.Part))
	b = appendNumber(b, rowSeq, r.Seq)
	b = appendText(b, rowKey, r.Key)
	b = appendText(b, rowParent, r.Parent)
	b = appendTime(b, rowCreatedAt, r.CreatedAt)
	b = appendTime(b, rowUpdatedAt, r.UpdatedAt)
	e.one = b
	e.item(fieldItems)
}

func (e *encoder) notice(n *Notice) {
	b := e.one[:0]
	b = appendText(b, rowID, n.Instance)
	b = e.appendName(b, rowMachine, n.Machine)
	b = e.appendName(b, rowState, n.State)
	b = e.appendName(b, rowStatus, string(n.Status))
	b = appendParts(b, n.Context, n.PublicMember, n.PendingTimeouts)
	b = appendNumber(b, rowVersion, n.Version)
	b = appendNumber(b, rowPart, uint64(n.Part))
	b = appendNumber(b, rowSeq, n.Seq)
	b = appendText(b, rowKey, n.Key)
	b = appendText(b, rowParent, n.Parent)
	b = appendTime(b, rowCreatedAt, n.CreatedAt)
	b = appendTime(b, rowUpdatedAt, n.Timestamp)
	b = e.appendName(b, noticeKind, string(n.Kind))
	b = e.appendName(b, noticePrevious, n.Previous)
	b = appendText(b, noticeID, n.ID)
	b = appendText(b, noticeError, n.Error)
	if n.Event != nil {
		b = e.appendEvent(b, n.Event)
	}
	e.one = b
	e.item(fieldItems)
}

func (e *encoder) appendEvent(b []byte, ev *Event) []byte {
	v := e.event[:0]
	v = appendText(v, eventID, ev.ID)
	v = e.appendName(v, eventType, ev.Type)
	v = appendRaw(v, eventPayload, ev.Payload)
	v = appendTime(v, eventTimestamp, ev.Timestamp)
	v = e.appendName(v, eventSource, ev.SourceComponent)
	e.event = v
	return appendBytes(b, noticeEvent, v)
}

func (e *encoder) gone(g *Gone) {
	e.one = appendNumber(appendText(e.one[:0], goneID, g.ID), goneSeq, g.Seq)
	e.item(fieldGone)
}

// item adds what e.one holds.
func (e *encoder) item(field protowire.Number) {
	e.items = appendBytes(e.items, field, e.one)
	e.n++
}

// fewNames is up to how many names are looked through. Names of one machine
// share their bytes, so that comparing them is quick.
const fewNames = 16

// appendName writes the place of a name, which it puts into the message the
// first time.
func (e *encoder) appendName(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), e.placeOf(s))
}

func (e *encoder) placeOf(s string) uint64 {
	for i, n := range e.names[:min(len(e.names), fewNames)] {
		if n == s {
			return uint64(i) + 1
		}
	}
	if at, ok := e.place[s]; ok {
		return at
	}
	e.names = append(e.names, s)
	at := uint64(len(e.names))
	if at > fewNames {
		if e.place == nil {
			e.place = map[string]uint64{}
		}
		e.place[s] = at
	}
	return at
}

func appendParts(b []byte, context, public, timeouts json.RawMessage) []byte {
	b = appendRaw(b, rowContext, context)
	b = appendRaw(b, rowPublic, public)
	return appendRaw(b, rowTimeouts, timeouts)
}

// What is empty or 0 is left out.

func appendRaw(b []byte, field protowire.Number, v json.RawMessage) []byte {
	if len(v) == 0 {
		return b
	}
	return appendBytes(b, field, v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), validText(s))
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func appendTime(b []byte, field protowire.Number, ms int64) []byte {
	return appendNumber(b, field, protowire.EncodeZigZag(ms))
}

func appendFlag(b []byte, field protowire.Number, v bool) []byte {
	return appendNumber(b, field, protowire.EncodeBool(v))
}

// validText replaces what is not UTF-8, so that every reader can take it.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
