package bridge

import (
	"context"
	"testing"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// away is a broker that is not connected.
type away struct{ Broker }

func (away) Publish(context.Context, []Frame) (int, error) { return 0, ErrNotSent }

// TestEffectsOrder tries an effect again and again: it is remembered as one.
func TestEffectsOrder(t *testing.T) {
	t.Parallel()
	b := &Bridge{counts: newCounts()}
	s := &session{b: b, c: &b.c, broker: away{}, ctx: t.Context(), effects: map[string]*sentEffect{}, waits: map[string]chan *Body{}}
	r := &behind{s: s, id: "r", announce: &Body{RuntimeID: "r", Component: "C"}}
	effect := &fsm.RemoteEffect{From: "f", Effect: fsm.Effect{Kind: fsm.EffectDeliver, Component: "C", Event: "E", Targets: []string{"i"}}}
	for range 5 {
		if _, err := r.effect(t.Context(), &mesh.Command{Effect: effect}); fsm.ErrorCode(err) != fsm.CodeNotRunning {
			t.Fatalf("%v, want %s", err, fsm.CodeNotRunning)
		}
	}
	if len(s.effects) != 1 || len(s.effectOrder) != 1 {
		t.Errorf("%d effects are remembered, in an order of %d; want one", len(s.effects), len(s.effectOrder))
	}
}

// taking is a broker that takes everything, and keeps it.
type taking struct {
	Broker
	frames []Frame
}

func (*taking) Guarantees() Guarantees { return Guarantees{Order: true} }

func (b *taking) Publish(_ context.Context, f []Frame) (int, error) {
	b.frames = append(b.frames, f...)
	return len(f), nil
}

// TestEffectsDone has an effect for several done: who has got it is not remembered
// any longer, only that it is done.
func TestEffectsDone(t *testing.T) {
	t.Parallel()
	b, broker := &Bridge{counts: newCounts()}, &taking{}
	s := &session{b: b, c: &b.c, broker: broker, ctx: t.Context(), effects: map[string]*sentEffect{}, waits: map[string]chan *Body{}}
	r := &behind{s: s, id: "r", announce: &Body{RuntimeID: "r", Component: "C"}}
	effect := &fsm.RemoteEffect{From: "f", Effect: fsm.Effect{Kind: fsm.EffectDeliver, Component: "C", Event: "E", Targets: []string{"i", "j"}}}
	for range 2 {
		if _, err := r.effect(t.Context(), &mesh.Command{Effect: effect}); err != nil {
			t.Fatal(err)
		}
	}
	if len(broker.frames) != 4 { // each in both dialects
		t.Errorf("%d frames were sent, want 4", len(broker.frames))
	}
	for _, sent := range s.effects {
		if len(sent.reached) != 0 {
			t.Errorf("%d instances are remembered of an effect that is done", len(sent.reached))
		}
	}
}
