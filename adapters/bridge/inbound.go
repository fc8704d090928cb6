package bridge

import (
	"errors"
	"strings"
	"time"
)

// receive takes in one message of the broker. Presence and notices are taken in
// in the order of arrival; commands are done beside it.
func (s *session) receive(m *Message) {
	s.taking.Add(1)
	defer s.taking.Add(-1)
	c, body, ok := s.read(m)
	if !ok {
		return
	}
	now := time.Now()
	switch c.Kind {
	case TriggerEvent, CrossEvent, CreateInstance, ExternalCommand, ExternalBroadcast, ComponentBroadcast:
		s.command(c.Kind, body, m)
		return
	case Announce:
		s.announced(body, now)
	case Heartbeat:
		s.heartbeat(body, now)
	case Shutdown:
		s.left(body)
	case Discover:
		s.asked(body, false)
	case Query:
		s.asked(body, true)
	case QueryResponse:
		s.answered(body, now)
	case CommandResponse:
		s.responded(body)
	default:
		if r := s.known(c.Kind, body, now); r != nil && body.Hops <= r.route.hops {
			r.tell(c.Kind, body)
		}
	}
	m.Done(nil)
}

// read decodes a message, and reports whether it is to be taken in. If not, it is
// done with.
func (s *session) read(m *Message) (*Channel, *Body, bool) {
	drop := func(count, reason string, err error) (*Channel, *Body, bool) {
		s.b.counts.add(count, 1)
		if reason != "" {
			s.b.counts.drop(m.Channel, reason)
			s.c.Logger.Debug("bridge: dropped", "channel", m.Channel, "reason", reason)
		}
		if s.c.DryRun != nil {
			err = nil // who really bridges makes a dead letter of it
		}
		m.Done(err)
		return nil, nil, false
	}
	c := s.channel(m.Channel, m.Redelivered)
	if s.ctx.Err() != nil && (s.broker.Guarantees().Redelivered || c == nil || c.Purpose < ForCommands || c.Kind == CommandResponse) {
		// What is not done with goes to the next when the broker is closed, which is
		// soon; given back now it would come here again and again. A command that is
		// not given to the next is read: whether it was for somebody here is counted.
		return nil, nil, false
	}
	s.b.counts.add(countReceived, 1)
	if c == nil {
		return drop(countUnknown, "nobody knows the channel", nil)
	}
	if !s.c.Faults.NoGuard {
		if s.guard.echo(m.Body) {
			return drop(countOwn, "", nil)
		}
		if !s.b.dialects.off[Documented] && copied(m.Body) {
			return drop(countCopies, "", nil)
		}
	}
	body, err := Decode(c.Kind, m.Body)
	if err != nil {
		return drop(countInvalid, err.Error(), err)
	}
	if s.c.Faults.NoGuard {
		return c, body, true
	}
	switch {
	case body.Origin == s.b.id:
		return drop(countOwn, "", nil)
	case body.Copy && !s.b.dialects.off[Documented]:
		return drop(countCopies, "", nil)
	case body.ID != "" && !m.Redelivered && s.guard.again(body.ID, time.Now()):
		return drop(countDoubled, "", nil)
	}
	return c, body, true
}

// channel finds the line of a channel, nil for one that nobody knows. What comes again
// may be for somebody who was waited for.
func (s *session) channel(name string, again bool) *Channel {
	if c, _, ok := byName(name); ok {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.components[name] {
		return &forComponent
	}
	// A broadcast may have waited for a component that is not there yet. Brokers name a
	// channel that nobody listens for as they know it.
	if rest, ok := strings.CutPrefix(strings.ReplaceAll(name, ".", ":"), componentPrefix); ok && ComponentChannel(rest) != "" &&
		s.b.dialects.wants(&forComponent) && s.broker.Guarantees().Kept && (again || time.Since(s.began) <= nobodyFor) {
		return &forComponent
	}
	return nil
}

// errStopped has a broker keep a message for the next who listens.
var errStopped = errors.New("the bridge has stopped")

func (s *session) heartbeat(b *Body, now time.Time) {
	s.mu.Lock()
	if over, ok := s.routes[b.RuntimeID]; ok && !over.better(route{b.Hops, b.Origin}) {
		s.routes[b.RuntimeID] = heardRoute{over.route, now}
	}
	s.mu.Unlock()
	r := s.known(Heartbeat, b, now)
	if r == nil || b.Seq == nil || !s.follows.Load() { // who hears of no notices misses none
		return
	}
	r.hint(*b.Seq, now)
}
