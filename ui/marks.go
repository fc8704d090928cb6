package ui

import (
	"fmt"
	"strings"
)

// directs reports whether a character turns round the writing of what follows, up
// to its counterpart or the end of the line.
func directs(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// showMarks replaces the characters of an HTML text that turn writing round by their
// names: one in the name of an instance would change how the sentence around it
// reads. What is in tags and text areas stays as it is, since it is sent back.
func showMarks(html string) string {
	if strings.IndexFunc(html, directs) < 0 {
		return html
	}
	var b strings.Builder
	for len(html) > 0 {
		text := html
		if i := strings.IndexByte(html, '<'); i >= 0 {
			text = html[:i]
		}
		for _, r := range text {
			if directs(r) {
				fmt.Fprintf(&b, "[U+%04X]", r)
			} else {
				b.WriteRune(r)
			}
		}
		html = html[len(text):]
		end := tagEnd(html)
		b.WriteString(html[:end])
		html = html[end:]
	}
	return b.String()
}

// tagEnd is where the text goes on after a tag, or a text area, that HTML begins
// with. Values of attributes have no > in them: it is escaped there.
func tagEnd(html string) int {
	closing := ">"
	if strings.HasPrefix(html, "<textarea") {
		closing = "</textarea>"
	}
	if i := strings.Index(html, closing); i >= 0 {
		return i + len(closing)
	}
	return len(html)
}
