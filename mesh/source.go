package mesh

// A Source is what the runtime side of the healing protocol needs of the
// instances of one component. Its methods may be called from any goroutine and
// at any time between the runtime's start and its stop; changes go on
// meanwhile. What makes it more than a list is the order of reading and
// looking, which each method states: the protocol rests on it.
type Source interface {
	// Seq returns the number of the last notice given, 0 if none was. Who
	// reads n and then looks into a shard finds every change up to n there.
	Seq() uint64

	// Changed returns, from the ring and in one step, which instances the
	// notices with the given numbers were about: in ascending order of the
	// numbers, the first most of them. Numbers above Seq are left out. tooOld
	// says that the ring does not reach back to one of those; then nothing
	// else is returned.
	Changed(seqs Ranges, most int) (changed []Changed, tooOld bool)

	// Look returns how each of the instances is now, in the order of the ids.
	// It looks inside the instance's shard, between two steps of its owner, so
	// that a change is seen whole and nothing that Changed told of is yet to
	// become visible; and for what is not there it reads the number of the last
	// notice while still holding the lock of the shard's table, so that no
	// creation of the id can lie between.
	Look(ids []string) []Found

	// Shards returns how many shards there are. It never changes.
	Shards() int

	// Piece returns live instances of one shard from a slot on, in the order
	// of slots, the first most of them; it may return fewer, and does after
	// some ten thousand slots, so that the shard is not held up. It looks
	// inside the shard, in one step and under the lock of its table. An
	// instance keeps its slot for life. Ended entry points may be among them.
	Piece(shard, slot, most int) Piece
}

// Changed is what one notice was about.
type Changed struct {
	Seq uint64
	ID  string
}

// Found is what became of an id: an instance, or an end.
type Found struct {
	// Instance is the live or ended instance, nil if none is known.
	Instance Rower
	// Seq is that of the instance's last notice, or of the runtime's last
	// notice at the moment of looking if there is no instance.
	Seq uint64
}

// A Rower is an instance as it was at one moment. It never changes, so its row
// can be made outside the shard.
type Rower interface {
	// Row encodes the instance. It fails only for what cannot be JSON.
	Row() (Row, error)
}

// A Piece is some instances of a shard.
type Piece struct {
	// AsOf is the number of the last notice, read before looking.
	AsOf  uint64
	Slots []Slot
	// Next is the slot to go on from, or -1 at the end of the shard.
	Next int
}

// A Slot is an instance with its place in its shard.
type Slot struct {
	Number   int
	Instance Rower
}
