package jetstream

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxPooled bounds the buffers that are kept for the next frame, in bytes.
const maxPooled = 4 << 20

// A frameBuffer is what a frame is read with. A restore goes through millions of
// records, and a history through frames of which it needs one record each.
type frameBuffer struct {
	plain   []byte
	entries []entry
}

var frameBuffers = sync.Pool{New: func() any { return &frameBuffer{} }}

// unpack makes the plain body of the packed one, in a buffer that release gives
// back, and makes room for the entries.
func (f *frame) unpack() error {
	n, err := unpackedLen(f.packed)
	if err != nil {
		return err
	}
	buf := frameBuffers.Get().(*frameBuffer)
	if n > 0 {
		if f.plain, err = s2.Decode(buf.plain[:cap(buf.plain)], f.packed); err != nil {
			return err
		}
	}
	f.packed, f.entries = nil, buf.entries[:0]
	return nil
}

// release gives the frame's buffers back. Of its entries only the records and
// the ids of effects may be used afterwards.
func (f *frame) release() {
	if cap(f.plain) <= maxPooled {
		clear(f.entries)
		frameBuffers.Put(&frameBuffer{f.plain, f.entries})
	}
	f.plain, f.entries = nil, nil
}

// find is decode for the records of one instance: there are no other entries. The
// id comes first in a record.
func (f *frame) find(d *decoder, instance string) error {
	prefix := protowire.AppendString(protowire.AppendTag(nil, recInstance, protowire.BytesType), instance)
	return f.only(d, func(b []byte) bool { return bytes.HasPrefix(b, prefix) })
}

// mentions is decode for the records in which an id occurs, as whatever it be.
func (f *frame) mentions(d *decoder, instance []byte) error {
	return f.only(d, func(b []byte) bool { return bytes.Contains(b, instance) })
}

// only is decode for some records, as they are stored.
func (f *frame) only(d *decoder, want func(b []byte) bool) error {
	if err := f.unpack(); err != nil {
		return err
	}
	var found []entry
	r := fieldReader{rest: f.plain}
	for r.next() {
		if r.num != frameRecord || !want(r.b) {
			continue
		}
		var e entry
		if e.rec, e.links, r.err = d.record(r.b); r.err == nil {
			e.version, e.effect = e.rec.Version, e.rec.Effect
			found = append(found, e)
		}
	}
	f.release()
	f.entries = found
	return r.err
}

// unpackedLen is the length of what a packed body unpacks to. The body may be
// hostile.
func unpackedLen(packed []byte) (int, error) {
	if len(packed) == 0 {
		return 0, nil
	}
	n, err := s2.DecodedLen(packed)
	if err != nil {
		return 0, err
	}
	// s2 packs a repeated byte to some 1/20,000: what claims more is not ours.
	if n > maxPlain || n/(1<<16) > len(packed) {
		return 0, errForm
	}
	return n, nil
}

// unpack is the opposite of s2.
func unpack(packed []byte) ([]byte, error) {
	if n, err := unpackedLen(packed); n == 0 || err != nil {
		return nil, err
	}
	return s2.Decode(nil, packed)
}
