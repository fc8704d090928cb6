package nearest_test

import (
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/internal/nearest"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	keys := []string{"name", "type", "from", "to", "event", "timeoutMs", "initialState", "stateMachines"}
	tests := []struct {
		name string
		word string
		want string
		ok   bool
	}{
		{"letter wrong", "nome", "name", true},
		{"letters swapped", "tpye", "type", true},
		{"letter missing", "evnt", "event", true},
		{"letter added", "events", "event", true},
		{"case only", "initialstate", "initialState", true},
		{"case only, short", "TO", "to", true},
		{"three letters of a long word", "statMachins", "stateMachines", true},
		{"nothing near", "colour", "", false},
		{"short words need to be close", "xy", "", false},
		{"empty", "", "", false},
		{"too long", strings.Repeat("name", 1000), "", false},
		{"letters beyond ASCII", "évent", "event", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := nearest.Match(tt.word, keys)
			if got != tt.want || ok != tt.ok {
				t.Errorf("Match(%q): got %q, %v, want %q, %v", tt.word, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestMatchTakesTheClosest(t *testing.T) {
	t.Parallel()
	got, _ := nearest.Match("Shipped", []string{"Shopped", "shipped", "Skipper"})
	if want := "shipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got, _ = nearest.Match("Shipped", []string{"Skipped", "Whipped"})
	if want := "Skipped"; got != want {
		t.Errorf("of two equally close: got %q, want the first, %q", got, want)
	}
}
