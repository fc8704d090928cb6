package main

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/qmuntal/stateless"
)

func TestMain(m *testing.M) {
	if serveChild() || serveIdle() || serveStore() {
		return
	}
	os.Exit(m.Run())
}

// TestShortRunPrintsEveryRow runs everything at small sizes: each row is there,
// with a ratio that means something.
func TestShortRunPrintsEveryRow(t *testing.T) {
	var out bytes.Buffer
	lines, err := run(options{short: true, out: &out})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if !l.ratio.finite() {
			t.Errorf("%s: %s: ratio %v", l.group, l.name, l.ratio)
		}
		if l.ours == "" || l.ref == "" {
			t.Errorf("%s: %s: a number without its reference: %q, %q", l.group, l.name, l.ours, l.ref)
		}
		if !strings.Contains(out.String(), l.name) {
			t.Errorf("%s: %s is not printed", l.group, l.name)
		}
	}
	// What there must be, and how often at least.
	for _, want := range []struct {
		group, name string
		n           int
	}{
		{"engine", `^Engine.Step, no payload$`, 3},
		{"engine", `^Engine.Step, 3 fields$`, 3},
		{"engine", `^NewData \+ Engine.Step, 3 fields$`, 3},
		{"send", `^1 caller, no payload$`, 2},
		{"send", `^1 caller, 3 fields$`, 3},
		{"send", `^256 callers, no payload$`, 2},
		{"send", `^256 callers, 3 fields$`, 3},
		{"parts", `^1 caller, no payload: all$`, 1},
		{"parts", `^1 caller, 3 fields: all$`, 1},
		{"parts", `^256 callers, no payload: all$`, 1},
		{"parts", `^256 callers, 3 fields: all$`, 1},
		{"scale", `^Send, no payload`, 1},
		{"scale", `^Send, 3 fields`, 1},
		{"scale", `^– while nothing is collected`, 2},
		{"scale", `^– in CPU time`, 5},
		{"scale", `^raw`, 1},
		{"heap", `^instance with 3 context fields`, 1},
		{"heap", `^16 packed records`, 2},
		{"around", `a hook that does nothing$`, 2},
		{"around", `a hook that updates the context$`, 2},
		{"around", `a Trace function`, 2},
		{"around", `a watcher that reads all$`, 2},
		{"around", `a watcher of another instance$`, 2},
		{"commit", `^8 callers`, 4},
		{"commit", `^64 callers`, 4},
		{"commit", `^512 callers`, 4},
		{"fanout", `instances settled$`, 2},
		{"fanout", `^strangers' p99`, 2},
		{"notices", `^runtime to directory, no payload$`, 2},
		{"notices", `^runtime to directory, 3 fields$`, 2},
		{"notices", `^– in CPU time`, 2},
		{"directory", `^heap of an instance`, 1},
		{"directory", `^exact about \d+ instances$`, 1},
		{"directory", `^– at 1,000 notices/s$`, 1},
		{"directory", `^50 rows`, 4},
		{"commands", `^Client.Send, 1 caller$`, 1},
		{"commands", `^Client.Send, 64 callers$`, 1},
		{"pages", `^first byte of .*, p99$`, 11},
		{"pages", `^first byte of machine, with the first diagram`, 1},
		{"pages", `^from a change to .*, p99$`, 4},
		{"pages", `^CPU of 100 open pages`, 3},
		{"idle", `^resident memory$`, 1},
		{"idle", `^time until it is up$`, 1},
		{"restore", `instances of \d+ records each$`, 6},
		{"durable", `^\d+ callers, 3 fields$`, 5},
		{"start", `^start after a kill`, 1},
		{"start", `^start from checkpoints`, 1},
		{"start", `^heap of an instance`, 2},
		{"start", `^history of 20 records`, 2},
		{"start", `^commits of 64 callers`, 1},
		{"start", `^most memory`, 1},
		{"start", `^memory after them`, 1},
		{"start", `^live heap after them`, 1},
		{"start", `empty store$`, 2},
	} {
		n := 0
		for _, l := range lines {
			if l.group == want.group && regexp.MustCompile(want.name).MatchString(l.name) {
				n++
			}
		}
		if n < want.n {
			t.Errorf("%s: %s: %d rows, want %d", want.group, want.name, n, want.n)
		}
	}
	targets := 0
	for _, l := range lines {
		if l.target != "" {
			targets++
		}
	}
	if targets != 59 {
		t.Errorf("%d rows have a target, want 59", targets)
	}
}

// TestRunChoosesGroups checks -run.
func TestRunChoosesGroups(t *testing.T) {
	lines, err := run(options{short: true, run: "^heap$", out: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if l.group != "heap" {
			t.Errorf("%s was measured, too", l.group)
		}
	}
	if len(lines) == 0 {
		t.Error("nothing was measured")
	}
	if _, err := run(options{run: "(", out: &bytes.Buffer{}}); err == nil {
		t.Error("a wrong regexp was accepted")
	}
}

// TestPeersDoTheSame walks the machine of each library along one path and
// compares states and data.
func TestPeersDoTheSame(t *testing.T) {
	data := map[string]any{"customer": "c", "amount": 5.0}
	loop := newLooplab(data)
	queued, immediate := newStateless(data, stateless.FiringQueued), newStateless(data, stateless.FiringImmediate)
	rt, _ := started(fsm.Config{}, 0)
	defer rt.Stop(ctx)
	id := must(rt.Create(ctx, "Order", data)).ID()
	for i, step := range []struct {
		event   string
		payload map[string]any
		state   string
	}{
		{"HOLD", map[string]any{"customer": "c"}, "E"},
		{"RESUME", nil, "A"},
		{"NEXT", payload(), "B"},
		{"HOLD", map[string]any{"amount": 6.0}, "E"},
		{"RESUME", nil, "A"},
		{"NEXT", nil, "B"},
		{"NEXT", nil, "C"},
		{"NEXT", nil, "D"},
		{"NEXT", nil, "A"},
	} {
		var args []any
		if step.payload != nil {
			args = []any{step.payload}
		}
		if r, err := rt.Send(ctx, id, fsm.Event{Type: step.event, Payload: step.payload}); err != nil || r.State != step.state {
			t.Errorf("step %d, %s: Send leads to %q, want %q: %v", i, step.event, r.State, step.state, err)
		}
		if err := loop.Event(ctx, step.event, args...); err != nil || loop.Current() != step.state {
			t.Errorf("step %d, %s: looplab leads to %q, want %q: %v", i, step.event, loop.Current(), step.state, err)
		}
		for _, m := range []*stateless.StateMachine{queued, immediate} {
			if err := m.Fire(step.event, args...); err != nil || m.MustState() != step.state {
				t.Errorf("step %d, %s: stateless leads to %v, want %q: %v", i, step.event, m.MustState(), step.state, err)
			}
		}
	}
	for k, ours := range must(rt.Get(id)).Data().All() {
		if theirs, _ := loop.Metadata(k); ours != theirs {
			t.Errorf("%s is %v here and %v in looplab", k, ours, theirs)
		}
	}
}

// TestStoreFencesAndChecks checks what the runtime relies on.
func TestStoreFencesAndChecks(t *testing.T) {
	m := newMemory(0)
	rt, ids := started(fsm.Config{Store: m}, 2)
	second, _ := started(fsm.Config{Store: m}, 0)
	if r := must(second.Restored()); r[0].Restored != 2 {
		t.Errorf("restored %d instances, want 2", r[0].Restored)
	}
	if _, err := rt.Send(ctx, ids[0], fsm.Event{Type: "NEXT"}); !errors.Is(err, fsm.ErrFenced) {
		t.Errorf("a fenced runtime's send: %v", err)
	}
	must(second.Send(ctx, ids[0], fsm.Event{Type: "NEXT"}))
	rt.Stop(ctx)
	check(second.Stop(ctx))
	l := must(m.Open(ctx, ""))
	for _, err := range l.Restore(ctx) {
		check(err)
	}
	must(l.Claim(ctx, "test"))
	if err := l.Append(ctx, fsm.Batch{Records: []*fsm.Record{{Instance: ids[0], Version: 9}}}); !errors.Is(err, fsm.ErrConflict) {
		t.Errorf("a gap in versions: %v", err)
	}
}
