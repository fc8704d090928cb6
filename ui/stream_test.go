package ui

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// An sse is a server-sent event as a browser reads it.
type sse struct{ name, data string }

var lineEnd = regexp.MustCompile("\r\n|\r|\n")

// readEvents reads a stream as the HTML standard says.
func readEvents(stream string) (out []sse) {
	var e sse
	var data []string
	for _, line := range lineEnd.Split(strings.TrimPrefix(stream, "\ufeff"), -1) {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data != nil {
				e.data = strings.Join(data, "\n")
				out = append(out, e)
			}
			e, data = sse{}, nil
		case field == "event":
			e.name = value
		case field == "data":
			data = append(data, value)
		}
	}
	return out
}

// FuzzStreamEvent looks for a value that breaks out of its event.
func FuzzStreamEvent(f *testing.F) {
	f.Add("<p>a</p>", "b")
	f.Add("one\n\nevent: gone\ndata: x\n\n", "a\nb")
	f.Add("one\r\n\r\nevent: gone\r\ndata:\r\n\r\n", "two\n\nevent: gone")
	f.Add("\rdata: x\r\revent: gone\r\r", "\u2028\u2029\u202e\x00</script>")
	check := func(t testing.TB, a, b string) {
		// As raw text: its lines come one by one, and nothing else does.
		got := readEvents(streamEvent("patch", a) + streamEvent("patch", b))
		if len(got) != 2 || got[0].name != "patch" || got[1].name != "patch" {
			t.Fatalf("%q and %q are %d events", a, b, len(got))
		}
		for i, text := range []string{a, b} {
			if want := lineEnd.ReplaceAllString(text, "\n"); got[i].data != want {
				t.Errorf("data %q, want %q", got[i].data, want)
			}
		}
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return // templ writes no such text
		}
		// As patches are sent: nothing is lost.
		parts := map[string]string{"a": a, "b": b}
		got = readEvents(string(encodePatch(parts)))
		var read map[string]string
		if len(got) != 1 || json.Unmarshal([]byte(got[0].data), &read) != nil || !maps.Equal(read, parts) {
			t.Errorf("parts %q were read as %q", parts, got)
		}
	}
	// Not as a seed: a fuzzer that has large ones does little but make them smaller.
	check(f, strings.Repeat("x\r\n", 1<<18), "")
	f.Fuzz(func(t *testing.T, a, b string) { check(t, a, b) })
}
