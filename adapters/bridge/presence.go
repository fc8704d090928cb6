package bridge

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fsmesh/fsmesh/mesh"
)

// behindMost bounds the runtimes on the broker.
const behindMost = 2000

// settleFor is how long the bridge listens whether somebody else already shows a
// guest of another bridge on the broker.
const settleFor = time.Second

// announced takes in that a runtime on the broker says that it is there.
func (s *session) announced(b *Body, now time.Time) {
	if s.broker.Guarantees().Kept && b.Origin != "" && now.Sub(time.UnixMilli(b.Timestamp)) > s.c.Silence {
		s.want(false, true) // it waited in a queue: who it was may be gone
		return
	}
	if b.Definition == nil {
		s.b.counts.add(countBroken, 1)
		s.b.counts.drop("announce", "the definition of runtime "+b.RuntimeID+" is missing, or no JSON object")
	}
	over := route{b.Hops, b.Origin}
	s.mu.Lock()
	if best, ok := s.routes[b.RuntimeID]; !ok || now.Sub(best.at) > s.c.Silence || !best.better(over) {
		if len(s.routes) < 10*behindMost {
			s.routes[b.RuntimeID] = heardRoute{over, now}
		}
	}
	r, room := s.behind[b.RuntimeID], len(s.behind) < behindMost
	s.mu.Unlock()
	if r != nil {
		s.describe(r, b, now)
		return
	}
	if s.onMesh(b.RuntimeID, route{b.Hops, s.b.id}) {
		return
	}
	if !room {
		s.b.counts.add(countStranger, 1)
		s.b.counts.drop("announce", "more than 2,000 runtimes are on the broker")
		return
	}
	s.host(b, now)
}

// onMesh reports whether the mesh has a runtime by itself, or over a better
// route than the given.
func (s *session) onMesh(runtimeID string, over route) (there bool) {
	s.view.Read(func(d *mesh.Directory) {
		info, ok := d.Runtime(runtimeID, time.Now())
		if !ok || info.Status != mesh.Live {
			return
		}
		other, guest := routeOf(info.Process)
		there = !guest || other.via != s.b.id && other.better(over)
	})
	return there
}

// host puts a runtime of the broker onto the mesh.
func (s *session) host(b *Body, now time.Time) {
	if s.c.DryRun != nil {
		return
	}
	table := newTable(now, s.held)
	if !table.change(announceBytes(b)) {
		s.b.counts.add(countNoRoom, 1)
		s.b.counts.drop("announce", "there is no room for another runtime on the broker")
		return
	}
	r := &behind{
		s: s, id: b.RuntimeID, table: table, route: route{b.Hops, s.b.id}, announce: b, heard: now, ends: endings(b.Definition),
	}
	r.followed = !r.numbered()
	guest, err := s.c.Bus.Host(s.ctx, mesh.GuestOptions{
		Identity: toIdentity(b, guestProcess(s.b.id, b.Hops)), Announce: toAnnounce(b, r.numbered()), Source: r.table, Command: r.command, Refresh: r.refresh, Logger: s.c.Logger,
	})
	if err != nil {
		table.release()
		s.b.counts.add(countInvalid, 1)
		s.b.counts.drop("announce", err.Error())
		return
	}
	r.guest = guest
	s.owe(r, now)
	s.mu.Lock()
	ended := s.behind == nil
	if !ended {
		s.behind[r.id] = r
	}
	s.mu.Unlock()
	if ended {
		guest.Leave() // who ended the session has not seen it
		guest.Wait()
		table.release()
		return
	}
	s.c.Logger.Info("bridge: runtime on the broker", "runtime", r.id, "component", b.Component)
}

// announceBytes is about what is held of what a runtime announces.
func announceBytes(b *Body) int { return 4096 + 2*len(b.Definition) }

// describe takes in what a known runtime announces anew.
func (s *session) describe(r *behind, b *Body, now time.Time) {
	r.mu.Lock()
	r.heard = now
	if other := r.announce.Component; b.Component != other {
		r.mu.Unlock()
		s.twoWithOneID(Announce, b, other)
		return
	}
	if b.Origin != "" && b.Hops > r.route.hops {
		r.mu.Unlock()
		return // it came another way round
	}
	if !r.table.change(announceBytes(b) - announceBytes(r.announce)) {
		r.mu.Unlock()
		s.b.counts.add(countNoRoom, 1)
		return
	}
	changed := !bytes.Equal(r.announce.Definition, b.Definition) || r.announce.Host != b.Host || r.announce.Protocol != b.Protocol
	r.announce = b
	if changed {
		r.ends = endings(b.Definition)
	}
	numbered := r.numbered()
	r.followed = !numbered
	r.mu.Unlock()
	if changed {
		r.guest.Describe(toAnnounce(b, numbered))
	}
}

// twoWithOneID counts what comes from a runtime whose id another has: it is of no use,
// as nobody knows whose it is. Two of one component cannot be told apart.
func (s *session) twoWithOneID(k Kind, b *Body, other string) {
	s.b.counts.add(countTwo, 1)
	s.b.counts.drop(string(k), fmt.Sprintf("runtime %s of component %s has the id of one of component %s: only that one is shown", b.RuntimeID, b.Component, other))
}

// known finds a runtime of the broker; one that is not known is asked to
// announce itself.
func (s *session) known(k Kind, b *Body, now time.Time) *behind {
	s.mu.Lock()
	r := s.behind[b.RuntimeID]
	_, seen := s.routes[b.RuntimeID]
	if r == nil && !seen {
		s.wantDiscover = true
	}
	if r == nil && b.Origin == "" && s.recent(b, now) && s.strangers != nil && len(s.strangers) < behindMost {
		s.strangers[b.Component] = true
	}
	s.mu.Unlock()
	if r == nil {
		if !seen {
			s.b.counts.add(countStranger, 1)
		}
		return nil
	}
	if of := r.component(); of != b.Component {
		s.twoWithOneID(k, b, of)
		return nil
	}
	r.hear(now)
	return r
}

// left takes in that a runtime on the broker stops.
func (s *session) left(b *Body) {
	s.mu.Lock()
	r := s.behind[b.RuntimeID]
	if r != nil {
		if of := r.component(); of != b.Component {
			s.mu.Unlock()
			s.twoWithOneID(Shutdown, b, of)
			return
		}
	}
	if r != nil && b.Hops > r.route.hops {
		r = nil // it came another way round
	}
	if r != nil {
		delete(s.behind, b.RuntimeID)
	}
	delete(s.routes, b.RuntimeID)
	delete(s.strangers, b.Component) // another of it is heard again
	s.mu.Unlock()
	if r != nil {
		r.guest.Close()
		s.part(r)
	}
}

// part gives back what is held of a runtime that is not spoken for any more, once
// nothing asks for it. Nobody waits for that: what is under way may itself wait for
// what is yet to be read.
func (s *session) part(r *behind) {
	done := func() {
		r.guest.Wait()
		r.table.release()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind == nil { // who ended the session may not wait for this one any more
		go done()
		return
	}
	s.wg.Go(done)
}

// stillAfter is after how long between two looks the bridge itself stood still: it
// looks ten times a second.
const stillAfter = time.Second

// check asks for what runtimes have told of and did not come, and gives up those
// that are silent, or that the mesh has over a better way. Who cannot be heard, as
// the bridge stands still or is busy with a large message, is not silent.
func (s *session) check(now time.Time) {
	stood := now.Sub(s.checkedAt)
	if s.checkedAt.IsZero() || stood < stillAfter {
		stood = 0
	}
	s.checkedAt = now
	busy := s.taking.Load() > 0
	s.mu.Lock()
	var all []*behind
	for _, r := range s.behind {
		all = append(all, r)
	}
	for id, over := range s.routes {
		if over.at = over.at.Add(stood); stood > 0 {
			s.routes[id] = over
		}
		if now.Sub(over.at) > s.c.Silence && !busy {
			delete(s.routes, id)
		}
	}
	s.mu.Unlock()
	for _, r := range all {
		r.overdue(now)
		r.mu.Lock()
		r.heard = r.heard.Add(stood)
		silent := now.Sub(r.heard) > s.c.Silence && !busy
		r.mu.Unlock()
		if silent || s.yields(r, now) {
			s.mu.Lock()
			if s.behind[r.id] == r {
				delete(s.behind, r.id)
			}
			s.mu.Unlock()
			r.guest.Leave()
			s.part(r)
			s.c.Logger.Info("bridge: runtime given up", "runtime", r.id, "silent", silent)
		}
	}
}

// yields reports whether somebody else speaks for the runtime with better right.
// Where not, the other will yield, and what it numbered meanwhile is overtaken.
func (s *session) yields(r *behind, now time.Time) bool {
	var info mesh.RuntimeInfo
	s.view.Read(func(d *mesh.Directory) { info, _ = d.Runtime(r.id, now) })
	other, guest := routeOf(info.Process)
	if info.Known > int64(r.table.Seq()) { // what the mesh heard last, it heard of a rival that numbered higher
		r.again(now)
	}
	switch {
	case info.Process == "" || info.Status != mesh.Live || guest && other.via == s.b.id:
		return false
	case !guest || other.better(r.route):
		return true
	}
	r.again(now)
	return false
}

// again announces a runtime anew, with numbers beyond those of a rival, at most
// once a second.
func (r *behind) again(now time.Time) {
	if now.Sub(r.rivalSeen) < time.Second { // of the tending goroutine only
		return
	}
	r.rivalSeen = now
	r.telling.Lock()
	r.table.rebase(now)
	r.telling.Unlock()
	r.mu.Lock()
	a := toAnnounce(r.announce, r.numbered())
	r.mu.Unlock()
	r.guest.Describe(a)
}

// present shows the runtimes of the mesh on the broker, as they come and go.
func (s *session) present(now time.Time) {
	var list []mesh.RuntimeInfo
	s.view.Read(func(d *mesh.Directory) { list = d.Runtimes(now) })
	here := map[string]bool{}
	for i := range list {
		info := &list[i]
		over, guest := routeOf(info.Process)
		if guest && over.via == s.b.id {
			continue // it comes from there
		}
		here[info.RuntimeID] = true
		switch info.Status {
		case mesh.Live:
			hops := 1
			if guest {
				hops = over.hops + 1
			}
			s.show(info, hops, guest, now)
		case mesh.Stopped, mesh.Superseded:
			s.hide(info.RuntimeID, info.Status == mesh.Stopped)
		case mesh.Lost:
			s.hide(info.RuntimeID, false)
		}
	}
	s.mu.Lock()
	var gone []string
	for id := range s.outer {
		if !here[id] {
			gone = append(gone, id)
		}
	}
	s.mu.Unlock()
	for _, id := range gone {
		s.hide(id, false)
	}
}

// show sees that a runtime of the mesh is announced, and heard of now and then.
func (s *session) show(info *mesh.RuntimeInfo, hops int, guest bool, now time.Time) {
	if len(info.Definition) == 0 {
		return // not announced yet
	}
	s.mu.Lock()
	o := s.outer[info.RuntimeID]
	fresh := o == nil
	if fresh {
		o = &outer{first: now}
		s.outer[info.RuntimeID] = o
	}
	o.info, o.hops = *info, hops
	over, heard := s.routes[info.RuntimeID]
	// A runtime of this very mesh is shown by its active bridge, whoever that was
	// before; a guest, by the bridge with the best way to it.
	if guest && heard && over.better(route{hops, s.b.id}) && now.Sub(over.at) < s.c.Silence {
		o.shown = false // somebody else does
		s.mu.Unlock()
		return
	}
	if guest && now.Sub(o.first) < settleFor {
		s.wantDiscover = s.wantDiscover || fresh
		s.mu.Unlock()
		return
	}
	first, due := !o.shown, now.After(o.heartbeat)
	if first || due {
		o.heartbeat = now.Add(s.c.Heartbeat - s.c.Heartbeat/10 + rand.N(s.c.Heartbeat/5+1))
	}
	o.shown = true
	if first {
		s.wantAnswer = true
	}
	known := *o
	s.mu.Unlock()
	switch {
	case first:
		s.listenForCreations(info.Component)
		s.listenForBroadcasts(info.Component)
		s.publish(Announce, known.announce())
	case due:
		seq := uint64(max(info.Known, 0))
		s.publish(Heartbeat, &Body{
			RuntimeID: info.RuntimeID, Component: info.Component, Name: info.Name, Epoch: info.Epoch, Seq: &seq, Hops: hops,
		})
	}
}

func (o *outer) announce() *Body {
	b := fromRuntime(&o.info)
	b.Hops = o.hops
	return b
}

// settling reports whether it is too early to say that a runtime is shown.
func (s *session) settling(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.outer[id]
	// present looks ten times a second; one second more, and it has decided.
	return o != nil && !o.shown && now.Sub(o.first) < settleFor+time.Second
}

// hide says goodbye for a runtime of the mesh that has stopped.
func (s *session) hide(id string, stopped bool) {
	s.mu.Lock()
	o := s.outer[id]
	delete(s.outer, id)
	s.mu.Unlock()
	if o != nil && o.shown && stopped {
		s.publish(Shutdown, &Body{RuntimeID: id, Component: o.info.Component, Name: o.info.Name, Epoch: o.info.Epoch, Hops: o.hops})
	}
}

// shown returns the runtime of the mesh if it is shown on the broker.
func (s *session) shown(id string) (o outer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.outer[id]; p != nil && p.shown {
		return *p, true
	}
	return outer{}, false
}

// listenForCreations begins to listen, with others who host the component, for
// creations of it. They share a queue, whatever dialects each speaks, and any of them
// may get any message: so all of them listen in both dialects, and none takes copies.
// A dry run would take them from the others.
func (s *session) listenForCreations(component string) {
	if !s.broker.Guarantees().Shared || s.c.DryRun != nil {
		return
	}
	s.mu.Lock()
	there, first := s.shared[component], len(s.shared) == 0
	s.shared[component] = true
	s.mu.Unlock()
	c := of(CreateInstance)
	if there || !s.b.dialects.wants(c) {
		return
	}
	s.listenTo(Subscription{Channels: c.Names[:], Shared: "create." + component}, func(m *Message) { s.creation(component, first, m) })
}
