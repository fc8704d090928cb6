package fsm

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// The short way must give what the long way gives. Guards plain and plainStep:
// one that forgot a key of an instance, or took a transition with more to it,
// fails here.
func TestPlainStepIsStep(t *testing.T) {
	t.Parallel()
	taken := 0
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		c, err := compile(componentOf("C", randomMachine(rnd), fsmOf("Other", on("A", "E", "A"))), 0, Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		linkRules(map[string]*component{"C": c})
		e := whatIf{&Engine{c, Limits{}}, 0}
		in := newInstance("i", c.list[0].initial, randomData(rnd), noOrigin, 5)
		in.seq = 9
		for i := range 40 {
			now := int64(10+i) * 1e6
			payload := randomData(rnd)
			event := fmt.Sprint("E", rnd.IntN(4))
			tr := in.st.choose(event, payload, in.data)
			if tr == nil {
				continue
			}
			limits := Limits{DataBytes: 60 + rnd.IntN(200), Hops: 10, Events: 10}
			e.at = now
			out := step(e, in, tr, given{event: event, payload: payload}, &limits, true)
			if in.plain(tr) {
				taken++
				after, ok := in.plainStep(tr, payload, now, limits.DataBytes)
				if ok != (out.err == nil) {
					t.Fatalf("seed %d: plainStep %v, step %v", seed, ok, out.err)
				}
				if ok && !reflect.DeepEqual(*after, *out.after) {
					t.Fatalf("seed %d, %s: plainStep gives\n%+v, step\n%+v", seed, event, after, out.after)
				}
				var short outcome
				ok = shortStep(&short, in, tr, &given{event: event, payload: payload}, now, &limits)
				want := *out
				want.plain, want.traced, want.traces = true, false, nil
				if ok != (out.err == nil) || ok && !reflect.DeepEqual(short, want) {
					t.Fatalf("seed %d, %s: shortStep gives %v\n%+v, step\n%+v", seed, event, ok, short, want)
				}
				if told := slices.DeleteFunc(slices.Clone(out.traces), func(t Trace) bool { return t.method() }); ok && !reflect.DeepEqual(told, []Trace{stateChange(in.st, short.after, event)}) {
					t.Fatalf("seed %d, %s: step tells %+v", seed, event, told)
				}
				if ok && (len(out.effects)+len(out.created) > 0 || out.late || out.numbered != 1 || !out.data.Equal(after.data) || !oneChange(out.traces)) {
					t.Fatalf("seed %d, %s: step leads to more: %+v", seed, event, out)
				}
			}
			if out.err == nil && out.after.status == StatusActive {
				in = out.after
			}
		}
	}
	if taken < 500 {
		t.Errorf("only %d plain steps were compared", taken)
	}
}

// oneChange reports whether all that a step told outside is one state change.
func oneChange(traces []Trace) bool {
	n := 0
	for i := range traces {
		switch {
		case traces[i].Kind == TraceStateChange:
			n++
		case !traces[i].method():
			return false
		}
	}
	return n == 1
}

// randomMachine has some of everything that keeps a step from being plain.
func randomMachine(rnd *rand.Rand) Machine {
	state := func() string { return fmt.Sprint("S", rnd.IntN(4)) }
	m := Machine{Name: "M", InitialState: "S0", States: []State{{Name: "S0"}, {Name: "S1"}, {Name: "S2"}, {Name: "S3"}, {Name: "End", Type: "final"}}}
	if rnd.IntN(6) == 0 {
		m.PublicMemberType = "P"
	}
	if rnd.IntN(5) == 0 {
		m = cascading(m, "S1", CascadingRule{TargetMachine: "Other", TargetState: "A", Event: "E"})
	}
	if rnd.IntN(4) == 0 {
		m.States[2].OnEntry = "nobody"
	}
	for range 12 {
		tr := on(state(), fmt.Sprint("E", rnd.IntN(4)), state())
		switch rnd.IntN(12) {
		case 0:
			tr.To = "End"
		case 1:
			tr.Type, tr.TimeoutMs = "timeout", 100
		case 2:
			tr.Type, tr.To = "internal", tr.From
		case 3:
			tr.Type, tr.TargetMachine = "inter_machine", "Other"
		case 4:
			tr.Type, tr.TargetComponent, tr.TargetMachine = "cross_component", "C", "Other"
		case 5, 6:
			tr.MatchingRules = []MatchingRule{{EventProperty: "a", InstanceProperty: "b"}}
		case 7:
			tr.NotifyParent = &NotifyParent{Event: "E"}
		}
		m.Transitions = append(m.Transitions, tr)
	}
	return m
}

func randomData(rnd *rand.Rand) Data {
	m := map[string]any{}
	for range rnd.IntN(4) {
		k := string(rune('a' + rnd.IntN(6)))
		m[k] = []any{rnd.IntN(3), "text", nil, true, []any{1, "x"}, map[string]any{"a": 1}}[rnd.IntN(6)]
	}
	d, _ := NewData(m)
	return d
}
