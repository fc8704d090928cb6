package fsm

import (
	"errors"
	"strings"
	"testing"
)

// What no directory would hold is refused where it would begin, and what is just
// short enough is not.
func TestBadNames(t *testing.T) {
	t.Parallel()
	rt := started(t, keyConfig(nil))
	for name, want := range map[string]string{
		strings.Repeat("x", MaxName+1): "it has 513 bytes, 512 are allowed",
		"a\nb":                         "it has the control character 0x0A",
		"a\x7f":                        "it has the control character 0x7F",
		"a\xff":                        "it is not UTF-8",
	} {
		for what, opt := range map[string]CreateOption{"key": WithKey(name), "id": WithID(name)} {
			_, err := rt.Create(t.Context(), "M", nil, opt)
			if !errors.Is(err, ErrBadValue) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
				t.Errorf("a creation with %s %.20q: %v; want %q", what, name, err, want)
			}
		}
		if _, _, err := rt.GetOrCreate(t.Context(), "M", name, nil); !errors.Is(err, ErrBadValue) {
			t.Errorf("GetOrCreate of %.20q: %v", name, err)
		}
		c := keyConfig(nil)
		c.Name = name
		if _, err := NewRuntime(c); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("a runtime named %.20q: %v; want %q", name, err, want)
		}
	}
	longest := strings.Repeat("x", MaxName)
	if _, err := rt.Create(t.Context(), "M", nil, WithKey(longest)); err != nil {
		t.Error(err)
	}
	if _, err := rt.Create(t.Context(), "M", nil, WithID(longest)); err != nil {
		t.Error(err)
	}
}
