package fsm

import (
	"fmt"
	"testing"
)

// Each start of a runtime without a store is a sender of its own: they are
// forgotten in the order in which they were heard of, but for those of which
// something is under way.
func TestIntakeForgetsSenders(t *testing.T) {
	t.Parallel()
	in := &intake{senders: map[senderID]*sender{}}
	busy := RemoteID{From: "busy", Log: "l"}
	in.sender("busy", "l").known[busy] = &takenEffect{running: make(chan struct{})}
	in.restore(RemoteID{From: "old", Log: "l"}, "a")
	for i := range maxSenders {
		in.restore(RemoteID{From: "peer", Log: fmt.Sprint(i)}, "a")
	}
	if got := len(in.senders); got != maxSenders {
		t.Errorf("%d senders are remembered, want %d", got, maxSenders)
	}
	for id, want := range map[RemoteID]bool{
		busy: true, {From: "old", Log: "l"}: false, {From: "peer", Log: "0"}: false, {From: "peer", Log: "1"}: true,
		{From: "peer", Log: fmt.Sprint(maxSenders - 1)}: true,
	} {
		if got := in.remembers(id); got != want {
			t.Errorf("%s of log %s is remembered: %v, want %v", id.From, id.Log, got, want)
		}
	}
}
