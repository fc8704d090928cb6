package mesh

import (
	"encoding/json"
	"fmt"
	"slices"
)

// MaxSeq is the highest number that a notice can have: what JSON readers of
// every language keep exact.
const MaxSeq = 1<<53 - 1

// A Range is the numbers from From to To, both included. On the wire it is an
// array of two, [5,7].
type Range struct{ From, To uint64 }

// MarshalJSON writes [From,To].
func (r Range) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d]", r.From, r.To), nil
}

// UnmarshalJSON reads [from,to]. Anything else is an error.
func (r *Range) UnmarshalJSON(b []byte) error {
	var two []uint64
	if err := json.Unmarshal(b, &two); err != nil {
		return err
	}
	if len(two) != 2 {
		return fmt.Errorf("a range has 2 numbers, not %d", len(two))
	}
	r.From, r.To = two[0], two[1]
	return nil
}

// Ranges is a set of numbers, kept as ranges in ascending order that neither
// overlap nor touch. The zero value is empty. It is a plain value: one
// goroutine at a time.
type Ranges []Range

// Valid reports whether the ranges are a set as Add would have made it, of
// numbers from 1 to MaxSeq. What comes from outside has to be asked.
func (rs Ranges) Valid() bool {
	for i, r := range rs {
		if r.From == 0 || r.From > r.To || r.To > MaxSeq || i > 0 && r.From <= rs[i-1].To+1 {
			return false
		}
	}
	return true
}

// after returns the index of the first range that ends at n or later.
func (rs Ranges) after(n uint64) int {
	if k := len(rs); k == 0 || rs[k-1].To < n {
		return k // the common case: news are at the end
	}
	i, _ := slices.BinarySearchFunc(rs, n, func(r Range, n uint64) int {
		if r.To < n {
			return -1
		}
		return 1
	})
	return i
}

// Contains reports whether n is in the set.
func (rs Ranges) Contains(n uint64) bool {
	i := rs.after(n)
	return i < len(rs) && rs[i].From <= n
}

// Add puts a range into the set; one that ends before it begins is nothing.
func (rs *Ranges) Add(r Range) {
	if r.From > r.To {
		return
	}
	s := *rs
	before := r.From
	if before > 0 {
		before-- // a range that ends just before r is joined with it
	}
	i := s.after(before)
	j := i
	for j < len(s) && (s[j].From <= r.To || s[j].From-1 == r.To) {
		r.From = min(r.From, s[j].From)
		r.To = max(r.To, s[j].To)
		j++
	}
	if i < j {
		s[i] = r
		*rs = slices.Delete(s, i+1, j)
		return
	}
	*rs = slices.Insert(s, i, r)
}

// Cut removes everything up to and including n.
func (rs *Ranges) Cut(n uint64) {
	s := *rs
	i := 0
	for i < len(s) && s[i].To <= n {
		i++
	}
	s = s[i:]
	if len(s) > 0 && s[0].From <= n {
		s[0].From = n + 1
	}
	if len(s) == 0 {
		s = s[:0]
	}
	*rs = s
}

// Count returns how many numbers are in the set.
func (rs Ranges) Count() uint64 {
	n := uint64(0)
	for _, r := range rs {
		n += r.To - r.From + 1
	}
	return n
}

// Missing returns what is above floor, up to and including known, and not in
// the set: the lowest most ranges of it.
func (rs Ranges) Missing(floor, known uint64, most int) Ranges {
	var out Ranges
	next := floor + 1
	for i := rs.after(next); next <= known && len(out) < most; i++ {
		if i == len(rs) || rs[i].From > known {
			return append(out, Range{next, known})
		}
		if rs[i].From > next {
			out = append(out, Range{next, rs[i].From - 1})
		}
		next = rs[i].To + 1
	}
	return out
}

// MissingCount returns how many numbers above floor, up to and including known,
// are not in the set.
func (rs Ranges) MissingCount(floor, known uint64) uint64 {
	if known <= floor {
		return 0
	}
	n := known - floor
	for i := rs.after(floor + 1); i < len(rs) && rs[i].From <= known; i++ {
		n -= min(rs[i].To, known) - max(rs[i].From, floor+1) + 1
	}
	return n
}

// meets reports whether both sets have a number in common.
func (rs Ranges) meets(o Ranges) bool {
	for i, j := 0, 0; i < len(rs) && j < len(o); {
		switch {
		case rs[i].To < o[j].From:
			i++
		case o[j].To < rs[i].From:
			j++
		default:
			return true
		}
	}
	return false
}

// covers reports whether every number of o is in the set.
func (rs Ranges) covers(o Ranges) bool {
	for _, r := range o {
		if i := rs.after(r.From); i == len(rs) || rs[i].From > r.From || rs[i].To < r.To {
			return false
		}
	}
	return true
}
