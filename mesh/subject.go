package mesh

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultMesh is the first token of all subjects unless a mesh has a name of
// its own.
const DefaultMesh = "xcomponent"

// Token makes one token of a subject from a name that may hold anything, and
// nothing but that function does. Letters, digits and most signs stay as they
// are; `.`, `*`, `>`, `%`, white space, controls and what is not UTF-8 become
// %XX; the empty name becomes "%". Different names give different tokens.
func Token(name string) string {
	if name == "" {
		return "%"
	}
	plain := true
	for i := range len(name) {
		if escaped(name[i]) {
			plain = false
			break
		}
	}
	if plain && utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && n == 1, n == 1 && escaped(name[i]), spaceOrControl(r):
			for _, c := range []byte(name[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		default:
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

func escaped(c byte) bool {
	return c <= ' ' || c == 0x7f || c == '.' || c == '*' || c == '>' || c == '%' || c >= utf8.RuneSelf
}

// spaceOrControl covers what is white space or a control beyond ASCII: it
// upsets people who read subjects, and some parsers.
func spaceOrControl(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200f, r >= 0x2028 && r <= 0x202f,
		r >= 0x205f && r <= 0x206f, r == 0x3000, r == 0xfeff:
		return true
	}
	return false
}

// TokenName gives back the name that Token made a token from. ok is false for
// what no name makes.
func TokenName(token string) (name string, ok bool) {
	if token == "%" {
		return "", true
	}
	if token == "" {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '%' {
			b.WriteByte(token[i])
			continue
		}
		if i+2 >= len(token) {
			return "", false
		}
		hi, okHi := hexDigit(token[i+1])
		lo, okLo := hexDigit(token[i+2])
		if !okHi || !okLo {
			return "", false
		}
		b.WriteByte(hi<<4 | lo)
		i += 2
	}
	name = b.String()
	return name, Token(name) == token
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// subjects makes the subjects of one mesh. The channels have the names that
// they have on brokers, with dots for colons.
type subjects struct{ mesh string }

func newSubjects(mesh string) subjects {
	if mesh == "" {
		mesh = DefaultMesh
	}
	return subjects{Token(mesh)}
}

func (s subjects) on(channel string, names ...string) string {
	b := s.mesh + "." + channel
	for _, n := range names {
		b += "." + Token(n)
	}
	return b
}

// What runtimes tell everybody.
func (s subjects) announce() string                { return s.on("announce") }
func (s subjects) heartbeat() string               { return s.on("heartbeat") }
func (s subjects) shutdown() string                { return s.on("shutdown") }
func (s subjects) beacon() string                  { return s.on("beacon") }
func (s subjects) bridge() string                  { return s.on("bridge") }
func (s subjects) notices(component string) string { return s.on("notices", component) }
func (s subjects) allNotices() string              { return s.on("notices") + ".*" }

// What everybody is asked.
func (s subjects) discover() string { return s.on("discover") }

// What the runtimes of a component, all of them or any one, are asked; and what
// one runtime is asked.
func (s subjects) component(component, what string) string {
	return s.on("component", component) + "." + what
}
func (s subjects) runtime(id, what string) string { return s.on("runtime", id) + "." + what }
