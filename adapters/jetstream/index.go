package jetstream

import (
	"hash/maphash"

	"github.com/fsmesh/fsmesh/fsm"
)

// buckets is the number of parts that a log's instances are divided into for
// checkpoints. It is part of what is stored: it never changes.
const buckets = 1024

// bucketOf returns the bucket of an instance, by a hash that never changes:
// FNV-1a.
func bucketOf[T string | []byte](id T) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int((h ^ h>>16) % buckets)
}

// An index knows of each instance where its last record is. Ids are kept as 95
// bits of a hash whose seed is new in each process: of 10^9 instances no two
// have the same by chance or by design.
type index struct {
	seeds [2]maphash.Seed
	parts [buckets]bucket
}

type key [3]uint32

// A place is where the last record of an instance is, packed into 12 bytes: 48
// bits of position, 46 of version, whether the instance has ended, and whether
// it is among the changed of its bucket.
type place struct {
	position, version uint32
	high              uint32
}

const (
	endedBit   = 1 << 15
	changedBit = 1 << 14
)

func newPlace(position, version uint64, ended bool) place {
	p := place{uint32(position), uint32(version), uint32(position>>32)<<16 | uint32(version>>32)&(changedBit-1)}
	if ended {
		p.high |= endedBit
	}
	return p
}

func (p place) at() uint64   { return uint64(p.high>>16)<<32 | uint64(p.position) }
func (p place) last() uint64 { return uint64(p.high&(changedBit-1))<<32 | uint64(p.version) }
func (p place) ended() bool  { return p.high&endedBit != 0 }

func (p place) changed() bool { return p.high&changedBit != 0 }

// marked is the place as one of the changed, or not.
func (p place) marked(changed bool) place {
	if p.high &^= changedBit; changed {
		p.high |= changedBit
	}
	return p
}

// A bucket is what a log keeps in memory of some of its instances: where they
// are, and what has changed since the last checkpoint.
type bucket struct {
	places places
	// changed are the instances with records since the checkpoint, each once:
	// their places are marked. The strings are those of the first records, which
	// the runtime keeps too. ended has the last states of those that have ended.
	changed []string
	ended   map[string]*fsm.Snapshot
	// saving is what of ended goes into the checkpoint that is being written.
	saving  map[string]*fsm.Snapshot
	applied []fsm.AppliedEffect
	chosen  []fsm.ChosenTargets
	// open are the records with effects that are not done.
	open map[fsm.RecordID]*openRecord
	// marked says that effects were done or left open since the checkpoint.
	marked bool
	saved  saved
}

// saved says what the checkpoint of a bucket is.
type saved struct {
	blob   uint64 // position as of which its blob was written; 0 for none
	upTo   mark   // nothing changed since the blob up to here
	oldest int64  // when the first of its ended instances ended, Unix ms; 0 if none has
}

// An openRecord is a record with effects that are not done yet.
type openRecord struct {
	rec      *fsm.Record
	position uint64
	left     int
	done     map[fsm.EffectID]bool
}

func newIndex() *index {
	return &index{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

func (x *index) key(id string) key {
	return newKey(maphash.String(x.seeds[0], id), maphash.String(x.seeds[1], id))
}

func (x *index) keyOf(id []byte) key {
	return newKey(maphash.Bytes(x.seeds[0], id), maphash.Bytes(x.seeds[1], id))
}

func newKey(a, b uint64) key {
	return key{uint32(a), uint32(a >> 32), uint32(b) | 1} // never the zero key
}

func (x *index) get(id string) (place, bool) {
	return x.parts[bucketOf(id)].places.get(x.key(id))
}

func (x *index) bucket(id string) *bucket { return &x.parts[bucketOf(id)] }

func (x *index) remove(id string) { x.parts[bucketOf(id)].places.remove(x.key(id)) }

// add takes in a record that is stored at a position. b and k are the bucket and
// the key of its instance.
func (x *index) add(b *bucket, k key, r *fsm.Record, position uint64) {
	ended := r.Status != fsm.StatusActive
	p := b.places.at(k)
	if !p.changed() {
		b.changed = append(b.changed, r.Instance)
	}
	*p = newPlace(position, r.Version, ended).marked(true)
	if r.Encoded != nil && b.ended == nil {
		return // a plain one
	}
	switch {
	case ended && b.ended == nil:
		b.ended = map[string]*fsm.Snapshot{r.Instance: lastState(r)}
	case ended:
		b.ended[r.Instance] = lastState(r)
	case b.ended != nil:
		delete(b.ended, r.Instance) // its id is used again
	}
	if r.Remote != nil {
		b.applied = append(b.applied, fsm.AppliedEffect{Effect: *r.Remote, Instance: r.Instance})
	}
	if n := effectCount(r); n > 0 {
		b.addOpen(&openRecord{rec: r, position: position, left: n, done: map[fsm.EffectID]bool{}})
		b.marked = true
	}
	if r.Effect != nil {
		x.done(*r.Effect)
	}
}

func (b *bucket) addOpen(o *openRecord) {
	if b.open == nil {
		b.open = map[fsm.RecordID]*openRecord{}
	}
	b.open[o.rec.ID()] = o
}

// done notes that an effect is done, if it was open.
func (x *index) done(id fsm.EffectID) {
	b := &x.parts[bucketOf(id.Record.Instance)]
	o := b.open[id.Record]
	if o == nil || o.done[id] || !hasEffect(o.rec, id) {
		return
	}
	b.marked = true
	o.done[id] = true
	if o.left--; o.left == 0 {
		delete(b.open, id.Record)
	}
}

func (x *index) choose(c fsm.ChosenTargets) {
	b := &x.parts[bucketOf(c.Effect.Record.Instance)]
	b.chosen = append(b.chosen, c)
}

// clean reports whether nothing has changed since the checkpoint.
func (b *bucket) clean() bool {
	return len(b.changed) == 0 && len(b.applied) == 0 && len(b.chosen) == 0 && !b.marked
}

// effectCount is the number of ids of a record's effects: one for each target,
// and one for an effect whose receiver chooses the targets.
func effectCount(r *fsm.Record) int {
	n := 0
	for i := range r.Effects {
		n += max(1, len(r.Effects[i].Targets))
	}
	return n
}

func hasEffect(r *fsm.Record, id fsm.EffectID) bool {
	for i := range r.Effects {
		if e := &r.Effects[i]; e.N == id.N {
			return id.Target >= 0 && id.Target < max(1, len(e.Targets))
		}
	}
	return false
}
