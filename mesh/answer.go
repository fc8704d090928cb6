package mesh

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxReply is how many bytes the reply to a healing request may have by
	// default, unless one row alone is larger.
	MaxReply = 512 << 10
	// lookMost and pieceMost are how many instances are looked at in one step.
	lookMost  = 256
	pieceMost = 512
	// changedMost bounds the notices that one repair looks up, and
	// missingMost the ranges that it may ask for.
	changedMost = 10_000
	missingMost = 10_000
	// piecesMost bounds the pieces that one page is put together from.
	piecesMost = 16
	// rangeSize is about what a covered range takes.
	rangeSize = 24
	// goneSize is about what the end of an instance takes beside its id, and
	// envelope what is around the rows of a reply.
	goneSize = 40
	envelope = 4 << 10
)

// AnswerRepair returns the reply to a repair: a function of the request and of
// the instances as they are now, so it may be asked again. maxBytes is its
// size at most as Encode writes it, unless one row is larger; 0 is MaxReply. It fails
// if the ranges asked for are no set, or if a row cannot be encoded.
func AnswerRepair(s Source, id Identity, q *RepairRequest, maxBytes int) (*RepairReply, error) {
	if len(q.Missing) > missingMost || !q.Missing.Valid() {
		return nil, fmt.Errorf("repair of %s: the %d ranges asked for are no ascending set of at most %d", id.RuntimeID, len(q.Missing), missingMost)
	}
	if maxBytes <= 0 {
		maxBytes = MaxReply
	}
	p := &RepairReply{Identity: id}
	changed, tooOld := s.Changed(q.Missing, changedMost)
	if tooOld {
		p.TooOld, p.Seq = true, s.Seq()
		return p, nil
	}
	room := maxBytes - envelope - rangeSize*len(q.Missing)
	told := map[string]uint64{} // what the reply says of an id is as of this number
	for len(changed) > 0 {
		batch := some(changed, told)
		found := s.Look(batch.ids)
		for i, f := range found {
			size, err := p.add(batch.ids[i], f, room, len(told) == 0)
			if err != nil {
				return nil, fmt.Errorf("repair of %s: instance %q: %w", id.RuntimeID, batch.ids[i], err)
			}
			if size < 0 {
				batch.n = batch.first[i] // up to what it was about first
				changed = changed[:batch.n]
				break
			}
			room -= size
			told[batch.ids[i]] = f.Seq
		}
		for _, c := range changed[:batch.n] {
			// What shows an older row than it was asked for proves nothing.
			if told[c.ID] >= c.Seq {
				p.Covered.Add(Range{c.Seq, c.Seq})
			}
		}
		changed = changed[batch.n:]
	}
	p.Seq = s.Seq()
	return p, nil
}

// A batch is the ids to be looked at for the first n changes.
type batch struct {
	ids   []string
	first []int // index of the first change about the id
	n     int
}

// some returns the next changes that can be looked at in one go: those about
// ids that are told of already, and about lookMost others.
func some(changed []Changed, told map[string]uint64) batch {
	var b batch
	in := map[string]bool{}
	for i, c := range changed {
		if _, done := told[c.ID]; !done && !in[c.ID] {
			if len(b.ids) == lookMost {
				break
			}
			in[c.ID] = true
			b.ids = append(b.ids, c.ID)
			b.first = append(b.first, i)
		}
		b.n = i + 1
	}
	return b
}

// add puts what was found of an id into the reply and returns its size, or -1
// if there is no room for it. The first always finds room.
func (p *RepairReply) add(id string, f Found, room int, first bool) (int, error) {
	if f.Instance == nil {
		size := len(id) + goneSize
		if size > room && !first {
			return -1, nil
		}
		p.Gone = append(p.Gone, Gone{ID: id, Seq: f.Seq})
		return size, nil
	}
	r, err := f.Instance.Row()
	if err != nil {
		return 0, err
	}
	size := r.size()
	if size > room && !first {
		return -1, nil
	}
	p.Rows = append(p.Rows, r)
	return size, nil
}

// size is what the row takes at most, with names that the message has not yet.
func (r *Row) size() int {
	return 128 + len(r.Context) + len(r.PublicMember) + len(r.PendingTimeouts) + len(r.ID) + len(r.Machine) + len(r.State) + len(r.Key) + len(r.Parent)
}

// AnswerPage returns the reply to a page request: live instances from where
// the cursor points. maxBytes is its size at most as Encode writes it, unless
// one row is larger; 0 is MaxReply. A cursor that AnswerPage did not make for the
// runtime is answered with BadCursor. It fails if a row cannot be encoded.
func AnswerPage(s Source, id Identity, q *PageRequest, maxBytes int) (*PageReply, error) {
	if maxBytes <= 0 {
		maxBytes = MaxReply
	}
	p := &PageReply{Identity: id, Cursor: q.Cursor}
	shard, slot, ok := parseCursor(q.Cursor)
	if !ok || shard >= s.Shards() {
		p.AsOf = s.Seq()
		p.BadCursor, p.Seq = true, p.AsOf
		return p, nil
	}
	room := maxBytes - envelope
	for n := 0; ; n++ {
		if n > 0 && (n == piecesMost || room <= 0) {
			p.Next = cursor(shard, slot)
			break
		}
		piece := s.Piece(shard, slot, pieceMost)
		if n == 0 {
			p.AsOf = piece.AsOf
		}
		full, err := p.add(piece.Slots, shard, &room)
		if err != nil {
			return nil, fmt.Errorf("page of %s: %w", id.RuntimeID, err)
		}
		if full {
			break
		}
		if slot = piece.Next; slot < 0 {
			shard, slot = shard+1, 0
		}
		if shard == s.Shards() {
			break
		}
	}
	p.Seq = s.Seq()
	return p, nil
}

// add puts instances into the page. It reports whether the page is full before
// the last of them, and sets where to go on.
func (p *PageReply) add(slots []Slot, shard int, room *int) (full bool, err error) {
	for _, s := range slots {
		r, err := s.Instance.Row()
		if err != nil {
			return false, err
		}
		size := r.size()
		if size > *room && len(p.Rows) > 0 {
			p.Next = cursor(shard, s.Number)
			return true, nil
		}
		*room -= size
		p.Rows = append(p.Rows, r)
	}
	return false, nil
}

// cursor writes shard and slot; "" is the beginning.
func cursor(shard, slot int) string { return fmt.Sprintf("%d.%d", shard, slot) }

func parseCursor(c string) (shard, slot int, ok bool) {
	if c == "" {
		return 0, 0, true
	}
	a, b, two := strings.Cut(c, ".")
	shard, err := strconv.Atoi(a)
	slot, err2 := strconv.Atoi(b)
	if !two || err != nil || err2 != nil || shard < 0 || slot < 0 || cursor(shard, slot) != c {
		return 0, 0, false
	}
	return shard, slot, true
}
