package mesh

import "container/heap"

// tombstones remember ends of instances that no row is held of any more, so
// that what was told of them earlier and comes later does not bring them back.
// Once the floor has reached an end, nothing from before it is applied any more
// and its tombstone goes. The zero value is empty.
type tombstones struct {
	at map[string]int64
	by tombHeap // lowest first; some are not in at any more, or are higher there
}

type tomb struct {
	seq int64
	id  string
}

type tombHeap []tomb

func (h tombHeap) Len() int           { return len(h) }
func (h tombHeap) Less(i, j int) bool { return h[i].seq < h[j].seq }
func (h tombHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *tombHeap) Push(x any)        { *h = append(*h, x.(tomb)) }
func (h *tombHeap) Pop() any {
	s := *h
	x := s[len(s)-1]
	s[len(s)-1] = tomb{}
	*h = s[:len(s)-1]
	return x
}

func (t *tombstones) get(id string) (int64, bool) {
	seq, ok := t.at[id]
	return seq, ok
}

func (t *tombstones) put(id string, seq int64) {
	if old, ok := t.at[id]; ok && old >= seq {
		return
	}
	if t.at == nil {
		t.at = map[string]int64{}
	}
	t.at[id] = seq
	heap.Push(&t.by, tomb{seq, id})
}

func (t *tombstones) remove(id string) { delete(t.at, id) }

// bury removes what the floor has reached.
func (t *tombstones) bury(floor int64) {
	for len(t.by) > 0 && t.by[0].seq <= floor {
		x := heap.Pop(&t.by).(tomb)
		if t.at[x.id] == x.seq {
			delete(t.at, x.id)
		}
	}
	if len(t.by) == 0 {
		*t = tombstones{}
	}
}

// size is what the limit is about: it counts removed ones until they are
// buried.
func (t *tombstones) size() int { return len(t.by) }
