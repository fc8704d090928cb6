package fsm

import (
	"slices"
	"testing"
)

// Each instance is found once, though all end while a search is under way, and
// some are in the memory of the ended and in the store.
func TestSearchFindsEachOnce(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]Store{"memory only": nil, "store": NewMemoryStore()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "STOP", "End")))}, Store: store, Limits: Limits{Ended: 50}})
			var want []string
			for range 40 {
				want = append(want, mustCreate(t, rt, "M", map[string]any{"tag": "Ünique"}))
			}
			var got []string
			for in, err := range rt.Search(t.Context(), Search{Machine: "M", Text: "üNIQUE"}) {
				if err != nil {
					t.Fatal(err)
				}
				if len(got) == 0 {
					for _, id := range want {
						mustSend(t, rt, id, "STOP", Settled())
					}
				}
				got = append(got, in.ID())
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d were found, want %d, each once", len(got), len(want))
			}
		})
	}
}

// What is looked for in a field is a value, not a piece of text; a number is
// found by its text.
func TestSearchByField(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{Components: []*Component{componentOf("C", fsmOf("M", on("A", "STOP", "End")))}})
	id := mustCreate(t, rt, "M", map[string]any{"n": 12, "deep": map[string]any{"list": []any{"x", true}}, "none": ""})
	for _, x := range []struct {
		field, value string
		want         bool
	}{{"n", "12", true}, {"n", "1", false}, {"deep.list.1", "true", true}, {"deep.list.0", "x", true}, {"none", "", true}, {"other", "", false}} {
		found := false
		for in, err := range rt.Search(t.Context(), Search{Field: x.field, Value: x.value}) {
			if err != nil {
				t.Fatal(err)
			}
			found = found || in.ID() == id
		}
		if found != x.want {
			t.Errorf("%s = %q: found is %v", x.field, x.value, found)
		}
	}
	if in, err := rt.Find(t.Context(), id); err != nil || in.ID() != id {
		t.Errorf("Find: %v", err)
	}
	_, err := rt.Find(t.Context(), "nobody's")
	wantCode(t, "Find of nobody's", err, CodeUnknownInstance)
}
