package mesh

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCutError(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{"short": "no answer", "at the bound": strings.Repeat("x", maxError), "none": ""} {
		if got := cutError(s); got != s {
			t.Errorf("%s: it was changed to %d bytes", name, len(got))
		}
	}
	for _, s := range []string{strings.Repeat("x", 1<<20), strings.Repeat("ß", 1<<19), "x" + strings.Repeat("ß", 1<<19)} {
		if got := cutError(s); len(got) > maxError+len("…") || !utf8.ValidString(got) || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
			t.Errorf("%.3s…: cut to %d bytes, valid %t", s, len(got), utf8.ValidString(got))
		}
	}
}
