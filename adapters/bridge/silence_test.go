package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// TestSilence has a runtime on the broker say nothing: it is given up after a while,
// but not for the time in which the bridge stood still or was busy with a message, as
// what the runtime said meanwhile waits to be read.
func TestSilence(t *testing.T) {
	t.Parallel()
	bus := memoryBus(t)
	view, err := mesh.Watch(t.Context(), bus, mesh.ViewOptions{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = view.Close(context.Background()) })
	c := &Config{Bus: bus, Logger: quiet(), Silence: 75 * time.Second}
	begin := time.UnixMilli(1_795_000_000_000)
	for _, tt := range []struct {
		name string
		f    func(s *session)
		want bool // that it is still there
	}{
		{"it was heard of", func(s *session) { s.check(begin.Add(time.Second / 2)) }, true},
		{"it is silent", func(s *session) {
			for at := time.Duration(0); at < 80*time.Second; at += time.Second / 2 {
				s.check(begin.Add(at))
			}
		}, false},
		{"the bridge stood still", func(s *session) {
			s.check(begin)
			s.check(begin.Add(time.Hour))
		}, true},
		{"it is silent after the bridge stood still", func(s *session) {
			s.check(begin)
			for at := time.Hour; at < time.Hour+80*time.Second; at += time.Second / 2 {
				s.check(begin.Add(at))
			}
		}, false},
		{"the bridge is busy", func(s *session) {
			s.taking.Add(1)
			for at := time.Duration(0); at < 200*time.Second; at += time.Second / 2 {
				s.check(begin.Add(at))
			}
		}, true},
	} {
		s := &session{b: &Bridge{c: *c, counts: newCounts()}, c: c, view: view, behind: map[string]*behind{}, routes: map[string]heardRoute{}}
		body := &Body{RuntimeID: "r", Component: "C"}
		r := &behind{s: s, id: "r", table: newTable(begin, nil), announce: body, heard: begin, ends: endings(nil)}
		r.guest, err = bus.Host(t.Context(), mesh.GuestOptions{
			Identity: toIdentity(body, guestProcess("b", 0)), Source: r.table, Logger: quiet(),
			Command: func(context.Context, *mesh.Command) *mesh.Outcome { return &mesh.Outcome{} },
		})
		if err != nil {
			t.Fatal(err)
		}
		s.behind["r"] = r
		tt.f(s)
		if got := s.behind["r"] != nil; got != tt.want {
			t.Errorf("%s: the runtime is there: %v, want %v", tt.name, got, tt.want)
		}
		r.guest.Leave()
	}
}
