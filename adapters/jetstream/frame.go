package jetstream

import (
	"fmt"
	"hash/crc32"
	"net/url"
	"strconv"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	"google.golang.org/protobuf/encoding/protowire"
)

// frameFormat is the format of frames that this program writes, and the highest
// that it reads.
const frameFormat = 1

// headerFrame is the message header that says what a frame is.
const headerFrame = "Fsm-Frame"

// maxPlain bounds what the body of a message may unpack to, in bytes.
const maxPlain = 128 << 20

// A mark is a place in a log: behind a frame.
type mark struct {
	position uint64 // of the frame in its stream
	frame    uint64 // its number: 1, 2, 3 … without a gap
	records  uint64 // of the log up to here
}

// A frameHeader is what the header of a frame says. Each frame names the claim
// under which it was written, so that the last one tells who writes.
type frameHeader struct {
	log     string // id of the log
	claim   fsm.Claim
	number  uint64
	records uint64 // of the log, this frame's included
}

// castagnoli is the polynomial of the checksums: processors compute it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a message: the server has one of its own, which it does
// not look at in every case.
func sum(head string, body []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(head), castagnoli), castagnoli, body)
}

// text is the header of a frame with this body.
func (h frameHeader) text(packed []byte) string {
	s := fmt.Sprintf("%d %s %d %d %d %d %s", frameFormat, h.log, h.claim.Epoch, h.number, h.records, h.claim.At, url.PathEscape(h.claim.By))
	return fmt.Sprintf("%s %08x", s, sum(s, packed))
}

// parseFrameHeader reads the header of a frame and checks the frame's checksum.
// It returns a *FormatError for what a newer version wrote.
func parseFrameHeader(name, s string, packed []byte) (h frameHeader, err error) {
	bad := fmt.Errorf("frame header %.80q: %w", s, errForm)
	format, rest, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(format)
	if err != nil || n < 1 {
		return h, bad
	}
	if n > frameFormat {
		return h, &FormatError{Name: name, What: "a frame", Found: n, Known: frameFormat}
	}
	p := strings.Split(rest, " ")
	if len(p) != 7 {
		return h, bad
	}
	h.log = p[0]
	for i, v := range []*uint64{&h.claim.Epoch, &h.number, &h.records} {
		if *v, err = strconv.ParseUint(p[1+i], 10, 64); err != nil {
			return h, bad
		}
	}
	if h.claim.At, err = strconv.ParseInt(p[4], 10, 64); err != nil {
		return h, bad
	}
	if h.claim.By, err = url.PathUnescape(p[5]); err != nil {
		return h, bad
	}
	if s != h.text(packed) {
		return h, errSum
	}
	return h, nil
}

// The fields of a frame's body, which is packed with s2.
const (
	frameRecord protowire.Number = 1
	frameDone   protowire.Number = 2
	frameChosen protowire.Number = 3
)

// appendFrame writes the body of a frame before it is packed. of gives the links
// of the i-th record.
func appendFrame(b []byte, batch fsm.Batch, of func(i int) links) []byte {
	var at int
	for i, r := range batch.Records {
		b, at = begin(b, frameRecord)
		b = end(appendRecord(b, r, of(i)), at)
	}
	for _, id := range batch.Done {
		b = putEffectID(b, frameDone, id)
	}
	for i := range batch.Chosen {
		b = putChosen(b, frameChosen, &batch.Chosen[i])
	}
	return b
}

func putChosen(b []byte, n protowire.Number, c *fsm.ChosenTargets) []byte {
	b, at := begin(b, n)
	b = putRemote(b, 1, c.Effect)
	for _, t := range c.Targets {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), t)
	}
	return end(b, at)
}

func (d *decoder) chosen(b []byte) (c fsm.ChosenTargets, err error) {
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			c.Effect, err = d.remote(f.b)
		case 2:
			c.Targets = append(c.Targets, string(f.b))
		}
	}
	if err == nil {
		err = f.err
	}
	return c, err
}

// A frame is one commit as it was read.
type frame struct {
	frameHeader
	position uint64
	time     int64 // when the server stored it, Unix ms
	entries  []entry
	done     []fsm.EffectID
	chosen   []fsm.ChosenTargets
	packed   []byte
	plain    []byte // what the heads of the entries are parts of
	err      error
	ready    chan struct{} // closed once it is decoded
}

func (f *frame) mark() mark { return mark{f.position, f.number, f.records} }

// An entry is a record of a frame. If it was not asked for, only head is there.
type entry struct {
	head
	rec   *fsm.Record
	links links
}

// decode reads the body. want says of which records more than the head is
// needed.
func (f *frame) decode(d *decoder, want func(position uint64, h *head) bool) error {
	if err := f.unpack(); err != nil {
		return err
	}
	var err error
	r := fieldReader{rest: f.plain}
	for r.next() {
		switch r.num {
		case frameRecord:
			e := entry{}
			if e.head, err = d.head(r.b); err != nil {
				return err
			}
			if want == nil || want(f.position, &e.head) {
				if e.rec, e.links, err = d.record(r.b); err != nil {
					return err
				}
			}
			f.entries = append(f.entries, e)
		case frameDone:
			id, err := d.effectID(r.b)
			if err != nil {
				return err
			}
			f.done = append(f.done, id)
		case frameChosen:
			c, err := d.chosen(r.b)
			if err != nil {
				return err
			}
			f.chosen = append(f.chosen, c)
		}
	}
	return r.err
}
