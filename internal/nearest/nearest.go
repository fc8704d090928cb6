// Package nearest finds the word that was probably meant, for the "did you
// mean" part of an error message.
package nearest

import "strings"

// maxWord bounds the length of the words compared, in runes, so that hostile
// input can't make the comparison slow. Longer words have no match.
const maxWord = 64

// Match returns the candidate closest to word, and whether one is close
// enough to be what was meant: the same but for case, or with a few letters
// wrong, missing, added or swapped (one for short words, three at most). Of
// equally close candidates the first wins. A candidate equal to word is not
// special: it is at distance zero. Match may be called from any goroutine.
func Match(word string, candidates []string) (string, bool) {
	if len(word) > maxWord*4 {
		return "", false
	}
	w := []rune(strings.ToLower(word))
	if len(w) == 0 || len(w) > maxWord {
		return "", false
	}
	best, found := "", false
	limit := min((len(w)+1)/3, 3)
	for _, c := range candidates {
		if len(c) > maxWord*4 {
			continue
		}
		r := []rune(strings.ToLower(c))
		if len(r) == 0 || len(r) > maxWord {
			continue
		}
		if d := distance(w, r, limit); d <= limit {
			best, found = c, true
			if d == 0 {
				break
			}
			limit = d - 1 // only a closer one replaces it
		}
	}
	return best, found
}

// distance is the number of letters to change, insert, delete or swap with
// their neighbour to make b of a; anything above limit is returned as limit+1.
func distance(a, b []rune, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	var rows [3][maxWord + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		lowest := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			lowest = min(lowest, d)
		}
		if lowest > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
