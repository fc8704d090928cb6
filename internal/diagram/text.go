package diagram

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible replaces what text cannot hold or show: control characters by their
// pictures (U+2400…), line and paragraph separators by the sign for a new
// line, and what is no character by U+FFFD. The result is valid in XML.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20:
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		case r == 0x2028, r == 0x2029:
			return 0x2424
		case r >= 0x80 && r < 0xa0, r == 0xfffe, r == 0xffff:
			return utf8.RuneError
		}
		return r
	}, s) // Map gives utf8.RuneError for bytes that are not UTF-8
}

// nodeName is what is shown of a state's name.
func nodeName(name string) string {
	if name == "" {
		return "(no name)"
	}
	return visible(name)
}

// shorten cuts s to the given number of columns, the last one being "…". It
// also cuts where characters pile up: after 8 per column.
func shorten(s string, columns int) string {
	used, runes, cut := 0, 0, 0
	for i, r := range s {
		w := runeColumns(r)
		if used+w > columns || runes == 8*columns {
			return s[:cut] + "…"
		}
		used += w
		runes++
		if used < columns {
			cut = i + utf8.RuneLen(r)
		}
	}
	return s
}

func textColumns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is the width of a character on a grid: 0 for what combines with
// or directs its neighbours, 2 for CJK and emoji.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// monoWidth estimates the width of s in the monospaced font of the labels,
// 11px. Common fonts have 0.6 em.
func monoWidth(s string) float64 { return float64(textColumns(s)) * 6.65 }

// sansWidth estimates the width of s in the bold font of names, at a size in
// pixels. Which font a reader has is not known; the numbers are those of a
// wide one (DejaVu Sans Bold), so that text fits.
func sansWidth(s string, size float64) float64 {
	em := 0.0
	for _, r := range s {
		switch {
		case runeColumns(r) == 0:
		case runeColumns(r) == 2:
			em += 1.05
		case strings.ContainsRune("iljftrI.,:;'|!()[] -", r):
			em += 0.45
		case strings.ContainsRune("mwMW@%", r):
			em += 1.05
		case unicode.IsLower(r):
			em += 0.69
		default:
			em += 0.78
		}
	}
	return em * size
}
