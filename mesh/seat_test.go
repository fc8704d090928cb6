package mesh

import (
	"slices"
	"testing"
	"time"
)

func stand(t *testing.T, b *Bus, role string) *Seat {
	t.Helper()
	s, err := b.Stand(t.Context(), role)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Leave)
	return s
}

// holders waits until exactly one of the seats is held, and returns it.
func holders(t *testing.T, seats ...*Seat) *Seat {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		var held []*Seat
		for _, s := range seats {
			if h, _ := s.Held(); h {
				held = append(held, s)
			}
		}
		if len(held) == 1 {
			return held[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d seats are held, want one", len(held), len(seats))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestSeat has three candidates for a role: one holds it, another takes over when
// it leaves, or falls silent, and a later one does not push it out.
func TestSeat(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Logger: quiet()})
	var seats []*Seat
	for range 3 {
		seats = append(seats, stand(t, connect(t, n, BusOptions{}), "bridge to x"))
	}
	first := holders(t, seats...)
	other := stand(t, connect(t, n, BusOptions{}), "bridge to y")
	holders(t, other)
	late := stand(t, connect(t, n, BusOptions{}), "bridge to x")
	time.Sleep(2 * seatFirst) // it would have taken it by then
	if holders(t, append(seats, late)...) != first {
		t.Error("a later candidate pushed the holder out")
	}
	begin := time.Now()
	first.Leave()
	second := holders(t, append(seats, late)...)
	if second == first || time.Since(begin) > 30*time.Second {
		t.Errorf("after a goodbye the seat is taken after %v", time.Since(begin))
	}
	// Silence: the connection of the holder is gone, without a word. It is timed
	// twice: the machine may have been at something else.
	left := slices.DeleteFunc(append(seats, late), func(s *Seat) bool { return s == first })
	least := time.Hour
	for holder := second; len(left) > 1; {
		holder.bus.nc.Close()
		left = slices.DeleteFunc(left, func(s *Seat) bool { return s == holder })
		begin = time.Now()
		holder = holders(t, left...)
		least = min(least, time.Since(begin))
	}
	if least > 5*time.Second {
		t.Errorf("after silence the seat is taken after %v, want 5 s at most", least)
	}
}

// TestRivals checks who takes a seat, by what was heard.
func TestRivals(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for _, tt := range []struct {
		name  string
		heard []seatMessage
		after time.Duration
		want  bool
	}{
		{"nobody else", nil, time.Second, true},
		{"too early", nil, -time.Second, false},
		{"held", []seatMessage{{ID: "a", Holds: true}}, time.Second, false},
		{"held, silent", []seatMessage{{ID: "a", Holds: true}}, 3 * time.Second, true},
		{"left", []seatMessage{{ID: "a", Holds: true}, {ID: "a", Left: true}}, time.Second, true},
		{"gave way, and waits with a lower id", []seatMessage{{ID: "a", Holds: true}, {ID: "a"}}, time.Second, false},
		{"a lower id waits", []seatMessage{{ID: "a"}}, time.Second, false},
		{"a lower id waited", []seatMessage{{ID: "a"}}, 3 * time.Second, true},
		{"a higher id waits", []seatMessage{{ID: "z"}}, time.Second, true},
	} {
		r := rivals{me: "m", from: now, waiting: map[string]time.Time{}}
		for i := range tt.heard {
			r.hear(&tt.heard[i], now)
		}
		if got := r.mine(at(tt.after)); got != tt.want {
			t.Errorf("%s: mine %v, want %v", tt.name, got, tt.want)
		}
	}
}
