package ui

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
)

// TestRecords looks at an instance as of each of its records.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	s.store = fsm.NewMemoryStore()
	s.host("test", orders)
	s.show(Config{})
	in := s.create("Order", map[string]any{"orderId": "ORD-1", "amount": 1})
	for _, ev := range []fsm.Event{{Type: "SUBMIT", Payload: map[string]any{"amount": 2, "by": "Bo"}}, {Type: "PAY", Payload: map[string]any{"amount": 3}}} {
		if _, err := s.rt.Send(t.Context(), in.ID(), ev); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	at := func(record string) string { return "/instance?id=" + in.ID() + "&at=" + record }
	wantPage(t, s.get(at("1")), http.StatusOK, "record 1 of 3", "At record 1", "Draft", "INSTANCE_CREATED", "Data at record 1 amount: 1", "amount: 1")
	wantPage(t, s.get(at("2")), http.StatusOK, "record 2 of 3", "Event SUBMIT", "amount: 1 amount: 2 by: \"Bo\"", "Data at record 2 amount: 2 by: \"Bo\"", "Timer then EXPIRE to Cancelled in 1 h", "What the event brought")
	wantPage(t, s.get(at("3")), http.StatusOK, "Event PAY", "amount: 2 amount: 3", "Data at record 3 amount: 3", "Back to now")
	wantPage(t, s.get(at("9")), http.StatusOK, "The runtime has no record 9 of it.")
	for _, none := range []string{"0", "x", "-1", "99999999999999999999"} {
		if got := text(s.get(at(none))); strings.Contains(got, "At record") || strings.Contains(got, "has no record") {
			t.Errorf("at=%s is taken for a record", none)
		}
	}
}

// TestLongHistory walks back through more records than a page shows.
func TestLongHistory(t *testing.T) {
	t.Parallel()
	s := newMesh(t)
	s.store = fsm.NewMemoryStore()
	s.host("test", orders)
	s.show(Config{})
	in := s.create("Order", map[string]any{"n": 1}, fsm.InState("Paid"))
	const records = 3 * maxHistory
	for i := 2; i <= records; i++ {
		if _, err := s.rt.Send(t.Context(), in.ID(), fsm.Event{Type: "NOTE", Payload: map[string]any{"n": i}}); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	wantPage(t, s.get("/instance?id="+in.ID()), http.StatusOK, "Earlier records", fmt.Sprintf("n %d → %d", records-1, records))
	for _, at := range []int{1, 2, 100, 101, maxHistory, records - maxHistory, records - maxHistory + 1, records} {
		want := []string{fmt.Sprintf("At record %d", at), fmt.Sprintf("Data at record %d n: %d", at, at)}
		if at > 1 {
			want = append(want, fmt.Sprintf("n: %d n: %d", at-1, at))
		}
		wantPage(t, s.get(fmt.Sprintf("/instance?id=%s&at=%d", in.ID(), at)), http.StatusOK, want...)
	}
}

// TestForgottenHistory says so where a runtime keeps the last records only.
func TestForgottenHistory(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	in := s.create("Order", nil, fsm.InState("Paid"))
	for range 99 {
		if _, err := s.rt.Send(t.Context(), in.ID(), fsm.Event{Type: "NOTE"}); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	wantPage(t, s.get("/instance?id="+in.ID()), http.StatusOK, "Earlier records are not kept by the runtime.")
	wantPage(t, s.get("/instance?at=2&id="+in.ID()), http.StatusOK, "The runtime has no record 2 of it.")
}
