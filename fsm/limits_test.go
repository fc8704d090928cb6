package fsm

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// What is refused, and that nothing happened then.

func TestRefusedEvents(t *testing.T) {
	t.Parallel()
	rt := started(t, Config{
		Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "B"), on("B", "STOP", "End"), on("A", "UPDATE", "A", calls("update"))))},
		Hooks: Hooks{Methods: map[string]Hook{"update": func(c *Call) error {
			err := c.UpdateContext(map[string]any{"big": strings.Repeat("x", 600_000)})
			wantCode(t, "UpdateContext", err, CodeContextTooLarge)
			return nil
		}}},
	})
	ctx := t.Context()
	id := mustCreate(t, rt, "M", map[string]any{"a": strings.Repeat("x", 300_000)})
	send := func(payload map[string]any, opts ...SendOption) error {
		_, err := rt.Send(ctx, id, Event{Type: "GO", Payload: payload}, opts...)
		return err
	}
	deep := map[string]any{}
	for range 10_000 {
		deep = map[string]any{"d": deep}
	}
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	for _, c := range []struct {
		what string
		err  error
		want Code
	}{
		{"merge over the limit", send(map[string]any{"b": strings.Repeat("x", 300_000)}), CodeContextTooLarge},
		{"payload over the limit", send(map[string]any{"a": strings.Repeat("x", 600_000)}), CodeContextTooLarge},
		{"2 MB", send(map[string]any{"a": strings.Repeat("x", 2<<20)}), CodeContextTooLarge},
		{"NaN", send(map[string]any{"n": math.NaN()}), CodeBadValue},
		{"infinity in a list", send(map[string]any{"n": []any{math.Inf(1)}}), CodeBadValue},
		{"a channel", send(map[string]any{"n": make(chan int)}), CodeBadValue},
		{"depth 10,000", send(deep), CodeBadValue},
		{"a cycle", send(cyclic), CodeBadValue},
		{"not a number", send(map[string]any{"n": json.Number("1x")}), CodeBadValue},
		{"a number of 1,000 digits", send(map[string]any{"n": json.Number(strings.Repeat("9", 1000))}), CodeBadValue},
		{"another version", send(nil, IfVersion(2)), CodeVersionMoved},
	} {
		wantCode(t, c.what, c.err, c.want)
	}
	if in := mustGet(t, rt, id); in.Version() != 1 || in.State() != "A" {
		t.Errorf("version %d, state %s: something happened", in.Version(), in.State())
	}
	if r := mustSend(t, rt, id, "UPDATE"); r.Instance.Data().Len() != 1 {
		t.Error("a refused update is in the data")
	}
	if err := send(nil, IfVersion(2)); err != nil {
		t.Errorf("the right version: %v", err)
	}
	_, err := rt.Send(ctx, id, Event{Type: "GO"})
	wantCode(t, "in the wrong state", err, CodeEventIgnored)
	if want := `M "` + id + `" ignored GO in state B; accepted now: STOP`; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestRefusedCreations(t *testing.T) {
	t.Parallel()
	rt := started(t, keyConfig(nil))
	for _, c := range []struct {
		what    string
		machine string
		data    map[string]any
		opts    []CreateOption
		want    Code
	}{
		{"data over the limit", "M", map[string]any{"a": strings.Repeat("x", 600_000)}, nil, CodeContextTooLarge},
		{"NaN", "M", map[string]any{"a": math.NaN()}, nil, CodeBadValue},
		{"unknown machine", "X", nil, nil, CodeUnknownMachine},
		{"unknown component", "M", nil, []CreateOption{WithComponent("X")}, CodeUnknownComponent},
		{"unknown state", "M", nil, []CreateOption{InState("a")}, CodeUnknownState},
		{"final state", "M", nil, []CreateOption{InState("End")}, CodeStateFinal},
	} {
		_, err := rt.Create(t.Context(), c.machine, c.data, append(c.opts, WithKey("k"))...)
		wantCode(t, c.what, err, c.want)
	}
	// None of them has kept the key.
	mustCreate(t, rt, "M", nil, WithKey("k"))
}

// Integers beyond 2^53 come back as they went in, also over a restart, and are
// compared by value whatever their form.
func TestLargeIntegers(t *testing.T) {
	t.Parallel()
	cfg := Config{Name: "r", Components: []*Component{componentOf("C", fsmOf("M", on("A", "GO", "B", func(t *Transition) {
		t.MatchingRules = []MatchingRule{{EventProperty: "n", InstanceProperty: "n"}}
	}), on("A", "GO", "Other")))}, Store: NewMemoryStore()}
	rt := started(t, cfg)
	const n = 9007199254740993 // 2^53 + 1
	id := mustCreate(t, rt, "M", map[string]any{"n": n, "u": uint64(math.MaxUint64), "small": 5})
	stopRuntime(t, rt)
	rt = started(t, cfg)
	d := mustGet(t, rt, id).Data()
	for key, want := range map[string]any{"n": json.Number("9007199254740993"), "u": json.Number("18446744073709551615"), "small": 5.0} {
		if got, _ := d.Get(key); got != want {
			t.Errorf("%s is %v (%T), want %v", key, got, got, want)
		}
	}
	if k, err := rt.Broadcast(t.Context(), "M", Event{Type: "GO", Payload: map[string]any{"n": float64(1 << 53)}}); k != 0 || err != nil {
		t.Errorf("2^53 found 2^53 + 1: %d, %v", k, err)
	}
	if k, err := rt.Broadcast(t.Context(), "M", Event{Type: "GO", Payload: map[string]any{"n": json.Number("9007199254740993")}}, SettledOneByOne()); k != 1 || err != nil {
		t.Errorf("2^53 + 1 was not found: %d, %v", k, err)
	}
	if s := mustGet(t, rt, id).State(); s != "B" {
		t.Errorf("state %s, want B", s)
	}
}
