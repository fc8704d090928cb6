package jetstream

import "iter"

// A places is where the instances of a bucket are: a hash table with a key and its
// place side by side. Each record is looked up in one among thousands of these, so
// each memory access is a wait: it takes one, where a map takes four. The zero
// value is empty. A copy shares its memory.
type places struct {
	cells []cell // those with the zero key are free; the rest of a run follows its beginning
	n     int
}

type cell struct {
	key   key
	place place
}

// home is where the run of cells begins that a key is in. Keys are hashes.
func (t *places) home(k key) int { return int(uint64(k[0]) * uint64(len(t.cells)) >> 32) }

// find returns the position of the cell of a key, or of the free one in which it
// belongs. There is a free one.
func (t *places) find(k key) int {
	for i := t.home(k); ; i++ {
		if i == len(t.cells) {
			i = 0
		}
		if c := &t.cells[i]; c.key == k || c.key == (key{}) {
			return i
		}
	}
}

func (t *places) get(k key) (place, bool) {
	if t.n == 0 {
		return place{}, false
	}
	c := &t.cells[t.find(k)]
	return c.place, c.key == k
}

// at returns the place of a key to be set, which is the zero one if the key is new.
// It is good until the next call of any method that changes the table.
func (t *places) at(k key) *place {
	if 5*(t.n+1) > 4*len(t.cells) {
		t.grow(max(8, t.n+t.n/2))
	}
	c := &t.cells[t.find(k)]
	if c.key != k {
		c.key = k
		t.n++
	}
	return &c.place
}

func (t *places) set(k key, p place) { *t.at(k) = p }

// expect makes an empty table with room for so many.
func (t *places) expect(n int) {
	*t = places{}
	t.grow(n + n/4 + 2)
}

func (t *places) grow(size int) {
	old := t.cells
	t.cells = make([]cell, size)
	for _, c := range old {
		if c.key != (key{}) {
			t.cells[t.find(c.key)] = c
		}
	}
}

// remove frees the cell of a key, and moves those behind it up that would not be
// found any more.
func (t *places) remove(k key) {
	if t.n == 0 {
		return
	}
	i := t.find(k)
	if t.cells[i].key != k {
		return
	}
	t.n--
	for {
		t.cells[i] = cell{}
		free := i
		for {
			if i++; i == len(t.cells) {
				i = 0
			}
			c := t.cells[i]
			if c.key == (key{}) {
				return
			}
			// It may move unless its home lies behind the free cell.
			if from := t.home(c.key); t.distance(from, i) >= t.distance(free, i) {
				t.cells[free] = c
				break
			}
		}
	}
}

// distance is how many cells are from one to another, going up.
func (t *places) distance(from, to int) int {
	if to < from {
		to += len(t.cells)
	}
	return to - from
}

// all yields each place once, in no order.
func (t *places) all() iter.Seq2[key, place] {
	return func(yield func(key, place) bool) {
		for _, c := range t.cells {
			if c.key != (key{}) && !yield(c.key, c.place) {
				return
			}
		}
	}
}
