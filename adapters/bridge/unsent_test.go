package bridge

import (
	"testing"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// TestNothingSent has commands and effects for a channel that is not mirrored: nobody
// is told that they are sent.
func TestNothingSent(t *testing.T) {
	t.Parallel()
	b, broker := &Bridge{counts: newCounts()}, &taking{}
	b.dialects.only = []Kind{Announce}
	s := &session{b: b, c: &b.c, broker: broker, ctx: t.Context(), effects: map[string]*sentEffect{}, waits: map[string]chan *Body{}}
	r := &behind{s: s, id: "r", announce: &Body{RuntimeID: "r", Component: "C"}, table: newTable(time.Now(), nil)}
	r.table.set(mesh.Row{ID: "i", Machine: "M", State: "S"}, 0)
	s.follows.Store(true)
	b.c.Confirm = time.Millisecond
	effect := func(e fsm.Effect) *mesh.Command {
		e.Component, e.N = "C", len(s.effects)
		return &mesh.Command{Do: mesh.DoEffect, Effect: &fsm.RemoteEffect{From: "f", Effect: e}}
	}
	for _, c := range []*mesh.Command{
		{Do: mesh.DoSend, Instance: "i", Event: &mesh.Event{Type: "E"}},
		{Do: mesh.DoCreate},
		{Do: mesh.DoBroadcast, Event: &mesh.Event{Type: "E"}},
		effect(fsm.Effect{Kind: fsm.EffectCreate}),
		effect(fsm.Effect{Kind: fsm.EffectDeliver, Event: "E", Targets: []string{"i"}}),
	} {
		if out := r.command(t.Context(), c); out.OK || out.Code != fsm.CodeConfig {
			t.Errorf("%s: %+v; want it to be refused with %s", c.Do, out, fsm.CodeConfig)
		}
	}
	if len(broker.frames) != 0 {
		t.Errorf("%d frames were sent", len(broker.frames))
	}
}

// TestBroadcastUnheard has an effect for all in a state where the channel for that is
// not mirrored, as it is of the documented dialect: it goes to each.
func TestBroadcastUnheard(t *testing.T) {
	t.Parallel()
	b, broker := &Bridge{counts: newCounts()}, &taking{}
	b.dialects.off[Documented], b.c.External = true, true
	s := &session{b: b, c: &b.c, broker: broker, ctx: t.Context(), effects: map[string]*sentEffect{}, waits: map[string]chan *Body{}, behind: map[string]*behind{}}
	r := &behind{s: s, id: "r", announce: &Body{RuntimeID: "r", Component: "C"}, table: newTable(time.Now(), nil)}
	s.behind[r.id] = r
	r.table.set(mesh.Row{ID: "i", Machine: "M", State: "S"}, 0)
	s.follows.Store(true)
	effect := &fsm.RemoteEffect{From: "f", Effect: fsm.Effect{Kind: fsm.EffectDeliver, Component: "C", Machine: "M", Event: "E", State: "S"}}
	if out := r.command(t.Context(), &mesh.Command{Do: mesh.DoEffect, Effect: effect}); !out.OK || len(broker.frames) != 1 || broker.frames[0].Channel != "fsm:commands:trigger_event" {
		t.Errorf("%+v, and %d frames were sent; want one trigger_event", out, len(broker.frames))
	}
}
