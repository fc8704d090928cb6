package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// TestBridges has a bridge, one that stands by, and a runtime without numbers
// behind it on the page.
func TestBridges(t *testing.T) {
	t.Parallel()
	s := newSite(t, Config{}, orders)
	wantPage(t, s.get("/runtimes"), http.StatusOK, "Bridges", "fsmesh bridge redis://HOST:PORT")
	tell := func(b mesh.BridgeStatus) {
		t.Helper()
		b.Timestamp = time.Now().UnixMilli()
		if err := s.bus.TellBridge(&b); err != nil {
			t.Fatal(err)
		}
	}
	tell(mesh.BridgeStatus{ID: "b-1", Broker: "redis://***@redis:6379", Host: "east", Active: true, Behind: 4, Mirrored: 2, Queued: 1234, Counters: map[string]uint64{"received": 12, "dropped_own": 7, "losses": 1, "takeovers": 0}})
	tell(mesh.BridgeStatus{ID: "b-2", Broker: "redis://***@redis:6379", Host: "west"})
	page := func() string { return text(s.get("/runtimes")) }
	s.until("both bridges are shown", func() bool { return strings.Contains(page(), "stands by") })
	wantPage(t, s.get("/runtimes"), http.StatusOK, "redis://***@redis:6379", "east", "west", "active", "1,234", "received 12", "dropped own 7", "losses 1")
	if strings.Contains(page(), "takeovers") {
		t.Error("a counter that is 0 is shown")
	}
	body := s.get("/runtimes").Body.String()
	if !strings.Contains(body, `class="warn">losses`) || strings.Contains(body, `class="warn">dropped own`) {
		t.Error("what was lost is not told from what came back")
	}
}

// TestFollowed shows as of when the instances of a runtime without numbers are,
// and does not call it exact.
func TestFollowed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	m := &member{RuntimeInfo: mesh.RuntimeInfo{
		Identity: mesh.Identity{RuntimeID: "r", Component: "Orders", Name: "node"}, Status: mesh.Live,
		Exactness: mesh.Exactness{Exact: true, Since: now}, Followed: true,
	}}
	for _, tt := range []struct {
		asOf time.Time
		want string
	}{
		{time.Time{}, "followed no answer yet"},
		{time.Date(2026, 11, 24, 12, 3, 4, 0, time.UTC), "followed as of 12:03:04"},
	} {
		m.AsOf = tt.asOf
		w := httptest.NewRecorder()
		if err := runtimeRow(runtimeOf(m, now)).Render(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		got := text(w)
		if !strings.Contains(got, tt.want) || strings.Contains(got, "yes") {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
