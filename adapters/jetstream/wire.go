package jetstream

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// What is stored are protobuf messages in form, written by hand: a reader skips
// the fields that it does not know, so that fields can be added.

func putText(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
}

func putUint(b []byte, n protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
}

// putInt is for numbers that may be negative.
func putInt(b []byte, n protowire.Number, v int64) []byte {
	return putUint(b, n, protowire.EncodeZigZag(v))
}

func putBool(b []byte, n protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return putUint(b, n, 1)
}

// begin starts a message within another one; end, given what begin returned,
// puts its length in front of it.
func begin(b []byte, n protowire.Number) ([]byte, int) {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	return append(b, 0), len(b) + 1
}

func end(b []byte, start int) []byte {
	n := len(b) - start
	if n < 0x80 {
		b[start-1] = byte(n)
		return b
	}
	var length [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(length[:], uint64(n))
	b = append(b, length[:k-1]...)
	copy(b[start+k-1:], b[start:start+n])
	copy(b[start-1:], length[:k])
	return b
}

// A fieldReader goes through the fields of a message. After next, num names the
// field, and its value is in v (numbers) or b (texts, messages).
type fieldReader struct {
	rest []byte
	num  protowire.Number
	v    uint64
	b    []byte
	err  error
}

func (r *fieldReader) next() bool {
	for len(r.rest) > 0 && r.err == nil {
		num, typ, n := protowire.Number(r.rest[0]>>3), protowire.Type(r.rest[0]&7), 1
		if r.rest[0] >= 0x80 || num == 0 { // it is not one byte, or none at all
			num, typ, n = protowire.ConsumeTag(r.rest)
		}
		if n < 0 {
			r.err = errTruncated
			return false
		}
		r.rest, r.num = r.rest[n:], num
		switch typ {
		case protowire.VarintType:
			r.v, n = protowire.ConsumeVarint(r.rest)
			r.b = nil
		case protowire.BytesType:
			r.b, n = protowire.ConsumeBytes(r.rest)
			r.v = 0
		default: // of a later version
			if n = protowire.ConsumeFieldValue(num, typ, r.rest); n >= 0 {
				r.rest = r.rest[n:]
				continue
			}
		}
		if n < 0 {
			r.err = errTruncated
			return false
		}
		r.rest = r.rest[n:]
		return true
	}
	return false
}

func (r *fieldReader) int() int64 { return protowire.DecodeZigZag(r.v) }
