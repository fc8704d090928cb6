package bridge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/internal/redact"
	"github.com/fsmesh/fsmesh/mesh"
)

// broadcast takes an event to the instances of the mesh that are in a state and
// pass the filters. The runtimes themselves are asked which those are: the picture
// of the mesh may be a moment behind. One that does not take it now keeps it from none
// of the others; all of it is tried again then, each time with the same events.
func (s *session) broadcast(b *Body, _ *Message) (*mesh.Outcome, error) {
	hosts := s.hosts(b.Component)
	if len(hosts) == 0 {
		return nil, s.nobody(b.Component, b)
	}
	f := mesh.Filter{Component: b.Component, Machine: b.Machine, Live: true}
	if b.State != "*" {
		f.State = b.State
	}
	var found []mesh.Instance
	for i := range hosts {
		f.RuntimeID = hosts[i].info.RuntimeID
		for in, err := range s.b.client.All(s.work, mesh.Query{Filter: f, Limit: 1000}) {
			if err != nil {
				return nil, err // nothing is sent yet
			}
			if passes(&in, b.Filters) {
				found = append(found, in)
			}
		}
	}
	out := &mesh.Outcome{Component: b.Component}
	var failed error
	for i := range found {
		in := &found[i]
		ev := commandEvent(b.Event)
		if ev.ID != "" {
			ev.ID += "/" + in.ID
		}
		if _, err := s.b.client.Do(s.work, in.RuntimeID, &mesh.Command{Do: mesh.DoSend, Component: b.Component, Instance: in.ID, Event: ev}); err != nil {
			if failed = worse(failed, err); !passing(err) {
				s.b.counts.add(countRefused, 1)
			}
			continue
		}
		out.Count++
	}
	if failed = worse(failed, s.away(b.Component)); passing(failed) {
		return out, failed
	}
	return out, nil
}

// componentBroadcast does the same for a broadcast that another component sends.
func (s *session) componentBroadcast(b *Body, m *Message) (*mesh.Outcome, error) {
	e := *b.Event
	e.SourceComponent = b.SourceComponent
	return s.broadcast(&Body{
		Component: b.TargetComponent, Machine: b.TargetMachine, State: b.TargetState, Event: &e, Filters: b.Filters, ID: b.ID,
	}, m)
}

// listenForBroadcasts begins to listen to what other components send to one that
// the mesh hosts, if the external API is switched on.
func (s *session) listenForBroadcasts(component string) {
	name := ComponentChannel(component)
	if name == "" || !s.b.dialects.wants(&forComponent) {
		return
	}
	s.mu.Lock()
	there := s.components[name]
	s.components[name] = true
	later := s.subscribed // else it is among what is listened to first
	s.mu.Unlock()
	if !there && later {
		s.listenTo(Subscription{Channels: []string{name}}, s.receive)
	}
}

// listenTo subscribes to more, however often that takes. It waits for the first try:
// who is announced as there is to be heard.
func (s *session) listenTo(sub Subscription, f func(*Message)) {
	try := func(most time.Duration) bool {
		ctx, cancel := context.WithTimeout(s.ctx, most)
		defer cancel()
		err := s.broker.Subscribe(ctx, sub, f)
		if err != nil {
			s.c.Logger.Debug("bridge: subscribe", "channels", sub.Channels, "err", redact.Error(err, s.c.URL))
		}
		return err == nil
	}
	if try(2 * time.Second) {
		return
	}
	s.wg.Go(func() {
		for pause(s.ctx, time.Second) && !try(10*time.Second) {
		}
	})
}

// passes reports whether an instance passes all filters of an external broadcast.
// What is missing passes none.
func passes(in *mesh.Instance, filters []Filter) bool {
	for _, f := range filters {
		have, ok := lookup(merged(in.Context, in.PublicMember), f.Property)
		if !ok || !compare(have, f.Operator, f.Value) {
			return false
		}
	}
	return true
}

func lookup(raw json.RawMessage, path string) (any, bool) {
	v, ok := value(raw)
	for _, p := range strings.Split(path, ".") {
		m, is := v.(map[string]any)
		if !ok || !is {
			return nil, false
		}
		v, ok = m[p]
	}
	return v, ok
}

func value(raw json.RawMessage) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	return v, d.Decode(&v) == nil
}

func compare(have any, op string, raw json.RawMessage) bool {
	want, ok := value(raw)
	if !ok {
		return false
	}
	switch op {
	case "", "===":
		return scalar(have) && have == want
	case "!==":
		return scalar(have) && scalar(want) && have != want
	}
	var c int
	switch a := have.(type) {
	case string:
		b, ok := want.(string)
		if !ok {
			return false
		}
		c = strings.Compare(a, b)
	case float64:
		b, ok := want.(float64)
		switch {
		case !ok:
			return false
		case a < b:
			c = -1
		case a > b:
			c = 1
		}
	default:
		return false
	}
	switch op {
	case ">":
		return c > 0
	case "<":
		return c < 0
	case ">=":
		return c >= 0
	case "<=":
		return c <= 0
	}
	return false
}

func scalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// EventChannels are those on which other programs watch what happens.
var EventChannels = []string{
	eventPrefix + "state_change", eventPrefix + "instance_created", eventPrefix + "instance_disposed", eventPrefix + "instance_error",
}

const eventPrefix = "xcomponent:events:"

// eventNames are the names of events that other programs watch.
var eventNames = map[mesh.Kind]string{
	mesh.KindCreated: "instance_created", mesh.KindStateChange: "state_change", mesh.KindCompleted: "instance_disposed",
}

// publishEvent publishes a notice for other programs, in the shape in which the
// package does. It has no id, and no bridge listens to it.
func (s *session) publishEvent(t *mesh.Told, stateType string) {
	name, ok := eventNames[t.Kind]
	if t.Kind == mesh.KindCompleted && t.Error != "" {
		name = "instance_error"
	}
	if c := of(Kind(t.Kind)); !ok || c == nil || !s.b.dialects.mirrors(c) {
		return
	}
	instance := map[string]any{
		"id": t.Instance, "machineName": t.Machine, "currentState": t.State, "context": merged(t.Context, t.PublicMember),
	}
	data := map[string]any{"instanceId": t.Instance, "machineName": t.Machine, "instance": instance, "timestamp": t.Timestamp}
	switch name {
	case "state_change":
		data["previousState"], data["newState"], data["stateType"] = cmp.Or(t.Previous, t.State), t.State, stateType
		data["event"] = fromEvent(t.Event, t.Timestamp)
		if t.Event != nil && t.Event.ID != "" {
			data["eventId"] = t.Event.ID
		}
	case "instance_error":
		data["error"] = t.Error
	default:
		data = instance
	}
	raw, err := json.Marshal(map[string]any{"type": name, "componentName": t.Component, "data": data, "timestamp": t.Timestamp})
	if err != nil {
		return
	}
	if s.c.DryRun != nil {
		s.c.DryRun(Frame{eventPrefix + name, raw})
		return
	}
	s.outbox.push(Frame{eventPrefix + name, raw})
}
