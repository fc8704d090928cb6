package bridge

import (
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// TestTriesForgotten has commands that are tried again end in all ways: how often they
// were tried is not remembered, or at some time none could be tried again.
func TestTriesForgotten(t *testing.T) {
	t.Parallel()
	b := &Bridge{counts: newCounts()}
	s := &session{b: b, c: &b.c, ctx: t.Context(), guard: newGuard("b"), attempts: map[string]int{}}
	for _, err := range []error{nil, errNotOurs, errNobodyHosts, &fsm.Error{Code: fsm.CodeEventIgnored}} {
		s.attempts["id"] = 3
		s.finish(TriggerEvent, &Message{Done: func(error) {}}, &Body{ID: "id"}, nil, err)
		if len(s.attempts) != 0 {
			t.Errorf("after %v it is remembered how often it was tried", err)
		}
	}
}
