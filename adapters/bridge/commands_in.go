package bridge

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// retriesMost is how often a command is taken up at most.
const retriesMost = 10

// command has a command from the broker done by the runtime of the mesh that it
// is for. One for a runtime that is on the broker itself is none of ours.
func (s *session) command(k Kind, b *Body, m *Message) {
	if s.c.DryRun != nil {
		m.Done(nil)
		return
	}
	if !s.c.Faults.NoGuard {
		// So that it is applied once also if it is delivered or tried again. One that
		// has no id is known by this only here.
		if b.ID == "" {
			b.ID, b.nameless = newID(), true
		}
		if b.Event != nil && b.Event.ID == "" {
			b.Event.ID = b.ID
		}
	}
	if !s.commands.wait(s.ctx, len(m.Body)) {
		s.late(k, b, m)
		return
	}
	done := m.Done
	m.Done = func(err error) {
		s.commands.give(len(m.Body))
		done(err)
	}
	s.do(k, b, m)
}

// do has a command done, after those before it for the same instance.
func (s *session) do(k Kind, b *Body, m *Message) {
	lane := b.Instance
	switch k {
	case CreateInstance:
		lane = b.ID + b.EventID
	case CrossEvent:
		lane = b.SourceInstance
	}
	do := map[Kind]func(*Body, *Message) (*mesh.Outcome, error){
		TriggerEvent: s.trigger, ExternalCommand: s.trigger, CreateInstance: s.create, CrossEvent: s.cross, ExternalBroadcast: s.broadcast,
		ComponentBroadcast: s.componentBroadcast,
	}[k]
	if !s.inLane(lane, func() {
		out, err := do(b, m)
		s.finish(k, m, b, out, err)
	}) {
		s.late(k, b, m)
	}
}

// late ends a command that has come too late to be begun. One that is for nobody here
// is no loss.
func (s *session) late(k Kind, b *Body, m *Message) {
	component := b.Component
	if k == CrossEvent || k == ComponentBroadcast {
		component = b.TargetComponent
	}
	if len(s.hosts(component)) == 0 {
		m.Done(errStopped)
		return
	}
	s.abandon(m, errStopped)
}

// abandon ends a command that is not done, as the session ends. The broker gives it to
// the next; where it does not, the command is lost.
func (s *session) abandon(m *Message, err error) {
	if !s.broker.Guarantees().Redelivered {
		s.b.counts.add(countStopped, 1)
		s.b.counts.drop(m.Channel, "the bridge stopped or stood by before it was done")
	}
	m.Done(err)
}

// errNotOurs says that a command is for somebody else on the broker.
var errNotOurs = errors.New("not for a runtime of this mesh")

// errNobodyHosts says that a creation came on the queue that is shared for it, and
// that the runtime for which this bridge listens there is gone.
var errNobodyHosts = errors.New("no runtime of this mesh hosts the component now")

// unhostedPause is how long a creation stays with a bridge that has no runtime for
// it before it is given back.
const unhostedPause = 200 * time.Millisecond

// finish counts and answers what became of a command.
func (s *session) finish(k Kind, m *Message, b *Body, out *mesh.Outcome, err error) {
	if !passing(err) || errors.Is(err, errNotOurs) || errors.Is(err, errNobodyHosts) {
		s.mu.Lock()
		s.attempts.forget(b.ID)
		s.mu.Unlock()
	}
	switch {
	case errors.Is(err, errNobodyHosts):
		// It waits on the broker for a runtime, of this mesh or of another who
		// listens.
		s.guard.forget(b.ID)
		time.AfterFunc(unhostedPause, func() { m.Done(err) })
		return
	case errors.Is(err, errNotOurs):
		s.b.counts.add(countNotOurs, 1)
		m.Done(nil)
		return
	case err == nil:
		s.b.counts.add(countCommands, 1)
	case !passing(err):
		s.b.counts.add(countRefused, 1)
		s.b.counts.drop(m.Channel, err.Error())
	default:
		s.retry(k, m, b, err)
		return
	}
	s.respond(b, out, err)
	m.Done(nil)
}

// giveUp counts, answers and buries a command that the mesh has not taken.
func (s *session) giveUp(m *Message, b *Body, err error, reason string) {
	s.b.counts.add(countRefused, 1)
	s.b.counts.drop(m.Channel, reason)
	s.respond(b, nil, err)
	s.guard.forget(b.ID) // it is the same that comes if somebody replays it
	m.Done(&PoisonError{reason})
}

// retry gives a command back that the mesh has not taken; after ten times it is
// poison. Where the broker cannot give it again, or it would not be known again, as
// it has no id or may be done already, it is kept here meanwhile.
func (s *session) retry(k Kind, m *Message, b *Body, err error) {
	expecting, size := errors.Is(err, errNobodyYet), int64(len(m.Body))
	s.mu.Lock()
	n, crowded := s.attempts.add(b.ID, time.Now())
	over := n >= retriesMost || crowded
	full := expecting && !over && !s.expected.room(size, time.Since(s.began))
	if over || full {
		s.attempts.forget(b.ID)
	} else if expecting {
		s.expected.add(1, size)
	}
	s.mu.Unlock()
	switch {
	case full:
		s.giveUp(m, b, err, fmt.Sprintf("not waited for, as %d others are, and hold up who is there: %v", expectedMost, err))
		return
	case n >= retriesMost:
		s.giveUp(m, b, err, fmt.Sprintf("given up after %d tries: %v", n, err))
		return
	case crowded:
		s.giveUp(m, b, err, fmt.Sprintf("not tried again, as more than %d others are: %v", attemptsMost, err))
		return
	}
	// Another bridge would not know which runtime may have made it.
	given := s.broker.Guarantees().Redelivered && !b.nameless && b.host == ""
	wait := 200 * time.Millisecond
	if b.host != "" || expecting {
		wait = min(wait<<n, 5*time.Second) // another process may have to take it over, or to start
	}
	if given {
		s.guard.forget(b.ID)
	}
	s.wg.Go(func() {
		ended := !pause(s.ctx, wait)
		if expecting {
			s.mu.Lock()
			s.expected.add(-1, -size)
			s.mu.Unlock()
		}
		switch {
		case ended:
			if !s.broker.Guarantees().Redelivered {
				s.respond(b, nil, err) // else the next does
			}
			s.abandon(m, err)
		case given:
			m.Done(err)
		default:
			s.do(k, b, m)
		}
	})
}

// respond answers who asked for an answer.
func (s *session) respond(b *Body, out *mesh.Outcome, err error) {
	if b.CorrelationID == "" {
		return
	}
	ok := err == nil
	r := &Body{CorrelationID: b.CorrelationID, OK: &ok, Instance: b.Instance, Traceparent: b.Traceparent}
	if out != nil {
		r.RuntimeID, r.Component, r.Version, r.State, r.Repeated = out.RuntimeID, out.Component, out.Version, out.State, out.Repeated
		if out.Instance != "" {
			r.Instance = out.Instance
		}
		if out.Seq != 0 {
			seq := out.Seq
			r.Seq = &seq
		}
	}
	if err != nil {
		r.Code, r.Message = string(fsm.ErrorCode(err)), err.Error()
	}
	s.publish(CommandResponse, r)
}

// trigger takes an event to its instance.
func (s *session) trigger(b *Body, _ *Message) (*mesh.Outcome, error) {
	owner, err := s.owner(b)
	if err != nil {
		return nil, err
	}
	return s.b.client.Do(s.work, owner, &mesh.Command{
		Do: mesh.DoSend, Component: b.Component, Instance: b.Instance, Event: commandEvent(b.Event), IfVersion: b.IfVersion, Traceparent: b.Traceparent,
	})
}

func commandEvent(e *Event) *mesh.Event {
	return &mesh.Event{ID: e.ID, Type: e.Type, Payload: e.Payload, Timestamp: e.Timestamp, SourceComponent: e.SourceComponent}
}

// owner finds the runtime of the mesh that has an instance and that this bridge
// shows on the broker. What the picture does not have is asked for. It fails with
// CodeNotRunning if the runtime is one of the mesh and is away.
func (s *session) owner(b *Body) (string, error) {
	component, id := b.Component, b.Instance
	var found []mesh.Instance
	away := ""
	s.view.Read(func(d *mesh.Directory) {
		found = d.Find(id)
		for i := range found {
			info, _ := d.Runtime(found[i].RuntimeID, time.Now())
			if _, guest := routeOf(info.Process); !guest && (info.Status == mesh.Lost || info.Status == mesh.Stopped) && (component == "" || info.Component == component) {
				away = info.Name
			}
		}
	})
	for i := range found {
		s.decided(found[i].RuntimeID)
		if _, ok := s.shown(found[i].RuntimeID); ok && (component == "" || found[i].Component == component) {
			return found[i].RuntimeID, nil
		}
	}
	if away != "" {
		return "", &fsm.Error{Code: fsm.CodeNotRunning, Component: component, Instance: id, Detail: "its runtime " + away + " is away"}
	}
	hosts := s.hosts(component)
	if len(hosts) == 0 {
		return "", s.nobody(component, b)
	}
	if len(found) > 0 && s.allRead(hosts) {
		return "", errNotOurs
	}
	for _, o := range hosts {
		out, err := s.b.client.Do(s.work, o.info.RuntimeID, &mesh.Command{Do: mesh.DoLocate, Component: component, Instance: id})
		if err == nil && out.OK {
			return o.info.RuntimeID, nil
		}
	}
	return "", errNotOurs
}

// allRead reports whether the instances of all these runtimes are known. Where not, one of
// theirs may be known of another only, as whom its runtime was on the broker before: what
// waits in a queue tells of that.
func (s *session) allRead(hosts []outer) bool {
	all := true
	s.view.Read(func(d *mesh.Directory) {
		for i := range hosts {
			all = all && d.Floor(hosts[i].info.RuntimeID) >= 0
		}
	})
	return all
}

// nobodyFor is for how long after its start a bridge takes it that those who are not
// there may yet come: it, the runtimes and what waits for them may begin at a time.
const nobodyFor = 30 * time.Second

// errNobodyYet says that somebody may yet come.
var errNobodyYet = errors.New("no runtime of it is known, here or on the broker")

// Who waits for somebody who may yet come takes the room of others: a broker gives so
// many messages at a time and no more. In the first moments, which is crowdFor, they may
// have it all, as everybody may begin at a time. After that it is half of what RabbitMQ
// gives and of the bytes, and what is beyond is given up: those who are there would wait.
const (
	crowdFor      = 10 * time.Second
	expectedMost  = 250
	expectedBytes = commandBytes / 2
)

// expected is how many commands wait for somebody who may yet come, and their bytes.
type expected struct{ n, bytes int64 }

// room reports whether one more of so many bytes may wait, so long after the start.
func (e *expected) room(size int64, since time.Duration) bool {
	return since < crowdFor || e.n < expectedMost && e.bytes+size <= expectedBytes
}

func (e *expected) add(n, size int64) { e.n, e.bytes = e.n+n, e.bytes+size }

// nobody is why a command cannot be done for a component that no runtime of the mesh
// hosts now, "" for any: it is for somebody else, unless one has hosted it that may be
// back, or the command has waited in a queue for who may still be on the way.
func (s *session) nobody(component string, b *Body) error {
	if err := s.away(component); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// One that was waited for before is to its end: it would else be forgotten, as it
	// came early.
	if !s.broker.Guarantees().Kept || time.Since(s.began) > nobodyFor && s.attempts.of(b.ID) == 0 {
		return errNotOurs
	}
	if s.strangers[component] || component == "" && len(s.strangers) > 0 {
		return errNotOurs
	}
	for _, r := range s.behind {
		// One that another bridge has shown, and that has not answered, was perhaps of
		// this mesh: what is known of it waited as well.
		r.mu.Lock()
		there := (r.announce.Origin == "" && s.recent(r.announce, time.Now()) || !r.asOf.IsZero()) && (component == "" || r.announce.Component == component)
		r.mu.Unlock()
		if there {
			return errNotOurs
		}
	}
	return &fsm.Error{Code: fsm.CodeNotRunning, Component: component, Err: errNobodyYet}
}

// recent reports whether a message was sent not long ago, as far as it says: one that has
// waited in a queue tells of who was there.
func (s *session) recent(b *Body, now time.Time) bool {
	return b.Timestamp == 0 || now.Sub(time.UnixMilli(b.Timestamp)) <= s.c.Silence
}

// away is an error if a runtime of the mesh is away that hosts a component and has
// instances of it, and no other has taken its place.
func (s *session) away(component string) error {
	var list []mesh.RuntimeInfo
	name := ""
	s.view.Read(func(d *mesh.Directory) {
		list = d.Runtimes(time.Now())
		for i := range list {
			r := &list[i]
			if _, guest := routeOf(r.Process); guest || r.Status != mesh.Lost && r.Status != mesh.Stopped || component != "" && r.Component != component {
				continue
			}
			if !slices.ContainsFunc(list, func(o mesh.RuntimeInfo) bool {
				return o.Status == mesh.Live && o.Name == r.Name && o.Component == r.Component
			}) &&
				d.Count(mesh.Filter{RuntimeID: r.RuntimeID}).Stale > 0 {
				name = r.Name
			}
		}
	})
	if name == "" {
		return nil
	}
	return &fsm.Error{Code: fsm.CodeNotRunning, Component: component, Detail: "its runtime " + name + " is away"}
}

// decided waits until it is decided whether a runtime that the mesh has only just
// got, over another bridge, is shown by this one.
func (s *session) decided(id string) {
	for s.settling(id, time.Now()) && pause(s.ctx, 20*time.Millisecond) {
	}
}

// hosts are the runtimes of the mesh that are shown on the broker and host a
// component, or any.
func (s *session) hosts(component string) []outer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []outer
	for _, o := range s.outer {
		if o.shown && (component == "" || o.info.Component == component) {
			out = append(out, *o)
		}
	}
	return out
}

// creation takes in what comes on the queue that those who host a component share.
// Each of these queues has all creations: one for another component is left to the
// queue of that, and one that names none, to the first.
func (s *session) creation(component string, first bool, m *Message) {
	b, err := Decode(CreateInstance, m.Body)
	if name := componentOf(b, m.Body); name != component && (err == nil || name != "" || !first) {
		m.Done(nil)
		return
	}
	if b != nil && b.Copy && !s.c.Faults.NoGuard {
		s.b.counts.add(countReceived, 1)
		s.b.counts.add(countCopies, 1)
		m.Done(nil)
		return
	}
	if _, b, ok := s.read(m); ok {
		s.command(CreateInstance, b, m)
	}
}

// componentOf is the component that a creation names, also one that cannot be read
// as a whole.
func componentOf(b *Body, raw []byte) string {
	if b != nil {
		return b.Component
	}
	var named struct {
		Component string `json:"componentName"`
	}
	if json.Unmarshal(raw, &named) != nil || !goodName(named.Component) {
		return ""
	}
	return named.Component
}

// create makes an instance in one runtime of the mesh.
func (s *session) create(b *Body, m *Message) (*mesh.Outcome, error) {
	hosts, shared := s.hosts(b.Component), s.broker.Guarantees().Shared
	if b.host == "" {
		s.mu.Lock()
		b.host = s.makers.of(b.ID)
		s.mu.Unlock()
	}
	if b.host != "" {
		hosts = slices.DeleteFunc(hosts, func(o outer) bool { return o.info.Name != b.host })
		if len(hosts) == 0 {
			return nil, &fsm.Error{Code: fsm.CodeNotRunning, Component: b.Component, Detail: "its runtime " + b.host + ", which may have made it, is away"}
		}
		return s.createIn(&hosts[0].info, b)
	}
	if len(hosts) == 0 && !shared {
		return nil, errNotOurs
	}
	s.mu.Lock()
	for _, r := range s.behind {
		// One that listens to the broker by itself creates it, and asks nobody.
		if r.component() == b.Component && !r.answers() {
			s.mu.Unlock()
			return nil, errNotOurs
		}
	}
	s.mu.Unlock()
	if len(hosts) == 0 {
		return nil, errNobodyHosts // only who hosts the component has a queue for it
	}
	mine, err := s.claim(b, m)
	if err != nil {
		return nil, err
	}
	if !mine {
		s.b.counts.add(countClaimed, 1)
		return nil, errNotOurs
	}
	to, out, err := s.made(hosts, b, m)
	switch {
	case err != nil || out != nil:
		return out, err
	case to != nil:
		return s.createIn(to, b)
	}
	// One that nobody reaches has not made it: then the next may.
	first := ""
	for len(hosts) > 0 {
		to := chosen(hosts, b)
		out, err = s.createIn(to, b)
		if !errors.Is(err, mesh.ErrGone) {
			return out, err
		}
		first = cmp.Or(first, to.Name)
		hosts = slices.DeleteFunc(hosts, func(o outer) bool { return o.info.RuntimeID == to.RuntimeID })
	}
	if shared {
		return nil, errNobodyHosts
	}
	b.host = first // the picture of the mesh is behind, or it starts anew: it is waited for
	return nil, err
}

// chosen is the runtime to make what nobody has made yet: that which the mesh chooses
// for it, so that of two who have one key or id made at a time both come to the same.
func chosen(hosts []outer, b *Body) *mesh.RuntimeInfo {
	ids := make([]mesh.Identity, len(hosts))
	for i := range hosts {
		ids[i] = hosts[i].info.Identity
	}
	o := mesh.CreateOptions{Key: b.Key, ID: b.Instance, EventID: cmp.Or(b.EventID, b.ID)}
	if b.Key != "" || b.Instance != "" {
		o.EventID = b.EventID // as who creates it on the mesh has no other
	}
	best := o.ChosenFor(ids)
	i := slices.IndexFunc(ids, func(id mesh.Identity) bool { return id.RuntimeID == best })
	info := hosts[i].info
	return &info
}

// made finds out whether a creation was done before, or its key or id is taken: the
// runtime to be asked then, or what it led to where that runtime is not to be asked.
// Who has made it this bridge does not know if it was another that had it made, and it
// came again since; the id of what it makes follows from its own.
func (s *session) made(hosts []outer, b *Body, m *Message) (*mesh.RuntimeInfo, *mesh.Outcome, error) {
	id, derived := b.Instance, false
	if id == "" && b.Key == "" && (b.EventID != "" || b.ID != "" && !b.nameless) {
		id, derived = fsm.CreatedID(b.Component, cmp.Or(b.EventID, b.ID)), true
	}
	var found []mesh.Instance
	if id != "" {
		s.view.Read(func(d *mesh.Directory) { found = d.Find(id) })
	}
	for i := range found {
		in := &found[i]
		if in.Component != b.Component {
			continue
		}
		if k := slices.IndexFunc(hosts, func(o outer) bool { return o.info.RuntimeID == in.RuntimeID }); k >= 0 {
			return &hosts[k].info, nil, nil
		}
		if derived {
			return nil, &mesh.Outcome{RuntimeID: in.RuntimeID, Component: in.Component, Instance: in.ID, State: in.State, Version: in.Version, Repeated: true}, nil
		}
		return nil, nil, &fsm.Error{Code: fsm.CodeNotRunning, Component: b.Component, Instance: id, Detail: "its runtime " + in.Name + " is away"}
	}
	if derived && !m.Redelivered || id == "" && b.Key == "" {
		return nil, nil, nil
	}
	var ended []outer
	for i := range hosts {
		out, err := s.b.client.Do(s.work, hosts[i].info.RuntimeID, &mesh.Command{Do: mesh.DoLocate, Component: b.Component, Instance: id, Key: b.Key})
		switch {
		case err == nil && out.Ended && b.Key != "":
			ended = append(ended, hosts[i])
		case err == nil:
			return &hosts[i].info, nil, nil
		case out != nil && out.NotMine, derived && errors.Is(err, mesh.ErrGone): // what it had made would be in the picture
		default:
			return nil, nil, err
		}
	}
	if len(ended) > 0 {
		return chosen(ended, &Body{Key: b.Key}), nil, nil
	}
	return nil, nil, nil
}

// createIn makes an instance in a runtime. If that does not say whether it has, it is
// the one to be asked again, and no other: by the id it knows what it has made.
func (s *session) createIn(to *mesh.RuntimeInfo, b *Body) (*mesh.Outcome, error) {
	machine := b.Machine
	if machine == "" {
		machine = entryMachine(to.Definition)
	}
	out, err := s.b.client.Do(s.work, to.RuntimeID, &mesh.Command{
		Do: mesh.DoCreate, Component: b.Component, Machine: machine, Context: b.Context, EventID: cmp.Or(b.EventID, b.ID), Key: b.Key,
		Instance: b.Instance, State: b.State, OrGet: b.OrGet, Traceparent: b.Traceparent,
	})
	unknown := false
	if code := fsm.ErrorCode(err); passing(err) && code != fsm.CodeNotRunning && code != fsm.CodeOverloaded && !errors.Is(err, mesh.ErrGone) {
		b.host, unknown = to.Name, true
	}
	if (err == nil || unknown) && s.broker.Guarantees().Redelivered && !b.nameless {
		s.mu.Lock()
		s.makers.note(b.ID, to.Name)
		s.mu.Unlock()
	}
	return out, err
}

// claim reports whether this bridge is the one to serve a creation that others
// hear too: by its id, or else by its body and the how many-th it is of its kind
// within 10 s.
func (s *session) claim(b *Body, m *Message) (bool, error) {
	c, ok := s.broker.(Claimer)
	if !ok || s.c.Faults.NoClaims {
		return true, nil
	}
	if b.claim == "" {
		b.claim = cmp.Or(b.EventID, b.ID)
		if b.EventID == "" && (b.nameless || b.ID == "") {
			h, n := s.guard.arrival(m.Body, time.Now())
			b.claim = fmt.Sprintf("%s.%d", hex.EncodeToString(h[:16]), n)
		}
	}
	ctx, cancel := context.WithTimeout(s.work, 2*time.Second)
	defer cancel()
	return c.Claim(ctx, "create:"+b.Component+":"+b.claim)
}

// entryMachine is the machine that a component begins with.
func entryMachine(definition json.RawMessage) string {
	var c struct {
		Entry    string `json:"entryMachine"`
		Machines []struct {
			Name string `json:"name"`
		} `json:"stateMachines"`
	}
	if json.Unmarshal(definition, &c) != nil {
		return ""
	}
	if c.Entry == "" && len(c.Machines) > 0 {
		return c.Machines[0].Name
	}
	return c.Entry
}

// cross takes an event to the instances of the mesh that its rules choose.
func (s *session) cross(b *Body, _ *Message) (*mesh.Outcome, error) {
	hosts := s.hosts(b.TargetComponent)
	if len(hosts) == 0 {
		return nil, s.nobody(b.TargetComponent, b)
	}
	e, err := s.effect(b)
	if err != nil {
		return nil, err
	}
	var out *mesh.Outcome
	for _, o := range hosts {
		if out, err = s.b.client.Do(s.work, o.info.RuntimeID, &mesh.Command{Do: mesh.DoEffect, Component: b.TargetComponent, Effect: e}); err != nil {
			return out, err
		}
	}
	return out, s.away(b.TargetComponent)
}

// crossKnown is how many cross-component events runtimes know again, at most.
const crossKnown = 10_000

// effect gives a cross-component event the form in which the mesh carries it. Its
// values are put where the rules look for them.
func (s *session) effect(b *Body) (*fsm.RemoteEffect, error) {
	payload := fields{}
	if b.Event.Payload != nil {
		if err := json.Unmarshal(b.Event.Payload, &payload); err != nil {
			return nil, &fsm.Error{Code: fsm.CodeBadValue, Err: err}
		}
	}
	var rules []fsm.MatchingRule
	for _, r := range *b.Rules {
		if len(r.Value) > 0 {
			payload[r.EventProperty] = r.Value
		}
		rules = append(rules, fsm.MatchingRule{EventProperty: r.EventProperty, InstanceProperty: r.InstanceProperty, Operator: r.Operator})
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Err: err}
	}
	var data fsm.Data
	if err := data.UnmarshalJSON(raw); err != nil {
		return nil, &fsm.Error{Code: fsm.CodeBadValue, Err: err}
	}
	id := b.Event.ID
	if id == "" {
		id = newID()
	}
	// Several are under way at a time, and overtake each other: each is an epoch of
	// its own, of which a later one says nothing. Now and then one says that all
	// before it are done. They go by time, so that another bridge goes on where this
	// one ends.
	var lowest uint64
	if s.crossed.Add(1)%crossKnown == 0 {
		lowest = 1
	}
	return &fsm.RemoteEffect{
		From: s.role, Log: "broker", Epoch: uint64(time.Now().UnixMicro()), Seq: 1, Lowest: lowest,
		Record: fsm.RecordID{Instance: id, Version: 1},
		Effect: fsm.Effect{
			Kind: fsm.EffectDeliver, Component: b.TargetComponent, Machine: b.TargetMachine, Event: b.Event.Type, Payload: data, Rules: rules,
			Source: b.SourceComponent, Hops: min(b.Hops, 100),
		},
	}, nil
}
