package fsm

import (
	"fmt"
	"unicode/utf8"
)

// MaxName is the most bytes of a name, an id or a key. Directories of a mesh hold no
// longer ones.
const MaxName = 512

// badName says what is wrong with a name, an id or a key that is not empty; "" if
// nothing is.
func badName(s string) string {
	if len(s) > MaxName {
		return fmt.Sprintf("it has %d bytes, %d are allowed", len(s), MaxName)
	}
	if !utf8.ValidString(s) {
		return "it is not UTF-8"
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return fmt.Sprintf("it has the control character 0x%02X", s[i])
		}
	}
	return ""
}

// cut shortens a name that is too long to be told of.
func cut(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
