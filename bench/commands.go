package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/nats-io/nats.go"
)

// requests is the side that asks n times and waits for each answer.
func (r *rawBus) requests(name string, callers, ask, answer int) side {
	subject := fmt.Sprintf("raw.ask.%d", callers)
	body, reply := make([]byte, ask), make([]byte, answer)
	must(r.taker.Subscribe(subject, func(m *nats.Msg) { check(m.Respond(reply)) }))
	check(r.taker.Flush())
	return side{name, func(n int) {
		eachCaller(callers, n, func(times int) {
			for range times {
				within, cancel := context.WithTimeout(ctx, 5*time.Second) // as the client does
				must(r.sender.RequestWithContext(within, subject, body))
				cancel()
			}
		})
	}}
}

// What a command without a payload and its outcome take on the bus, about.
const commandSize, outcomeSize = 130, 190

// benchCommands measures commands over the bus.
func benchCommands(b *bench) error {
	f := newFleet(1000)
	defer f.stop()
	raw := newRawBus()
	defer raw.stop()
	c := mesh.NewClient(f.connect(), mesh.ClientOptions{})
	for _, callers := range []int{1, 64} {
		ours := side{"ours", func(n int) {
			spread(callers, n, len(f.ids), func(i int32) {
				must(c.Send(ctx, mesh.Target{ID: f.ids[i]}, fsm.Event{Type: "NEXT"}, mesh.SendOptions{}))
			})
		}}
		ours.run(4 * len(f.ids)) // so that each has been found once
		theirs := raw.requests("raw", callers, commandSize, outcomeSize)
		s := b.compareFor(pick(b, 300*time.Millisecond, 2*time.Millisecond), ours, theirs)
		ratio := s[1].over(s[0])
		b.add("Client.Send, "+named(callers), fmt.Sprintf("%s (%s)", perSecond(s[0].rate()), ns(s[0].mid())), "raw request and reply "+perSecond(s[1].rate()), ratio).
			want(">= 0.40", ratio.mid >= 0.4)
	}
	b.note("The client knows where each of %d instances is. The raw side sends %d bytes and gets %d, over as many connections;\nits answer is made in the subscription's goroutine.", len(f.ids), commandSize, outcomeSize)
	return nil
}
