package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
)

// A blob is the checkpoint of one bucket: where its instances stand as of a
// position of the log, and what of it is still open.
type blob struct {
	bucket  int
	asOf    mark
	live    []savedInstance
	ended   []savedInstance
	open    []savedRecord
	applied []fsm.AppliedEffect
	chosen  []fsm.ChosenTargets
}

// A savedInstance is an instance in a blob. The snapshot stays packed until it
// is needed: most of a blob is carried over to the next one.
type savedInstance struct {
	place place // as of the blob's position; the snapshot may be newer
	id    []byte
	snap  []byte
}

// A savedRecord is a record with effects that were not done.
type savedRecord struct {
	position uint64
	rec      *fsm.Record
	done     []fsm.EffectID
}

// blobFormat is the format of blobs that this program writes, and the highest
// that it reads.
const blobFormat = 1

// headerBlob is the message header of a blob's part: format, position as of
// which it is, slot, number of the part, number of parts, checksum.
const headerBlob = "Fsm-Blob"

// maxPart bounds the parts of a blob, in bytes.
const maxPart = 4 << 20

// The fields of a blob.
const (
	blobAsOf    protowire.Number = 1
	blobLive    protowire.Number = 2
	blobEnded   protowire.Number = 3
	blobOpen    protowire.Number = 4
	blobApplied protowire.Number = 5
	blobChosen  protowire.Number = 6
)

func putMark(b []byte, n protowire.Number, m mark) []byte {
	b, at := begin(b, n)
	b = putUint(b, 1, m.position)
	b = putUint(b, 2, m.frame)
	return end(putUint(b, 3, m.records), at)
}

func readMark(b []byte) (m mark, err error) {
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			m.position = f.v
		case 2:
			m.frame = f.v
		case 3:
			m.records = f.v
		}
	}
	return m, f.err
}

func (b *blob) encode() []byte {
	out := putMark(nil, blobAsOf, b.asOf)
	for _, l := range []struct {
		n    protowire.Number
		list []savedInstance
	}{{blobLive, b.live}, {blobEnded, b.ended}} {
		for i := range l.list {
			s := &l.list[i]
			var at int
			out, at = begin(out, l.n)
			out = putUint(out, 1, s.place.at())
			out = putUint(out, 2, s.place.last())
			out = protowire.AppendBytes(protowire.AppendTag(out, 3, protowire.BytesType), s.snap)
			out = end(out, at)
		}
	}
	for i := range b.open {
		var at, rec int
		out, at = begin(out, blobOpen)
		out = putUint(out, 1, b.open[i].position)
		out, rec = begin(out, 2)
		out = end(appendRecord(out, b.open[i].rec, links{}), rec)
		for _, id := range b.open[i].done {
			out = putEffectID(out, 3, id)
		}
		out = end(out, at)
	}
	for i := range b.applied {
		var at int
		out, at = begin(out, blobApplied)
		out = putRemote(out, 1, b.applied[i].Effect)
		out = end(putText(out, 2, b.applied[i].Instance), at)
	}
	for i := range b.chosen {
		out = putChosen(out, blobChosen, &b.chosen[i])
	}
	return out
}

func (d *decoder) blob(bucket int, body []byte) (*blob, error) {
	out := &blob{bucket: bucket}
	f := fieldReader{rest: body}
	var err error
	for f.next() && err == nil {
		switch f.num {
		case blobAsOf:
			out.asOf, err = readMark(f.b)
		case blobLive, blobEnded:
			var s savedInstance
			s, err = d.savedInstance(f.b, f.num == blobEnded)
			if f.num == blobEnded {
				out.ended = append(out.ended, s)
			} else {
				out.live = append(out.live, s)
			}
		case blobOpen:
			var s savedRecord
			s, err = d.savedRecord(f.b)
			out.open = append(out.open, s)
		case blobApplied:
			var a fsm.AppliedEffect
			a, err = d.applied(f.b)
			out.applied = append(out.applied, a)
		case blobChosen:
			var c fsm.ChosenTargets
			c, err = d.chosen(f.b)
			out.chosen = append(out.chosen, c)
		}
	}
	if err == nil {
		err = f.err
	}
	return out, err
}

func (d *decoder) savedInstance(b []byte, ended bool) (savedInstance, error) {
	var s savedInstance
	var position, version uint64
	f := fieldReader{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			position = f.v
		case 2:
			version = f.v
		case 3:
			s.snap = f.b
		}
	}
	s.place = newPlace(position, version, ended)
	snap := fieldReader{rest: s.snap}
	if snap.next() && snap.num == snapInstance {
		s.id = snap.b
	}
	if f.err == nil && s.snap == nil {
		f.err = errForm
	}
	return s, f.err
}

func (d *decoder) savedRecord(b []byte) (s savedRecord, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			s.position = f.v
		case 2:
			s.rec, _, err = d.record(f.b)
		case 3:
			var id fsm.EffectID
			id, err = d.effectID(f.b)
			s.done = append(s.done, id)
		}
	}
	if err == nil {
		err = f.err
	}
	if err == nil && s.rec == nil {
		err = errForm
	}
	return s, err
}

func (d *decoder) applied(b []byte) (a fsm.AppliedEffect, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			a.Effect, err = d.remote(f.b)
		case 2:
			a.Instance = string(f.b)
		}
	}
	if err == nil {
		err = f.err
	}
	return a, err
}

// A part is one message of a blob. The parts of two writings that follow on each
// other have different subjects, by slot: the first part is written last, and
// until then the writing before is whole. The first has the same subject always.
type part struct {
	bucket, slot, n, of int
	asOf                uint64
	packed              []byte
}

func (l *log) partSubject(bucket, slot, n int) string {
	s := subject(snapSubjects, l.name) + "." + strconv.Itoa(bucket)
	if n == 0 {
		return s
	}
	return fmt.Sprintf("%s.%d.%d", s, slot, n)
}

// save writes a blob in place of the one at a position of the checkpoint stream:
// if that is not the last any more, another process writes checkpoints of this
// log, and it fails with errMoved.
func (l *log) save(ctx context.Context, b *blob, before loaded) error {
	packed := s2.Encode(nil, b.encode())
	size := l.store.options.partSize
	n := (len(packed) + size - 1) / size
	for i := n - 1; i >= 0; i-- {
		chunk := packed[i*size : min(len(packed), (i+1)*size)]
		m := &nats.Msg{Subject: l.partSubject(b.bucket, 1-before.slot, i), Data: chunk, Header: nats.Header{}}
		head := fmt.Sprintf("%d %d %d %d %d", blobFormat, b.asOf.position, 1-before.slot, i, n)
		m.Header.Set(headerBlob, fmt.Sprintf("%s %d", head, sum(head, chunk)))
		if err := l.store.spare(len(chunk)); err != nil {
			return err
		}
		expect := anyLast
		if i == 0 {
			expect = before.position
		}
		if _, err := l.link.put(ctx, m, expect); err != nil {
			return fmt.Errorf("write the checkpoint of bucket %d: %w", b.bucket, err)
		}
	}
	return nil
}

// loaded is what was there of a bucket: nothing if position is 0.
type loaded struct {
	*blob
	position uint64 // of its first part in the checkpoint stream
	slot     int
}

func (l *log) parsePart(m *message) (p part, err error) {
	// Subjects are fsm.snap.<name>.<bucket>, the name being one token.
	tokens := strings.Split(m.subject, ".")
	if len(tokens) < 4 {
		return p, errForm
	}
	p.bucket, err = strconv.Atoi(tokens[3])
	if err != nil || p.bucket < 0 || p.bucket >= buckets {
		return p, errForm
	}
	var format int
	if _, err := fmt.Sscan(m.header.Get(headerBlob), &format); err != nil {
		return p, errForm
	}
	if format > blobFormat {
		return p, &FormatError{Name: l.name, What: "a checkpoint", Found: format, Known: blobFormat}
	}
	var want uint32
	head := m.header.Get(headerBlob)
	if _, err := fmt.Sscan(head, &format, &p.asOf, &p.slot, &p.n, &p.of, &want); err != nil || p.n < 0 || p.n >= p.of {
		return p, errForm
	}
	if sum(head[:strings.LastIndexByte(head, ' ')], m.data) != want {
		return p, errSum
	}
	p.packed = m.data
	return p, nil
}

// load reads the blob of a bucket; it is nil if there is none.
func (l *log) load(ctx context.Context, d *decoder, bucket int) (loaded, error) {
	var out loaded
	var err error
	for range 4 {
		if out, err = l.loadOnce(ctx, d, bucket); !errors.Is(err, errParts) {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("checkpoint of bucket %d: %w", bucket, err)
	}
	return out, err
}

// errParts: the parts are of different writings; one may be under way.
var errParts = errors.New("its parts do not belong together")

func (l *log) loadOnce(ctx context.Context, d *decoder, bucket int) (loaded, error) {
	m, err := lastOf(ctx, l.link.snap, l.partSubject(bucket, 0, 0))
	if errors.Is(err, errNoMessage) {
		return loaded{}, nil
	}
	if err != nil {
		return loaded{}, err
	}
	first, err := l.parsePart(m)
	if err != nil {
		return loaded{}, err
	}
	packed, err := l.moreParts(ctx, first)
	if err != nil {
		return loaded{}, err
	}
	plain, err := unpack(packed)
	if err != nil {
		return loaded{}, err
	}
	b, err := d.blob(bucket, plain)
	return loaded{b, m.position, first.slot}, err
}

// moreParts returns a packed blob whose first part is known.
func (l *log) moreParts(ctx context.Context, first part) ([]byte, error) {
	packed := first.packed
	for i := 1; i < first.of; i++ {
		m, err := lastOf(ctx, l.link.snap, l.partSubject(first.bucket, first.slot, i))
		if errors.Is(err, errNoMessage) {
			return nil, errParts
		}
		if err != nil {
			return nil, err
		}
		p, err := l.parsePart(m)
		if err != nil {
			return nil, err
		}
		if p.asOf != first.asOf || p.of != first.of {
			return nil, errParts
		}
		packed = append(packed[:len(packed):len(packed)], p.packed...)
	}
	return packed, nil
}
