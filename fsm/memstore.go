package fsm

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"slices"
	"sync"
)

// A MemoryStore keeps logs in memory, for tests and demonstrations: it makes
// every promise of Store but that of surviving the process. A runtime that is
// started again on the same MemoryStore restores what the one before left.
//
// Records are kept as they are given and never copied, since they are never
// changed. Nothing is dropped but by Retain.
type MemoryStore struct {
	mu   sync.Mutex // guards logs
	logs map[string]*memoryLog
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{logs: map[string]*memoryLog{}}
}

// Open returns the log of a name for reading, and makes it if there is none.
func (s *MemoryStore) Open(ctx context.Context, name string) (Log, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l := s.log(name, true)
	return &memoryOpener{log: l, last: l.lastClaim()}, nil
}

// Records returns the records of a name's log that are kept, in the order of
// appending.
func (s *MemoryStore) Records(name string) []*Record {
	l := s.log(name, false)
	if l == nil {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]*Record, 0, len(l.kept))
	for _, m := range l.kept {
		out = append(out, m.rec)
	}
	return out
}

// Snapshots returns the latest snapshot of each instance of a name's log, in
// the order in which the instances were created.
func (s *MemoryStore) Snapshots(name string) []*Snapshot {
	l := s.log(name, false)
	if l == nil {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	var out []*Snapshot
	for _, in := range l.byPlace() {
		if in.snapshot != nil {
			out = append(out, in.snapshot.rec.Snapshot)
		}
	}
	return out
}

func (s *MemoryStore) log(name string, create bool) *memoryLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.logs[name]
	if !ok && create {
		l = newMemoryLog()
		s.logs[name] = l
	}
	return l
}

// A memoryOpener is what Open returns: one reader of a log, and its writer if
// it has made the last claim.
type memoryOpener struct {
	log  *memoryLog
	last Claim // as it was when the log was opened

	mu      sync.Mutex // guards the fields below; taken before log.mu
	read    uint64     // the position up to which Restore has read
	known   uint64     // epoch of the claim that was in force there
	epoch   uint64     // of the own claim, 0 for none
	claimed uint64     // its position
	closed  bool
}

var errLogClosed = errors.New("the log is closed")

func (o *memoryOpener) ID() string       { return o.log.id }
func (o *memoryOpener) LastClaim() Claim { return o.last }
func (o *memoryOpener) Waits() bool      { return false }

func (o *memoryOpener) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return nil
}

// usable is called with o.mu held.
func (o *memoryOpener) usable(ctx context.Context) error {
	if o.closed {
		return errLogClosed
	}
	return ctx.Err()
}

// Restore yields the latest snapshot of each instance that has one, which is
// less to read than all of its records, then the records that no snapshot
// includes and those with an open effect, then what was done without a record
// that is yielded and what was chosen. That a record was the outcome of another
// runtime's effect is told beside it where it is not yielded.
//
// Called again it reads on: what was appended since. The position moves only
// when the sequence has been read to its end. Who has not read on for longer
// than Retain keeps things opens the log anew.
func (o *memoryOpener) Restore(ctx context.Context) iter.Seq2[Restored, error] {
	return func(yield func(Restored, error) bool) {
		o.mu.Lock()
		err := o.usable(ctx)
		position := o.read
		o.mu.Unlock()
		if err != nil {
			yield(Restored{}, err)
			return
		}
		list, end, known := o.log.since(position)
		for _, r := range list {
			if err := ctx.Err(); err != nil {
				yield(Restored{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		o.mu.Lock()
		if end >= o.read {
			o.read, o.known = end, known
		}
		o.mu.Unlock()
	}
}

// Claim takes the end of the log for this opener.
func (o *memoryOpener) Claim(ctx context.Context, by string) (Claim, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.usable(ctx); err != nil {
		return Claim{}, err
	}
	c, position, whole, err := o.log.claim(o.read, o.known, by)
	if err != nil {
		return Claim{}, err
	}
	if whole {
		o.read = position
	}
	o.known, o.epoch, o.claimed = c.Epoch, c.Epoch, position
	return c, nil
}

// Append compares what a record holds with what is stored under its id, so a
// record that only has the version of a stored one is a conflict.
func (o *memoryOpener) Append(ctx context.Context, b Batch) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.usable(ctx); err != nil {
		return err
	}
	if o.read < o.claimed {
		return &Error{Code: CodeConflict, Detail: "the log has not been read up to its claim: read on first"}
	}
	end, err := o.log.append(o.epoch, b)
	if err != nil {
		return err
	}
	o.read = end // nobody else can have written under this claim
	return nil
}

func (o *memoryOpener) History(ctx context.Context, instance string, after uint64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		o.mu.Lock()
		err := o.usable(ctx)
		o.mu.Unlock()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, r := range o.log.history(instance, after) {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Caused looks through all records that are kept.
func (o *memoryOpener) Caused(ctx context.Context, id RecordID) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		o.mu.Lock()
		err := o.usable(ctx)
		o.mu.Unlock()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, r := range o.log.caused(id) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (o *memoryOpener) Ended(ctx context.Context) iter.Seq2[*Snapshot, error] {
	return func(yield func(*Snapshot, error) bool) {
		o.mu.Lock()
		err := o.usable(ctx)
		o.mu.Unlock()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, s := range o.log.ended() {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// Retain keeps entry points like live instances: an ended one stays in the
// table. It drops an ended instance whole or, while one of its effects is
// open, like a live one.
func (o *memoryOpener) Retain(ctx context.Context, cut func(component, machine string) Cut) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.usable(ctx); err != nil {
		return err
	}
	o.log.retain(cut)
	return nil
}

// since returns what a reader at a position has to be given, the position after
// it, and the epoch of the claim in force there.
func (l *memoryLog) since(position uint64) (list []Restored, end, epoch uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	yielded := map[*memoryRecord]bool{}
	// A reader that has read before needs a snapshot only where records that
	// it has not read are gone.
	snapshotOf := func(in *memoryInstance) *Snapshot {
		if in.snapshot == nil || position > 0 && in.dropped <= position {
			return nil
		}
		return in.snapshot.rec.Snapshot
	}
	for _, in := range l.byPlace() {
		if s := snapshotOf(in); s != nil {
			list = append(list, Restored{Snapshot: s})
		}
	}
	for _, m := range l.kept {
		if m.position <= position {
			continue
		}
		s := snapshotOf(l.instances[m.rec.Instance])
		if s != nil && m.rec.Version <= s.Version && m.open == 0 {
			if m.rec.Remote != nil {
				list = append(list, Restored{Applied: &AppliedEffect{*m.rec.Remote, m.rec.Instance}})
			}
			continue
		}
		yielded[m] = true
		list = append(list, Restored{Record: m.rec})
	}
	marks := make([]*memoryDone, 0, len(l.done))
	for _, d := range l.done {
		tells := d.of == nil || yielded[d.of] || d.of.position <= position
		if d.position > position && tells && !yielded[d.by] {
			marks = append(marks, d)
		}
	}
	slices.SortFunc(marks, func(a, b *memoryDone) int { return cmp.Compare(a.position, b.position) })
	for _, d := range marks {
		id := d.id
		list = append(list, Restored{Done: &id})
	}
	for id, c := range l.chosen {
		if c.position > position {
			list = append(list, Restored{Chosen: &ChosenTargets{id, c.targets}})
		}
	}
	return list, l.end, l.last.Epoch
}

func newMemoryLog() *memoryLog {
	return &memoryLog{
		id:        rand.Text(),
		instances: map[string]*memoryInstance{},
		records:   map[RecordID]*memoryRecord{},
		done:      map[EffectID]*memoryDone{},
		chosen:    map[RemoteID]*memoryChosen{},
	}
}
