package mesh

import (
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, want string }{
		{"Order", "Order"}, {"", "%"}, {"a.b", "a%2Eb"}, {"*", "%2A"}, {">", "%3E"}, {"100%", "100%25"},
		{"two words", "two%20words"}, {"line\nbreak", "line%0Abreak"}, {"Grüße", "Grüße"}, {"\xff", "%FF"},
		{"\u2028", "%E2%80%A8"}, {"a:b-c_d", "a:b-c_d"},
	} {
		if got := Token(c.name); got != c.want {
			t.Errorf("Token(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTokenNameRefusesWhatNoNameMakes(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "a%", "a%2", "a%2e", "a%41", "a.b", "%zz"} {
		if name, ok := TokenName(token); ok {
			t.Errorf("TokenName(%q) = %q, want none", token, name)
		}
	}
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "%", "a.b.>", "*", "\x00", "\xff\xfe", "ü", "\u2028", "%2E"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		token := Token(name)
		if token == "" || strings.ContainsAny(token, ".*> \t\r\n\x00") {
			t.Fatalf("Token(%q) = %q is not one token", name, token)
		}
		if back, ok := TokenName(token); !ok || back != name {
			t.Fatalf("TokenName(Token(%q)) = %q, %v", name, back, ok)
		}
	})
}
