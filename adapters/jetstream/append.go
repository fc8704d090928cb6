package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
)

// An attempt is a frame on its way to the server.
type attempt struct {
	frameHeader
	packed []byte
	batch  fsm.Batch
	seen   uint64 // position at which the server shows it; 0: it was not looked for
}

// is reports whether a stored message is this very frame. Its number and epoch
// are not enough: an attempt that was given up may have had the same.
func (a *attempt) is(m *message) bool {
	return m != nil && m.header.Get(headerFrame) == a.text(a.packed) && bytes.Equal(m.data, a.packed)
}

// Append stores a batch as one frame. While it cannot be told whether a frame
// was stored, ErrUnknownOutcome is returned, and nothing else is appended before
// that is known.
func (l *log) Append(ctx context.Context, b fsm.Batch) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(ctx); err != nil {
		return err
	}
	if l.epoch == 0 {
		return l.fenced(l.claim)
	}
	if l.behind() {
		return &fsm.Error{Code: fsm.CodeConflict, Detail: "the log has not been read up to its claim: read on first"}
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	if len(b.Records)+len(b.Done)+len(b.Chosen) == 0 {
		return nil
	}
	for range 2 {
		stored, err := l.check(ctx, b.Records)
		if err != nil || stored {
			return err
		}
		err = l.commit(ctx, b)
		if !errors.Is(err, errNotStored) {
			return err
		}
	}
	return fmt.Errorf("append %d records: %w", len(b.Records), errNotStored)
}

// errNotStored: it is certain that the frame is not stored and never will be.
var errNotStored = errors.New("the server did not store the frame")

func (l *log) commit(ctx context.Context, b fsm.Batch) error {
	packed := l.encoded.frame(l, b)
	if err := l.store.room(len(packed)); err != nil {
		return err
	}
	a := &attempt{frameHeader: l.header(l.claim, len(b.Records)), packed: packed, batch: b}
	position, err := l.publish(ctx, a)
	switch {
	case err == nil:
		l.store.pace.commit()
		l.accept(a, position)
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %d records of %d bytes", ErrTooLarge, len(b.Records), len(packed))
	case errors.Is(err, errUnsent):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return l.resolve(ctx, a, err)
}

// publish sends a frame and waits for the answer. It expects to follow on what
// was read or written last: that is the fence.
func (l *log) publish(ctx context.Context, a *attempt) (uint64, error) {
	return l.publishAfter(ctx, a, l.at.position)
}

// publishAfter is publish for another expectation.
func (l *log) publishAfter(whole context.Context, a *attempt, position uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(whole, l.store.options.Timeout)
	defer cancel()
	l.waiting.Store(&cancel)
	m := &nats.Msg{Subject: l.subject, Data: a.packed, Header: nats.Header{headerFrame: []string{a.text(a.packed)}}}
	stored, err := l.link.put(ctx, m, position)
	return stored, gaveUp(whole, ctx, err)
}

// gaveUp says what it means that the wait for an answer was ended from within.
func gaveUp(whole, wait context.Context, err error) error {
	if err != nil && errors.Is(wait.Err(), context.Canceled) && whole.Err() == nil {
		return errGaveUp
	}
	return err
}

var errGaveUp = errors.New("the embedded server gave up before it answered")

// settle finds out about a frame that may be stored.
func (l *log) settle(ctx context.Context) error {
	a := l.pending
	if a == nil {
		return nil
	}
	err := l.resolve(ctx, a, nil)
	if errors.Is(err, errNotStored) {
		return nil
	}
	return err
}

// resolve finds out whether a frame was stored for which the server gave no
// answer, or the answer that something else was last. The last message of the
// log tells. If that is still the old one, the frame may yet be on its way: an
// empty frame in its place makes sure that it comes too late.
func (l *log) resolve(whole context.Context, a *attempt, cause error) error {
	l.pending = a
	l.encoded.keep()
	ctx, cancel := context.WithTimeout(whole, l.store.options.Timeout)
	defer cancel()
	if sick := l.store.sound(); sick != nil {
		return unknown(cause, sick)
	}
	for range 10 {
		l.waiting.Store(&cancel)
		m, err := l.link.last(ctx, logStream, l.subject)
		if sick := l.store.sound(); sick != nil {
			return unknown(cause, sick)
		}
		if err != nil && !errors.Is(err, errNoMessage) {
			return unknown(cause, gaveUp(whole, ctx, err))
		}
		if m != nil && m.position != l.at.position {
			return l.judge(ctx, a, m, cause)
		}
		barrier := &attempt{frameHeader: l.header(l.claim, 0)}
		switch position, err := l.publish(ctx, barrier); {
		case err == nil:
			l.accept(barrier, position)
			return errNotStored
		case !errors.Is(err, errMoved):
			return unknown(cause, err)
		}
	}
	return unknown(cause, errMoved)
}

// judge says what it means that this is the last message of the log.
func (l *log) judge(ctx context.Context, a *attempt, m *message, cause error) error {
	if a.is(m) {
		return l.confirm(ctx, a, m.position, cause)
	}
	f, err := l.frame(m)
	if err != nil {
		return err
	}
	if a.seen != 0 && f.claim == l.claim && len(f.packed) == 0 && f.number == a.number+1 {
		// What confirms it, whose answer got lost.
		l.accept(a, a.seen)
		l.accept(&attempt{frameHeader: f.frameHeader}, m.position)
		return nil
	}
	if f.claim == l.claim && len(f.packed) == 0 && f.number == l.at.frame+1 {
		// A barrier of our own, whose answer got lost.
		l.accept(&attempt{frameHeader: f.frameHeader}, m.position)
		return errNotStored
	}
	l.mu.Lock()
	l.epoch, l.claim, l.pending = 0, f.claim, nil
	l.mu.Unlock()
	return l.fenced(f.claim)
}

// confirm takes in a frame that the server shows and did not acknowledge. Of somebody
// else's server that is no proof that it is on the disk: where a write or its sync has
// failed, it may be shown from memory. But no other write is taken then, so an empty
// frame that is taken behind it proves it. Of the store's own server it is known whether
// it is sound.
func (l *log) confirm(ctx context.Context, a *attempt, position uint64, cause error) error {
	if l.store.folder != nil {
		l.accept(a, position)
		return nil
	}
	a.seen = position
	behind := &attempt{frameHeader: frameHeader{log: l.id, claim: l.claim, number: a.number + 1, records: a.records}}
	at, err := l.publishAfter(ctx, behind, position)
	if err != nil {
		return unknown(cause, err)
	}
	l.accept(a, position)
	l.accept(behind, at)
	return nil
}

func unknown(errs ...error) error {
	return &fsm.Error{Code: fsm.CodeUnknownOutcome, Err: errors.Join(errs...)}
}

// accept takes in a frame that is stored: an empty one, or that of the batch that
// was checked last.
func (l *log) accept(a *attempt, position uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range a.batch.Records {
		sp := &l.encoded.spots[i]
		l.index.add(sp.bucket, sp.key, r, position)
		l.encoded.passed(sp.key, r, position)
	}
	for _, id := range a.batch.Done {
		l.index.done(id)
	}
	for _, c := range a.batch.Chosen {
		l.index.choose(c)
	}
	l.at = mark{position, a.number, a.records}
	l.pending = nil
}

// check reports whether all records are stored already; if not, all of them
// must be the next versions of their instances.
func (l *log) check(ctx context.Context, records []*fsm.Record) (stored bool, err error) {
	l.mu.RLock()
	repeated, bad := l.versions(records)
	l.mu.RUnlock()
	if bad == nil && repeated == 0 {
		return false, nil
	}
	if bad == nil && repeated < len(records) {
		// Batches are all or nothing, so this is none that was stored before.
		bad = l.firstRepeated(records)
	}
	if bad == nil {
		if bad, err = l.differing(ctx, records); err != nil {
			return false, err
		}
	}
	if bad != nil {
		return false, &fsm.Error{Code: fsm.CodeConflict, Component: bad.Component, Machine: bad.Machine, Instance: bad.Instance, Version: bad.Version - 1}
	}
	return true, nil
}

// versions counts the records whose versions are stored already, and returns the
// first whose version is neither that nor the next. It is called with l.mu held.
func (l *log) versions(records []*fsm.Record) (repeated int, bad *fsm.Record) {
	e := &l.encoded
	e.expect(len(records))
	for _, r := range records {
		sp := spot{bucket: l.index.bucket(r.Instance), key: l.index.key(r.Instance)}
		version, last := uint64(0), e.find(sp.key)
		same := *last != 0
		if same {
			version = records[*last-1].Version
		} else {
			p, _ := sp.bucket.places.get(sp.key)
			version, sp.previous = p.last(), p.at()
		}
		switch {
		case r.Version == version+1:
			*last = uint32(len(e.spots) + 1)
		case r.Version >= 1 && r.Version <= version && !same:
			repeated++
		default:
			return repeated, r
		}
		e.spots = append(e.spots, sp)
	}
	return repeated, nil
}

func (l *log) firstRepeated(records []*fsm.Record) *fsm.Record {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, r := range records {
		if p, _ := l.index.get(r.Instance); r.Version <= p.last() {
			return r
		}
	}
	return nil
}

// differing returns the first record that is stored under its id in another
// form.
func (l *log) differing(ctx context.Context, records []*fsm.Record) (*fsm.Record, error) {
	want := map[fsm.RecordID][]byte{}
	for _, r := range records {
		want[r.ID()] = appendRecord(nil, r, links{})
	}
	known := map[fsm.RecordID]bool{}
	for _, r := range records {
		if known[r.ID()] {
			continue
		}
		// One frame holds all of the batch.
		f, err := l.frameOf(ctx, r.ID())
		if err != nil {
			return nil, err
		}
		if f == nil {
			known[r.ID()] = true // it is gone: it was stored
			continue
		}
		for _, e := range f.entries {
			if b, ok := want[e.rec.ID()]; ok && bytes.Equal(b, appendRecord(nil, e.rec, links{})) {
				known[e.rec.ID()] = true
			}
		}
		if !known[r.ID()] {
			return r, nil
		}
	}
	return nil, nil
}

// An encoder makes frames. It keeps its buffers, and where the last records of
// busy instances are, so that long histories need not be followed one by one.
type encoder struct {
	plain, packed []byte
	spots         []spot // of the batch that was checked last
	// lasts is a hash table of the batch's new records, the last of each
	// instance: 1 + its position, 0 for an empty place.
	lasts []uint32
	tails map[key][]uint64
}

// A spot is where the index has the instance of a record, found once for all
// that happens to the record on its way.
type spot struct {
	bucket   *bucket
	key      key
	previous uint64 // position of the record before, see links
}

const (
	// earlierEvery is how often a record carries the positions of those before
	// it, and of how many.
	earlierEvery = 64
	// tailsFrom is the version from which positions are kept: most instances
	// never get there.
	tailsFrom = 40
	// maxTails bounds the instances whose positions are kept: 9 MB.
	maxTails = 1 << 14
)

// expect makes ready for so many records.
func (e *encoder) expect(n int) {
	size := 1 << bits.Len(uint(2*n))
	if cap(e.lasts) < size {
		e.lasts = make([]uint32, size)
	}
	e.lasts = e.lasts[:size]
	clear(e.lasts)
	e.spots = e.spots[:0]
}

// find returns the place in lasts of an instance. Keys are hashes themselves.
func (e *encoder) find(k key) *uint32 {
	mask := uint32(len(e.lasts) - 1)
	for i := k[0] & mask; ; i = (i + 1) & mask {
		if n := e.lasts[i]; n == 0 || e.spots[n-1].key == k {
			return &e.lasts[i]
		}
	}
}

// frame returns the packed body for the batch that was checked last. It is good
// until the next call, unless keep is called.
func (e *encoder) frame(l *log, b fsm.Batch) []byte {
	e.plain = appendFrame(e.plain[:0], b, func(i int) links {
		ln := links{previous: e.spots[i].previous}
		if b.Records[i].Version%earlierEvery == 0 {
			ln.earlier = e.tails[e.spots[i].key]
		}
		return ln
	})
	e.packed = s2.Encode(e.packed[:cap(e.packed)], e.plain)
	packed := e.packed
	if cap(e.plain) > 4<<20 {
		e.plain, e.packed = nil, nil
	}
	return packed
}

// keep leaves the frame that was made last to whoever holds it.
func (e *encoder) keep() { e.packed = nil }

// passed notes where a record is.
func (e *encoder) passed(k key, r *fsm.Record, position uint64) {
	if r.Version < tailsFrom {
		return
	}
	t, ok := e.tails[k]
	if r.Version == tailsFrom {
		t = t[:0] // those of another life under the same id
	}
	if !ok && len(e.tails) >= maxTails {
		clear(e.tails)
	}
	if len(t) > 0 && t[0] == position {
		return
	}
	if len(t) < earlierEvery {
		t = append(t, 0)
	}
	copy(t[1:], t)
	t[0] = position
	e.tails[k] = t
}
