package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"
)

// A cover says of all buckets of a log what their checkpoints are, and up to
// where nothing has changed since. So a bucket that stands still holds back
// neither a restore nor the retention, and a checkpoint that got lost is missed.
type cover struct {
	epoch    uint64 // of the claim under which it was written
	position uint64 // of the message; 0 if there is none
	saved    [buckets]saved
	// keep is the position from which on the records are to be kept.
	keep uint64
}

const (
	coverEpoch  protowire.Number = 1
	coverKeep   protowire.Number = 2
	coverBucket protowire.Number = 3
)

// headerFormat is the message header of covers, marks and leases: their format and
// checksum.
const headerFormat = "Fsm-Format"

func (c *cover) encode() []byte {
	b := putUint(nil, coverEpoch, c.epoch)
	b = putUint(b, coverKeep, c.keep)
	for i := range c.saved {
		s := &c.saved[i]
		var at int
		b, at = begin(b, coverBucket)
		b = putUint(b, 1, uint64(i))
		b = putUint(b, 2, s.blob)
		b = putMark(b, 3, s.upTo)
		b = end(putInt(b, 4, s.oldest), at)
	}
	return s2.Encode(nil, b)
}

func decodeCover(body []byte) (*cover, error) {
	plain, err := unpack(body)
	if err != nil {
		return nil, err
	}
	c := &cover{}
	f := fieldReader{rest: plain}
	for f.next() && err == nil {
		switch f.num {
		case coverEpoch:
			c.epoch = f.v
		case coverKeep:
			c.keep = f.v
		case coverBucket:
			err = c.bucket(f.b)
		}
	}
	if err == nil {
		err = f.err
	}
	return c, err
}

func (c *cover) bucket(b []byte) (err error) {
	var s saved
	var i uint64
	f := fieldReader{rest: b}
	for f.next() && err == nil {
		switch f.num {
		case 1:
			i = f.v
		case 2:
			s.blob = f.v
		case 3:
			s.upTo, err = readMark(f.b)
		case 4:
			s.oldest = f.int()
		}
	}
	if i >= buckets {
		return errForm
	}
	c.saved[i] = s
	if err == nil {
		err = f.err
	}
	return err
}

// lowest is the lowest of what the buckets cover.
func (c *cover) lowest() mark {
	low := c.saved[0].upTo
	for i := range c.saved {
		if c.saved[i].upTo.position < low.position {
			low = c.saved[i].upTo
		}
	}
	return low
}

func (c *cover) highest() mark {
	var high mark
	for i := range c.saved {
		if c.saved[i].upTo.position > high.position {
			high = c.saved[i].upTo
		}
	}
	return high
}

// readCover returns the cover of a log, an empty one if there is none.
func (l *link) readCover(ctx context.Context, name string) (*cover, error) {
	m, err := l.last(ctx, snapStream, subject(coverSubjects, name))
	if errors.Is(err, errNoMessage) {
		return &cover{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what the checkpoints cover: %w", err)
	}
	if err := checkFormat(m, name); err != nil {
		return nil, err
	}
	c, err := decodeCover(m.data)
	if err != nil {
		return nil, &DamageError{Name: name, Problem: "what its checkpoints cover cannot be read", Err: err}
	}
	c.position = m.position
	return c, nil
}

func checkFormat(m *message, name string) error {
	var n int
	var want uint32
	_, err := fmt.Sscan(m.header.Get(headerFormat), &n, &want)
	if n <= blobFormat && (err != nil || sum("", m.data) != want) {
		return &DamageError{Name: name, Problem: fmt.Sprintf("the message %s cannot be read", m.subject), Err: errSum}
	}
	if n > blobFormat {
		return &FormatError{Name: name, What: "a checkpoint", Found: n, Known: blobFormat}
	}
	return nil
}

func formatted(subject string, body []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: body, Header: nats.Header{headerFormat: []string{fmt.Sprintf("%d %d", blobFormat, sum("", body))}}}
}

// readMark returns the last position that is known to have been acknowledged.
func (l *log) readMark(ctx context.Context) (mark, error) {
	m, err := l.link.last(ctx, snapStream, subject(markSubjects, l.name))
	if errors.Is(err, errNoMessage) {
		return mark{}, nil
	}
	if err != nil {
		return mark{}, fmt.Errorf("last acknowledged position: %w", err)
	}
	if err := checkFormat(m, l.name); err != nil {
		return mark{}, err
	}
	return readMark(m.data)
}

func markBody(m mark) []byte {
	b := putUint(nil, 1, m.position)
	b = putUint(b, 2, m.frame)
	return putUint(b, 3, m.records)
}
