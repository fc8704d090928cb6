package main

import (
	"strings"
	"testing"
)

func TestSimulate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, args string
		status     int
		out, err   string
	}{
		{"to the end", "SUBMIT PAY CANCEL", exitDone, "Draft\nSUBMIT → Pending\nPAY → Paid\nCANCEL → Cancelled\n", ""},
		{"payload", `SUBMIT={"a":1}`, exitDone, "Draft\nSUBMIT → Pending\n", ""},
		{"ignored", "SUBMIT SHIP PAY", exitRefused, "Draft\nSUBMIT → Pending\n", "fsmesh: Order ignores \"SHIP\" in state Pending; accepted there: PAY, EXPIRE\n"},
		{"timeouts by hand", "SUBMIT EXPIRE", exitDone, "Draft\nSUBMIT → Pending\nEXPIRE → Cancelled\n", ""},
		{"nothing", "", exitDone, "Draft\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fsmesh(t, append([]string{"simulate", "testdata/order.yaml", "Order"}, strings.Fields(tt.args)...)...)
			if want := (result{tt.status, tt.out, tt.err}); got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestSimulateJSON(t *testing.T) {
	t.Parallel()
	got := fsmesh(t, "simulate", "-o", "json", "testdata/order.yaml", "Order", "SUBMIT", "SHIP")
	for _, want := range []string{`"Draft"`, `"Pending"`, `"ignored": "SHIP"`, `"PAY"`} {
		if got.status != exitRefused || !strings.Contains(got.out, want) {
			t.Errorf("got %+v, want status 4 and %s", got, want)
		}
	}
}

func TestRunScripted(t *testing.T) {
	t.Parallel()
	const ada = `{"amount": 1, "customer": "Ada"}`
	const submitted = `  Order Order-1 is created in Draft
Draft, accepts SUBMIT, CANCEL
> SUBMIT
  hook stopClock would run on leaving Draft
  hook check would run for SUBMIT
  Draft → Pending, by SUBMIT
  hook askForPayment would run on entering Pending
Pending, accepts PAY, EXPIRE
`
	tests := []struct {
		name, stdin string
		args        []string
		status      int
		out, err    string
	}{
		{"events as arguments", "", []string{"SUBMIT"}, exitDone, submitted, ""},
		{"events on the standard input", "SUBMIT\n", nil, exitDone, submitted, ""},
		{"quit", "SUBMIT\nquit\nPAY\n", nil, exitDone, submitted, ""},
		{"refused", "", []string{"SUBMIT", "SHIP"}, exitRefused, submitted + "> SHIP\n  ignores SHIP in Pending\n",
			`fsmesh: Order "Order-1" ignored SHIP in state Pending; accepted now: PAY, EXPIRE` + "\n"},
		{"given state and data", "data\ntimers\n", []string{"--state", "Paid", "--data", `{"amount": 12.5, "customer": "Ada"}`}, exitDone,
			"  Order Order-1 is created in Paid\nPaid, accepts NOTE, CANCEL\n{\n  \"amount\": 12.5,\n  \"customer\": \"Ada\"\n}\n  no timer is running\n", ""},
		{"payloads", "NOTE {\"text\": \"hello\"}\nNOTE={\"by\":\"Bo\"}\nsend NOTE\ndata\n", []string{"--state", "Paid"}, exitDone,
			"  Order Order-1 is created in Paid\nPaid, accepts NOTE, CANCEL\n> NOTE\n  its data has changed\nPaid, accepts NOTE, CANCEL\n> NOTE\n  its data has changed\nPaid, accepts NOTE, CANCEL\n> NOTE\nPaid, accepts NOTE, CANCEL\n{\n  \"amount\": 1,\n  \"by\": \"Bo\",\n  \"customer\": \"Ada\",\n  \"text\": \"hello\"\n}\n", ""},
		{"to the end", "", []string{"CANCEL"}, exitDone,
			"  Order Order-1 is created in Draft\nDraft, accepts SUBMIT, CANCEL\n> CANCEL\n  hook stopClock would run on leaving Draft\n  Draft → Cancelled, by CANCEL\n  has ended\nCancelled, accepts nothing\n", ""},
		{"a wait that is none", "wait long\n", nil, exitUsage, "  Order Order-1 is created in Draft\nDraft, accepts SUBMIT, CANCEL\n",
			"fsmesh: wait \"long\" is not a duration; say wait 500ms or wait 2s\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fsmeshWith(t.Context(), tt.stdin, nil, append([]string{"run", "testdata/order.yaml", "Order", "--data", ada}, tt.args...)...)
			if want := (result{tt.status, tt.out, tt.err}); got != want {
				t.Errorf("got status %d\n%s%s\nwant status %d\n%s%s", got.status, got.out, got.err, want.status, want.out, want.err)
			}
		})
	}
}

// TestRunEntryPoint checks that the instance that a component makes of itself
// is the one that is run, and that timers fire while the program waits.
func TestRunEntryPoint(t *testing.T) {
	t.Parallel()
	got := fsmeshWith(t.Context(), "wait 300ms\nBACK\n", nil, "run", "testdata/ticker.yaml", "Ticker")
	if got.status != exitDone || !strings.Contains(got.out, "Tick → Tock, by SWING\nTock, accepts BACK\n> BACK\n  Tock → Tick, by BACK\n") {
		t.Errorf("got %+v", got)
	}
}
