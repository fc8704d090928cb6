package fsm_test

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// TestProperty runs random steps on random definitions, with hooks that do
// whatever hooks can do, with stores that are slow or fail, with restarts and
// crashes, and checks after each step what must always hold: see checkAtRest.
func TestProperty(t *testing.T) {
	outer, explained := t, new(atomic.Bool)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, outer, explained)
		defer w.explain()
		defer w.stop()
		w.start()
		w.checkAtRest()
		actions := w.actions()
		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(2, 6).Draw(t, "first instances") {
			w.create()
		}
		w.idle()
		for range rapid.IntRange(4, 20).Draw(t, "steps") {
			name := sample(t, "step", names...)
			w.log("%s", name)
			actions[name]()
			w.idle()
			w.checkAtRest()
			if t.Failed() {
				t.FailNow()
			}
			if len(w.tableIDs()) > 60 {
				break // more would only take longer
			}
		}
		w.restartAtRest()
		w.checkAtRest()
		w.tally()
	})
	coverage.assert(t)
}

// tally counts what has happened in a case.
func (w *world) tally() {
	for _, r := range w.memory.Records(propertyLog) {
		if _, tr := w.plan.taken(r); tr != nil {
			kind := tr.Type
			if kind == "" {
				kind = "omitted"
			}
			coverage.count("type " + kind)
		}
		coverage.count("record " + string(r.Kind))
		if r.Error != "" {
			coverage.count("failed: " + r.Error)
		}
		if reason := timerReason(r); reason != "" {
			coverage.count("fired: " + reason)
		}
		for _, e := range r.Effects {
			coverage.count("effect " + string(e.Kind))
		}
	}
	w.told.mu.Lock()
	defer w.told.mu.Unlock()
	for _, notices := range w.told.notices {
		for _, n := range notices {
			coverage.count("notice " + string(n.Kind))
		}
	}
}

// coverage is what all cases together have come across.
var coverage = &counter{counts: map[string]int{}}

type counter struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (c *counter) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

// assert fails the test for what never happened: the cases do not test that.
func (c *counter) assert(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	want := []string{
		"type omitted", "shards 1", "shards 4", "store memory", "store slow", "store flaky", "restart", "restart without a pause", "crash",
		"fired: timeout", "fired: auto-transition", "fired: timeout_expired_during_restart",
		"record created", "record transition", "failed: machine_not_found", "effect send", "effect deliver", "effect create",
		"notice context_change", "notice event_ignored", "notice user_code_error", "notice inter_machine_transition",
		"notice cross_component_transition", "notice instance_disposed", "notice instance_error",
	}
	for _, kind := range types {
		if kind != "" {
			want = append(want, "type "+kind)
		}
	}
	for _, call := range hookCalls {
		want = append(want, "call "+call)
	}
	for _, what := range want {
		if c.counts[what] == 0 {
			t.Errorf("never happened: %s", what)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		t.Logf("%7d %s", c.counts[what], what)
	}
}
