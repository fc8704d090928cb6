package main

import (
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// TestScreen checks that the prompt stands at the end, whatever is printed
// while it waits, and shows the state as it is then.
func TestScreen(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := console{hosted: "Doors", out: screen{w: &b, id: "1", state: "Closed"}}
	c.out.prompt(true)
	c.trace(fsm.Trace{Kind: fsm.TraceStateChange, Instance: "1", From: "Closed", State: "Open", Event: "WIND"})
	c.trace(fsm.Trace{Kind: fsm.TraceStateChange, Instance: "2", Machine: "Bell", From: "Still", State: "Ringing", Event: "RING"})
	c.trace(fsm.Trace{Kind: fsm.TraceCrossComponent, Instance: "1", TargetComponent: "Police", TargetMachine: "Alarm"})
	c.out.leave()
	c.out.line("done")
	want := "Closed> \r  Closed → Open, by WIND\nOpen> \r  Bell 2: Still → Ringing, by RING\nOpen> " +
		"\r  creates one Alarm in Police, which is not here: lost\nOpen> done\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
