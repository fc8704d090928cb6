package mesh

import (
	"encoding/json"

	"google.golang.org/protobuf/encoding/protowire"
)

// The binary form of the three messages that carry many instances: *Notices,
// *PageReply and *RepairReply. All others are JSON. docs/wire-internal.md
// describes it for others; a test compares its tables with the numbers here.
//
// A body is two bytes and fields in the encoding of Protocol Buffers. Names
// that repeat (of machines, states, events, kinds) are put once into the
// message, and told by their place in it, from 1.

// formBinary is the first byte of a body in binary form. No JSON text begins
// with it. What changes the meaning of a body raises it; a field that readers
// may ignore does not.
const formBinary = 1

// The second byte says which message it is.
const (
	formNotices = 1
	formPage    = 2
	formRepair  = 3
)

// The fields of a message.
const (
	fieldRuntimeID protowire.Number = 1
	fieldComponent protowire.Number = 2
	fieldName      protowire.Number = 3
	fieldEpoch     protowire.Number = 4
	fieldLog       protowire.Number = 5
	fieldProcess   protowire.Number = 6
	fieldNames     protowire.Number = 7
	fieldItems     protowire.Number = 8 // notices or rows
	fieldSeq       protowire.Number = 9
	fieldAsOf      protowire.Number = 10
	fieldCursor    protowire.Number = 11
	fieldNext      protowire.Number = 12
	fieldBadCursor protowire.Number = 13
	fieldCovered   protowire.Number = 14
	fieldGone      protowire.Number = 15
	fieldTooOld    protowire.Number = 16
)

// The fields of a row, which a notice has too.
const (
	rowID        protowire.Number = 1
	rowMachine   protowire.Number = 2
	rowState     protowire.Number = 3
	rowStatus    protowire.Number = 4
	rowContext   protowire.Number = 5
	rowPublic    protowire.Number = 6
	rowTimeouts  protowire.Number = 7
	rowVersion   protowire.Number = 8
	rowPart      protowire.Number = 9
	rowSeq       protowire.Number = 10
	rowKey       protowire.Number = 11
	rowParent    protowire.Number = 12
	rowCreatedAt protowire.Number = 13
	rowUpdatedAt protowire.Number = 14 // of a notice: its timestamp
)

// The fields that only a notice has.
const (
	noticeKind     protowire.Number = 15
	noticePrevious protowire.Number = 16
	noticeID       protowire.Number = 17
	noticeError    protowire.Number = 18
	noticeEvent    protowire.Number = 19
)

// The fields of a notice's event.
const (
	eventID        protowire.Number = 1
	eventType      protowire.Number = 2
	eventPayload   protowire.Number = 3
	eventTimestamp protowire.Number = 4
	eventSource    protowire.Number = 5
)

// The fields of an end.
const (
	goneID  protowire.Number = 1
	goneSeq protowire.Number = 2
)

// maxItems is the most notices, rows, ends, names or ranges of a message in
// binary form, so that a short body cannot become much memory. Messages of
// ours have a tenth of it.
const maxItems = 20_000

// Encode writes a message for the bus: the three that carry many instances in
// binary form, all others as JSON. Decode reads both. It fails only for raw
// JSON that is none, and only in a message that is JSON as a whole.
func Encode(m Message) ([]byte, error) {
	var e encoder
	switch m := m.(type) {
	case *Notices:
		e.begin(formNotices)
		e.runtimeID(m.RuntimeID)
		for i := range m.Notices {
			e.notice(&m.Notices[i])
		}
	case *PageReply:
		e.begin(formPage)
		e.identity(&m.Identity)
		e.head = appendText(e.head, fieldCursor, m.Cursor)
		e.head = appendText(e.head, fieldNext, m.Next)
		e.head = appendNumber(e.head, fieldAsOf, m.AsOf)
		e.head = appendNumber(e.head, fieldSeq, m.Seq)
		e.head = appendFlag(e.head, fieldBadCursor, m.BadCursor)
		for i := range m.Rows {
			e.row(&m.Rows[i])
		}
	case *RepairReply:
		e.begin(formRepair)
		e.identity(&m.Identity)
		e.head = appendNumber(e.head, fieldSeq, m.Seq)
		e.head = appendFlag(e.head, fieldTooOld, m.TooOld)
		e.covered(m.Covered)
		for i := range m.Rows {
			e.row(&m.Rows[i])
		}
		for i := range m.Gone {
			e.gone(&m.Gone[i])
		}
	default:
		return json.Marshal(m)
	}
	return e.end(), nil
}
