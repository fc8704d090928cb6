package fsm

import "testing"

// History begins behind the version, with a store and without.
func TestHistory(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]Store{"store": NewMemoryStore(), "none": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := started(t, Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "TICK", "A")))}, Store: store})
			id := mustCreate(t, rt, "M", nil)
			for range 5 {
				if _, err := rt.Send(t.Context(), id, Event{Type: "TICK"}); err != nil {
					t.Fatal(err)
				}
			}
			for _, after := range []uint64{0, 1, 4, 6, 100} {
				next := after + 1
				for r, err := range rt.History(t.Context(), id, after) {
					if err != nil || r.Version != next {
						t.Fatalf("after %d: version %d, %v; want %d", after, r.Version, err, next)
					}
					next++
				}
				if next != max(7, after+1) {
					t.Errorf("after %d: ended before version %d", after, next)
				}
			}
		})
	}
}
