package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// TestTriesForgotten has commands that are tried again end in all ways: how often they
// were tried is not remembered, or at some time none could be tried again.
func TestTriesForgotten(t *testing.T) {
	t.Parallel()
	b := &Bridge{counts: newCounts()}
	s := &session{b: b, c: &b.c, ctx: t.Context(), guard: newGuard("b", b.counts)}
	for _, err := range []error{nil, errNotOurs, errNobodyHosts, &fsm.Error{Code: fsm.CodeEventIgnored}} {
		for range 3 {
			s.attempts.add("id", time.Now())
		}
		s.finish(TriggerEvent, &Message{Done: func(error) {}}, &Body{ID: "id"}, nil, err)
		if s.attempts.of("id") != 0 {
			t.Errorf("after %v it is remembered how often it was tried", err)
		}
	}
}

// TestTriesOfOthers has commands tried once that never come again, as another bridge
// has taken them: they keep none of this one from being tried again.
func TestTriesOfOthers(t *testing.T) {
	t.Parallel()
	var of tries
	now := time.UnixMilli(1_795_000_000_000)
	for i := range attemptsMost {
		if n, crowded := of.add(fmt.Sprint("gone-", i), now); n != 1 || crowded {
			t.Fatalf("command %d is tried the %d. time, crowded %v", i, n, crowded)
		}
	}
	if _, crowded := of.add("one more", now); !crowded {
		t.Error("any number of commands is tried again at a time")
	}
	// One that does come again is counted on, however old its first try.
	for i := range 4 {
		now = now.Add(attemptsFor + 1)
		if n, _ := of.add("one more", now); n != i+2 {
			t.Errorf("it is tried the %d. time, want %d", n, i+2)
		}
	}
	if _, crowded := of.add("new", now); crowded || len(of.n[0])+len(of.n[1]) != 2 {
		t.Errorf("%d commands are remembered, crowded %v; want 2", len(of.n[0])+len(of.n[1]), crowded)
	}
}

// TestGuardRemembers has more messages come within 10 s than are remembered otherwise:
// they are known again, and where they would be too many that is counted.
func TestGuardRemembers(t *testing.T) {
	t.Parallel()
	c := newCounts()
	g := newGuard("b", c)
	g.equal, g.most, g.ever = 100, 100, 1000
	now := time.UnixMilli(1_795_000_000_000)
	again := func(i int, at time.Time) bool { return g.again(fmt.Sprint(i), at) }
	again(-1, now)
	for i := range 4 * g.most {
		again(i, now.Add(time.Second))
	}
	if !again(0, now.Add(seenLeast-time.Second)) || c.n[countForgotten].Load() != 0 {
		t.Errorf("a message of 10 s ago is not known, and %d are said to be forgotten", c.n[countForgotten].Load())
	}
	now = now.Add(seenLeast + time.Second)
	for i := range g.ever {
		again(-2-i, now)
	}
	if c.n[countForgotten].Load() == 0 || len(g.seen[0])+len(g.seen[1]) > g.ever {
		t.Errorf("%d are remembered, and %d are said to be forgotten early", len(g.seen[0])+len(g.seen[1]), c.n[countForgotten].Load())
	}
	forgotten := c.n[countForgotten].Load()
	for i := range g.equal + 1 {
		g.arrival(fmt.Append(nil, i), now)
	}
	if n := c.n[countForgotten].Load() - forgotten; n != uint64(g.equal) {
		t.Errorf("%d bodies without an id are said to be forgotten early, want %d", n, g.equal)
	}
}
